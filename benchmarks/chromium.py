"""A headless Chromium in which the window is looked at: where it is, and what is missing without it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VARIABLE = "TICKERPLANT_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKED = Path(sys.prefix, "chromium", "start")
"""That of the tests, which `make test` unpacks where there is no other."""
NODE = Path(sys.prefix, "nodejs", "bin", "node")
WAIT_S = 30.0


def missing() -> str:
    """Return what has to be installed first; empty if nothing has."""
    if find_spec("playwright") is None:
        return "Playwright is not installed: `make lint` installs it with the other tools"
    if chromium() is None:
        return f"there is no Chromium here: make browser, or set {VARIABLE} to the path of one"
    return ""


def chromium() -> str | None:
    """Return the path of a Chromium; None if there is none."""
    if given := os.environ.get(VARIABLE):
        return shutil.which(given)
    return next((found for name in (*NAMES, str(PACKED)) if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser, without its sandbox, which root may not have; it ends in the end."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the tools, not of the program

    if NODE.exists():  # its own needs libraries that a bare system lacks
        os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(NODE))
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield launched
        launched.close()


def wait(page: Page, condition: Callable[[], object], what: str) -> None:
    """Return when a condition is true; the page goes on meanwhile.

    The wait of Playwright would evaluate a text in the page, which the policy of the window forbids.

    Raises:
        RuntimeError: it is not true within `WAIT_S`.
    """
    until_s = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until_s:
            raise RuntimeError(f"not within {WAIT_S:g} s: {what}")
        page.wait_for_timeout(50)
