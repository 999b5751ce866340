"""Prints the packages of the dependency group `dev`, for a pip that does not know groups."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
print(*(requirement.replace(" ", "") for requirement in project["dependency-groups"]["dev"]))
