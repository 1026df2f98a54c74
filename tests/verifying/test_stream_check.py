"""Repetitions, restarts, messages that come late, times that go back, and books."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import line_file

from tickerplant.config.settings import VerifySettings
from tickerplant.recording.line import Line
from tickerplant.verifying.findings import StreamFinding
from tickerplant.verifying.formatting import lines_of
from tickerplant.verifying.verify import found_in
from tickerplant.verifying.walk import Walk

START_MS = 1_772_323_200_000


def message(stream: str, ms: int, **data: Any) -> bytes:
    data = {"E": START_MS + ms, "s": "BTCUSDT", **data}
    return msgspec.json.encode({"stream": stream, "data": data})


def trade(trade_id: int, ms: int) -> bytes:
    return message("btcusdt@trade", ms, t=trade_id)


def update(
    first: int,
    final: int,
    previous: int,
    ms: int = 0,
    stream: str = "depth",
    bids: Sequence[tuple[str, str]] = (),
    asks: Sequence[tuple[str, str]] = (),
) -> bytes:
    ids = {"U": first, "u": final, "pu": previous}
    return message(f"btcusdt@{stream}", ms, T=START_MS + ms, **ids, b=bids, a=asks)


def ticker(update_id: int, ms: int, symbol: str = "BTCUSDT") -> bytes:
    return message("!bookTicker", ms, u=update_id, s=symbol)


def candle(minute: int, ms: int, *, is_closed: bool = False) -> bytes:
    opened = START_MS + minute * 60_000
    data = {"t": opened, "T": opened + 59_999, "s": "BTCUSDT", "x": is_closed}
    return message("btcusdt@kline_1m", ms, k=data)


def snapshot(
    last_update_id: int, address: str = "https://h/fapi/v1/depth?symbol=BTCUSDT", levels: int = 1
) -> bytes:
    """An answer with the best `levels` below and above 100."""
    sides = [[(str(100 + sign * n), "1") for n in range(1, levels + 1)] for sign in (-1, 1)]
    answer = {"lastUpdateId": last_update_id, "bids": sides[0], "asks": sides[1]}
    return f"{address} ".encode().lstrip() + msgspec.json.encode(answer)


def lines(*raws: bytes) -> list[Line]:
    """A line every 10 ms."""
    return [((START_MS + n * 10) * 1_000_000, raw) for n, raw in enumerate(raws)]


def streams(tmp_path: Path, *raws: bytes) -> dict[str, StreamFinding]:
    found = Walk([line_file(tmp_path / "lines", lines(*raws))]).go()
    return {each.stream: each for each in found.streams}


def one(tmp_path: Path, *raws: bytes) -> StreamFinding:
    [found] = streams(tmp_path, *raws).values()
    return found


def test_repetitions_are_counted_and_are_no_gaps(tmp_path: Path) -> None:
    found = one(tmp_path, *(trade(n, n) for n in (1, 2, 3, 2, 3, 3, 4)))
    assert (found.messages, found.duplicates, found.gaps, found.restarts) == (7, 3, 0, 0)
    assert not found.is_incomplete


def test_a_part_that_is_repeated_is_no_restart(tmp_path: Path) -> None:
    found = one(tmp_path, *(trade(n, n) for n in [*range(100), *range(40, 120)]))
    assert (found.duplicates, found.gaps, found.restarts) == (60, 0, 0)


def test_what_comes_late_is_not_missing(tmp_path: Path) -> None:
    found = one(tmp_path, *(trade(n, n) for n in (1, 5, 2, 3, 4, 6)))
    assert (found.late, found.gaps, found.missing, found.duplicates) == (3, 0, 0, 0)
    found = one(tmp_path, *(trade(n, n) for n in (1, 5, 2, 2, 6)))
    assert (found.late, found.gaps, found.missing, found.duplicates) == (1, 1, 2, 1)
    [gap] = found.first_gaps
    assert (gap.after_id, gap.before_id, gap.missing) == (2, 5, 2)


def test_updates_that_come_late_fill_their_gap(tmp_path: Path) -> None:
    chain = [update(n * 10 + 1, n * 10 + 10, n * 10, n) for n in range(6)]
    found = one(tmp_path, *(chain[n] for n in (0, 1, 4, 2, 3, 5)))
    assert (found.late, found.gaps, found.unknown_gaps) == (2, 0, 0)
    found = one(tmp_path, *(chain[n] for n in (0, 1, 4, 2, 5)))
    assert (found.late, found.gaps, found.unknown_gaps, found.missing) == (1, 1, 1, 0)


def test_restarted_ids_are_a_restart_and_no_gap(tmp_path: Path) -> None:
    ids = [(900, 0), (901, 10), (1, 5_000), (2, 5_010), (4, 5_020)]
    found = one(tmp_path, *(trade(each, ms) for each, ms in ids))
    assert (found.restarts, found.duplicates, found.gaps, found.missing) == (1, 0, 1, 1)


def test_a_gap_says_between_which_ids_and_times_it_is_and_where(tmp_path: Path) -> None:
    raws = [trade(1, 0), ticker(5, 0), trade(9, 20)]
    path = line_file(tmp_path / "lines", lines(*raws))
    [gap] = next(each for each in Walk([path]).go().streams if each.gaps).first_gaps
    start_ns = START_MS * 1_000_000
    assert (gap.from_ns, gap.to_ns) == (start_ns, start_ns + 20_000_000)
    assert (gap.after_id, gap.before_id, gap.missing, gap.symbol) == (1, 9, 7, "BTCUSDT")
    assert (gap.place.path, gap.place.line) == (path, 3)
    text = Path(path).read_bytes()
    assert text[gap.place.offset_bytes :] == b"%d %b\n" % lines(*raws)[2]


def test_only_so_many_gaps_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    path = line_file(tmp_path / "lines", lines(*(trade(n * 2, n) for n in range(100))))
    for most in (0, 3, 1_000):
        [found] = Walk([path], max_listed=most).go().streams
        assert (found.gaps, found.missing) == (99, 99)
        assert len(found.first_gaps) == min(most, 99)


@pytest.mark.heavy
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_whatever_the_ids_no_message_is_counted_twice(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int]
) -> None:
    path = tmp_path_factory.mktemp("any")
    found = one(path, *(trade(each, 0) for each in ids))
    passed = [each for n, each in enumerate(ids) if each > max(ids[:n], default=-1)]
    assert found.messages == len(ids)
    assert found.duplicates + found.late == len(ids) - len(passed)
    span = passed[-1] - passed[0] + 1
    assert found.missing == span - len(passed) - found.late
    assert found.missing == sum(gap.missing or 0 for gap in found.first_gaps)
    assert found.missing >= span - len(set(passed) | set(ids) & set(range(passed[0], 13)))
    assert bool(found.gaps) == bool(found.missing)


def test_tickers_rise_by_symbol(tmp_path: Path) -> None:
    raws = [ticker(5, 0), ticker(3, 1, "ETHUSDT"), ticker(9, 2), ticker(4, 3, "ETHUSDT")]
    found = one(tmp_path, *raws, ticker(9, 3), ticker(8, 3))
    assert (found.proof, found.gaps, found.duplicates, found.late) == ("rising ids", 0, 1, 1)
    assert one(tmp_path, ticker(9, 0), ticker(2, 9_000), ticker(3, 9_001)).restarts == 1


def test_candles_follow_each_other(tmp_path: Path) -> None:
    complete = [candle(0, 0), candle(0, 60_000, is_closed=True), candle(1, 61_000)]
    assert one(tmp_path, *complete).gaps == 0
    assert one(tmp_path, complete[0], complete[2]).missing == 1, "the first one was never closed"
    found = one(tmp_path, *complete[:2], candle(4, 240_000))
    assert (found.gaps, found.missing) == (1, 3)
    found = one(tmp_path, *complete, candle(0, 61_001), complete[1])
    assert (found.late, found.duplicates, found.gaps) == (2, 0, 0)
    assert one(tmp_path, *complete[:2], complete[1]).duplicates == 1


def test_very_large_numbers_are_walked_and_reported(tmp_path: Path) -> None:
    opened = 10**4_000
    far = message("btcusdt@kline_1m", 5, k={"t": opened, "T": opened, "s": "BTCUSDT", "x": False})
    flat = message("btcusdt@kline_1m", 0, k={"t": 60_000, "T": 59_999, "s": "BTCUSDT", "x": False})
    trades = [trade(number, ms) for ms, number in enumerate((1, 10**4_298, 10**4_299))]
    path = line_file(tmp_path / "lines", lines(flat, far, *trades))
    findings = found_in(VerifySettings(), [path])
    assert [each.gaps for each in findings.recordings[0].streams] == [1, 2]
    assert "over 1e+18 messages missing" in findings.summary
    assert list(lines_of(findings, 10))


def test_a_book_is_in_sync_again_with_a_snapshot_from_before_the_break_was_seen(
    tmp_path: Path,
) -> None:
    begins = snapshot(3), update(1, 5, 0), update(6, 8, 5)
    found = one(tmp_path, *begins, snapshot(20), update(18, 22, 17), update(23, 24, 22))
    assert found.book is not None
    assert (found.book.breaks, found.book.in_sync_at_end) == (0, True), "the second run has its own"
    found = one(tmp_path, *begins, update(18, 22, 17), update(23, 24, 22))
    assert found.book is not None
    assert (found.book.breaks, found.book.in_sync_at_end) == (1, False), "the old one is of no use"


def test_contradictory_ids_are_reported(tmp_path: Path) -> None:
    found = one(tmp_path, update(1, 5, 0), update(9, 7, 5), update(3, 11, 7))
    assert (found.inconsistent_ids, found.gaps) == (2, 0)
    assert found.is_incomplete


def test_event_times_that_go_back_are_reported_and_no_gap(tmp_path: Path) -> None:
    found = one(tmp_path, trade(1, 10), trade(2, 5), trade(3, 9), trade(4, 10))
    assert (found.event_time_regressions, found.gaps) == (2, 0)
    mark = one(tmp_path, *(message("btcusdt@markPrice@1s", ms) for ms in (5, 3, 6)))
    assert (mark.event_time_regressions, mark.messages) == (1, 3)
    assert not mark.is_incomplete
    empty = b'{"stream":"!miniTicker@arr","data":[]}'
    full = b'{"stream":"!miniTicker@arr","data":[{"E":5,"s":"BTCUSDT"}]}'
    assert one(tmp_path, full, empty, full).event_time_regressions == 0


def test_receive_times_that_go_back_are_reported_and_no_gap(tmp_path: Path) -> None:
    data = lines(*(trade(n, n) for n in range(9)))
    data[4] = data[4][0] - 35_000_000, data[4][1]
    found = Walk([line_file(tmp_path / "lines", data)]).go()
    assert (found.receive_time_regressions, found.max_regression_ns) == (1, 25_000_000)
    assert found.is_complete


CHAIN = [update(n * 10 + 1, n * 10 + 10, n * 10, n) for n in range(30)]


@pytest.mark.parametrize("asked", ["https://h/fapi/v1/depth?symbol=BTCUSDT&limit=1000", ""])
@pytest.mark.parametrize(
    ("place", "last_update_id", "joins_at"),
    [(0, 5, 1), (0, 10, 1), (0, 15, 1), (5, 33, 5), (5, 60, 5), (5, 75, 5)],
)
def test_a_book_is_in_sync_from_its_snapshot_and_the_first_update(
    asked: str, place: int, last_update_id: int, joins_at: int, tmp_path: Path
) -> None:
    raws = [*CHAIN[:place], snapshot(last_update_id, asked), *CHAIN[place:]]
    book = one(tmp_path, *raws).book
    assert book is not None
    assert book.from_start
    assert book.in_sync_at_end
    assert book.in_sync_from_ns == (START_MS + joins_at * 10) * 1_000_000


def test_a_book_without_a_snapshot_is_never_in_sync(tmp_path: Path) -> None:
    others = snapshot(75, "https://h/fapi/v1/depth?symbol=ETHUSDT")
    retail = snapshot(75, "https://h/fapi/v1/rpiDepth?symbol=BTCUSDT")
    found = one(tmp_path, *CHAIN[:5], others, retail, *CHAIN[5:])
    assert found.book is not None
    assert (found.book.in_sync_from_ns, found.book.in_sync_at_end) == (0, False)
    assert not found.is_incomplete, "no message is missing"
    top = one(tmp_path, *(update(n + 1, n + 1, n, n, "depth5@100ms") for n in range(5)))
    assert top.book is None, "each message has all of it"


def test_after_a_gap_a_book_is_in_sync_with_the_next_snapshot(tmp_path: Path) -> None:
    raws = [*CHAIN[:3], snapshot(25), *CHAIN[3:9], *CHAIN[12:20]]
    torn = one(tmp_path, *raws).book
    assert torn is not None
    assert (torn.breaks, torn.in_sync_at_end) == (1, False)
    mended = one(tmp_path, *raws, snapshot(195), *CHAIN[20:]).book
    assert mended is not None
    assert (mended.breaks, mended.in_sync_at_end) == (1, True)
    [pause] = mended.first_breaks
    assert pause.from_ns == (START_MS + 100) * 1_000_000
    assert pause.to_ns == (START_MS + 180) * 1_000_000


def test_a_book_is_known_while_each_side_has_a_level_that_a_snapshot_showed(
    tmp_path: Path,
) -> None:
    """Five levels of each side are known; beyond them may be others that no update shows."""
    raws = [
        update(1, 10, 0, 0),
        snapshot(10, levels=5),
        update(11, 20, 10, 1, bids=[(str(each), "0") for each in (99, 98, 97, 96)]),
        update(21, 30, 20, 2, bids=[("95", "0"), ("90", "7")], asks=[("96", "2")]),
        update(31, 40, 30, 3, asks=[("94", "2")]),
        update(41, 50, 40, 4, bids=[("96", "1")], asks=[("94", "0"), ("96", "0")]),
        update(51, 60, 50, 5, bids=[("96", "0")]),
        snapshot(60, levels=5),
    ]
    book = one(tmp_path, *raws).book
    assert book is not None
    assert (book.updates, book.known_updates, book.known_at_end) == (6, 2, True)
    assert (book.total_ns, book.known_ns) == (70_000_000, 30_000_000)
    unknown = {reason: (each.updates, each.ns, each.times) for reason, each in book.unknown.items()}
    assert unknown == {
        "no snapshot yet": (1, 10_000_000, 0),
        "out of depth": (3, 30_000_000, 2),
    }
    at = START_MS * 1_000_000
    assert [(each.from_ns - at, each.to_ns - at, each.cause) for each in book.first_breaks] == [
        (30_000_000, 50_000_000, "out of depth"),
        (60_000_000, 70_000_000, "out of depth"),
    ]
    findings = found_in(VerifySettings(), [str(tmp_path / "lines")])
    shown = "\n".join([*lines_of(findings, 10), findings.summary])
    assert findings.complete, "no message is missing"
    assert "from start, known 33.3 %, broken 2 times" in shown
    assert "not known: out of depth: 3 updates, 0.030 s, 2 times" in shown
    assert "out of depth from 2026-" in shown
    assert findings.summary.endswith("; a book is known after 33.3 % of its updates")


def test_streams_beyond_the_maximum_are_reported(tmp_path: Path) -> None:
    raws = [message(f"s{n}@trade", 0, t=1) for n in range(5)]
    found = Walk([line_file(tmp_path / "lines", lines(*raws))], max_streams=3).go()
    assert (len(found.streams), found.unknown) == (3, 2)
    assert not found.is_complete


def test_only_the_streams_that_are_wanted_are_looked_at(tmp_path: Path) -> None:
    raws = [trade(1, 0), trade(5, 0), *CHAIN[:3], message("btcusdt@aggTrade", 0, a=1)]
    path = line_file(tmp_path / "lines", lines(*raws))
    found = Walk([path], ["btcusdt@aggTrade", "btcusdt@depth"]).go()
    assert [each.stream for each in found.streams] == ["btcusdt@aggTrade", "btcusdt@depth"]
    assert found.messages == 4
    assert found.is_complete
    found = Walk([path], ["btcusdt@markPrice"]).go()
    assert found.absent == ["btcusdt@markPrice"]
    assert not found.is_complete
