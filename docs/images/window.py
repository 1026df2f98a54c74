"""Takes the pictures of the window: its three rooms in light and dark colours, and on a phone.

The market is simulated with a seed, and the recording that is replayed is the one of `recording.py`; what
depends on the speed of the machine, such as latencies and the moment of a picture, differs from run to
run.  So `make screenshots` takes them, and `make docs` does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image
from recording import record
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.chromium import browser, missing, wait
from benchmarks.program import Program
from benchmarks.receiver import shake_hands
from tickerplant.control.client import ControlClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

FOLDER = Path(__file__).resolve().with_suffix("")
SEED = 7
START = "2026-11-22"
SIZE = (1440, 900)
PHONE = (390, 844)
COLOURS = 128
BEFORE = "10m"
"""So long the market lives before it is looked at."""
QUOTING = 0.4
"""A lighter market, which a busy machine keeps up with."""
LOOK_S = 75
"""How long the market room is looked at first: the heat map begins with the page."""
FAULT_AT_S, FAULT = 45, {"kind": "latency", "time": "200ms", "for": "10s"}
WATCH_S = 20
CLIENTS = (
    ("market-maker/4.2", "stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms/btcusdt@aggTrade"),
    ("charts/1.9", "stream?streams=ethusdt@bookTicker/ethusdt@kline_1m"),
    ("screener/0.3", "ws/!miniTicker@arr"),
    ("risk/2.0", "ws/btcusdt@markPrice@1s"),
    ("test of a reconnect", "ws/btcusdt@trade"),
)
SLOW = "/stream?streams=ethusdt@depth@100ms/ethusdt@trade"

Prepare: TypeAlias = Callable[["Page", ControlClient], None]


def main() -> None:
    """Take all pictures.

    Raises:
        SystemExit: the browser, or what drives it, is missing.
    """
    if reason := missing():
        sys.exit(f"No pictures of the window: {reason}.")
    FOLDER.mkdir(exist_ok=True)
    market = (
        "simulate",
        "--seed",
        str(SEED),
        "--start",
        START,
        "--paused",
        "--quoting",
        str(QUOTING),
    )
    with browser() as chromium, TemporaryDirectory() as temporary, ExitStack() as stack:
        with Program(*market) as plant, _control(plant) as control:
            control.step(BEFORE)
            control.set_clock(paused=False)
            _take(chromium, plant, control, "market", "#/market/BTCUSDT", _live_market)
            with _clients(plant, control):
                _take(chromium, plant, control, "plant", "#/plant", _live_plant)
        stack.enter_context(chdir(temporary))  # the room shows the path as it is given
        with (
            Program("replay", record(Path("tape")), "--paused") as plant,
            _control(plant) as control,
        ):
            control.step("1m")
            _take(chromium, plant, control, "control", "#/control", _open_control)


@contextmanager
def _control(plant: Program) -> Iterator[ControlClient]:
    with ControlClient(f"http://127.0.0.1:{plant.port}") as control:
        yield control


@contextmanager
def _clients(plant: Program, control: ControlClient) -> Iterator[None]:
    """Let clients take streams; the last is cut off, and one more reads nothing."""
    with ExitStack() as stack:
        for agent, path in CLIENTS:
            client = connect(f"ws://127.0.0.1:{plant.port}/{path}", user_agent_header=agent)
            stack.enter_context(client)
            Thread(target=_read, args=(client,), daemon=True).start()
        stack.enter_context(shake_hands(plant.port, SLOW))
        found = control.connections()["connections"]
        last = next(each for each in found if each["user_agent"] == CLIENTS[-1][0])
        control.close_connection(last["id"])
        yield


def _read(client: ClientConnection) -> None:
    """Take all messages of a connection until it ends."""
    with suppress(ConnectionClosed):
        for _ in client:
            pass


def _take(
    chromium: Browser,
    plant: Program,
    control: ControlClient,
    room: str,
    address: str,
    prepare: Prepare,
) -> None:
    """Take the pictures of a room: light, dark, and on a phone."""
    context = chromium.new_context(viewport=_viewport(SIZE))
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{plant.port}/{address}")
    wait(page, lambda: _is_open(page), "a connection")
    prepare(page, control)
    for name, size, scheme in (
        ("light", SIZE, "light"),
        ("dark", SIZE, "dark"),
        ("phone", PHONE, "light"),
    ):
        page.set_viewport_size(_viewport(size))
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.wait_for_timeout(1_500)
        _write(FOLDER / f"{room}-{name}.png", page.screenshot())
    context.close()


def _viewport(size: tuple[int, int]) -> ViewportSize:
    return {"width": size[0], "height": size[1]}


def _is_open(page: Page) -> bool:
    state = page.get_by_test_id("feed-state").first
    return state.get_attribute("data-phase") == "open"


def _live_market(page: Page, control: ControlClient) -> None:
    """Look at the market for a while, and at a fault that the chart marks."""
    chart, ladder = page.get_by_test_id("chart"), page.get_by_test_id("ladder")
    wait(page, lambda: chart.get_attribute("data-last"), "candles")
    page.wait_for_timeout(1_000 * FAULT_AT_S)
    control.add_fault(FAULT)
    page.wait_for_timeout(1_000 * (LOOK_S - FAULT_AT_S))
    wait(page, lambda: ladder.get_attribute("data-state") == "live", "a live ladder")


def _live_plant(page: Page, _: ControlClient) -> None:
    """Let the server be watched for a while."""
    page.wait_for_timeout(1_000 * WATCH_S)


def _open_control(page: Page, _: ControlClient) -> None:
    seek = page.get_by_test_id("seek")
    wait(page, seek.count, "a seek bar")


def _write(path: Path, picture: bytes) -> None:
    """Write a picture with a palette, which is all that a page needs."""
    out = BytesIO()
    Image.open(BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    path.write_bytes(out.getvalue())
    sys.stdout.write(f"docs/images/window/{path.name}: {len(out.getvalue()) // 1_000} kB\n")


if __name__ == "__main__":
    main()
