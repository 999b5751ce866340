"""compose.yaml and scripts/neo4j speak of one version, and keep to this machine."""

from __future__ import annotations

import re
from pathlib import Path

from triforium.graph.neo4j.server import OLDEST, PORT

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SCRIPT = (ROOT / "scripts/neo4j").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/neo4j.md").read_text(encoding="utf-8")


def test_one_version() -> None:
    [image] = re.findall(r"^ +image: neo4j:([\d.]+)-community$", COMPOSE, re.MULTILINE)
    [version] = re.findall(r'^VERSION="\$\{NEO4J_VERSION:-([\d.]+)\}"$', SCRIPT, re.MULTILINE)
    assert image == version
    assert tuple(map(int, version.split(".")[:2])) >= OLDEST
    assert f"Neo4j {OLDEST[0]}.{OLDEST[1]} or newer" in PAGE


def test_nothing_is_open_to_others_and_no_password_is_written_down() -> None:
    ports = re.findall(r'^ +- "([^"]*\d:\d+)"', COMPOSE, re.MULTILINE)
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert f"127.0.0.1:{PORT}:{PORT}" in ports
    settings = [line for line in COMPOSE.splitlines() if not line.lstrip().startswith("#")]
    assert "env_file: neo4j.env" in COMPOSE
    assert not [line for line in settings if re.search(r"(?:PASSWORD|AUTH)\s*:", line)]
    assert "healthcheck:" in COMPOSE
