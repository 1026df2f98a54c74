"""What the window costs: the time until it shows something, and its server.

The server is the program with the default market, the browser a headless Chromium, each on a core of
its own where the system can pin them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.chromium import WAIT_S, browser, missing, wait
from benchmarks.machine import RECEIVER_CORE, pin
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.table import Cell, Table, spread
from tickerplant.control.client import ControlClient
from tickerplant.server.window import window

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPETITIONS = 5
QUICK_REPETITIONS = 1
WATCH_S = 5.0
"""How long the server is watched in one repetition."""
SETTLE_S = 3.0
"""So long the market lives before the first page, and a page before it is watched."""
ROOMS = ("#/market/BTCUSDT?interval=1m", "#/plant", "#/control")
SAME_MARKET = ("simulate", "--seed", "7", "--start", "2026-11-22", "--paused")
WIDTH, HEIGHT = 1440, 900

AIM_PAINT_MS = 1_000.0
AIM_INTERACTIVE_MS = 2_000.0
AIM_BUNDLE_KB = 300.0
AIM_SHARE = 3.0
AIM_HIDDEN_SHARE = 0.0

WATCH_START = """
(() => {
  const look = () => {
    const chart = document.querySelector("[data-testid=chart]");
    const ladder = document.querySelector("[data-testid=ladder]");
    if (chart?.dataset.last && ladder?.dataset.state === "live") window.interactiveMs = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""
"""Notes when there are candles and a live ladder."""
START = """
() => [
  performance.getEntriesByName("first-contentful-paint")[0].startTime,
  window.interactiveMs,
]
"""
LOADED_BYTES = """
() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((entry) => entry.initiatorType === "navigation" || entry.name.includes("/window/"))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)
"""
HIDE = """
() => {
  Object.defineProperty(document, "hidden", { get: () => true });
  Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


def run(*, quick: bool = False) -> list[Table]:
    """Measure the start of the window, and what a page costs the server."""
    if reason := _missing():
        return [Table(title="window", columns=("",), rows=[], notes=[f"Not measured: {reason}."])]
    pin(RECEIVER_CORE)
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    with browser() as chromium:
        with Program("simulate") as plant:
            time.sleep(SETTLE_S)
            url = f"http://127.0.0.1:{plant.port}/"
            started = _start(chromium, url, repetitions)
        return [started, _server(chromium, repetitions)]


def _missing() -> str:
    """Return what is missing for this benchmark; empty if nothing is."""
    if not window().build:
        return "the window is not built; `make window` builds it"
    return missing()


@contextmanager
def _page(chromium: Browser, url: str) -> Iterator[Page]:
    """Open a page in a profile of its own, so that nothing is cached."""
    context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(WAIT_S * 1_000)
    context.add_init_script(WATCH_START)
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


# Start


def _start(chromium: Browser, url: str, repetitions: int) -> Table:
    """Measure how long the market room takes to appear, and to live, and what is loaded."""
    paints, interactive, kilobytes = [], [], []
    for _ in range(repetitions):
        with _page(chromium, url + ROOMS[0]) as page:
            _wait_until_live(page)
            paint_ms, interactive_ms = page.evaluate(START)
            paints.append(paint_ms)
            interactive.append(interactive_ms)
            kilobytes.append(page.evaluate(LOADED_BYTES) / 1_000)
    rows: list[tuple[Cell, ...]] = [
        ("first paint, ms", spread(paints), AIM_PAINT_MS),
        ("interactive, ms: candles and a live ladder", spread(interactive), AIM_INTERACTIVE_MS),
        ("loaded, kB: page, script, style, compressed", median(kilobytes), AIM_BUNDLE_KB),
    ]
    return Table(
        title="window: start of the market room",
        columns=("", "window", "target"),
        rows=rows,
        notes=["Nothing is cached; times count from the request of the page."],
    )


# Server


def _server(chromium: Browser, repetitions: int) -> Table:
    """Measure the CPU time of a server without a page, with one, and with a hidden one.

    A market needs more in some seconds than in others, so a server whose window is open is held
    against one with the same market, in the same seconds, that nobody looks at.
    """
    cases = ("no page", *(room.split("/")[1] for room in ROOMS), "hidden")
    pairs: dict[str, list[tuple[float, float]]] = {case: [] for case in cases}
    with ExitStack() as stack:
        plant, twin = (stack.enter_context(Program(*SAME_MARKET)) for _ in range(2))
        control, other = (
            stack.enter_context(ControlClient(f"http://127.0.0.1:{each.port}"))
            for each in (plant, twin)
        )
        for each in (control, other):
            each.set_clock(paused=False)
        time.sleep(SETTLE_S)
        for _ in range(repetitions):
            pairs["no page"].append(_shares(plant, twin, lambda: time.sleep(WATCH_S)))
            for room, case in zip(ROOMS, cases[1:], strict=False):
                with _page(chromium, f"http://127.0.0.1:{plant.port}/{room}") as page:
                    _wait_until_open(page)
                    page.wait_for_timeout(SETTLE_S * 1_000)
                    pairs[case].append(_shares(plant, twin, _waiting(page)))
                    if case == "market":
                        _hide(page)
                        _wait_until_alone(page, control)
                        pairs["hidden"].append(_shares(plant, twin, _waiting(page)))
    aims = {"no page": None, "hidden": AIM_HIDDEN_SHARE}
    rows: list[tuple[Cell, ...]] = [
        (
            case,
            spread(share for share, _ in found),
            spread(share for _, share in found),
            spread(share - alone for share, alone in found),
            aims.get(case, AIM_SHARE),
        )
        for case, found in pairs.items()
    ]
    return Table(
        title="window: CPU of the server while one page is open, % of a core",
        columns=("page", "server", "twin without a page", "difference", "target"),
        rows=rows,
        notes=[
            "The twin makes the same market in the same seconds; the row without a page tells the noise.",
            "The hidden page is one of the market room; it hangs up ten seconds after it was hidden.",
        ],
    )


def _shares(plant: Program, twin: Program, wait: Callable[[], None]) -> tuple[float, float]:
    """Return the CPU time of two servers during a wait, per cent of a core."""
    both = (plant.pid, twin.pid)
    before, began_s = [usages(pid)[0].cpu_s for pid in both], time.monotonic()
    wait()
    elapsed_s = time.monotonic() - began_s
    first, second = (
        (usages(pid)[0].cpu_s - used_s) / elapsed_s * 100
        for pid, used_s in zip(both, before, strict=True)
    )
    return first, second


def _waiting(page: Page) -> Callable[[], None]:
    return lambda: page.wait_for_timeout(WATCH_S * 1_000)


def _wait_until_live(page: Page) -> None:
    wait(page, lambda: page.evaluate("window.interactiveMs"), "candles and a live ladder")


def _wait_until_open(page: Page) -> None:
    page.wait_for_selector("[data-testid=feed-state][data-phase=open]", state="attached")


def _hide(page: Page) -> None:
    """Tell a page that it is hidden: pages that Playwright drives are always shown."""
    page.evaluate(HIDE)


def _wait_until_alone(page: Page, control: ControlClient) -> None:
    """Return when the server has no connection any more."""
    wait(page, lambda: not control.connections()["connections"], "a hidden page hangs up")
