"""Fails unless a strategy is above the baseline of a comparison.json, its interval above zero:
COMPARISON STRATEGY [LEAST]."""

import json
import sys
from pathlib import Path

path, strategy, *least = sys.argv[1:]
rows = {row["strategy"]: row for row in json.loads(Path(path).read_text())["strategies"]}
found = rows[strategy]["success_difference"]
print(f"{strategy}: {found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]")
if found["low"] <= 0 or found["value"] < float(least[0] if least else 0):
    sys.exit(f"expected a difference above zero{', at least ' + least[0] if least else ''}")
