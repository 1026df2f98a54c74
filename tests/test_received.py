"""What another process sends is read up to a bound, and the error has the sender and both sizes."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from picows import WSMsgType

from tickerplant.client.api import ApiConnection
from tickerplant.client.connection import HeldFrame
from tickerplant.control.client import ControlClient
from tickerplant.errors import UpstreamError
from tickerplant.hosted import process
from tickerplant.hosted.protocol import TestServerRequest
from tickerplant.received import MAX_BYTES, next_line
from tickerplant.testing import server

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % (1 << 30)
TOLD = b"Content-Length: %d\r\n\r\n" % (MAX_BYTES + 1)


@pytest.mark.parametrize("head", [CHUNKED, TOLD, b"\r\n"], ids=["chunked", "told", "to the end"])
@pytest.mark.sockets
def test_an_answer_of_the_control_plane(head: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
                while head is not TOLD:
                    connection.sendall(bytes(1 << 16))
                connection.recv(1 << 16)

        answering = threading.Thread(target=answer)
        answering.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with (
            closing(ControlClient(url)) as client,
            pytest.raises(UpstreamError, match=f"^{url}.* 33,554,433 bytes .* 33,554,432 are read"),
        ):
            client.clock()
        answering.join()


def test_an_answer_of_the_websocket_api_in_fragments() -> None:
    connection = ApiConnection()
    for _ in range(3):
        connection.on_ws_frame(None, HeldFrame(WSMsgType.TEXT, False, bytes(MAX_BYTES // 2)))  # type: ignore[arg-type]  # only its frames count
    assert "33,554,432 are read" in connection.ended


def endless(_request: bytes, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """A child that writes a line without an end."""
    program = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    pipe = subprocess.PIPE
    return subprocess.Popen(  # noqa: S603  # a program of ours
        [sys.executable, "-Sc", program], stdin=pipe, stdout=pipe, stderr=stderr
    )


class Owner:
    def lost(self, error: Exception) -> None:
        self.error = error


def start_in_a_loop() -> None:
    owner = Owner()
    asyncio.run(process.ServerProcess("market", owner.lost).start(TestServerRequest(settings={})))


def start_without() -> None:
    server.ServerProcess("market").start(TestServerRequest(settings={}))


@pytest.mark.parametrize("start", [start_in_a_loop, start_without])
@pytest.mark.slow("a child process writes")
def test_a_line_of_a_child(start: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (process, server):
        monkeypatch.setattr(module, "spawn", endless)
    with pytest.raises(UpstreamError, match=r"^market: .* at most 4,194,304 are read"):
        start()


def test_a_line_of_a_log_is_passed_over() -> None:
    async def lines() -> list[bytes]:
        reader = asyncio.StreamReader(limit=10)
        reader.feed_data(b"one\n" + b"x" * 50 + b"\nthree\n")
        reader.feed_eof()
        return [await next_line(reader) for _ in range(3)]

    assert asyncio.run(lines()) == [b"one\n", b"a line that is too long\n", b"three\n"]
