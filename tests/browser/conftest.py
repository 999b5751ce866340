"""A real browser, a store that the demo wrote, and the inspector on it.

Needs Chromium and the extra `inspect`; without them the tests are skipped, or fail where CI is set.
`TRIFORIUM_DEMO_STORE` may name the file of a store that `triforium demo` wrote before.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from triforium.graph import Tier
from triforium.memory import Memory

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TASKS = 24
"""Of the demo: as many recalls are looked at."""
TEAM = "bench"
TRIFORIUM = (sys.executable, "-c", "from triforium.cli import main; main()")
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


Answer = TypeVar("Answer")


def run(job: Coroutine[None, None, Answer]) -> Answer:
    """Run a coroutine in a thread: the browser's driver has an event loop in this one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, job).result()


def chromium() -> str:
    """The browser's path; skips the test where something is missing."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    missing = [name for name in ("playwright", "fastapi", "uvicorn") if find_spec(name) is None] + (
        [] if found else ["chromium"]
    )
    if missing:
        say = (
            f"{', '.join(missing)} missing: apt-get install chromium; "
            "pip install playwright 'triforium[inspect]'"
        )
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    assert found
    return found


@dataclass(frozen=True)
class Inspector:
    """A running inspector: its address with the token, and without."""

    opened: str
    store: Path

    @property
    def base(self) -> str:
        return self.opened.split("#", maxsplit=1)[0]

    def at(self, hash_: str) -> str:
        return f"{self.base}{hash_}"


@contextmanager
def inspect(store: Path, *options: str) -> Iterator[Inspector]:
    """Run `triforium inspect` on a store."""
    command = [*TRIFORIUM, "inspect", "--no-browser", *options]
    with subprocess.Popen(
        [*command, "--store", f"sqlite:///{store}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout
        said = process.stdout.readline()
        try:
            assert "http://" in said, said + process.stdout.read()
            yield Inspector("http://" + said.split("http://", 1)[1].strip(), store)
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer than a module: while it is open, an event loop runs in this thread, and no
    other test could run one."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *WEBGL])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a demo. Not to be written to: `copied` is."""
    chromium()
    known = os.environ.get("TRIFORIUM_DEMO_STORE")
    if known:
        return Path(known)
    out = tmp_path_factory.mktemp("demo")
    command = [*TRIFORIUM, "demo", "--tasks", str(TASKS)]
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True, timeout=500)
    return out / "memory.db"


@pytest.fixture
def copied(demo: Path, tmp_path: Path) -> Path:
    """A copy of the demo's store in which two records are in quarantine."""
    store = tmp_path / "memory.db"
    shutil.copy(demo, store)
    run(_set_aside(store))
    return store


async def _set_aside(path: Path) -> None:
    async with Memory.open(f"sqlite:///{path}", scope=TEAM, embedder=None) as memory:
        view = await memory.view()
        trials = await view.recent(tiers=frozenset({Tier.QUERY}), k=8)
        rules = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=1)
        await memory.quarantine(
            [trials[-1].id],
            reason="The odd one out: two trials end otherwise.",
            dissenters=[trials[0].id, trials[1].id],
        )
        await memory.quarantine(
            [rules[0].id],
            reason="It leads where no independent trial went.",
            dissenters=[trials[2].id],
        )


@pytest.fixture(scope="session")
def reading(demo: Path) -> Iterator[Inspector]:
    """A read-only inspector of the demo's store."""
    with inspect(demo) as found:
        yield found


@pytest.fixture
def editing(copied: Path) -> Iterator[Inspector]:
    """An inspector that may change the copied store."""
    with inspect(copied, "--allow-edits") as found:
        yield found


Opener = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a page of an inspector. Afterwards: no request left the machine, nothing failed."""
    contexts = []
    wrong: list[str] = []

    def opener(
        at: Inspector | str, *, theme: str = "light", width: int = 1440, height: int = 900
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        address = at if isinstance(at, str) else at.opened
        home = address.split("#", maxsplit=1)[0]
        page.on(
            "request",
            lambda one: (
                None
                if one.url.startswith((home, "blob:", "data:"))
                else wrong.append(f"asked {one.url[:200]}")
            ),
        )
        page.on("pageerror", lambda error: wrong.append(f"error {error}"))
        page.on(
            "console",
            lambda said: (
                wrong.append(f"said {said.text}")
                if said.type == "error" and "net::ERR_" not in said.text  # The server has ended.
                else None
            ),
        )
        page.goto(address)
        return page

    yield opener
    for context in contexts:
        context.close()
    assert wrong == []
