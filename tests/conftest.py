"""Set-up of the tests."""

from __future__ import annotations

import pytest

for suite in ("store", "transport", "environment"):
    pytest.register_assert_rewrite(f"triforium.testing.{suite}_conformance")
