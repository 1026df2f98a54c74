"""Frames are cut out of captures, and exactly those are found missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, groupby, islice
from pathlib import Path

import msgspec
import pytest
from blocks import line_file, stream_of
from captures import CAPTURES, capture, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import PROVEN_KINDS, folder, tape

from tickerplant.recording.line import Line, merge
from tickerplant.recording.line_file import LineFile
from tickerplant.venue import COINM, USDM, Venue
from tickerplant.verifying.findings import RecordingFinding, StreamFinding
from tickerplant.verifying.walk import Walk

CUT_LINES = 3_000
"""Lines of a capture, from its start, that frames are cut out of."""
KLINES = ("btcusdt@kline_1m", "btcusdt@markPriceKline_1m", "btcusdt@aggTrade")


def found_in(
    *paths: str, max_listed: int = 10
) -> tuple[RecordingFinding, dict[str, StreamFinding]]:
    found = Walk(paths, max_listed=max_listed).go()
    return found, {each.stream: each for each in found.streams}


def kind(stream: str) -> str:
    return stream.split("@")[1]


def by_stream(lines: Iterable[Line]) -> dict[str, list[bytes]]:
    """The messages of each stream, one after the other."""
    streams: defaultdict[str, list[bytes]] = defaultdict(list)
    for _, raw in lines:
        if stream := stream_of(raw):
            streams[stream].append(raw)
    return streams


def cut_runs(lines: list[Line], removed: set[int]) -> dict[str, list[int]]:
    """How long each run of messages is that was cut out of each stream, neither end of it counted."""
    kept: defaultdict[str, list[bool]] = defaultdict(list)
    for number, (_, raw) in enumerate(lines):
        kept[stream_of(raw)].append(number not in removed)
    runs: dict[str, list[int]] = {}
    for stream, flags in kept.items():
        lengths = [(is_kept, len(list(run))) for is_kept, run in groupby(flags)]
        inner = lengths[not lengths[0][0] : len(lengths) - (not lengths[-1][0])]
        runs[stream] = [length for is_kept, length in inner if not is_kept]
    return runs


def check(lines: list[Line], removed: set[int], *paths: str) -> None:
    """Check that of the streams that prove what is missing exactly what was removed is missing."""
    counts = {stream: len(messages) for stream, messages in by_stream(lines).items()}
    found, streams = found_in(*paths, max_listed=len(lines))
    runs = cut_runs(lines, removed)
    for stream in counts:
        each, expected = streams.get(stream), runs[stream]
        if each is None:
            assert not expected, "a stream without a message left"
        elif kind(stream) in {"trade", "aggTrade"}:
            assert (each.gaps, each.missing) == (len(expected), sum(expected)), stream
            assert [gap.missing for gap in each.first_gaps] == expected, stream
        elif kind(stream) in PROVEN_KINDS:
            assert (each.gaps, each.missing) == (len(expected), 0), stream
            assert each.unknown_gaps == each.gaps, f"{stream}: chains do not show how many"
        elif not kind(stream).startswith("kline"):
            assert not each.gaps, f"{stream}: nothing can be proved"
        if each is not None:
            odd = each.duplicates, each.late, each.restarts, each.unreadable, each.inconsistent_ids
            assert not any(odd), f"{stream}: nothing but gaps"
    proven = any(each.gaps for each in streams.values())
    assert found.is_complete == (not proven and found.messages > 0)


@pytest.fixture(scope="module", params=[USDM, COINM], ids=lambda venue: venue.name)
def market(request: pytest.FixtureRequest) -> list[Line]:
    venue: Venue = request.param
    return tape(venue, 1.6 if venue is USDM else 5)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut")


def test_a_simulated_market_is_complete(market: list[Line], scratch: Path) -> None:
    check(market, set(), folder(scratch / "whole", [market]))
    found, streams = found_in(line_file(scratch / "whole.txt", market))
    assert found.is_complete
    assert found.messages == sum(len(each) for each in by_stream(market).values())
    books = {name: each.book for name, each in streams.items() if each.book}
    assert books.keys() == {name for name in streams if kind(name) in {"depth", "rpiDepth"}}
    for name, book in books.items():
        assert book.from_start, f"{name}: a snapshot was taken at the beginning"
        assert book.in_sync_at_end
        assert not book.breaks


@pytest.mark.heavy
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_exactly_the_frames_that_were_cut_out_are_missing(
    market: list[Line], scratch: Path, data: st.DataObject
) -> None:
    spans = data.draw(
        st.lists(st.tuples(st.integers(0, len(market) - 1), st.integers(1, 300)), max_size=6)
    )
    removed = {n for start, length in spans for n in range(start, start + length)}
    removed |= data.draw(st.sets(st.integers(0, len(market) - 1), max_size=40))
    kept = [line for number, line in enumerate(market) if number not in removed]
    if not by_stream(kept):
        return
    check(market, removed, line_file(scratch / "cut.txt", kept))


@pytest.mark.heavy
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_the_same_frames_are_missing_in_every_form(
    market: list[Line], scratch: Path, data: st.DataObject
) -> None:
    removed = data.draw(st.sets(st.integers(0, len(market) - 1), min_size=1, max_size=60))
    kept = [line for number, line in enumerate(market) if number not in removed]
    middle = data.draw(st.integers(1, len(kept) - 1))
    name = f"cut-{middle}-{len(kept)}"
    check(market, removed, folder(scratch / name, [kept[:middle], kept[middle:]]))
    check(market, removed, *map(str, sorted((scratch / name).glob("*.zst"))))
    halves = (line_file(scratch / "1", kept[:middle]), line_file(scratch / "2", kept[middle:]))
    check(market, removed, *halves)


class _Candle(msgspec.Struct):
    open_time: int = msgspec.field(name="t")
    is_closed: bool = msgspec.field(name="x")


class _Data(msgspec.Struct):
    k: _Candle


class _Message(msgspec.Struct):
    data: _Data


@pytest.fixture(scope="module")
def candles() -> list[Line]:
    return tape(USDM, 4 * 60, KLINES, intensity=0.05)


@pytest.mark.heavy
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_candles_whose_end_was_cut_out_are_missing(
    candles: list[Line], scratch: Path, data: st.DataObject
) -> None:
    size = len(candles)
    spans = data.draw(
        st.lists(st.tuples(st.integers(0, size - 2), st.integers(1, size // 3)), max_size=3)
    )
    removed = {n for start, length in spans for n in range(start, min(size - 1, start + length))}
    kept = [line for number, line in enumerate(candles) if number not in removed]
    _, streams = found_in(line_file(scratch / "candles.txt", kept))
    for stream, messages in by_stream(kept).items():
        if "ine_1m" not in stream:
            continue
        decoded = [msgspec.json.decode(raw, type=_Message).data.k for raw in messages]
        opened = range(decoded[0].open_time, decoded[-1].open_time, 60_000)
        closed = {candle.open_time for candle in decoded if candle.is_closed}
        missing = sum(open_time not in closed for open_time in opened)
        assert streams[stream].missing == missing, f"{stream}: candles that were never closed"
        assert bool(streams[stream].gaps) == bool(missing)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "files"),
    [*CAPTURES[3:], *(pytest.param(*each, marks=whole) for each in CAPTURES[1:3])],
)
def test_the_captures_are_complete_and_what_is_cut_out_of_them_is_found(
    name: str, files: tuple[str, ...], tmp_path: Path
) -> None:
    paths = capture(name, files)
    found, streams = found_in(*paths)
    assert found.is_complete, "as the page of the capture says"
    books = [each.book for each in streams.values() if each.book is not None]
    assert books
    assert all(book.from_start and book.in_sync_at_end for book in books)
    causes = {cause for book in books for cause in book.unknown}
    assert causes <= {"no snapshot yet", "out of depth"}, "every update is there"

    merged = merge([LineFile(path) for path in paths])
    lines = list(islice(chain.from_iterable(batch for _, batch in merged), CUT_LINES))
    removed = {n for n in range(len(lines)) if n % 83 < 3}
    kept = [line for number, line in enumerate(lines) if number not in removed]
    check(lines, removed, line_file(tmp_path / "cut", kept))
