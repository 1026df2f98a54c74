"""Repetitions, restarts, messages that come late, times that go back, and books: each has a golden."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import goldens
import msgspec
import pytest
from blocks import line_file
from hypothesis import given, settings
from hypothesis import strategies as st

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


def one(tmp_path: Path, *raws: bytes) -> StreamFinding:
    [found] = Walk([line_file(tmp_path / "lines", lines(*raws))]).go().streams
    return found


def trades(*ids: int) -> list[bytes]:
    return [trade(each, n) for n, each in enumerate(ids)]


def marks(*times_ms: int) -> list[bytes]:
    return [message("btcusdt@markPrice@1s", ms) for ms in times_ms]


CHAIN = [update(n * 10 + 1, n * 10 + 10, n * 10, n) for n in range(30)]
BEGINS = snapshot(3), update(1, 5, 0), update(6, 8, 5)
AFTER_A_GAP = [*CHAIN[:3], snapshot(25), *CHAIN[3:9], *CHAIN[12:20]]
CANDLES = [candle(0, 0), candle(0, 60_000, is_closed=True), candle(1, 61_000)]
ALL_TICKERS = b'{"stream":"!miniTicker@arr","data":[{"E":5,"s":"BTCUSDT"}]}'
FAR = 10**4_000
CASES: dict[str, Sequence[bytes]] = {
    "repetitions": trades(1, 2, 3, 2, 3, 3, 4),
    "a part that is repeated": trades(*range(100), *range(40, 120)),
    "all that comes late": trades(1, 5, 2, 3, 4, 6),
    "some that comes late": trades(1, 5, 2, 2, 6),
    "updates that come late": [CHAIN[n] for n in (0, 1, 4, 2, 3, 5)],
    "some updates that come late": [CHAIN[n] for n in (0, 1, 4, 2, 5)],
    "restarted ids": [
        *(trade(900, 0), trade(901, 10)),
        *(trade(1, 5_000), trade(2, 5_010), trade(4, 5_020)),
    ],
    "a gap between other streams": [trade(1, 0), ticker(5, 0), trade(9, 20)],
    "tickers by symbol": [
        *(ticker(5, 0), ticker(3, 1, "ETHUSDT"), ticker(9, 2)),
        *(ticker(4, 3, "ETHUSDT"), ticker(9, 3), ticker(8, 3)),
    ],
    "tickers that restart": [ticker(9, 0), ticker(2, 9_000), ticker(3, 9_001)],
    "candles": CANDLES,
    "a candle that was never closed": [CANDLES[0], CANDLES[2]],
    "three candles are missing": [*CANDLES[:2], candle(4, 240_000)],
    "candles that come late": [*CANDLES, candle(0, 61_001), CANDLES[1]],
    "a closed candle comes twice": [*CANDLES[:2], CANDLES[1]],
    "very large numbers": [
        message("btcusdt@kline_1m", 0, k={"t": 60_000, "T": 59_999, "s": "BTCUSDT", "x": False}),
        message("btcusdt@kline_1m", 5, k={"t": FAR, "T": FAR, "s": "BTCUSDT", "x": False}),
        *trades(1, 10**4_298, 10**4_299),
    ],
    "a snapshot from before the break was seen": [
        *BEGINS, snapshot(20), update(18, 22, 17), update(23, 24, 22),
    ],
    "an old snapshot is of no use after a break": [*BEGINS, update(18, 22, 17), update(23, 24, 22)],
    "contradictory ids": [update(1, 5, 0), update(9, 7, 5), update(3, 11, 7)],
    "event times that go back": [trade(1, 10), trade(2, 5), trade(3, 9), trade(4, 10)],
    "event times of marks go back": marks(5, 3, 6),
    "an empty array": [ALL_TICKERS, b'{"stream":"!miniTicker@arr","data":[]}', ALL_TICKERS],
    "no snapshot of this book": [
        *CHAIN[:5],
        snapshot(75, "https://h/fapi/v1/depth?symbol=ETHUSDT"),
        snapshot(75, "https://h/fapi/v1/rpiDepth?symbol=BTCUSDT"),
        *CHAIN[5:],
    ],
    "each message is the whole book": [
        update(n + 1, n + 1, n, n, "depth5@100ms") for n in range(5)
    ],
    "a gap in a book": AFTER_A_GAP,
    "a snapshot after a gap in a book": [*AFTER_A_GAP, snapshot(195), *CHAIN[20:]],
    # Five levels of each side are known; beyond them may be others that no update shows.
    "a book out of its levels": [
        update(1, 10, 0, 0),
        snapshot(10, levels=5),
        update(11, 20, 10, 1, bids=[(str(each), "0") for each in (99, 98, 97, 96)]),
        update(21, 30, 20, 2, bids=[("95", "0"), ("90", "7")], asks=[("96", "2")]),
        update(31, 40, 30, 3, asks=[("94", "2")]),
        update(41, 50, 40, 4, bids=[("96", "1")], asks=[("94", "0"), ("96", "0")]),
        update(51, 60, 50, 5, bids=[("96", "0")]),
        snapshot(60, levels=5),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_found_in_a_stream_is_as_written(name: str, tmp_path: Path) -> None:
    path = line_file(tmp_path / "lines", lines(*CASES[name]))
    findings = found_in(VerifySettings(), [path])
    shown = "\n".join([*map(str, lines_of(findings, 10)), str(findings.summary)])
    [found] = findings.recordings
    facts = msgspec.json.format(msgspec.json.encode(found.streams)).decode()
    text = f"{shown}\n\n{facts}\n".replace(path, "lines")
    goldens.compare(f"verify/streams/{name}.txt", text)


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


def test_receive_times_that_go_back_are_reported_and_no_gap(tmp_path: Path) -> None:
    data = lines(*(trade(n, n) for n in range(9)))
    data[4] = data[4][0] - 35_000_000, data[4][1]
    found = Walk([line_file(tmp_path / "lines", data)]).go()
    assert (found.receive_time_regressions, found.max_regression_ns) == (1, 25_000_000)
    assert found.is_complete


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
