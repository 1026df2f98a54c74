from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
from collections.abc import Iterator

import pytest
from loopback import Loopback, bare, hear, loopback, looped_on_sockets, say, until
from msgspec.structs import replace
from websockets.exceptions import InvalidStatus

from tickerplant.protocol.limits import LIMITS
from tickerplant.server.listener import descriptors_for_clients, main_address
from tickerplant.server.ports import listening_sockets
from tickerplant.venue import USDM

TURNED_AWAY = 'tickerplant_connections_turned_away_total{reason="no descriptor",venue="usdm"}'
PAUSES = 'tickerplant_accept_pauses_total{venue="usdm"}'


@contextlib.contextmanager
def descriptors(most: int) -> Iterator[None]:
    """Let this process have no descriptor from `most` on until the block ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def lowest_free() -> int:
    """Return the descriptor that the next file gets, with all below taken."""
    with open(os.devnull) as file:  # noqa: PTH123  # its number is wanted, not its text
        return file.fileno()


async def ping(house: Loopback, sock: socket.socket, line: str = "GET /healthz") -> bytes:
    """Ask on a connection that is open."""
    await say(sock, f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return await hear(sock)


async def ask(house: Loopback, line: str) -> bytes:
    """Ask on a connection of its own."""
    with house.socket() as sock:
        return await ping(house, sock, line)


@looped_on_sockets
async def test_out_of_descriptors_a_port_pauses_says_so_once_and_goes_on() -> None:
    async with loopback(replace(LIMITS, accept_pause_ms=1)) as house:
        counters = house.server.endpoints[0].counters
        with house.socket() as old, house.socket() as new:
            assert (await ping(house, old)).endswith(b"ok\n")
            assert (await ping(house, new)).endswith(b"ok\n")
        async with bare(house, "/ws/btcusdt@trade") as old:
            host, _, port = house.server.urls["usdm"].rpartition(":")
            with socket.socket() as late:
                late.setblocking(False)
                with descriptors(lowest_free()):
                    with contextlib.suppress(BlockingIOError):
                        late.connect((host, int(port)))
                    await until(lambda: counters.accept_pauses > 3)
                    house.trade()
                    assert await hear(old), "it is served"
                assert house.server.complaints.counts["accept EMFILE"] == counters.accept_pauses
                assert (await ping(house, late)).endswith(b"ok\n"), "as soon as there is one"
        assert (await house.metrics())[PAUSES] == counters.accept_pauses


@looped_on_sockets
async def test_the_last_descriptors_are_kept_for_files() -> None:
    free = lowest_free()
    with descriptors(4 * free + 80):
        limits = replace(LIMITS, reserved_descriptors=1_000)  # so it is a quarter
        bound = descriptors_for_clients(limits.reserved_descriptors)
        assert bound == (4 * free + 80) * 3 // 4
        async with loopback(limits) as house:
            with contextlib.ExitStack() as held:
                while lowest_free() < bound:
                    held.enter_context(house.socket())
                    await asyncio.sleep(0)
                with pytest.raises(InvalidStatus) as refused:
                    async with house.connect("/ws"):
                        pass
                assert refused.value.response.status_code == 503
                assert refused.value.response.headers["Retry-After"] == "5"
                assert house.server.complaints.counts["no descriptor"] >= 1
                silent = [held.enter_context(house.socket()) for _ in range(12)]
                assert (await ask(house, "GET /healthz")).endswith(b"\r\n\r\nok\n")
                assert (await ask(house, "HEAD /healthz")).startswith(b"HTTP/1.1 200 OK")
                assert (await ask(house, "GET /readyz")).startswith(b"HTTP/1.1 503")
                for sock in silent:  # the first made room for the others, which had their time
                    assert (await hear(sock)).startswith(b"HTTP/1.1 503")
                with open(os.devnull):  # noqa: PTH123, ASYNC230  # a file can still be opened
                    pass
            await until(lambda: not house.server.ports[0].http.connections)
            assert (await house.get("/healthz")).body == b"ok\n"
            assert (await house.metrics())[TURNED_AWAY] >= 1


def test_of_few_descriptors_a_quarter_is_kept() -> None:
    with descriptors(40):
        assert descriptors_for_clients(64) == 30
        assert descriptors_for_clients(0) == 40


@pytest.mark.sockets
@pytest.mark.parametrize("call", ["socket", "getaddrinfo"])
def test_an_address_is_not_blamed_for_a_want_of_descriptors(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, call, fail)
    with pytest.raises(OSError, match="Too many"):
        listening_sockets(USDM, "127.0.0.1", 0)


@pytest.mark.sockets
def test_an_address_that_others_reach_is_told_before_one_that_they_do_not() -> None:
    with socket.socket() as here, socket.socket() as everywhere:
        here.bind(("127.0.0.1", 0))
        everywhere.bind(("0.0.0.0", 0))  # noqa: S104  # nothing listens
        assert main_address([here, everywhere]) == everywhere.getsockname()
        assert main_address([here]) == here.getsockname()
