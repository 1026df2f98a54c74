"""Draws the pictures of the pages: `pictures.py` those of a seeded market, `pictures.py window` its rooms.

The market has a seed and its clock is set, so the first ones change only with the program.  The rooms of
the window are taken by a browser at the pace of the machine, so each run differs: `make screenshots`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

import msgspec
from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.chromium import browser, missing, wait
from benchmarks.handshake import shake_hands
from benchmarks.program import Program
from tickerplant import open_recording
from tickerplant.config.settings import PlotSettings
from tickerplant.control.client import ControlClient
from tickerplant.envelope import prefix_of
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.formatting import count_text
from tickerplant.notices import Gap
from tickerplant.plant import Plant
from tickerplant.plotting.plot import plot
from tickerplant.queries import find_path
from tickerplant.recording.block import LEVEL, Packer
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    Connected,
    Disconnected,
    RecordingStarted,
    RunEnded,
    RunStarted,
    encode_entry,
)
from tickerplant.recording.segments import segment_name
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.scenarios.library import library_scenario
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.units import MINUTE_MS, NS_PER_MS
from tickerplant.venue import USDM
from tickerplant.watching.screen import draw
from tickerplant.watching.table import Table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).resolve().parent
START_MS, START = 1_795_305_600_000, "2026-11-22"
SEED = 7
INTENSITY, QUOTING = 0.5, 0.3
"""A lighter market, so that a picture takes seconds."""
SYMBOL = "BTCUSDT"
SYMBOLS = (SYMBOL, "ETHUSDT")
LOST = ("btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@markPrice@1s")
OTHERS = ("ethusdt@bookTicker", "ethusdt@depth@100ms", "ethusdt@trade", "btcusdt@kline_1m")
LOST_MS = range(START_MS + 70_000, START_MS + 79_000)
"""When the connection of the first streams is lost in the recording of `plot.png`."""
NO_MS, SNAPSHOT_MS = range(0), 3_000
BLOCK_LINES = 500
PLOT_PX, CRASH_PX = (1_100, 860), (1_000, 760)
WATCHED = (*LOST, "btcusdt@kline_1m", "ethusdt@bookTicker", "ethusdt@trade")
WATCHED_COLUMNS, WATCHED_ROWS = 116, 19
LATENCY_NS = 800_000
WINDOW_PX = (1440, 900)
COLOURS = 128
LOOK_S, FAULT_S, WATCH_S = 75, 45, 20
"""How long the market room is looked at, when a fault marks its chart, and the plant room."""
CLIENTS = (
    ("market-maker/4.2", "stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms/btcusdt@aggTrade"),
    ("charts/1.9", "stream?streams=ethusdt@bookTicker/ethusdt@kline_1m"),
    ("screener/0.3", "ws/!miniTicker@arr"),
    ("test of a reconnect", "ws/btcusdt@trade"),
)
SLOW = "/stream?streams=ethusdt@depth@100ms/ethusdt@trade"


class Tape:
    """Keeps what a plant sends, as a recorder that is not connected for a while."""

    def __init__(self, plant: Plant, lost_ms: range) -> None:
        self.lines: list[Line] = []
        self._plant = plant
        self._lost_ms = lost_ms
        self._snapshot_ms = START_MS
        for name in (*LOST, *OTHERS):
            plant.hubs[USDM.name].listen(name, self._take)

    def flush(self) -> None:
        """Take what waits, and ask for the books when it is time to."""
        self._plant.hubs[USDM.name].flush()
        if self._plant.now_ms > self._snapshot_ms and self._plant.now_ms not in self._lost_ms:
            self._snapshot_ms += SNAPSHOT_MS
            for symbol in SYMBOLS:
                self._keep(self._snapshot(symbol))

    def _take(self, name: str, payload: bytes) -> None:
        if name not in LOST or self._plant.now_ms not in self._lost_ms:
            self._keep(prefix_of(name) + payload + b"}")

    def _keep(self, raw: bytes) -> None:
        before_ns = self.lines[-1][0] if self.lines else 0
        self.lines.append((max(before_ns + 1_000, self._plant.now_ms * NS_PER_MS), raw))

    def _snapshot(self, symbol: str) -> bytes:
        path = f"{USDM.rest_prefix}/v1/depth"
        query = find_path(USDM, path)
        assert query is not None  # noqa: S101  # it is in the catalogue
        answer = query.respond(self._plant.venues[USDM.name], {"symbol": symbol, "limit": "1000"})
        address = f"http://127.0.0.1:9001{path}?symbol={symbol}&limit=1000"
        return address.encode() + b" " + msgspec.json.encode(answer)


def record(folder: Path, length_ms: int, lost_ms: range = NO_MS, scenario: str = "") -> str:
    """Write a recording of a simulated market; return its path."""
    traded = instruments(START_MS, list(SYMBOLS))
    exchange = SimulatedExchange(traded, SEED, START_MS, INTENSITY, quoting=QUOTING)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    if scenario:
        clock = MarketClock(plant.timers)
        board = ScenarioBoard(clock, FaultBoard(clock), exchange)
        board.start(library_scenario(scenario), START_MS)
    tape = Tape(plant, lost_ms)
    while plant.now_ms < START_MS + length_ms:
        time_ms, events = exchange.step()
        plant.advance_before(time_ms)
        for event in events:
            plant.publish(event)
        tape.flush()
    folder.mkdir()
    entries = _entries(length_ms, lost_ms)
    (folder / MANIFEST).write_bytes(b"".join(encode_entry(each) + b"\n" for each in entries))
    packer = Packer(LEVEL)
    blocks = (tape.lines[at : at + BLOCK_LINES] for at in range(0, len(tape.lines), BLOCK_LINES))
    packed = (
        packer.pack(b"".join(b"%d %b\n" % each for each in lines), len(lines), lines[0][0], last_ns)
        for lines in blocks
        for last_ns in [lines[-1][0]]
    )
    (folder / segment_name(1, "20261122T000000Z")).write_bytes(b"".join(packed))
    return str(folder)


def _entries(length_ms: int, lost_ms: range) -> Iterator[msgspec.Struct]:
    """Yield what the manifest of a recording says."""
    start_ns, url, software = START_MS * NS_PER_MS, "ws://127.0.0.1:9001", "tickerplant"
    yield RecordingStarted(time_ns=start_ns, format=FORMAT, venue=USDM.name, software=software)
    yield RunStarted(
        time_ns=start_ns, run=1, url=url, profile="", streams=(*LOST, *OTHERS), software=software
    )
    yield Connected(time_ns=start_ns, streams=LOST, connection=1)
    yield Connected(time_ns=start_ns, streams=OTHERS, connection=2)
    if lost_ms:
        lost_ns, back_ns = lost_ms.start * NS_PER_MS, lost_ms.stop * NS_PER_MS
        yield Disconnected(time_ns=lost_ns, streams=LOST, reason="the connection was lost")
        yield Connected(time_ns=back_ns, streams=LOST, connection=3)
    yield RunEnded(time_ns=start_ns + length_ms * NS_PER_MS, reason="interrupted")


def watch(path: str) -> str:
    """Return the table of `tickerplant watch` over a recording, as SVG; a gap is put into it."""
    table, messages, second_ns = Table(WATCHED), 0, 0
    for message in open_recording(path, streams=WATCHED):
        messages += 1
        now_ns = message.received_ns
        table.take(message)
        if now_ns > second_ns:
            table.view(now_ns, WATCHED_ROWS)  # samples the rates
            second_ns = now_ns + 1_000 * NS_PER_MS
    gap = Gap(
        streams=LOST[2:3], time_ms=START_MS, symbol=SYMBOL, after_id=40, before_id=44, missing=3
    )
    table.take(gap)
    view = table.view(now_ns + LATENCY_NS, WATCHED_ROWS - 7)
    console = Console(record=True, width=WATCHED_COLUMNS, file=StringIO(), force_terminal=True)
    words = ("USDⓈ-M at ws://127.0.0.1:9001", "30 s", count_text(messages, "message"))
    console.print(draw(" · ".join(words), view, WATCHED_COLUMNS, WATCHED_ROWS))
    # The page must not load a font from elsewhere.
    form = re.sub(r" *@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="tickerplant watch", code_format=form, unique_id="watch")


def draw_market() -> None:
    """Draw the pictures of a seeded market."""
    with TemporaryDirectory() as folder:
        for name, size, path in (
            ("plot.png", PLOT_PX, record(Path(folder, "lost"), 2 * MINUTE_MS, LOST_MS)),
            (
                "flash-crash.png",
                CRASH_PX,
                record(Path(folder, "crash"), 6 * MINUTE_MS, scenario="flash-crash"),
            ),
        ):
            out = Path(folder, name)
            plot(PlotSettings(out=str(out), size=size, log_level="warning"), path, SYMBOL)
            _write(name, out.read_bytes())
        _write("watch.svg", watch(record(Path(folder, "watch"), MINUTE_MS // 2)).encode())


def _write(name: str, content: bytes) -> None:
    path = FOLDER / name
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)
        sys.stdout.write(f"docs/images/{name}: {len(content) // 1_000} kB\n")


def draw_window() -> None:
    """Take the pictures of the three rooms of the window.

    Raises:
        SystemExit: the browser, or what drives it, is missing.
    """
    if reason := missing():
        sys.exit(f"No pictures of the window: {reason}.")
    market = ("simulate", "--seed", str(SEED), "--start", START, "--paused", "--quoting", "0.4")
    with browser() as chromium, TemporaryDirectory() as folder, ExitStack() as stack:
        with Program(*market) as plant, _control(plant) as control:
            control.step("10m")
            control.set_clock(paused=False)
            with _room(chromium, plant, "market", "#/market/BTCUSDT") as page:
                chart, ladder = page.get_by_test_id("chart"), page.get_by_test_id("ladder")
                wait(page, lambda: chart.get_attribute("data-last"), "candles")
                page.wait_for_timeout(1_000 * FAULT_S)
                control.add_fault({"kind": "latency", "time": "200ms", "for": "10s"})
                page.wait_for_timeout(1_000 * (LOOK_S - FAULT_S))
                wait(page, lambda: ladder.get_attribute("data-state") == "live", "a live ladder")
            with _clients(plant, control), _room(chromium, plant, "plant", "#/plant") as page:
                page.wait_for_timeout(1_000 * WATCH_S)
        stack.enter_context(chdir(folder))  # the room shows the path as it is given
        tape = record(Path("tape"), 2 * MINUTE_MS, LOST_MS)
        with Program("replay", tape, "--paused") as plant, _control(plant) as control:
            control.step("1m")
            with _room(chromium, plant, "control", "#/control") as page:
                wait(page, page.get_by_test_id("seek").count, "a seek bar")


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


@contextmanager
def _room(chromium: Browser, plant: Program, name: str, address: str) -> Iterator[Page]:
    """Open a room, and take its picture in the end, with a palette, which is all that a page needs."""
    page = chromium.new_page(viewport={"width": WINDOW_PX[0], "height": WINDOW_PX[1]})
    page.goto(f"http://127.0.0.1:{plant.port}/{address}")
    state = page.get_by_test_id("feed-state").first
    wait(page, lambda: state.get_attribute("data-phase") == "open", "a connection")
    yield page
    page.wait_for_timeout(1_500)
    out, picture = BytesIO(), Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    _write(f"window/{name}-light.png", out.getvalue())
    page.close()


if __name__ == "__main__":
    draw_window() if sys.argv[1:] == ["window"] else draw_market()
