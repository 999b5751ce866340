"""Set-up of the tests."""

from __future__ import annotations

import os

import pytest

# Tables of the command line are read by tests: they are as wide wherever those run.
os.environ["COLUMNS"] = "200"

for suite in ("store", "revert", "quarantine", "isolation", "transport", "environment"):
    pytest.register_assert_rewrite(f"triforium.testing.{suite}_conformance")
