"""`watch` and `ask` as a user runs them, against a server of this test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from loopback import Loopback, loopback, looped_on_sockets, until
from watched import (
    ALTERNATE,
    CLOSED,
    NAME,
    NORMAL,
    SIGNS,
    on_a_terminal,
    run,
    running,
    trading,
    url,
)
from websockets.asyncio.server import ServerConnection, serve

from tickerplant import logs
from tickerplant.cli import commands
from tickerplant.venue import COINM

slow = pytest.mark.slow("programs are run, interrupted, and left without a reader")

LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z btcusdt@trade (\{"e":"trade",.*\})')
FULL = Path("/dev/full")
ODD = msgspec.json.encode(
    {"e": "24hrMiniTicker", "E": 1}
    | dict.fromkeys("ohlvq", "1")
    | {"s": "\x9b2J\u202e", "c": "9" * 300}
)
TIMELESS = ODD.replace(b'"E":1', b'"E":%s' % (b"9" * 310))


@asynccontextmanager
async def watching(server: Loopback) -> AsyncIterator[Process]:
    """Start to watch; the first message was printed."""
    async with running("watch", NAME, "--url", url(server)) as process:
        assert process.stdout is not None
        assert await process.stdout.readline()
        yield process


@asynccontextmanager
async def answering(status: str, body: bytes) -> AsyncIterator[str]:
    """Serve one answer to every question over REST; yield the URL."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}"


@asynccontextmanager
async def streaming(*payloads: bytes) -> AsyncIterator[str]:
    """Serve a stream of these messages and no more; yield the URL."""

    async def send(connection: ServerConnection) -> None:
        async for request in connection:
            number = msgspec.json.decode(request)["id"]
            await connection.send(msgspec.json.encode({"result": None, "id": number}), text=True)
            for payload in payloads:
                combined = b'{"stream":"btcusdt@miniTicker","data":%s}' % payload
                await connection.send(combined, text=True)

    async with serve(send, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"ws://{host}:{port}"


@slow
@looped_on_sockets
async def test_messages_are_lines_until_the_time_is_up() -> None:
    async with loopback() as server, trading(server):
        arguments = ("watch", NAME, NAME, "BTCUSDT@trade", "--duration", "0.6s")
        status, out, err = await run(*arguments, "--url", url(server))
    assert status == 0, err
    lines = out.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    ids = [msgspec.json.decode(match[1])["t"] for match in found if match]
    assert ids == list(range(ids[0], ids[0] + len(lines))), "each once, none left out"
    first, last = err.splitlines()
    assert " BTCUSDT@trade: unknown stream: names are case-sensitive: btcusdt@trade" in first
    assert last.startswith(f"! {len(lines)} messages of 2 streams in 0.")
    assert last.endswith(": 0 gaps, 0 missing, 0 duplicates, 0 connections lost.")


@slow
@looped_on_sockets
async def test_messages_are_objects_for_programs() -> None:
    async with loopback() as server, trading(server):
        more = {"TICKERPLANT_USDM_URL": url(server), "TICKERPLANT_DURATION": "500ms"}
        status, out, err = await run("watch", NAME, "--json", **more)
    assert status == 0, err
    found = [msgspec.json.decode(line) for line in out.splitlines()]
    assert {each["stream"] for each in found} == {NAME}
    assert msgspec.json.decode(err)["totals"]["messages"] == len(found)


@slow
@looped_on_sockets
async def test_an_interruption_ends_with_the_totals_and_who_has_read_enough_ends_it_quietly() -> (
    None
):
    async with loopback() as server, trading(server):
        async with watching(server) as process:
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert process.returncode == 0
        assert re.fullmatch(rb"! [\d,]+ messages? of 1 stream in .*\n", err), err
        async with watching(server) as process:
            process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
            assert process.stderr is not None
            assert await process.stderr.read() == b""
            assert await process.wait() == 0


@slow
@looped_on_sockets
async def test_an_interruption_ends_it_even_if_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x")
    os.set_blocking(writing, True)
    async with loopback() as server, trading(server):
        watch = ("watch", NAME, "--url", url(server))
        async with running(*watch, stdout=writing) as process:
            await until(lambda: server.server.totals.messages)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
    os.close(reading)
    os.close(writing)


@slow
@looped_on_sockets
async def test_a_server_that_is_not_there_or_goes_away_is_reported() -> None:
    status, out, err = await run("watch", NAME, "--url", CLOSED, "--duration", "0.5s")
    assert (status, out) == (1, "")
    said, totals = err.splitlines()
    assert re.fullmatch(r"! \S+Z btcusdt@trade: disconnected, refused: .*", said)
    assert totals.startswith("! 0 messages of 1 stream in 0.")
    async with AsyncExitStack() as over:
        async with loopback() as server, trading(server):
            process = await over.enter_async_context(watching(server))
        assert process.stderr is not None
        notice = await process.stderr.readline()
        assert re.match(rb"! \S+Z btcusdt@trade: disconnected, closed 1001 ", notice)
        process.send_signal(signal.SIGTERM)
        _, last = await process.communicate()
    assert process.returncode == 0
    assert b"1 connection lost" in last


@slow
@looped_on_sockets
async def test_on_a_terminal_there_is_a_table_that_agrees_with_the_totals() -> None:
    async with loopback() as server, trading(server):
        arguments = ("watch", NAME, "ethusdt@trade", "--duration", "1s", "--url", url(server))
        status, drawn = await on_a_terminal(*arguments)
        assert status == 0
        assert ALTERNATE in drawn
        plain = SIGNS.sub("", drawn.rpartition(NORMAL)[2].decode())
        assert re.search(r"^btcusdt@trade .*65280\.10  0\.001  buy .* live", plain, re.MULTILINE)
        assert re.search(r"^ethusdt@trade .* waiting", plain, re.MULTILINE)
        assert re.search(r"^\d+ messages of 2 streams in 1\.\d s: ", plain, re.MULTILINE), plain
        first, last = re.findall(r"([\d,]+) messages", plain)
        assert first == last
        watch = ("watch", NAME, "--url", url(server))
        status, drawn = await on_a_terminal(*watch, interrupted_at=ALTERNATE)
    assert status == 0
    assert re.search(rb"\r\n\d+ messages? of 1 stream in ", drawn.rpartition(NORMAL)[2])


@slow
@looped_on_sockets
async def test_a_terminal_shows_odd_messages_and_obeys_none() -> None:
    watch = ("watch", "btcusdt@miniTicker", "--duration", "0.5s")
    async with streaming(ODD, TIMELESS) as there:
        status, drawn = await on_a_terminal(*watch, "--url", there)
        assert status == 0
        assert b"\xc2\x9b" not in drawn
        left = SIGNS.sub("", drawn.decode().rpartition(NORMAL.decode())[2])
        assert re.search(r"^btcusdt@miniTicker .*999… .* live", left, re.MULTILINE), left
        assert re.search(r"^2 messages of 1 stream in ", left, re.MULTILINE)
        for options, term in (("--json",), "xterm"), ((), "dumb"):
            lines = {"errors": rb"! .*|{.*}", "term": term}
            status, drawn = await on_a_terminal(*watch, "--url", there, *options, **lines)  # type: ignore[arg-type]
            assert status == 0
            assert rb'"s":"\u009b2J\u202e"' in drawn


@slow
@looped_on_sockets
async def test_an_answer_cannot_steer_a_terminal_and_in_a_pipe_it_is_as_it_came() -> None:
    said = json.dumps({"code": -1, "msg": "\x1b]0;pwned\x07\x1b[2Jgone\nsecond line\x9b"})
    async with answering("400 Bad", said.encode()) as there:
        status, out, err = await run("ask", "/fapi/v1/ping", "--url", there)
    assert (status, out) == (1, "")
    assert err == "tickerplant: /fapi/v1/ping: -1 ]0;pwned [2Jgone second line\n"
    body = '{"x":"\x9b31m \u202e rtl 币"}'.encode()
    async with answering("200 OK", body) as there:
        ask = ("ask", "/fapi/v1/ping", "--url", there)
        assert await run(*ask) == (0, f"{body.decode()}\n", "")
        status, drawn = await on_a_terminal(*ask)
    assert status == 0
    assert drawn.decode() == '{\r\n  "x": "\\u009b31m \\u202e rtl 币"\r\n}\r\n'


@slow
@pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")
@looped_on_sockets
async def test_an_answer_that_cannot_be_written_is_a_failure_unless_nobody_reads() -> None:
    async with answering("200 OK", b"{}") as there:
        ask = ("ask", "/fapi/v1/ping", "--url", there)
        reading, gone = os.pipe()
        os.close(reading)
        full = os.open(FULL, os.O_WRONLY)
        said = b"tickerplant: standard output: No space left on device\n"
        for file, expected in ((full, (1, said)), (gone, (0, b""))):
            async with running(*ask, stdout=file) as process:
                os.close(file)
                _, err = await process.communicate()
            assert (process.returncode, err) == expected


async def asked(*arguments: str) -> tuple[int, str, str]:
    """Ask in this process, in a thread; return the status and what was printed."""
    logs.configure(level="error")  # what the server logs is not an answer

    def ask() -> tuple[int, str, str]:
        result = CliRunner().invoke(commands, ["ask", *arguments], standalone_mode=False)
        assert result.exception is None, result.exception
        return result.return_value, result.stdout, result.stderr

    return await asyncio.to_thread(ask)


@looped_on_sockets
async def test_a_question_is_answered_by_the_websocket_api_and_over_rest() -> None:
    async with loopback() as server:
        server.trade()
        where = ("symbol=BTCUSDT", "--url", url(server))
        for words in (("ticker.price",), ("--rest", "ticker/price"), ("/fapi/v1/ticker/price",)):
            status, out, err = await asked(*words, *where)
            assert (status, err) == (0, "")
            assert out.startswith('{"symbol":"BTCUSDT","price":"65280.10",')
            assert out.count("\n") == 1
        status, out, _ = await asked(
            "exchangeInfo", "--venue", "coinm", "--url", url(server, COINM.name)
        )
        assert msgspec.json.decode(out)["symbols"][0]["symbol"] == "BTCUSD_PERP"


@looped_on_sockets
async def test_what_is_refused_is_reported_and_the_status_is_1() -> None:
    async with loopback() as server:
        for method in ("ticker.price", "/fapi/v1/ticker/price"):
            said = f"tickerplant: {method} symbol=NONE: -1121 Invalid symbol.\n"
            assert await asked(method, "symbol=NONE", "--url", url(server)) == (1, "", said)
        for method in ("ticker.price", "/dapi/v1/ticker/price"):
            other = (method, "symbol=BTCUSD_PERP", "--venue", "coinm", "--url", url(server))
            status, out, err = await asked(*other)
            assert (status, out) == (1, "")
            assert "the server serves USDⓈ-M, not COIN-M" in err
    status, out, err = await asked("ticker.price", "symbol=BTCUSDT", "--url", CLOSED)
    assert (status, out) == (1, "")
    asked_there = f"{CLOSED}/ws-fapi/v1 ticker.price symbol=BTCUSDT"
    assert err == f"tickerplant: {asked_there}: connection refused, 3 times\n"
