"""Recordings of a simulated market, and folders with manifests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from blocks import write_manifest, write_segment

from tickerplant.frames import payloads
from tickerplant.plant import Plant
from tickerplant.queries import find_path
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    FORMAT,
    Entry,
    RecordingStarted,
)
from tickerplant.recording.segments import segment_name
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.units import NS_PER_MS
from tickerplant.venue import Venue

START_MS = 1_772_323_200_000
VENUE_STREAMS = {
    "usdm": (
        "btcusdt@trade",
        "btcusdt@aggTrade",
        "btcusdt@bookTicker",
        "btcusdt@depth@0ms",
        "btcusdt@depth@100ms",
        "btcusdt@depth5@100ms",
        "btcusdt@rpiDepth@500ms",
        "btcusdt@kline_1m",
        "btcusdt@markPrice@1s",
        "!bookTicker",
    ),
    "coinm": ("btcusd_perp@aggTrade", "btcusd_perp@depth@100ms", "btcusd_perp@depth10@500ms"),
}
PROVEN_KINDS = ("trade", "aggTrade", "depth", "depth5", "depth10", "rpiDepth")
"""Kinds of streams whose ids show every message that is missing."""


class _Tape:
    """A subscriber that keeps what it is sent, no two messages at the same time."""

    def __init__(self, plant: Plant) -> None:
        self.lines: list[Line] = []
        self._plant = plant

    def write(self, data: bytes) -> None:
        for raw in payloads(data):
            self.keep(raw)

    def keep(self, raw: bytes) -> None:
        latest_ns = self.lines[-1][0] if self.lines else 0
        self.lines.append((max(latest_ns + 100, self._plant.now_ms * NS_PER_MS), raw))


def tape(
    venue: Venue,
    seconds: float,
    streams: Sequence[str] = (),
    *,
    intensity: float = 1.0,
) -> list[Line]:
    """The messages of a simulated market in so many seconds, with a snapshot of each book."""
    symbol = "BTCUSDT" if venue.name == "usdm" else "BTCUSD_PERP"
    traded = instruments(START_MS, [symbol])
    exchange = SimulatedExchange(traded, seed=1, start_ms=START_MS, intensity=intensity)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    hub = plant.hubs[venue.name]
    kept = _Tape(plant)
    hub.set_combined(kept, True)
    hub.subscribe(kept, streams or VENUE_STREAMS[venue.name])
    asked = [f"{venue.rest_prefix}/v1/depth"]
    if venue.name == "usdm":
        asked.append(f"{venue.rest_prefix}/v1/rpiDepth")
    while plant.now_ms < START_MS + seconds * 1_000:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
        hub.flush()
        if asked and plant.now_ms >= START_MS + 1_500:
            for path in asked:
                kept.keep(_answer(plant, venue, path, symbol))
            asked = []
    return kept.lines


def _answer(plant: Plant, venue: Venue, path: str, symbol: str) -> bytes:
    query = find_path(venue, path)
    assert query is not None, f"{path} can be asked"
    answer = query.respond(plant.venues[venue.name], {"symbol": symbol, "limit": "1000"})
    address = f"http://127.0.0.1:9001{path}?symbol={symbol}&limit=1000"
    return address.encode() + b" " + msgspec.json.encode(answer)


def folder(
    path: Path,
    segments: Sequence[Sequence[Line]],
    entries: Iterable[Entry] = (),
    *,
    block_lines: int = 50,
) -> str:
    """A folder with finished segments, and further entries in its manifest."""
    path.mkdir(exist_ok=True)
    sealed = [
        write_segment(path / segment_name(number, "20260301T000000Z"), lines, block_lines)
        for number, lines in enumerate(segments, 1)
    ]
    entries = list(entries)
    began_ns = min([segments[0][0][0], *(entry.time_ns for entry in entries)])
    begun = RecordingStarted(time_ns=began_ns, format=FORMAT, venue="usdm", software="a test")
    write_manifest(path, [begun, *entries, *sealed])
    return str(path)
