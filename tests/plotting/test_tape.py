"""What is kept of a recording in columns of a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from archived import line_file
from plotted import SYMBOL, at_ns, depth, snapshot, ticker, trade

from tickerplant.archive.recording import open_recording
from tickerplant.plotting.columns import Columns
from tickerplant.plotting.tape import (
    ALL_TICKERS,
    BEST_LEVELS,
    BOOK,
    MOST_HOLES,
    NOT_RECORDED,
    TICKER,
    Hole,
    Tape,
    read_tape,
)
from tickerplant.recording.line import Line


def read(folder: Path, lines: Sequence[Line], seconds: int) -> Tape:
    """Read lines in columns of a second."""
    path = line_file(folder / "lines", lines)
    columns = Columns(at_ns(0), at_ns(seconds), seconds)
    recording = open_recording(path, symbols=[SYMBOL])
    return read_tape(recording, SYMBOL, columns)


def test_quotes_are_kept_with_their_range_and_last_value(tmp_path: Path) -> None:
    lines = [
        ticker(0.1, 99, 101),
        ticker(0.5, 103, 105),
        ticker(0.9, 101, 102),
        ticker(3.0, 100, 101),
    ]
    tape = read(tmp_path, lines, 5)
    quotes = tape.quotes[TICKER]
    assert tape.quote_source == TICKER
    assert quotes.mid.low == [100.0, None, None, 100.5, None]
    assert quotes.mid.high == [104.0, None, None, 100.5, None]
    assert quotes.mid.last == [101.5, None, None, 100.5, None]
    assert quotes.spread.low[0] == 1.0
    assert quotes.spread.high[0] == 2.0
    assert tape.messages == 4


def test_nothing_is_carried_over_a_time_without_any_message(tmp_path: Path) -> None:
    tape = read(tmp_path, [ticker(0, 99, 101), ticker(2, 99, 101), ticker(20, 199, 201)], 23)
    assert tape.holes == [Hole(at_ns(2), at_ns(20), NOT_RECORDED)]
    quotes = tape.quotes[TICKER]
    unknown = tape.columns.touched(tape.spans_without(quotes.streams))
    assert quotes.mid.carried(unknown, quotes.broken).last == [
        *(100.0, 100.0, 100.0),
        *[None] * 17,
        *(200.0, 200.0, 200.0),
    ]


def test_trades_are_bought_or_sold_by_the_taker(tmp_path: Path) -> None:
    lines = [
        trade(0.1, 1, 100, 2),
        trade(0.2, 2, 102, 3, is_sale=True),
        trade(0.2, 2, 102, 3, is_sale=True),
        trade(2.0, 3, 101, 5),
        trade(2.5, 4, 107, 1),
    ]
    tape = read(tmp_path, lines, 3)
    trades = tape.trades["trade"]
    assert (trades.count, trades.copies) == (4, 1)
    assert trades.bought == [2.0, 0.0, 6.0]
    assert trades.sold == [3.0, 0.0, 0.0]
    assert trades.average_prices(is_buy=True) == [100.0, None, 102.0]
    assert (tape.trade_kind, trades.streams) == ("trade", {"btcusdt@trade"})


def test_trades_of_other_symbols_and_odd_numbers_are_not_in_it(tmp_path: Path) -> None:
    lines = [trade(0.1, 1, 100), trade(0.2, 1, 5, symbol="ETHUSDT"), trade(0.3, 2, "x")]
    tape = read(tmp_path, lines, 1)
    assert tape.trades["trade"].count == 1


BIDS, ASKS = {99: 5, 98: 7}, {101: 4, 102: 6}


def test_a_book_is_kept_where_it_is_in_sync_and_nowhere_else(tmp_path: Path) -> None:
    lines = [
        depth(0.5, (8, 9, 10), {99: 5}, {}),
        snapshot(1.0, 10, BIDS, ASKS),
        depth(1.5, (10, 11, 12), {99: 1}, {}),
        depth(3.5, (12, 13, 14), {}, {101: 9}),
        depth(5.5, (19, 20, 21), {99: 8}, {}),  # a gap
        depth(6.5, (21, 22, 23), {99: 9}, {}),
        snapshot(7.0, 23, BIDS, ASKS),
        depth(8.5, (23, 24, 25), {99: 2}, {}),
    ]
    tape = read(tmp_path, lines, 10)
    assert tape.depth_streams == {"btcusdt@depth@100ms"}
    found = [
        None if each is None else (each.bids[1], each.asks[1]) for each in tape.carried_books()
    ]
    assert found == [
        None,
        (1.0, 4.0),
        (1.0, 4.0),  # nothing changed
        (1.0, 9.0),
        (1.0, 9.0),
        None,
        None,
        None,
        (2.0, 4.0),
        (2.0, 4.0),
    ]
    first, second = tape.holes
    assert (first.from_ns, first.to_ns, first.streams) == (at_ns(0), at_ns(1.5), (BOOK,))
    assert (second.from_ns, second.to_ns, second.streams) == (
        at_ns(5.5),
        at_ns(8.5),
        (BOOK,),
    )
    assert "gap" in second.reason
    quotes = tape.quotes[BOOK]
    unknown = tape.columns.touched(tape.spans_without(quotes.streams))
    mids = quotes.mid.carried(unknown, quotes.broken).last
    assert [each is None for each in mids] == [each is None for each in tape.carried_books()]


def test_a_book_that_is_never_in_sync_is_one_hole(tmp_path: Path) -> None:
    lines = [depth(0.5, (8, 9, 10), {99: 5}, {}), depth(4, (10, 11, 12), {99: 5}, {})]
    tape = read(tmp_path, lines, 5)
    assert tape.carried_books() == [None] * 5
    [hole] = tape.holes
    assert (hole.from_ns, hole.to_ns, hole.streams) == (at_ns(0), at_ns(5), (BOOK,))


def test_a_book_is_not_carried_over_an_outage(tmp_path: Path) -> None:
    lines = [
        snapshot(0.0, 10, BIDS, ASKS),
        depth(0.5, (10, 11, 12), {99: 1}, {}),
        trade(8.5, 1, 100),
        depth(9.5, (12, 13, 14), {99: 2}, {}),
    ]
    tape = read(tmp_path, lines, 10)
    assert [each is not None for each in tape.carried_books()] == [True] * 10
    tape.add_holes([Hole(at_ns(3), at_ns(5.5), "lost", ("btcusdt@depth@100ms",))])
    assert [each is not None for each in tape.carried_books()] == [
        *[True] * 3,
        *[False] * 6,
        True,
    ], "until it is known again"
    tape.holes[:] = [Hole(at_ns(3), at_ns(5.5), "lost", ("btcusdt@trade",))]
    assert all(tape.carried_books())


@pytest.mark.parametrize(
    ("lines", "source"),
    [
        ([ticker(0, 1, 3), ticker(0, 2, 4, "!bookTicker")], TICKER),
        ([ticker(0, 2, 4, "!bookTicker")], ALL_TICKERS),
        (
            [depth(0, (1, 2, 3), {2: 1}, {4: 1}, "btcusdt@depth5@100ms")],
            BEST_LEVELS,
        ),
        (
            [
                depth(0, (1, 2, 3), {2: 1}, {4: 1}, "btcusdt@depth5@100ms"),
                ticker(0, 2, 4, "!bookTicker"),
            ],
            ALL_TICKERS,
        ),
        ([trade(0, 1, 5)], ""),
    ],
)
def test_best_prices_are_of_one_source(lines: list[Line], source: str, tmp_path: Path) -> None:
    assert read(tmp_path, lines, 1).quote_source == source


def test_what_is_read_is_bounded_by_columns(tmp_path: Path) -> None:
    lines = [trade(number / 1_000, number, 100 + number % 7) for number in range(5_000)]
    tape = read(tmp_path, lines, 5)
    assert sum(tape.trades["trade"].bought) == 5_000
    assert len(tape.trades["trade"].price.last) == 5
    reported: list[int] = []
    columns = Columns(at_ns(0), at_ns(5), 5)
    recording = open_recording(str(tmp_path / "lines"), symbols=[SYMBOL])
    read_tape(recording, SYMBOL, columns, lambda messages, _: reported.append(messages))
    assert reported == [5_000]


def test_the_longest_holes_are_kept_and_all_are_counted() -> None:
    tape = Tape(SYMBOL, Columns(0, 10, 1), {}, {}, [None])
    tape.add_holes(Hole(at, at * 2, "a", ("b",)) for at in range(MOST_HOLES + 7))
    assert len(tape.holes) == MOST_HOLES
    assert tape.more_holes == 7
    assert tape.holes == sorted(tape.holes)
    assert tape.holes[0].from_ns == 7
