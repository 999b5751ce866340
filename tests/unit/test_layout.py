"""The package list, the public names and the cost of an import are what we say they are."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import triforium

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_package_list_is_the_tree() -> None:
    folders = ("agents", "memory", "graph", "workflows")
    found = {
        f"triforium.{folder}" for folder in folders if (ROOT / folder / "__init__.py").exists()
    }
    found |= {
        f"triforium.{folder}.{path.parent.name}"
        for folder in folders
        for path in (ROOT / folder).glob("*/__init__.py")
    }
    found |= {
        ".".join(path.parent.relative_to(ROOT).parts)
        for pattern in ("*/__init__.py", "*/*/__init__.py")
        for path in (ROOT / "triforium").glob(pattern)
        if not any(folder.is_symlink() for folder in path.parents)
    }
    found.add("triforium")
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])
    for folder in folders:
        assert PROJECT["tool"]["setuptools"]["package-dir"][f"triforium.{folder}"] == folder


def test_public_names_are_there_and_lazy() -> None:
    for name in triforium.__all__:
        assert getattr(triforium, name) is not None
    with pytest.raises(AttributeError):
        _ = triforium.no_such_name
    assert triforium.__version__ == PROJECT["project"]["version"]


def test_a_bare_import_is_cheap() -> None:
    """At most 0.3 s, and none of the heavy libraries; the best of three, for a busy machine."""
    code = (
        "import time, sys; t = time.perf_counter(); import triforium; "
        "print(time.perf_counter() - t); "
        "print(sorted({'langgraph', 'numpy', 'wordllama', 'pydantic'} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        told = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        seconds.append(float(told[0]))
        assert told[1] == "[]"
    assert min(seconds) <= 0.3


def test_the_readme_names_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    for script in ("scripts/demo", "scripts/test"):
        assert script in readme
        assert (ROOT / script).stat().st_mode & 0o111
    for link in ("docs/concepts.md", "docs/how-to.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert link in readme
        assert (ROOT / link).exists()
