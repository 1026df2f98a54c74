"""Where HTTP ends and a WebSocket begins: no byte is lost there, and none is read as another thing."""

from __future__ import annotations

import asyncio
import re

import pytest
from bare_connection import END, answers, endpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import UPGRADE, loopback, looped, receive, say
from test_frame_reader import CUTS, P, frame, torn
from test_websocket_order import ASK, PONGED, REQUEST, SWITCHED, TOLD

from tickerplant.frames import TEXT, text_frame

GET = b"GET /fapi/v1/time HTTP/1.1\r\nHost: test\r\n\r\n"
PING_PATH = b"GET /fapi/v1/ping HTTP/1.1\r\nHost: test\r\n\r\n"


def upgrade(path: str = "/ws", **changed: str | None) -> bytes:
    """An upgrade request with other headers, `_` for `-`; None leaves one out."""
    method, version = changed.pop("method", "GET"), changed.pop("version", "HTTP/1.1")
    headers = {
        "Host": "test",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode()


def written(*portions: bytes) -> bytes:
    return asyncio.run(answers(portions))


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    assert found, answer
    return int(found[1])


def test_frames_behind_the_request_are_answered() -> None:
    assert written(REQUEST + ASK + P) == SWITCHED + TOLD + PONGED


def test_a_frame_that_is_torn_by_the_end_of_the_segment_is_put_together() -> None:
    assert written(REQUEST + ASK[:9], ASK[9:] + P) == SWITCHED + TOLD + PONGED


@given(CUTS)
def test_the_portions_of_a_handshake_make_no_difference(cuts: list[int]) -> None:
    assert written(*torn(REQUEST + ASK + P, cuts)) == SWITCHED + TOLD + PONGED


@settings(max_examples=30)
@given(st.lists(st.sampled_from([GET, PING_PATH]), min_size=1, max_size=3), CUTS)
def test_requests_before_the_upgrade_are_answered_before_it(
    requests: list[bytes], cuts: list[int]
) -> None:
    answer = written(*torn(b"".join(requests) + REQUEST + ASK + P, cuts))
    http, _, rest = answer.partition(SWITCHED)
    assert http.count(b"HTTP/1.1 200 OK\r\n") == len(requests)
    assert rest == TOLD + PONGED


def test_nothing_is_upgraded_behind_a_request_that_ends_the_connection() -> None:
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = written(last + REQUEST + ASK)
    assert status(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "request_",
    [
        upgrade(Connection="keep-alive, Upgrade"),
        upgrade(Connection="UPGRADE", Upgrade="WebSocket"),
        upgrade(Connection="Upgrade\r\nConnection: keep-alive"),
        upgrade(Connection="keep-alive\r\nConnection: upgrade"),
        upgrade(Upgrade="h2c, websocket"),
        upgrade(Content_Length="0"),
        upgrade(Sec_WebSocket_Protocol="chat", Sec_WebSocket_Extensions="permessage-deflate"),
        upgrade("http://test/ws"),
        upgrade("http://user:pass@test:80/stream?streams="),
        upgrade("/w%73/"),
    ],
)
def test_every_form_of_a_good_upgrade_is_taken(request_: bytes) -> None:
    assert written(request_ + ASK) == SWITCHED + TOLD


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (upgrade(version="HTTP/1.0"), 400, "A WebSocket handshake must use HTTP/1.1.\n"),
        (upgrade(method="POST"), 405, "A WebSocket handshake must be a GET.\n"),
        (upgrade(method="HEAD"), 405, "A WebSocket handshake must be a GET.\n"),
        (upgrade(Host=None), 400, "The header Host is missing.\n"),
        (upgrade(Host="a\r\nHost: b"), 400, "The header Host occurs more than once.\n"),
        (upgrade(Sec_WebSocket_Key=None), 400, "The header Sec-WebSocket-Key is missing.\n"),
        (upgrade(Sec_WebSocket_Key="short"), 400, "The header Sec-WebSocket-Key is not 16 bytes in base64.\n"),
        (upgrade(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, "The header Sec-WebSocket-Key occurs more than once.\n"),
        (upgrade(Sec_WebSocket_Version=None), 400, "The header Sec-WebSocket-Version is missing.\n"),
        (upgrade(Sec_WebSocket_Version="7"), 426, "This server supports WebSocket version 13.\n"),
        (upgrade(Sec_WebSocket_Version="13, 8"), 426, "This server supports WebSocket version 13.\n"),
        (upgrade(Content_Length="2"), 400, "An upgrade request must not have a body.\n"),
        (upgrade(Transfer_Encoding="chunked"), 400, "An upgrade request must not have a body.\n"),
        (upgrade("//ws"), 404, None),
        (upgrade("/ws-dapi/v1"), 404, None),
        (upgrade("/ws/" + "a" * 9_000), 414, None),
        (upgrade("/ws/%ff"), 400, "The URL is not UTF-8 at byte 4.\n"),
        (upgrade("/ws-fapi/v1?returnRateLimits=x"), 400, "returnRateLimits is 'x', expected true or false.\n"),
    ],
)  # fmt: skip
def test_a_refused_upgrade_ends_the_connection_and_what_follows_is_not_read(
    request_: bytes, code: int, text: str | None
) -> None:
    port = endpoint()
    answer = asyncio.run(answers([request_ + b"{}" + GET + ASK, GET + ASK], port))
    assert status(answer) == code
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(END)
    assert text is None or answer.endswith(text.encode() + END)
    assert port.counters.refused == {code: 1}


def test_a_refusal_names_what_would_have_been_right() -> None:
    other = written(upgrade(Sec_WebSocket_Version="7"))
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in other
    assert b"\r\nUpgrade: websocket\r\n" in other
    assert b"\r\nAllow: GET\r\n" in written(upgrade(method="POST"))


def test_a_handshake_while_the_upstream_is_lost_ends_the_connection_too() -> None:
    port = endpoint()
    port.start_outage(None, "gone")
    answer = asyncio.run(answers([REQUEST + GET], port))
    assert status(answer) == 503
    assert b"\r\nRetry-After: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\nUpstream lost: gone.\n" + END)


def test_an_upgrade_to_something_else_is_answered_as_if_nothing_had_been_offered() -> None:
    other = GET.replace(
        b"\r\n\r\n", b"\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n"
    )
    answer = written(other + other + GET)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert written(other + REQUEST + ASK).endswith(SWITCHED + TOLD)


def test_connect_is_refused_as_this_is_no_proxy() -> None:
    answer = written(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
    assert status(answer) == 400
    assert answer.endswith(END)


def test_a_plain_request_for_a_stream_gets_an_explanation() -> None:
    answer = written(upgrade(Upgrade=None) + upgrade(Connection="close"))
    assert answer.count(b"HTTP/1.1 400 ") == 2
    assert b"is a WebSocket address" in answer


def test_as_many_frames_as_a_segment_holds_may_follow_a_request() -> None:
    assert written(REQUEST + P * 20_000) == SWITCHED + PONGED * 20_000


def test_a_head_that_is_too_long_is_refused_in_whatever_portions_it_comes() -> None:
    long = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"x" * 70_000
    for portions in ([long], torn(long, range(0, 70_000, 9_000))):
        answer = written(*portions)
        assert answer.endswith(b"Request head over 65536 bytes.\n" + END)


@looped
async def test_over_a_socket_a_frame_may_follow_its_request_at_once() -> None:
    async with loopback() as house:
        with house.socket() as sock:
            request = GET + UPGRADE.format(path="/ws").encode()
            await say(sock, request + ASK + frame(TEXT, b"["))
            received = b""
            while b"Invalid request" not in received:
                received += await receive(sock)
            assert received.count(b"HTTP/1.1 ") == 2
            assert text_frame(b'{"result":[],"id":7}') in received
