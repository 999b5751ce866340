"""The README's examples, as pasted."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

from triforium.testing.openai_server import FakeOpenAIServer

README = Path(__file__).parents[2] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
GUESS = "SELECT month, revenue FROM orders"
BETTER = "SELECT month, sum(amount) FROM orders GROUP BY month"


def obedient(prompt: str) -> str:
    """Knows nothing but its prompt: a better query only if that tells of the missing column."""
    return BETTER if "no such column: revenue" in prompt else GUESS


async def test_the_first_run_fails_and_the_second_succeeds(tmp_path: Path) -> None:
    """The 20 lines, run twice as a script against a server that speaks OpenAI's protocol."""
    assert EXAMPLES[0].startswith("# app.py")
    (tmp_path / "app.py").write_text(EXAMPLES[0])
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (month TEXT, amount REAL)")
    shop.close()
    said: list[str] = []
    # Two runs in a hundred find the one thing there is to recall held out, to measure its worth.
    while len(said) < 2 or ("held out" in said[-1] and len(said) < 6):
        async with FakeOpenAIServer([obedient]) as server:
            environment = {
                **os.environ,
                "OPENAI_BASE_URL": server.url,
                "OPENAI_API_KEY": "not-a-real-key",
            }
            done = await asyncio.create_subprocess_exec(
                sys.executable,
                "app.py",
                cwd=tmp_path,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await done.communicate()
        assert done.returncode == 0, err.decode()
        said.append(out.decode())
    assert "outcome   failure" in said[0]
    assert "packed    0 items" in said[0]
    assert "outcome   success" in said[-1]
    assert "counter-example: revenue by month" in said[-1]


def test_the_embodied_example_runs(tmp_path: Path) -> None:
    assert "embodied" in EXAMPLES[1]
    short = EXAMPLES[1].replace("world.tasks(20)", "world.tasks(2)")
    assert short != EXAMPLES[1]
    (tmp_path / "home.py").write_text(short)
    done = subprocess.run(
        [sys.executable, "home.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_the_example_passes_mypy_strict(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(EXAMPLES[0])
    (tmp_path / "home.py").write_text(EXAMPLES[1])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            str(tmp_path / "app.py"),
            str(tmp_path / "home.py"),
        ],
        cwd=README.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
