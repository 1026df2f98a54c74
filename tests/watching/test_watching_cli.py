"""The two commands as a user runs them, against a server of this test."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
import pytest
from click.testing import CliRunner
from loopback import Loopback, loopback, looped_on_sockets, until
from programs import open_terminal

from tickerplant import logs
from tickerplant.cli import commands
from tickerplant.venue import COINM, USDM

slow = pytest.mark.slow("programs are run, interrupted, and left without a reader")

NAME = "btcusdt@trade"
LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z btcusdt@trade (\{"e":"trade",.*\})')
CLOSED = "ws://127.0.0.1:9"


@asynccontextmanager
async def running(*arguments: str, stdout: int = PIPE, **more: str) -> AsyncIterator[Process]:
    """Start the program; it is killed at the end."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TICKERPLANT_")
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tickerplant", *arguments),
        stdout=stdout,
        stderr=PIPE,
        env=environment | more,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def run(*arguments: str, **more: str) -> tuple[int, str, str]:
    async with running(*arguments, stdout=PIPE, **more) as process:
        out, err = await process.communicate()
        assert b"Traceback" not in err, err.decode()
        return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def trading(server: Loopback) -> AsyncIterator[None]:
    """Let trades happen all the time."""

    async def trade() -> None:
        while True:
            server.trade()
            await asyncio.sleep(0.005)

    task = asyncio.create_task(trade())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def watching(server: Loopback) -> AsyncIterator[Process]:
    """Start to watch; the first message was printed."""
    async with running("watch", NAME, "--url", url(server)) as process:
        assert process.stdout is not None
        assert await process.stdout.readline()
        yield process


def url(server: Loopback, venue: str = USDM.name) -> str:
    return f"ws://{server.server.urls[venue]}"


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
    assert all(each["data"]["s"] == "BTCUSDT" for each in found)
    assert msgspec.json.decode(err)["totals"]["messages"] == len(found)


@slow
@looped_on_sockets
async def test_an_interruption_ends_with_the_totals_and_status_0() -> None:
    async with loopback() as server, trading(server), watching(server) as process:
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 0
    assert re.fullmatch(rb"! [\d,]+ messages? of 1 stream in .*\n", err), err


@slow
@looped_on_sockets
async def test_who_has_read_enough_ends_it_quietly() -> None:
    async with loopback() as server, trading(server), watching(server) as process:
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
async def test_a_recording_without_messages_prints_the_reason_and_exits_with_1() -> None:
    status, out, err = await run("watch", NAME, "--url", CLOSED, "--duration", "0.5s")
    assert (status, out) == (1, "")
    notice, totals = err.splitlines()
    assert re.fullmatch(r"! \S+Z btcusdt@trade: disconnected, refused: .*", notice)
    assert totals.startswith("! 0 messages of 1 stream in 0.")
    assert "attempt" in totals


@slow
@looped_on_sockets
async def test_a_server_that_goes_away_is_reported() -> None:
    async with AsyncExitStack() as over:
        async with loopback() as server, trading(server):
            process = await over.enter_async_context(watching(server))
        assert process.stderr is not None
        notice = await process.stderr.readline()
        assert re.match(rb"! \S+Z btcusdt@trade: disconnected, closed 1001 ", notice)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"1 connection lost" in err


async def on_a_terminal(server: Loopback, *arguments: str) -> tuple[int, str]:
    """Run the program on a terminal; return its status and all that it drew."""
    leader, follower = open_terminal()
    drawn, over = bytearray(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            drawn.extend(os.read(leader, 65_536))
        except OSError:  # nobody has the other side any more
            loop.remove_reader(leader)
            over.set()

    loop.add_reader(leader, read)
    try:
        more = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
        async with trading(server), running(*arguments, stdout=follower, **more) as process:
            os.close(follower)
            _, err = await process.communicate()
        assert b"Traceback" not in err
        await over.wait()
    finally:
        loop.remove_reader(leader)
        os.close(leader)
    return process.returncode or 0, drawn.decode()


@slow
@looped_on_sockets
async def test_on_a_terminal_there_is_a_table_and_the_totals_stay() -> None:
    async with loopback() as server:
        arguments = ("watch", NAME, "ethusdt@trade", "--duration", "1s", "--url", url(server))
        status, drawn = await on_a_terminal(server, *arguments)
    assert status == 0
    assert "\x1b[?1049h" in drawn
    last = drawn.rpartition("\x1b[?1049l")[2]
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last)
    assert re.search(
        r"^btcusdt@trade +(BTCUSDT +)?65280\.10  0\.001  buy .* live", plain, re.MULTILINE
    )
    assert re.search(r"^ethusdt@trade .* waiting", plain, re.MULTILINE)
    assert re.search(r"^\d+ messages of 2 streams in 1\.\d s: ", plain, re.MULTILINE), plain


async def asked(server: Loopback, *arguments: str) -> tuple[int, str, str]:
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
            status, out, err = await asked(server, *words, *where)
            assert (status, err) == (0, "")
            assert out.startswith('{"symbol":"BTCUSDT","price":"65280.10",')
            assert out.count("\n") == 1
        there = ("--venue", "coinm", "--url", url(server, COINM.name))
        status, out, _ = await asked(server, "exchangeInfo", *there)
        assert status == 0
        assert msgspec.json.decode(out)["symbols"][0]["symbol"] == "BTCUSD_PERP"


@looped_on_sockets
async def test_what_the_exchange_refuses_is_reported_and_the_status_is_1() -> None:
    async with loopback() as server:
        for method in ("ticker.price", "/fapi/v1/ticker/price"):
            said = f"tickerplant: {method} symbol=NONE: -1121 Invalid symbol.\n"
            ask = (method, "symbol=NONE", "--url", url(server))
            assert await asked(server, *ask) == (1, "", said)
        for method in ("ticker.price", "/dapi/v1/ticker/price"):
            other = (method, "symbol=BTCUSD_PERP", "--venue", "coinm", "--url", url(server))
            status, out, err = await asked(server, *other)
            assert (status, out) == (1, "")
            assert "the server serves USDⓈ-M, not COIN-M" in err
            assert "404" in err or "-5000" in err


@slow
@looped_on_sockets
async def test_who_cannot_be_reached_is_reported_and_the_status_is_1() -> None:
    status, out, err = await run("ask", "ticker.price", "symbol=BTCUSDT", "--url", CLOSED)
    assert (status, out) == (1, "")
    assert (
        err
        == f"tickerplant: {CLOSED}/ws-fapi/v1 ticker.price symbol=BTCUSDT: connection refused, 3 times\n"
    )


@slow
@looped_on_sockets
async def test_on_a_terminal_an_answer_has_lines() -> None:
    async with loopback() as server:
        ask = ("ask", "ticker.price", "symbol=BTCUSDT", "--url", url(server))
        status, drawn = await on_a_terminal(server, *ask)
    assert status == 0
    assert '{\r\n  "symbol": "BTCUSDT",\r\n' in drawn
