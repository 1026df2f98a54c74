"""Servers whose window is looked at, and the pages of a browser that look."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response
from programs import PATIENCE_S, run

from tickerplant.control.client import ControlClient
from tickerplant.startup.lines import Ready

MARKET = (
    *("simulate", "--paused", "--seed", "7", "--start", "2026-01-01"),
    *("--intensity", "0.1", "--quoting", "0.1"),
    *("--symbols", "BTCUSDT,ETHUSDT,BTCUSD_PERP"),
)
"""A market that stands still until it is stepped, the same in every run."""


class Plant:
    """A process of the program that serves, from `with` to its end.

    Args:
        arguments: Its command line without ports.
        ports: The ports of USDⓈ-M and COIN-M; 0 picks free ones.
        env: Variables beside those of this process.
    """

    def __init__(
        self,
        *arguments: str,
        ports: tuple[int, int] = (0, 0),
        env: Mapping[str, str] | None = None,
    ) -> None:
        usdm, coinm = ports
        self._process = subprocess.Popen(  # noqa: S603  # our own program
            [
                *(sys.executable, "-m", "tickerplant", *arguments, "--json"),
                *("--usdm-port", str(usdm), "--coinm-port", str(coinm), "--log-level", "error"),
            ],
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"tickerplant {' '.join(arguments)} ended"
        self.ready = msgspec.json.decode(line, type=Ready)
        self.url = self.ready.venues["usdm"].rest
        self.coinm_url = self.ready.venues["coinm"].rest
        token = self.ready.token or (env or {}).get("TICKERPLANT_CONTROL_TOKEN", "")
        self.control = ControlClient(self.url, token)

    @property
    def ports(self) -> tuple[int, int]:
        usdm, coinm = (int(url.rpartition(":")[2]) for url in (self.url, self.coinm_url))
        return usdm, coinm

    @property
    def paths(self) -> list[str]:
        """The paths of the connections that are open, with their queries."""
        return [each["path"] for each in self.control.connections()["connections"]]

    def kill(self) -> None:
        self.control.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Visits:
    """Opens pages, each in a profile of its own, and keeps what goes wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts = contextlib.ExitStack()
        self.problems: list[str] = []
        """Errors of the console, exceptions, failed requests; violations of the policy are among them."""

    def __call__(
        self,
        url: str = "",
        *,
        room: str = "#/market/BTCUSDT",
        script: str = "",
    ) -> Page:
        """Return a page that has been opened.

        Args:
            url: The address of a server; empty if the page is not to be opened yet.
            room: What the address has after the server.
            script: A script that runs before those of the page.
        """
        context = self._contexts.enter_context(
            self._browser.new_context(viewport={"width": 1440, "height": 900})
        )
        context.set_default_timeout(1_000 * PATIENCE_S)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        if url:
            page.goto(f"{url.removesuffix('/')}/{room}")
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        # What a page asked for when it left, or was closed, is no failure.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"request: {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")

    def close(self) -> None:
        self._contexts.close()


def eventually(page: Page, condition: Callable[[], object], what: str) -> None:
    """Return when a condition is true; the page goes on meanwhile."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")
        page.wait_for_timeout(20)


def attribute(page: Page, test_id: str, name: str) -> str:
    """Return an attribute of the element with a test id; empty if there is none."""
    found = page.get_by_test_id(test_id)
    return (found.first.get_attribute(name) or "") if found.count() else ""


def is_live(page: Page) -> bool:
    """Return whether the page is connected, and its chart shows candles."""
    return (
        attribute(page, "feed-state", "data-phase") == "open"
        and attribute(page, "chart", "data-last") != ""
    )


def record(folder: Path) -> Path:
    """Record a market of some minutes; return the folder."""
    run(
        [
            *("-m", "tickerplant", "simulate", "--seed", "7", "--start", "2026-01-01"),
            *("--symbols", "BTCUSDT", "--speed", "0", "--duration", "2m"),
            *("--intensity", "0.2", "--quoting", "0.1", "--record", str(folder)),
            *("--usdm-port", "0", "--coinm-port", "0", "--log-level", "error"),
        ],
        folder.parent,
    )
    return folder
