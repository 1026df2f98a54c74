"""Recordings to replay: what is in one, and how to make one of the simulated market."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.frames import text_spans
from tickerplant.frames import text_frame
from tickerplant.plant import Plant
from tickerplant.queries import find_path
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.venue import USDM

START_MS = 1_772_323_200_000
SYMBOL = "BTCUSDT"
STREAMS = ("btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@0ms")
SNAPSHOT_AFTER = 50
"""Messages before the depth answer: it comes while the streams run, as a collector gets it."""
COMPRESSION = 1

_HEAD = b'{"stream":"'
_DEPTH = USDM.rest_prefix + "/v1/depth"


class Contents(Struct, frozen=True):
    """What is in a recording."""

    streams: tuple[str, ...]
    messages: int
    """Messages of streams; answers are not counted."""
    framed_bytes: int
    """Bytes of them as a subscriber gets them: each a text frame."""


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield receive time and message of every line, by the plainest way to read them."""
    with gzip.open(path, "rb") as file:
        for line in file:
            received_ns, _, raw = line.partition(b" ")
            yield int(received_ns), raw


def contents(path: Path) -> Contents:
    """Return what is in a recording of combined messages."""
    streams: dict[bytes, None] = {}
    messages = framed_bytes = 0
    for _, raw in lines(path):
        if raw.startswith(_HEAD):
            streams[raw[len(_HEAD) : raw.index(b'"', len(_HEAD))]] = None
            messages += 1
            framed_bytes += len(text_frame(raw.rstrip()))
    return Contents(tuple(name.decode() for name in streams), messages, framed_bytes)


def pack(path: Path, folder: Path) -> None:
    """Write the lines of a recording of BTCUSDT into a native one, as `tickerplant record` does."""
    writer = RecordingWriter(str(folder), venue=USDM, url="simulated", profile="", streams=STREAMS)
    for received_ns, raw in lines(path):
        stream, payload = unwrapped(raw.rstrip())
        if stream:
            writer.add(received_ns, stream, payload)
        else:
            writer.add_answer(received_ns, f"http://simulated{_DEPTH}?symbol={SYMBOL}", payload)
    writer.close("done")


def unwrapped(raw: bytes) -> tuple[str, bytes]:
    """Return the stream and the payload of a combined message; no stream for an answer."""
    if not raw.startswith(_HEAD):
        return "", raw
    name, _, rest = raw[len(_HEAD) :].partition(b'","data":')
    return name.decode(), rest[:-1]


class _Ear:
    """A subscriber that keeps what it was sent."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.heard.append(data)


def played(symbols: Sequence[str], streams: Sequence[str]) -> Iterator[tuple[Plant, bytes]]:
    """Yield the frames of combined messages of a simulated market without end, with its plant."""
    traded = instruments(START_MS, symbols)
    exchange = SimulatedExchange(traded, seed=1, start_ms=START_MS)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    hub, ear = plant.hubs[USDM.name], _Ear()
    hub.set_combined(ear, True)
    hub.subscribe(ear, streams)
    while True:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        for event in events:
            plant.publish(event)
        hub.flush()
        for data in ear.heard:
            yield plant, data
        ear.heard.clear()


def record(path: Path, messages: int) -> None:
    """Record at least so many messages of the simulated BTCUSDT; no two have the same time."""
    noted = line_ns = 0
    answered = False
    with gzip.open(path, "wb", compresslevel=COMPRESSION) as file:
        for plant, data in played([SYMBOL], STREAMS):
            raws = [data[begin:end] for begin, end in text_spans(data)[0]]
            noted += len(raws)
            if not answered and noted >= SNAPSHOT_AFTER:
                raws.append(_depth_answer(plant))
                answered = True
            for raw in raws:
                line_ns = max(line_ns + 100, plant.now_ms * 1_000_000)
                file.write(b"%d %b\n" % (line_ns, raw))
            if noted >= messages:
                return


def _depth_answer(plant: Plant) -> bytes:
    """Return what REST answers when it is asked for the whole book."""
    query = find_path(USDM, _DEPTH)
    assert query is not None, "there is no REST depth"
    asked = {"symbol": SYMBOL, "limit": "1000"}
    return msgspec.json.encode(query.respond(plant.venues[USDM.name], asked))
