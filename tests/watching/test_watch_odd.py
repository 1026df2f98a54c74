"""Nothing that a server says ends the watching, however odd, and however much of it."""

from __future__ import annotations

from io import StringIO

import msgspec
import pytest
from rich.console import Console

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Gap, Notice, Unreadable
from tickerplant.messages.readers import reader
from tickerplant.watching import table as tables
from tickerplant.watching.reading import SHOWN
from tickerplant.watching.screen import Screen
from tickerplant.watching.table import MOST_ROWS, SHOWN_SYMBOL, Table, View
from tickerplant.watching.telling import totals_text

NOW_NS = 1_767_225_600_000_000_000
ALL = "!miniTicker@arr"
TICKER = {"e": "24hrMiniTicker", "E": 1, "s": "S"} | dict.fromkeys("cohlvq", "1")
NAME = "btcusdt@miniTicker"


def ticker(stream: str = NAME, received_ns: int = NOW_NS, **fields: object) -> Message:
    return told(stream, msgspec.json.encode(TICKER | fields), received_ns)


def told(stream: str, payload: bytes, received_ns: int = NOW_NS) -> Message:
    message = reader(NAME).decode(payload)
    assert isinstance(message, Message)
    message.stream, message.payload, message.received_ns = stream, payload, received_ns
    return message


def view_of(*items: Message | Notice, stream: str = NAME) -> View:
    table = Table([stream])
    for item in items:
        table.take(item)
    return table.view(NOW_NS, 10)


def drawn(view: View) -> str:
    console = Console(file=StringIO(), width=120)
    with console.capture() as captured:
        console.print(Screen().draw("about", view, 120, 40))
    return captured.get()


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [16, 310, 4_000])
def test_a_time_that_is_none_makes_no_delay(sign: str, digits: int) -> None:
    payload = msgspec.json.encode(TICKER).replace(b'"E":1', f'"E":{sign}{"9" * digits}'.encode())
    view = view_of(told(NAME, payload))
    assert view.lines[0].delay_ms is None
    assert "live" in drawn(view)


def test_numbers_that_cannot_be_printed_are_called_large() -> None:
    largest = 10**4_299
    gaps = [
        Gap(streams=(NAME,), time_ms=0, symbol="S", after_id=1, before_id=10**5_000, missing=it)
        for it in (largest * 9, largest * 9, 10**5_000)
    ]
    assert "over 1e+18" in drawn(view_of(ticker(), *gaps))
    counters = FeedCounters(missing=10**5_000, duplicates=10**5_000)
    assert "over 1e+18 missing, over 1e+18 duplicates" in totals_text(counters, 1, 1)


def test_what_is_very_long_is_shown_in_part() -> None:
    line = view_of(ticker(s="X" * 100_000, c="1" * 100_000)).lines[0]
    assert line.symbol == "X" * (SHOWN_SYMBOL - 1) + "…"
    assert line.tells == "1" * SHOWN
    long = Unreadable(streams=(NAME,), time_ms=0, payload=b"x" * 100_000, reason="no")
    assert drawn(view_of(long)).endswith("…\n")


def test_the_rows_of_a_stream_are_bounded_and_those_silent_for_longest_go() -> None:
    table = Table([ALL])
    table.take(ticker(ALL, s="FIRST"))
    for number in range(1, MOST_ROWS):
        table.take(ticker(ALL, NOW_NS + number, s=f"S{number}"))
    table.take(ticker(ALL, NOW_NS + MOST_ROWS, s="FIRST"))
    assert table.view(NOW_NS, MOST_ROWS).forgotten == 0
    table.take(ticker(ALL, NOW_NS + MOST_ROWS + 1, s="NEW"))
    gone = tables.FORGOTTEN_AT_ONCE
    view = table.view(NOW_NS, 10)
    assert (len(view.lines), view.hidden, view.forgotten) == (10, MOST_ROWS - gone + 1 - 10, gone)
    symbols = {line.symbol for line in table.view(NOW_NS, MOST_ROWS).lines}
    assert symbols == {"FIRST", "NEW", *(f"S{it}" for it in range(gone + 1, MOST_ROWS))}
    assert f"… {view.hidden:,} more rows, {gone} forgotten" in drawn(view)


def test_rows_stay_bounded_whatever_is_made_up() -> None:
    table = Table([ALL])
    for number in range(3 * MOST_ROWS):
        table.take(ticker(ALL, NOW_NS + number, s=f"S{number}"))
        gap = Gap(
            streams=(ALL,), time_ms=0, symbol=f"G{number}", after_id=1, before_id=3, missing=1
        )
        table.take(gap)
    view = table.view(NOW_NS, MOST_ROWS)
    assert len(view.lines) <= MOST_ROWS
    assert view.hidden == 0
    assert len(view.lines) + view.forgotten == 6 * MOST_ROWS
