"""What a server says reaches a terminal only as signs that are shown, never as orders."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import looped_on_sockets
from programs import open_terminal
from test_watching_cli import run, running

from tickerplant.formatting import printable_json

slow = pytest.mark.slow("programs are run")

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")


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


async def on_a_terminal(
    *arguments: str, errors: bytes = b"", interrupted_at: bytes = b"", term: str = "xterm"
) -> tuple[int, bytes]:
    """Run the program on a terminal; return its status and all that was written to it.

    Args:
        *arguments: What is run.
        errors: What the lines of standard error are to be, as a pattern.
        interrupted_at: It is interrupted as soon as this was drawn.
        term: The kind of terminal.
    """
    leader, follower = open_terminal()
    drawn = bytearray()
    over, seen = asyncio.Event(), asyncio.Event()

    def read() -> None:
        try:
            drawn.extend(os.read(leader, 65_536))
        except OSError:  # nobody has the other side any more
            asyncio.get_running_loop().remove_reader(leader)
            over.set()
        if interrupted_at in drawn:
            seen.set()

    asyncio.get_running_loop().add_reader(leader, read)
    try:
        async with running(*arguments, stdout=follower, TERM=term) as process:
            os.close(follower)
            if interrupted_at:
                await seen.wait()
                process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert re.fullmatch(b"(%s)\n*" % errors, err), err
        await over.wait()
    finally:
        os.close(leader)
    return process.returncode or 0, bytes(drawn)


@given(st.text())
def test_json_for_a_terminal_is_printable_and_means_the_same(text: str) -> None:
    for indent in (0, 2):
        encoded = msgspec.json.format(msgspec.json.encode({"q": [text, 1]}), indent=indent)
        shown = printable_json(encoded)
        assert all(line.isprintable() for line in shown.decode().split("\n"))
        assert json.loads(shown) == {"q": [text, 1]}


def test_what_is_printable_stays_and_what_is_no_text_is_replaced() -> None:
    text = '{"s":"币安人生USDT","p":"1"}'.encode()
    assert printable_json(text) == text
    assert printable_json(b'"\x9b2J \xc2\x9b2J \xf3\xa0\x80\x81"') == (
        '"\N{REPLACEMENT CHARACTER}2J \\u009b2J \\udb40\\udc01"'.encode()
    )


@slow
@looped_on_sockets
async def test_an_error_of_the_server_is_one_plain_line() -> None:
    said = json.dumps({"code": -1, "msg": "\x1b]0;pwned\x07\x1b[2Jgone\nsecond line\x9b"})
    async with answering("400 Bad", said.encode()) as url:
        status, out, err = await run("ask", "/fapi/v1/ping", "--url", url)
    assert (status, out) == (1, "")
    assert err == "tickerplant: /fapi/v1/ping: -1 ]0;pwned [2Jgone second line\n"


@slow
@looped_on_sockets
async def test_an_answer_cannot_steer_a_terminal_and_in_a_pipe_it_is_as_it_came() -> None:
    body = '{"x":"\x9b31m \u202e rtl 币"}'.encode()
    async with answering("200 OK", body) as url:
        ask = ("ask", "/fapi/v1/ping", "--url", url)
        assert await run(*ask) == (0, f"{body.decode()}\n", "")
        status, drawn = await on_a_terminal(*ask)
    assert status == 0
    assert drawn.decode() == '{\r\n  "x": "\\u009b31m \\u202e rtl 币"\r\n}\r\n'


@slow
@needs_full
@looped_on_sockets
async def test_an_answer_that_cannot_be_written_ends_with_a_line_and_status_1() -> None:
    async with answering("200 OK", b"{}") as url:
        for arguments in (("ask", "/fapi/v1/ping", "--url", url), ("queries",)):
            full = os.open(FULL, os.O_WRONLY)
            async with running(*arguments, stdout=full) as process:
                os.close(full)
                _, err = await process.communicate()
            said = b"tickerplant: standard output: No space left on device\n"
            assert (process.returncode, err) == (1, said)


@slow
@looped_on_sockets
async def test_an_answer_that_nobody_reads_is_no_failure() -> None:
    async with answering("200 OK", b"{}") as url:
        for arguments in (("ask", "/fapi/v1/ping", "--url", url),):
            reading, writing = os.pipe()
            os.close(reading)
            async with running(*arguments, stdout=writing) as process:
                os.close(writing)
                _, err = await process.communicate()
            assert (process.returncode, err) == (0, b"")
