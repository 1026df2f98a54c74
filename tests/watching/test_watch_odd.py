"""Nothing that a server says ends the watching, however odd, and however much of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO

import msgspec
import pytest
from loopback import loopback, looped_on_sockets
from rich.console import Console
from test_watch_printing import on_a_terminal
from test_watching_cli import trading
from test_watching_cli import url as url_of
from websockets.asyncio.server import ServerConnection, serve

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.message import Message
from tickerplant.messages.readers import reader
from tickerplant.notices import DecodeFailed, Gap, Notice
from tickerplant.watching.run import totals_text
from tickerplant.watching.screen import draw
from tickerplant.watching.summary import MAX_CHARACTERS
from tickerplant.watching.table import (
    DROPPED_AT_ONCE,
    MAX_ROWS,
    MAX_SYMBOL_CHARACTERS,
    Table,
    View,
)

slow = pytest.mark.slow("programs are run on a terminal")

SIGNS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
NOW_NS = 1_767_225_600_000_000_000
ALL = "!miniTicker@arr"
TICKER = {"e": "24hrMiniTicker", "E": 1, "s": "S"} | dict.fromkeys("cohlvq", "1")
NAME = "btcusdt@miniTicker"


def ticker(stream: str = NAME, received_ns: int = NOW_NS, **fields: object) -> Message:
    return message_of(stream, msgspec.json.encode(TICKER | fields), received_ns)


def message_of(stream: str, payload: bytes, received_ns: int = NOW_NS) -> Message:
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
        console.print(draw("about", view, 120, 40))
    return captured.get()


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [16, 310, 4_000])
def test_an_impossible_event_time_makes_no_delay(sign: str, digits: int) -> None:
    payload = msgspec.json.encode(TICKER).replace(b'"E":1', f'"E":{sign}{"9" * digits}'.encode())
    view = view_of(message_of(NAME, payload))
    assert view.rows[0].delay_ms is None
    assert "live" in drawn(view)


def test_numbers_too_large_to_print_are_shown_as_a_bound() -> None:
    largest = 10**4_299
    gaps = [
        Gap(streams=(NAME,), time_ms=0, symbol="S", after_id=1, before_id=10**5_000, missing=it)
        for it in (largest * 9, largest * 9, 10**5_000)
    ]
    assert "over 1e+18" in drawn(view_of(ticker(), *gaps))
    counters = FeedCounters(missing=10**5_000, duplicates=10**5_000)
    assert "over 1e+18 missing, over 1e+18 duplicates" in totals_text(counters, 1, 1)


def test_very_long_text_is_cut() -> None:
    row = view_of(ticker(s="X" * 100_000, c="1" * 100_000)).rows[0]
    assert row.symbol == "X" * (MAX_SYMBOL_CHARACTERS - 1) + "…"
    assert row.latest == "1" * MAX_CHARACTERS
    long = DecodeFailed(streams=(NAME,), time_ms=0, payload=b"x" * 100_000, reason="no")
    assert drawn(view_of(long)).endswith("…\n")


def test_the_rows_of_a_stream_are_bounded_and_the_oldest_are_dropped() -> None:
    table = Table([ALL])
    table.take(ticker(ALL, s="FIRST"))
    for number in range(1, MAX_ROWS):
        table.take(ticker(ALL, NOW_NS + number, s=f"S{number}"))
    table.take(ticker(ALL, NOW_NS + MAX_ROWS, s="FIRST"))
    assert table.view(NOW_NS, MAX_ROWS).dropped == 0
    table.take(ticker(ALL, NOW_NS + MAX_ROWS + 1, s="NEW"))
    gone = DROPPED_AT_ONCE
    view = table.view(NOW_NS, 10)
    assert (len(view.rows), view.hidden, view.dropped) == (10, MAX_ROWS - gone + 1 - 10, gone)
    symbols = {row.symbol for row in table.view(NOW_NS, MAX_ROWS).rows}
    assert symbols == {"FIRST", "NEW", *(f"S{it}" for it in range(gone + 1, MAX_ROWS))}
    assert f"… {view.hidden:,} more rows, {gone} dropped" in drawn(view)


def test_rows_stay_bounded_whatever_symbols_a_server_makes_up() -> None:
    table = Table([ALL])
    for number in range(3 * MAX_ROWS):
        table.take(ticker(ALL, NOW_NS + number, s=f"S{number}"))
        gap = Gap(
            streams=(ALL,), time_ms=0, symbol=f"G{number}", after_id=1, before_id=3, missing=1
        )
        table.take(gap)
    view = table.view(NOW_NS, MAX_ROWS)
    assert len(view.rows) <= MAX_ROWS
    assert view.hidden == 0
    assert len(view.rows) + view.dropped == 6 * MAX_ROWS


@asynccontextmanager
async def serving(*payloads: bytes) -> AsyncIterator[str]:
    """Serve a stream of these messages and no more; yield the URL."""

    async def send(connection: ServerConnection) -> None:
        async for request in connection:
            number = msgspec.json.decode(request)["id"]
            await connection.send(msgspec.json.encode({"result": None, "id": number}), text=True)
            for payload in payloads:
                await connection.send(
                    b'{"stream":"%s","data":%s}' % (NAME.encode(), payload), text=True
                )

    async with serve(send, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}"


ODD = msgspec.json.encode(TICKER | {"s": "\x9b2J\u202e", "c": "9" * 300})
TIMELESS = ODD.replace(b'"E":1', b'"E":%s' % (b"9" * 310))


@slow
@looped_on_sockets
async def test_a_terminal_shows_odd_messages_and_counts_them_to_the_last() -> None:
    async with serving(ODD, TIMELESS) as url:
        status, drawn = await on_a_terminal("watch", NAME, "--url", url, "--duration", "0.5s")
    assert status == 0
    assert b"\xc2\x9b" not in drawn
    left = SIGNS.sub("", drawn.decode().rpartition("\x1b[?1049l")[2])
    assert re.search(rf"^{NAME} .*999… .* live", left, re.MULTILINE), left
    assert " · 2 messages" in left
    assert re.search(r"^2 messages of 1 stream in ", left, re.MULTILINE)


@slow
@looped_on_sockets
async def test_lines_on_a_terminal_contain_no_control_characters() -> None:
    async with serving(ODD) as url:
        for options, term in (("--json",), "xterm"), ((), "dumb"):
            watch = ("watch", NAME, "--url", url, "--duration", "0.5s", *options)
            status, drawn = await on_a_terminal(*watch, errors=rb"! .*|{.*}", term=term)
            assert status == 0
            assert rb'"s":"\u009b2J\u202e"' in drawn


@slow
@looped_on_sockets
async def test_the_final_table_agrees_with_the_totals() -> None:
    async with loopback() as server, trading(server):
        watch = ("watch", "btcusdt@trade", "--url", url_of(server), "--duration", "0.7s")
        _, drawn = await on_a_terminal(*watch)
    left = SIGNS.sub("", drawn.decode().rpartition("\x1b[?1049l")[2])
    counts = re.findall(r"([\d,]+) messages", left)
    assert len(counts) == 2, left
    assert counts[0] == counts[1]


@slow
@looped_on_sockets
async def test_an_immediate_interrupt_prints_the_totals_too() -> None:
    async with loopback() as server:
        watch = ("watch", "btcusdt@trade", "--url", url_of(server))
        status, drawn = await on_a_terminal(*watch, interrupted_at=b"\x1b[?1049h")
    assert status == 0
    assert b"\r\n0 messages of 1 stream in " in drawn.rpartition(b"\x1b[?1049l")[2]
