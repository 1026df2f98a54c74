"""Recordings to read: of goldens, of a simulated market, and what their messages come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from blocks import stream_of, write_manifest, write_segment
from stage import listen, sent_to

from tickerplant.envelope import prefix_of
from tickerplant.plant import Plant
from tickerplant.profile import CURRENT
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    FORMAT,
    RecordingStarted,
    RunStarted,
)
from tickerplant.recording.segments import segment_name
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market

START_NS = 1_772_000_100_000_000_000
"""2026-02-25 06:15:00 UTC."""
TRADE = {
    "e": "trade",
    "E": 1,
    "T": 1,
    "s": "A",
    "t": 1,
    "p": "1",
    "q": "1",
    "X": "MARKET",
    "m": True,
}
GOLDENS = Path(__file__).parents[1] / "goldens" / "streams"


def line_of(stream: str, payload: object, received_ns: int = START_NS) -> Line:
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
    return received_ns, prefix_of(stream) + text + b"}"


def golden(venue: str, period: str = "current") -> list[tuple[str, Any]]:
    """Every golden message of a venue, with its stream."""
    return [
        (path.stem, content)
        for path in sorted((GOLDENS / venue / period).glob("*.json"))
        for content in json.loads(path.read_text())
    ]


def golden_lines(venue: str, period: str = "current") -> list[Line]:
    return [
        line_of(stream, content, START_NS + number)
        for number, (stream, content) in enumerate(golden(venue, period))
    ]


def recording(folder: Path, *segments: Sequence[Line], venue: str = "usdm") -> str:
    """Write a recording in the native format, blocks of 100 lines."""
    folder.mkdir(parents=True, exist_ok=True)
    streams = {stream_of(raw) for lines in segments for _, raw in lines} - {""}
    begun = (
        RecordingStarted(time_ns=START_NS, format=FORMAT, venue=venue, software="a test"),
        RunStarted(
            time_ns=START_NS,
            run=1,
            url="ws://127.0.0.1:9001",
            profile="current",
            streams=tuple(sorted(streams)),
            software="a test",
        ),
    )
    write_manifest(folder, begun)
    for number, lines in enumerate(segments, 1):
        write_segment(folder / segment_name(number, "20260225T061500Z"), lines, 100)
    return str(folder)


SYMBOLS = ("BTCUSDT", "ETHUSDT", "BTCUSD_PERP")
TOPICS = ("trade", "aggTrade", "bookTicker", "depth@0ms", "kline_1m", "markPrice@1s", "miniTicker")


def simulated(duration_ms: int = 4_000) -> dict[str, list[Line]]:
    """What a simulated market says of some streams, by venue."""
    start_ms = START_NS // 1_000_000 + 57_000
    listed = instruments(start_ms, list(SYMBOLS))
    exchange = SimulatedExchange(listed, 11, start_ms, intensity=2.0)
    plant = Plant(listed, start_ms=start_ms, profile=CURRENT, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    names = [
        ("coinm" if "_" in symbol else "usdm", f"{symbol.lower()}@{topic}")
        for symbol in SYMBOLS
        for topic in TOPICS
    ]
    listeners = {(venue, name): listen(plant, name, venue) for venue, name in names}
    said: dict[str, list[Line]] = {"usdm": [], "coinm": []}

    def take(time_ms: int) -> None:
        for (venue, name), listener in listeners.items():
            for payload in sent_to(plant, listener):
                received_ns = time_ms * 1_000_000 + len(said[venue])
                said[venue].append(line_of(name, payload, received_ns))

    while exchange.next_time_ms <= start_ms + duration_ms:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
        take(time_ms)
    return said


def contents(lines: Iterable[Line]) -> list[tuple[str, Any]]:
    """Stream and payload of lines in the usual envelope, read by another library."""
    read = (json.loads(raw) for _, raw in lines)
    return [(each["stream"], each["data"]) for each in read]
