"""What is kept of a recording in columns of a second; each recording has a golden."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import goldens
import pytest
from blocks import line_file
from plotted import SYMBOL, at_ns, depth, snapshot, ticker, trade

from tickerplant.archive.recording import open_recording
from tickerplant.plotting.columns import Columns
from tickerplant.plotting.tape import MOST_HOLES, Hole, Tape, read_tape
from tickerplant.recording.line import Line
from tickerplant.units import NS_PER_S

BIDS, ASKS = {99: 5, 98: 7}, {101: 4, 102: 6}
LEVELS = "btcusdt@depth5@100ms"
OPENED = snapshot(0.0, 10, BIDS, ASKS), depth(0.5, (10, 11, 12), {99: 1}, {})
RECORDINGS: dict[str, Sequence[Line]] = {
    "quotes have their range and last value": [
        ticker(0.1, 99, 101), ticker(0.5, 103, 105), ticker(0.9, 101, 102), ticker(3.0, 100, 101),
    ],
    "nothing is carried over a time without messages": [
        ticker(0, 99, 101), ticker(2, 99, 101), ticker(20, 199, 201),
    ],
    "trades are bought or sold by the taker": [
        trade(0.1, 1, 100, 2),
        trade(0.2, 2, 102, 3, is_sale=True),
        trade(0.2, 2, 102, 3, is_sale=True),
        trade(2.0, 3, 101, 5),
        trade(2.5, 4, 107, 1),
    ],
    "other symbols and odd numbers": [
        trade(0.1, 1, 100), trade(0.2, 1, 5, symbol="ETHUSDT"), trade(0.3, 2, "x"),
    ],
    "a book is kept where it is in sync": [
        depth(0.5, (8, 9, 10), {99: 5}, {}),
        snapshot(1.0, 10, BIDS, ASKS),
        depth(1.5, (10, 11, 12), {99: 1}, {}),
        depth(3.5, (12, 13, 14), {}, {101: 9}),
        depth(5.5, (19, 20, 21), {99: 8}, {}),  # a gap
        depth(6.5, (21, 22, 23), {99: 9}, {}),
        snapshot(7.0, 23, BIDS, ASKS),
        depth(8.5, (23, 24, 25), {99: 2}, {}),
    ],
    "a book that is never in sync": [
        depth(0.5, (8, 9, 10), {99: 5}, {}), depth(4, (10, 11, 12), {99: 5}, {}),
    ],
    "a book over a quiet time": [
        *OPENED, trade(8.5, 1, 100), depth(9.5, (12, 13, 14), {99: 2}, {}),
    ],
    "tickers before those of all": [ticker(0, 1, 3), ticker(0, 2, 4, "!bookTicker")],
    "tickers of all": [ticker(0, 2, 4, "!bookTicker")],
    "best levels": [depth(0, (1, 2, 3), {2: 1}, {4: 1}, LEVELS)],
    "tickers of all before best levels": [
        depth(0, (1, 2, 3), {2: 1}, {4: 1}, LEVELS), ticker(0, 2, 4, "!bookTicker"),
    ],
}  # fmt: skip


def read(folder: Path, lines: Sequence[Line], seconds: int) -> Tape:
    """Read lines in columns of a second."""
    path = line_file(folder / "lines", lines)
    columns = Columns(at_ns(0), at_ns(seconds), seconds)
    return read_tape(open_recording(path, symbols=[SYMBOL]), SYMBOL, columns)


def shown(tape: Tape) -> str:
    """All that is kept, as text."""
    second = {at_ns(n / 10): n / 10 for n in range(1_000)}
    found = [
        f"messages {tape.messages}; quotes of {tape.quote_source!r}; trades {tape.trade_kind!r}"
    ]
    found += [
        f"hole {second[each.from_ns]} to {second[each.to_ns]} of {each.streams}: {each.reason}"
        for each in tape.holes
    ]
    for source, quotes in tape.quotes.items():
        unknown = tape.columns.touched(tape.spans_without(quotes.streams))
        for name, values in (("mid", quotes.mid), ("spread", quotes.spread)):
            found.append(f"{source} {name}: {values.low} to {values.high}, last {values.last}")
        found.append(f"{source} carried: {quotes.mid.carried(unknown, quotes.broken).last}")
    for kind, trades in tape.trades.items():
        found.append(f"{kind}: {trades.count}, {trades.copies} copies, {trades.odd} odd")
        found.append(f"  bought {trades.bought} at {trades.average_prices(is_buy=True)}")
        found.append(f"  sold {trades.sold} at {trades.average_prices(is_buy=False)}")
    books = [
        None if each is None else (each.bids[1], each.asks[1]) for each in tape.carried_books()
    ]
    return "\n".join([*found, f"books of {sorted(tape.depth_streams)}: {books}", ""])


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_is_kept_of_a_recording_is_as_written(name: str, tmp_path: Path) -> None:
    lines = RECORDINGS[name]
    seconds = (lines[-1][0] - at_ns(0)) // NS_PER_S + 2
    goldens.compare(f"plot/{name}.txt", shown(read(tmp_path, lines, seconds)))


def test_a_book_is_not_carried_over_an_outage(tmp_path: Path) -> None:
    tape = read(tmp_path, RECORDINGS["a book over a quiet time"], 10)
    tape.add_holes([Hole(at_ns(3), at_ns(5.5), "lost", ("btcusdt@depth@100ms",))])
    assert [each is not None for each in tape.carried_books()] == [
        *[True] * 3,
        *[False] * 6,
        True,
    ], "until it is known again"
    tape.holes[:] = [Hole(at_ns(3), at_ns(5.5), "lost", ("btcusdt@trade",))]
    assert all(tape.carried_books())


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
