"""Fails unless an arm of a result.json reaches a success rate: RESULT ARM LEAST N."""

import json
import sys
from pathlib import Path

path, arm, least, n = sys.argv[1:]
result = json.loads(Path(path).read_text())
rate = result["metrics"][arm]["success_rate"]
print(f"{arm}: {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}], n = {result['n']}")
if result["n"] != int(n) or rate["value"] < float(least) or result["errors"]:
    sys.exit(f"expected at least {least} on {n} tasks without an error")
