"""Draws `plot.png`: what `plot` makes of a recording.

The recording is of a simulated market with a seed, two minutes long, and its connection is lost once;
so the picture changes only with the program.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tickerplant.config.settings import PlotSettings
from tickerplant.envelope import prefix_of
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
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.units import NS_PER_MS
from tickerplant.venue import USDM

FOLDER = Path(__file__).parent
START_MS = 1_795_305_600_000
END_MS = START_MS + 120_000
SEED = 7
SYMBOL = "BTCUSDT"
SYMBOLS = (SYMBOL, "ETHUSDT")
LOST_MS = range(START_MS + 70_000, START_MS + 79_000)
"""When the connection was lost."""
LOST = ("btcusdt@bookTicker", "btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@markPrice@1s")
NAMES = (
    *LOST,
    *("ethusdt@bookTicker", "ethusdt@depth@100ms", "ethusdt@trade", "ethusdt@kline_1m"),
)
INTENSITY, QUOTING = 0.5, 0.3
SIZE_PX = 1_100, 860
BLOCK_LINES = 500
SNAPSHOTS_MS = (START_MS + 300, LOST_MS.stop + 300)


class Tape:
    """Keeps what a plant sends, as a recorder that is not connected for a while."""

    def __init__(self, plant: Plant) -> None:
        self.lines: list[Line] = []
        self._plant = plant
        self._snapshots_ms = list(SNAPSHOTS_MS)
        for name in NAMES:
            plant.hubs[USDM.name].listen(name, self._take)

    def flush(self) -> None:
        """Take what waits, and ask for the books when it is time to."""
        self._plant.hubs[USDM.name].flush()
        if self._snapshots_ms and self._plant.now_ms >= self._snapshots_ms[0]:
            del self._snapshots_ms[0]
            for symbol in SYMBOLS:
                self._keep(self._snapshot(symbol))

    def _take(self, name: str, payload: bytes) -> None:
        if name not in LOST or self._plant.now_ms not in LOST_MS:
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


def record(folder: Path) -> str:
    """Write the recording; return its path."""
    traded = instruments(START_MS, list(SYMBOLS))
    exchange = SimulatedExchange(traded, SEED, START_MS, INTENSITY, quoting=QUOTING)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    tape = Tape(plant)
    while plant.now_ms < END_MS:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
        tape.flush()
    start_ns, lost_ns, back_ns, end_ns = (
        each * NS_PER_MS for each in (START_MS, LOST_MS.start, LOST_MS.stop, END_MS)
    )
    rest = tuple(name for name in NAMES if name not in LOST)
    entries = (
        RecordingStarted(time_ns=start_ns, format=FORMAT, venue=USDM.name, software="tickerplant"),
        RunStarted(
            time_ns=start_ns,
            run=1,
            url="ws://127.0.0.1:9001",
            profile="",
            streams=NAMES,
            software="tickerplant",
        ),
        Connected(time_ns=start_ns, streams=LOST, connection=1),
        Connected(time_ns=start_ns, streams=rest, connection=2),
        Disconnected(time_ns=lost_ns, streams=LOST, reason="the connection was lost"),
        Connected(time_ns=back_ns, streams=LOST, connection=3),
        RunEnded(time_ns=end_ns, reason="interrupted"),
    )
    folder.mkdir()
    (folder / MANIFEST).write_bytes(b"".join(encode_entry(each) + b"\n" for each in entries))
    packer = Packer(LEVEL)
    blocks = (tape.lines[at : at + BLOCK_LINES] for at in range(0, len(tape.lines), BLOCK_LINES))
    (folder / segment_name(1, "20261122T000000Z")).write_bytes(
        b"".join(
            packer.pack(
                b"".join(b"%d %b\n" % line for line in lines),
                len(lines),
                lines[0][0],
                lines[-1][0],
            )
            for lines in blocks
        )
    )
    return str(folder)


def main() -> None:
    """Write the picture, if it has changed."""
    with TemporaryDirectory() as folder:
        path = record(Path(folder, "tape"))
        out = Path(folder, "plot.png")
        plot(PlotSettings(out=str(out), size=SIZE_PX, log_level="warning"), path, SYMBOL)
        picture = out.read_bytes()
    file = FOLDER / "plot.png"
    if not file.is_file() or file.read_bytes() != picture:
        file.write_bytes(picture)
        sys.stdout.write("docs/images/plot.png\n")


if __name__ == "__main__":
    main()
