"""A connection costs what it sends: one request at a time, a part of it in each turn, all of it bounded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from bare_connection import CALM, END, Wire, answers, connect, endpoint, is_reading, receive
from loopback import loopback, looped, receive_all, say
from test_upgrade import GET, upgrade

from tickerplant.server.http import CONNECTIONS_PER_TURN, Http, HttpConnection
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.request_feed import BYTES_PER_TURN, MAX_FIELDS, PORTIONS_PER_TURN
from tickerplant.server.rest import Rest

CLOCK_PATH = "/plant/v1/clock"
MOST = CALM.max_head_bytes
NOTHING = GET.replace(b"time", b"none")
CHUNKED = b"POST /fapi/v1/time HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d+) ")
TURNS_OF_A_TASK = 3


def statuses(wire: Wire) -> list[bytes]:
    return STATUS.findall(wire.written)


def opened(http: Http) -> Wire:
    wire = Wire()
    wire.protocol = http.arrival()
    wire.protocol.connection_made(wire)
    return wire


def connected() -> Wire:
    wire = Wire()
    connect(wire, endpoint())
    return wire


async def turns_of(wire: Wire, data: bytes) -> int:
    """Return how many turns the connection takes for `data`, until it reads again."""
    receive(wire, data)
    turns = 1
    while not wire.reads:
        await asyncio.sleep(0)
        turns += 1
    return turns


@pytest.mark.parametrize("torn", [10, 3, 2, 1])
@pytest.mark.parametrize("request_", [GET, NOTHING], ids=["at once", "in a task"])
def test_of_pipelined_requests_one_is_parsed_in_a_turn_and_nothing_more_is_read(
    request_: bytes, torn: int
) -> None:
    async def ask(count: int) -> None:
        wire = connected()
        receive(wire, request_[:-torn])
        receive(wire, request_[-torn:] + request_ * (count - 1))
        for turn in range(TURNS_OF_A_TASK * count):
            assert isinstance(wire.protocol, HttpConnection)
            assert len(wire.protocol.held) >= len(request_) * (count - 1 - turn)
            assert wire.reads == (not wire.protocol.held)
            assert len(statuses(wire)) <= turn + 1
            await asyncio.sleep(0)
        assert wire.reads
        assert len(statuses(wire)) == count

    asyncio.run(ask(100))


def test_of_many_connections_that_pipeline_a_few_go_on_in_a_turn() -> None:
    async def ask(count: int) -> None:
        port = endpoint()
        http = Http(port, Rest(port, ControlPlane(welcome=str)))
        wires = [opened(http) for _ in range(count)]
        for wire in wires:
            receive(wire, GET * 5)
        answered = count
        while answered < 5 * count:
            await asyncio.sleep(0)
            before, answered = answered, sum(len(statuses(wire)) for wire in wires)
            assert answered - before <= CONNECTIONS_PER_TURN
            done = [len(statuses(wire)) for wire in wires]
            assert max(done) - min(done) <= 1, "each gets its share"

    asyncio.run(ask(4 * CONNECTIONS_PER_TURN))


class Broken(Wire):
    """A transport that cannot write that a request is malformed."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if b" 400 " in bytes(data):
            raise RuntimeError
        super().write(data)


def test_a_connection_that_fails_in_a_turn_of_several_is_cut_and_the_others_go_on() -> None:
    async def ask() -> None:
        port = endpoint()
        http = Http(port, Rest(port, ControlPlane(welcome=str)))
        broken, *others = wires = [Broken(), *(Wire() for _ in range(CONNECTIONS_PER_TURN))]
        for wire in wires:
            wire.protocol = http.arrival()
            wire.protocol.connection_made(wire)
            receive(wire, GET + (b"\0\r\n" if wire is broken else GET) + GET)
        for _ in range(10):
            await asyncio.sleep(0)
        assert broken.is_closing()
        assert port.complaints.counts["connection: RuntimeError"] == 1
        assert [len(statuses(wire)) for wire in others] == [3] * len(others)

    asyncio.run(ask())


def test_chunk_data_that_looks_like_the_end_costs_what_other_data_costs() -> None:
    async def cost(data: bytes) -> int:
        wire = connected()
        receive(wire, CHUNKED + b"%x\r\n" % len(data))
        return await turns_of(wire, data)

    size = 20 * BYTES_PER_TURN
    assert asyncio.run(cost(b"\r\n\r\n" * (size // 4))) == asyncio.run(cost(b"x" * size)) == 20


def test_few_of_many_small_chunks_are_parsed_in_a_turn() -> None:
    async def cost(chunks: int) -> int:
        wire = connected()
        receive(wire, CHUNKED)
        return await turns_of(wire, b"1\r\nx\r\n" * chunks)

    assert asyncio.run(cost(10 * PORTIONS_PER_TURN)) >= 10


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the body of the request and the names of its headers."""
    body, part = b"", {"more_body": True}
    while part["more_body"]:
        part = await receive()
        body += part["body"]
    body += b"|" + b",".join(name for name, _ in scope["headers"])
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def echoed(portions: Sequence[bytes]) -> bytes:
    wire = opened(Http(endpoint(), echo))
    for portion in portions:
        await is_reading(wire)
        receive(wire, portion)
    while len(statuses(wire)) < 3:  # noqa: ASYNC110  # what is waited for is seen from outside
        await asyncio.sleep(0)
    return bytes(wire.written)


TRICKY = b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"


def row(padding: int = 0) -> bytes:
    """A request with a length, one in chunks, one without a body."""
    chunks = b"%x;a=b\r\n%b\r\n1\r\n\r\r\n0\r\nT-One: 1\r\nTwo: 2\r\n\r\n" % (len(TRICKY), TRICKY)
    body = b"x" * padding + TRICKY
    counted = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    return counted + CHUNKED + chunks + GET


def test_wherever_requests_are_torn_each_is_read_as_if_it_came_alone() -> None:
    whole = row()
    got = asyncio.run(echoed([whole]))
    assert got.count(TRICKY + b"|host,content-length") == 1
    assert got.count(TRICKY + b"\r|host,transfer-encodingHTTP") == 1, "trailers are no headers"
    for at in range(1, len(whole)):
        assert asyncio.run(echoed([whole[:at], whole[at:]])) == got, at


def test_wherever_a_turn_ends_requests_are_read_as_if_they_came_alone() -> None:
    after = asyncio.run(echoed([row()])).partition(b"content-length\r\n")[2]
    for padding in range(BYTES_PER_TURN - len(row()), BYTES_PER_TURN):
        assert asyncio.run(echoed([row(padding)])).endswith(after), padding


OFFER = b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"


def test_wherever_an_offer_of_another_protocol_is_torn_the_request_is_read_without_it() -> None:
    requests = re.sub(rb"Host: \w+\r\n", OFFER, row())
    got = asyncio.run(echoed([requests]))
    whole = requests.replace(OFFER, OFFER + b"Upgrade: h2c, TLS/1.3\r\n")
    for at in range(len(whole)):
        assert asyncio.run(echoed(list(filter(None, [whole[:at], whole[at:]])))) == got, at


HEAD = b"GET /fapi/v1/time HTTP/1.1\r\nHost: a\r\n"
TRAILERS = CHUNKED + b"0\r\n"


@pytest.mark.parametrize(
    ("start", "more", "text"),
    [
        (HEAD, b"x: " + b"y" * 1_000, b"Request head over 65536 bytes."),
        (HEAD, b"a:\r\n" * MAX_FIELDS, b"Request with more than 256 headers."),
        (HEAD, b"Expect: x\r\n" * MAX_FIELDS, b"Request with more than 256 headers."),
        (upgrade()[:-2], b"a:\r\n" * MAX_FIELDS, b"Request with more than 256 headers."),
        (b"\r\n" * 2, b"\r\n" * 1_000, b"Request head over 65536 bytes."),
        (TRAILERS, b"a: b\r\n" * 100, None),
        (TRAILERS + b"a: ", b"b" * 1_000, None),
        (CHUNKED + b"1;", b"a" * 1_000, None),
        (CHUNKED, b"0" * 1_000, None),
    ],
    ids=["head", "headers", "kept", "upgrade", "lines", "trailers", "trailer", "extension", "size"],
)  # fmt: skip
def test_what_does_not_end_is_cut_at_the_limit_of_a_head(
    start: bytes, more: bytes, text: bytes | None
) -> None:
    async def send() -> None:
        wire, sent = connected(), len(start)
        receive(wire, start)
        while not wire.is_closing():
            assert sent <= MOST + len(start) + len(more) + BYTES_PER_TURN
            await is_reading(wire)
            if not wire.is_closing():
                receive(wire, more)
                sent += len(more)
        assert len(statuses(wire)) == 1, "the answer, or why there is none"
        assert wire.written.endswith(END if text is None else text + b"\n" + END)

    asyncio.run(send())


def test_an_upgrade_with_too_many_headers_at_once_is_refused_too() -> None:
    request = upgrade()[:-2] + b"a:\r\n" * MAX_FIELDS + b"\r\n"
    assert asyncio.run(answers([request])).startswith(b"HTTP/1.1 400 ")


@looped
async def test_a_trailer_is_no_header() -> None:
    async with loopback() as house:
        with house.socket() as sock:
            head = f"POST {CLOCK_PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            body = "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
            trailer = "Content-Type: application/json\r\n\r\n"
            await say(sock, (head + body + trailer).encode())
            assert (await receive_all(sock)).startswith(b"HTTP/1.1 415 ")


def test_of_a_url_that_is_too_long_no_more_is_decoded_than_the_longest_has() -> None:
    seen = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await echo(scope, receive, send)

    async def ask() -> None:
        receive(opened(Http(endpoint(), look)), GET.replace(b"time", b"%41" * 20_000))
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert 0 < seen[0].count("A") <= CALM.max_uri_bytes // 3
    assert len(seen[0]) > CALM.max_uri_bytes, "so that it is refused"
