from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NoReturn, TypeVar, cast

import pytest
from loopback import Loopback, loopback, looped_on_sockets, until
from msgspec import Struct
from msgspec.structs import replace
from programs import PATIENCE_S

from tickerplant.control.client import ControlClient, ControlError
from tickerplant.errors import ConfigError, UpstreamError
from tickerplant.protocol.limits import LIMITS

T = TypeVar("T")


class State(Struct):
    asked: Mapping[str, object]
    wait_s: float


class Clock:
    """A source whose clock can be set; it answers what was asked."""

    def state(self) -> State:
        return State({}, 0)

    async def steer(self, given: Mapping[str, object], wait_s: float = 0) -> State:
        await asyncio.sleep(0)
        return State(given, wait_s)


async def called(house: Loopback, call: Callable[[ControlClient], T], token: str = "") -> T:
    """Call a server of this loop from another thread."""
    house.server.plane.steering = cast("Any", Clock())

    def run() -> T:
        with ControlClient(house.server.urls["usdm"], token) as client:
            return call(client)

    return await asyncio.to_thread(run)


@looped_on_sockets
async def test_the_clock_is_read_set_and_stepped() -> None:
    async with loopback() as house:
        assert await called(house, lambda client: client.clock()) == {"asked": {}, "wait_s": 0}
        state = await called(house, lambda client: client.set_clock(speed=2, paused=True))
        assert state == {"asked": {"speed": 2, "paused": True}, "wait_s": 600}
        state = await called(house, lambda client: client.step("10s", wait_s=0.25))
        assert state == {"asked": {"step": "10s"}, "wait_s": 0.25}


@looped_on_sockets
async def test_what_the_server_refuses_is_raised_with_its_sentence_status_and_field() -> None:
    async with loopback() as house:
        with pytest.raises(ControlError, match="a whole number from 0 to 1,000") as refused:
            await called(house, lambda client: client.connections(limit=100_000))
        assert (refused.value.status, refused.value.field) == (400, "limit")
        with pytest.raises(ControlError, match="no operation /plant/v1/nothing: ") as absent:
            await called(house, lambda client: client.call("POST", "nothing", fields={"a": 1}))
        assert absent.value.status == 404


class OtherServer(BaseHTTPRequestHandler):
    """One that knows nothing of the control plane."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None: ...


@pytest.mark.sockets
def test_a_server_without_a_control_plane_is_said_to_be_another_one() -> None:
    with HTTPServer(("127.0.0.1", 0), OtherServer) as other:
        serving = threading.Thread(target=other.handle_request)
        serving.start()
        with (
            ControlClient(f"http://127.0.0.1:{other.server_port}") as client,
            pytest.raises(
                ControlError, match="no GET /plant/v1/clock: it is another one"
            ) as absent,
        ):
            client.clock()
        serving.join()
    assert absent.value.status == 404


@looped_on_sockets
async def test_a_connection_is_kept_and_replaced_when_the_server_has_closed_it() -> None:
    async with loopback(replace(LIMITS, keep_alive_ms=20)) as house:
        client = ControlClient(f"http://{house.server.urls['usdm']}")
        with closing(client):
            for _ in range(3):
                assert await asyncio.to_thread(client.profile) == "2026q1"
            (http,) = (port.http for port in house.server.ports[:1])
            await until(lambda: not http.connections)
            assert await asyncio.to_thread(client.profile) == "2026q1"


@looped_on_sockets
async def test_two_threads_call_at_the_same_time() -> None:
    async with loopback() as house:
        both = threading.Barrier(2)
        client = ControlClient(house.server.urls["coinm"])

        def ask() -> str:
            both.wait(PATIENCE_S)
            return str(client.limits()["venue"])

        with closing(client):
            venues = tuple(await asyncio.gather(asyncio.to_thread(ask), asyncio.to_thread(ask)))
        assert venues == ("coinm", "coinm")


@contextmanager
def counting_server(on_request: Callable[[int], object] = lambda _: None) -> Iterator[str]:
    """Yield the address of a server that answers each request with the number of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(connection: socket.socket, number: int) -> None:
            with connection:
                while connection.recv(4_096):
                    on_request(number)
                    text = b'{"profile":"%d"}' % number
                    connection.send(
                        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text
                    )

        def accept() -> None:
            for number in range(1, 10):
                connection, _ = listening.accept()
                if not is_open:
                    connection.close()
                    return
                threading.Thread(target=answer, args=(connection, number), daemon=True).start()

        is_open = [True]
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        is_open.clear()
        socket.create_connection(listening.getsockname()).close()
        accepting.join(PATIENCE_S)


@pytest.mark.sockets
def test_threads_that_end_leave_their_connection_to_the_next_one() -> None:
    found: list[str] = []
    with counting_server() as url, closing(ControlClient(url)) as client:
        for _ in range(3):
            thread = threading.Thread(target=lambda: found.append(client.profile()))
            thread.start()
            thread.join(PATIENCE_S)
    assert found == ["1", "1", "1"]


@pytest.mark.sockets
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_forked_process_has_connections_of_its_own() -> None:
    with counting_server() as url, closing(ControlClient(url)) as client:
        assert client.profile() == "1"
        pid = os.fork()
        if pid == 0:
            os._exit(int(client.profile()) * 10)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 20
        assert client.profile() == "1"


class Interruption(BaseException):
    """What a handler of a signal raises."""


@pytest.mark.sockets
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals are for processes here")
def test_an_interrupted_request_does_not_spoil_the_next_one() -> None:
    ended, this_thread = threading.Event(), threading.get_ident()

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise Interruption

    def on_request(number: int) -> None:
        if number == 1:
            signal.pthread_kill(this_thread, signal.SIGUSR1)
            ended.wait(PATIENCE_S)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with counting_server(on_request) as url, closing(ControlClient(url)) as client:
            with pytest.raises(Interruption):
                client.profile()
            ended.set()
            assert [client.profile(), client.profile()] == ["2", "2"]
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.sockets
def test_a_server_that_is_not_there_is_an_error_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with (
        closing(ControlClient(f"127.0.0.1:{port}")) as client,
        pytest.raises(UpstreamError, match=f"http://127.0.0.1:{port}: nothing listens there"),
    ):
        client.clock()


@pytest.mark.sockets
def test_a_server_that_does_not_answer_is_not_waited_for_forever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"ws://127.0.0.1:{sock.getsockname()[1]}"
        with (
            closing(ControlClient(url, timeout_s=0.01)) as client,
            pytest.raises(UpstreamError, match=r"no answer to GET /plant/v1/clock in time"),
        ):
            client.clock()


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "http://a:x", "http://u@a", "//a"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"such as http://127\.0\.0\.1:9001"):
        ControlClient(url)


def test_a_token_that_would_break_the_header_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as refused:
        ControlClient("127.0.0.1:1", "secret\r\nHost: evil")
    assert "secret" not in str(refused.value)
