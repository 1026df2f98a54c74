"""The fast path of usual messages leads to the same result as the slow path of any message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, cycle, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import msgspec
import pytest
from blocks import line_file
from captures import CAPTURES, capture
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.plant import Plant
from tickerplant.queries import QUERIES
from tickerplant.recording.line import Line, merge
from tickerplant.recording.opening import recorded_files
from tickerplant.replaying.player import FastestDepth, Player, VerbatimPlayer
from tickerplant.replaying.scan import Scan, scan
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market

START_MS = 1_772_323_200_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")
RECORDED = tuple(
    f"{symbol.lower()}@{topic}"
    for symbol in SYMBOLS
    for topic in ("trade", "bookTicker", "depth@0ms", "markPrice@1s")
)
DERIVED = ("kline_1m", "ticker", "miniTicker", "aggTrade", "depth5@100ms", "depth20")
MESSAGES = 1_500
CAPTURED = 4_000
"""Lines of a capture that are compared."""
FLUSHED_EVERY = 100
DEEP = 100_000
"""Lists in lists: more than any decoder follows."""
EVENT_TIME = re.compile(rb'"E":(\d{13})')


class Subscriber:
    """A subscriber that keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.received.append(data)


class PlainPlayer(Player):
    """Plays every line on the slow path."""

    def play(self, lines: Sequence[Line], *, prompt: bool = False) -> None:
        del prompt
        for line in lines:
            self.play_slow(line)


class Played:
    """The result of lines that were played by one player."""

    def __init__(
        self,
        way: type[Player | VerbatimPlayer],
        found: Scan,
        runs: Sequence[tuple[int, Sequence[Line]]],
        names: Sequence[Sequence[str]],
        envelopes: Sequence[bool] = (False, True),
        *,
        prompt: bool = False,
    ) -> None:
        self.plant = Plant(found.instruments, start_ms=found.start_ms)
        self.subscribers = [Subscriber() for _ in names for _ in envelopes]
        depth = FastestDepth(stream for file in found.files for stream in file.streams)
        players = [
            way(self.plant, found, file)
            if issubclass(way, VerbatimPlayer)
            else way(self.plant, found, file, applied=depth)
            for file in found.files
        ]
        for venue_name, hub in self.plant.hubs.items():
            self.plant.start_passthrough(venue_name, found.streams(venue_name))
            for subscriber, (each, combined) in zip(
                self.subscribers, product(names, envelopes), strict=True
            ):
                hub.set_combined(subscriber, combined)
                hub.subscribe(subscriber, each)
        for player in players:
            player.open_books()
        for index, lines in runs:
            players[index].play(lines, prompt=prompt)
            for hub in self.plant.hubs.values():
                hub.flush()
        self.plant.advance(self.plant.now_ms + 61_000)
        for hub in self.plant.hubs.values():
            hub.flush()
        self.left_out = [(player.undecodable, player.decoder.unapplied) for player in players]
        self.skipped = [player.skipped for player in players]

    def responses(self) -> Iterator[tuple[str, object]]:
        """Yield the REST responses about every symbol."""
        for markets in self.plant.venues.values():
            for query in QUERIES:
                if markets.venue not in query.venues or query.path is None:
                    continue
                for symbol in markets.by_symbol:
                    params = {"symbol": symbol, "pair": symbol, "interval": "1m", "limit": "100"}
                    try:
                        response: object = msgspec.json.encode(query.respond(markets, params))
                    except Exception as error:  # noqa: BLE001  # what it says is compared
                        response = str(error)
                    yield f"{query.path} {symbol}", response


def assert_same(quick: Played, plain: Played) -> None:
    for one, other in zip(quick.subscribers, plain.subscribers, strict=True):
        assert b"".join(one.received) == b"".join(other.received), "expected the same bytes"
    assert dict(quick.responses()) == dict(plain.responses()), "expected the same state"
    assert quick.plant.published == plain.plant.published, "expected the same events"
    assert quick.left_out == plain.left_out, "expected the same lines left out"
    assert quick.skipped == plain.skipped, "expected the same reports"
    assert quick.plant.now_ms == plain.plant.now_ms, "expected the same market time"


@cache
def simulated() -> tuple[bytes, ...]:
    """Return messages of a simulated market of two symbols, each in the usual envelope."""
    traded = instruments(START_MS, SYMBOLS)
    exchange = SimulatedExchange(traded, seed=4, start_ms=START_MS)
    plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    hub, subscriber = plant.hubs["usdm"], Subscriber()
    hub.set_combined(subscriber, True)
    hub.subscribe(subscriber, RECORDED)
    while len(subscriber.received) < MESSAGES:
        time_ms, events = exchange.step()
        plant.advance(time_ms)
        hub.flush()
        for event in events:
            plant.publish(event)
            hub.flush()
    return tuple(frame[frame.index(b"{") :] for frame in subscriber.received[:MESSAGES])


def _bare(raw: bytes) -> bytes:
    return raw.partition(b'"data":')[2][:-1]


def _odd_levels(raw: bytes) -> bytes:
    return raw.replace(b'"b":[[', b'"b":[["1.00"],[')


def _nested(raw: bytes) -> bytes:
    return raw.replace(b'"data":{', b'"data":{"x":%b%b,' % (b"[" * DEEP, b"]" * DEEP))


def _jittered(raw: bytes, jitter_ms: int) -> bytes:
    """Return a message whose event time is up to so much earlier or later, at random."""
    shift_ms = crc32(raw) % (2 * jitter_ms + 1) - jitter_ms
    return EVENT_TIME.sub(lambda found: b'"E":%d' % (int(found[1]) + shift_ms), raw)


CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "cut off": lambda raw: raw[: len(raw) // 2],
    "cut off in its name": lambda raw: raw[:15],
    "cut off behind its name": lambda raw: raw.partition(b'","data":')[0],
    "bare": _bare,
    "spaced": lambda raw: raw.replace(b'","data":', b'", "data": '),
    "longer": lambda raw: raw[:-1] + b',"more":1}',
    "of another symbol": lambda raw: raw.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'),
    "of an unknown symbol": lambda raw: raw.replace(b"btcusdt@", b"newusdt@"),
    "with other decimals": lambda raw: raw.replace(b".", b".00000001"),
    "without a number": lambda raw: raw.replace(b'"E":1', b'"E":"x",:1'),
    "with odd levels": _odd_levels,
    "nested too deeply": _nested,
    "an answer": lambda _: b'{"result":null,"id":1}',
    "no message": lambda _: b'{"neither":1}',
    "of another stream": lambda raw: raw.replace(b"@depth@0ms", b"@depth@100ms"),
}
EDITS = st.lists(
    st.tuples(st.integers(0, MESSAGES - 1), st.sampled_from(sorted(CHANGES))), max_size=12
)


LISTENERS: Mapping[str, tuple[bool, Sequence[bool]]] = {
    "one": (False, (True,)),
    "one, of derived streams too": (True, (True,)),
    "several, with and without envelope": (True, (False, True)),
}
"""Whether derived streams are subscribed to, and in which envelopes."""


@pytest.mark.heavy
@given(
    edits=EDITS,
    dropped=st.sets(st.integers(0, MESSAGES - 1), max_size=3),
    cut=st.integers(1, 400),
    jitter_ms=st.sampled_from((0, 300)),
    listeners=st.sampled_from(sorted(LISTENERS)),
    prompt=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_simulated_messages_with_anything_wrong_come_to_the_same(
    edits: list[tuple[int, str]],
    dropped: set[int],
    cut: int,
    jitter_ms: int,
    listeners: str,
    prompt: bool,
) -> None:
    raws = [_jittered(raw, jitter_ms) for raw in simulated()]
    for at, change in edits:
        raws[at] = CHANGES[change](raws[at])
    lines = [(START_MS * 10**6 + n, raw) for n, raw in enumerate(raws) if n not in dropped]
    with TemporaryDirectory() as folder:
        found = scan([line_file(Path(folder, "lines"), lines)])
    runs = [(0, lines[start : start + cut]) for start in range(0, len(lines), cut)]
    derived, envelopes = LISTENERS[listeners]
    more = [f"btcusdt@{topic}" for topic in DERIVED] if derived else []
    names = [[*RECORDED, *more]] if len(envelopes) == 1 else [RECORDED, [*more, "btcusdt@trade"]]
    quick, plain = (
        Played(way, found, runs, names, envelopes, prompt=prompt) for way in (Player, PlainPlayer)
    )
    assert_same(quick, plain)


class Witness(Subscriber):
    """A subscriber that looks at the market whenever it is sent something."""

    def __init__(self, plant: Plant) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []
        """Market time, and how many trades were applied."""
        self._plant = plant

    def write(self, data: bytes) -> None:
        super().write(data)
        market = self._plant.markets["BTCUSDT"]
        self.seen.append((self._plant.now_ms, len(market.trades)))


@pytest.mark.parametrize(("derived", "applied"), [(False, 0), (True, 1)])
def test_promptly_played_lines_are_sent_before_they_are_applied_if_nothing_is_derived(
    tmp_path: Path, derived: bool, applied: int
) -> None:
    trades = [raw for raw in simulated() if raw.startswith(b'{"stream":"btcusdt@trade"')][:100]
    lines = [(START_MS * 10**6 + n, raw) for n, raw in enumerate(trades)]
    found = scan([line_file(tmp_path / "lines", lines)])
    plant = Plant(found.instruments, start_ms=START_MS)
    player = Player(plant, found, found.files[0], applied=FastestDepth(()))
    plant.start_passthrough("usdm", found.streams("usdm"))
    hub, witness = plant.hubs["usdm"], Witness(plant)
    hub.set_combined(witness, True)
    hub.subscribe(witness, ["btcusdt@trade", *(["btcusdt@aggTrade"] if derived else [])])
    player.play(lines[:1])  # the stream is met
    hub.flush()
    before = witness.seen.pop()
    player.play(lines[1:], prompt=True)
    hub.flush()
    known = len(lines) * applied or before[1]
    assert [trades for _, trades in witness.seen] == [known], "expected one write, when it was due"
    assert b"".join(witness.received).count(b'"e":"trade"') == len(lines)
    assert len(plant.markets["BTCUSDT"].trades) == len(lines), "expected all of them to be applied"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("folder", "names", "listeners"),
    [(*each[:2], listeners) for each, listeners in zip(CAPTURES, cycle(LISTENERS))],
)
def test_captures_come_to_the_same(folder: str, names: tuple[str, ...], listeners: str) -> None:
    found, runs = captured(folder, names)
    streams = sorted(set(chain.from_iterable(file.streams for file in found.files)))
    symbols = [instrument.symbol.lower() for instrument in found.instruments][:2]
    derived, envelopes = LISTENERS[listeners]
    more = [f"{symbol}@{topic}" for symbol in symbols for topic in DERIVED] if derived else []
    received = [[*streams, *more]] if len(envelopes) == 1 else [streams, more]
    quick, plain = (Played(way, found, runs, received, envelopes) for way in (Player, PlainPlayer))
    assert_same(quick, plain)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("folder", "names", "envelopes"),
    [(*each[:2], each_way) for each, each_way in zip(CAPTURES, cycle([(True,), (False, True)]))],
)
def test_a_verbatim_replay_sends_the_same_bytes(
    folder: str, names: tuple[str, ...], envelopes: Sequence[bool]
) -> None:
    found, runs = captured(folder, names)
    streams = sorted(set(chain.from_iterable(file.streams for file in found.files)))
    received = [streams[::2], streams[1::2]] if len(envelopes) > 1 else [streams]
    quick, plain = (
        Played(way, found, runs, received, envelopes) for way in (VerbatimPlayer, PlainPlayer)
    )
    for one, other in zip(quick.subscribers, plain.subscribers, strict=True):
        assert b"".join(one.received) == b"".join(other.received), "expected the same bytes"
    assert not quick.plant.published, "expected nothing to be applied"
    assert quick.plant.now_ms == plain.plant.now_ms, "expected time to go on"


@cache
def captured(
    folder: str, names: tuple[str, ...]
) -> tuple[Scan, Sequence[tuple[int, Sequence[Line]]]]:
    """Return the scan of a capture, and runs of its first lines."""
    paths = capture(folder, names)
    return scan(paths), _runs(paths)


def _runs(paths: Sequence[str]) -> list[tuple[int, Sequence[Line]]]:
    runs: list[tuple[int, Sequence[Line]]] = []
    left = CAPTURED
    for index, lines in islice(merge(recorded_files(paths)), CAPTURED):
        starts = range(0, len(lines), FLUSHED_EVERY)
        runs += ((index, lines[start : start + FLUSHED_EVERY]) for start in starts)
        left -= len(lines)
        if left <= 0:
            break
    return runs
