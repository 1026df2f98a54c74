"""Nothing that a server says ends the watching, however odd, and however much of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO

import msgspec
import pytest
from loopback import loopback, looped
from rich.console import Console
from test_watch_printing import on_a_terminal
from test_watching_cli import trading
from test_watching_cli import url as url_of
from websockets.asyncio.server import ServerConnection, serve

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.message import Message
from tickerplant.messages.notice import DecodeFailed, Gap, Notice
from tickerplant.messages.readers import reader
from tickerplant.watching import table as tables
from tickerplant.watching.reading import SHOWN
from tickerplant.watching.screen import Screen
from tickerplant.watching.table import MOST_ROWS, SHOWN_SYMBOL, Table, View
from tickerplant.watching.telling import totals_text

SIGNS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
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
    long = DecodeFailed(streams=(NAME,), time_ms=0, payload=b"x" * 100_000, reason="no")
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


@asynccontextmanager
async def telling(*payloads: bytes) -> AsyncIterator[str]:
    """Serve a stream that tells this and no more; yield the URL."""

    async def tell(connection: ServerConnection) -> None:
        async for asked in connection:
            number = msgspec.json.decode(asked)["id"]
            await connection.send(msgspec.json.encode({"result": None, "id": number}), text=True)
            for payload in payloads:
                await connection.send(
                    b'{"stream":"%s","data":%s}' % (NAME.encode(), payload), text=True
                )

    async with serve(tell, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}"


ODD = msgspec.json.encode(TICKER | {"s": "\x9b2J\u202e", "c": "9" * 300})
TIMELESS = ODD.replace(b'"E":1', b'"E":%s' % (b"9" * 310))


@looped
async def test_a_terminal_shows_odd_messages_and_counts_them_to_the_last() -> None:
    async with telling(ODD, TIMELESS) as url:
        status, drawn = await on_a_terminal("watch", NAME, "--url", url, "--seconds", "0.5")
    assert status == 0
    assert b"\xc2\x9b" not in drawn
    left = SIGNS.sub("", drawn.decode().rpartition("\x1b[?1049l")[2])
    assert re.search(rf"^{NAME} .*999… .* live", left, re.MULTILINE), left
    assert " · 2 messages" in left
    assert re.search(r"^2 messages of 1 stream in ", left, re.MULTILINE)


@looped
async def test_on_a_terminal_lines_hold_no_orders_to_it() -> None:
    async with telling(ODD) as url:
        for options, term in (("--json",), "xterm"), ((), "dumb"):
            watch = ("watch", NAME, "--url", url, "--seconds", "0.5", *options)
            status, drawn = await on_a_terminal(*watch, errors=rb"! .*|{.*}", term=term)
            assert status == 0
            assert rb'"s":"\u009b2J\u202e"' in drawn


@looped
async def test_the_table_that_stays_counts_what_the_totals_count() -> None:
    async with loopback() as server, trading(server):
        watch = ("watch", "btcusdt@trade", "--url", url_of(server), "--seconds", "0.7")
        _, drawn = await on_a_terminal(*watch)
    left = SIGNS.sub("", drawn.decode().rpartition("\x1b[?1049l")[2])
    counts = re.findall(r"([\d,]+) messages", left)
    assert len(counts) == 2, left
    assert counts[0] == counts[1]


@looped
async def test_an_interruption_at_the_very_beginning_ends_with_the_totals_too() -> None:
    async with loopback() as server:
        watch = ("watch", "btcusdt@trade", "--url", url_of(server))
        status, drawn = await on_a_terminal(*watch, interrupted_at=b"\x1b[?1049h")
    assert status == 0
    assert b"\r\n0 messages of 1 stream in " in drawn.rpartition(b"\x1b[?1049l")[2]
