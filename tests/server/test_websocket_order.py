"""Byte for byte what a client gets, in which order, and that the portions make no difference."""

from __future__ import annotations

import asyncio

import pytest
from bare_connection import END, Wire, answers, connect, endpoint, is_reading, receive
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import UPGRADE
from test_frame_reader import CASES, CUTS, HELLO, Case, P, closing, fragments, frame, torn

from tickerplant.frames import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    control_frame,
    text_frame,
)
from tickerplant.server.websocket import FRAMES_AT_ONCE

REQUEST = UPGRADE.format(path="/ws").encode()
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
ASK = frame(TEXT, b'{"method":"LIST_SUBSCRIPTIONS","id":7}')
TOLD = text_frame(b'{"result":[],"id":7}')
PONGED = control_frame(PONG, b"p")


def said(frames: bytes) -> bytes:
    """What a WebSocket writes when it is sent `frames` at once."""
    written = asyncio.run(answers([REQUEST, frames]))
    assert written.startswith(SWITCHED)
    return written.removeprefix(SWITCHED)


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        (ASK + P + ASK + closing(1000, b"bye"), TOLD + PONGED + TOLD + close_frame(1000, "bye") + END),
        (ASK + frame(CLOSE), TOLD + control_frame(CLOSE, b"") + END),
        (P * 10 + closing(4999), PONGED * 10 + close_frame(4999, "") + END),
        (fragments(b'{"method":"LIST_', b'SUBSCRIPTIONS","id":7}', between=P), PONGED + TOLD),
        (ASK + frame(TEXT, b"{", final=False) + P + closing(1000), TOLD + PONGED + close_frame(1000, "") + END),
        (ASK + closing(1000) + ASK + P, TOLD + close_frame(1000, "") + END),
        (ASK + closing(1000) * 2, TOLD + close_frame(1000, "") + END),
        (
            ASK + frame(TEXT, b"{}", reserved=1) + ASK,
            TOLD + close_frame(1002, "Protocol error: reserved bits are set, and no extension was negotiated") + END,
        ),
        (
            ASK + frame(CONTINUATION, b"x"),
            TOLD + close_frame(1002, "Protocol error: nothing is continued") + END,
        ),
        (
            ASK + frame(TEXT, b"\xff"),
            TOLD + close_frame(1007, "Invalid data: a text message is not UTF-8") + END,
        ),
        (
            ASK + frame(TEXT, bytes(301)),
            TOLD + close_frame(1009, "Message too big: at most 300 bytes") + END,
        ),
        (
            ASK + frame(TEXT, b"[") + ASK + P,
            TOLD
            + text_frame(b'{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 2"}}')
            + close_frame(1008, "Invalid request"),
        ),
        (
            ASK + frame(TEXT, b"[") + P + closing(1000) + ASK,
            TOLD
            + text_frame(b'{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 2"}}')
            + close_frame(1008, "Invalid request")
            + END,
        ),
        (
            frame(TEXT, b"[") + frame(TEXT, b"\xff") + ASK,
            text_frame(b'{"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 2"}}')
            + close_frame(1008, "Invalid request")
            + END,
        ),
    ],
    ids=str.join("", map(chr, range(97, 111))),
)  # fmt: skip
def test_what_comes_before_the_end_is_answered_before_it(frames: bytes, answer: bytes) -> None:
    assert said(frames) == answer


@pytest.mark.parametrize(
    "flood",
    [P * 300, frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", final=False) * 300],
    ids=["pings", "fragments"],
)
def test_what_one_client_floods_the_port_with_lets_others_have_their_turn(flood: bytes) -> None:
    async def both() -> tuple[bytes, bytes, bytes]:
        wires = Wire(), Wire()
        port = endpoint()
        for wire in wires:
            connect(wire, port)
            receive(wire, REQUEST)
        await asyncio.sleep(0)
        receive(wires[0], flood)
        receive(wires[1], ASK)
        early = bytes(wires[0].written), bytes(wires[1].written)
        await is_reading(wires[0])
        receive(wires[0], closing(1000))
        return *early, bytes(wires[0].written)

    flooded, other, end = asyncio.run(both())
    assert other.endswith(TOLD)
    assert flooded.count(PONGED) == (FRAMES_AT_ONCE if flood.startswith(P) else 0)
    assert end.count(PONGED) == flood.count(P)
    assert end.endswith(close_frame(1000, "") + END)


def is_all_control(case: Case) -> bool:
    """Whether a case has no text that is no request, after its greeting."""
    read = case.read[1:] if case.sent.startswith(HELLO) else case.read
    return all(opcode in {CLOSE, PING, PONG} for opcode, _ in read)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "case", [each for each in CASES if is_all_control(each)], ids=lambda case: case.name
)
def test_a_failure_is_said_after_the_answers_and_nothing_follows_it(case: Case) -> None:
    expected = TOLD
    for opcode, payload in case.read:
        if opcode == PING:
            expected += control_frame(PONG, payload)
        elif opcode == CLOSE:
            expected += control_frame(CLOSE, payload) + END
    if case.failure:
        code, _, reason = case.failure.partition(" ")
        expected += close_frame(int(code), reason) + END
    assert said(ASK + case.sent.removeprefix(HELLO)) == expected


FRAMES = st.lists(
    st.sampled_from([ASK, P, ASK, P, closing(1000), *(case.sent for case in CASES)]), max_size=6
)


@pytest.mark.heavy
@settings(max_examples=60)
@given(FRAMES, CUTS)
def test_the_portions_of_a_connection_make_no_difference(
    frames: list[bytes], cuts: list[int]
) -> None:
    sent = REQUEST + b"".join(frames)

    async def both() -> tuple[bytes, bytes]:
        return await answers([sent]), await answers(torn(sent, cuts))

    whole, portioned = asyncio.run(both())
    assert whole.startswith(SWITCHED)
    assert portioned == whole


def test_an_ending_is_counted_by_what_broke() -> None:
    port = endpoint()
    for bad in (b"\x81\x02hi", frame(TEXT, b"\xff"), closing(1000), frame(TEXT, bytes(301)), ASK):
        asyncio.run(answers([REQUEST, bad], port))
    assert port.counters.closed == {
        "protocol_error": 1, "invalid_data": 1, "client": 1, "frame_too_big": 1, "lost": 1
    }  # fmt: skip
