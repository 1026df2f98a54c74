from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from websockets.frames import Frame, Opcode

from tickerplant.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tickerplant.protocol.frame_reader import BadFrame, FrameReader, Received

MAX_BYTES = 300
MASK = b"\x0a\xf1\x00\x5c"


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, form: int = 0
) -> bytes:
    """A masked frame, whose length stands in `form` bytes: 0 is the shortest."""
    size = len(payload)
    form = form or (1 if size < 126 else 3 if size < 1 << 16 else 9)
    length = {
        1: bytes([0x80 | size & 0x7F]),
        3: b"\xfe" + (size & 0xFFFF).to_bytes(2),
        9: b"\xff" + size.to_bytes(8),
    }[form]
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([0x80 * final | reserved << 4 | opcode]) + length + MASK + masked


def read(*portions: bytes, max_bytes: int = MAX_BYTES) -> tuple[list[tuple[int, bytes]], str]:
    """What a reader makes of `portions`, and the text with which it fails, empty if it does not."""
    reader, found = FrameReader(max_bytes), list[tuple[int, bytes]]()
    try:
        for portion in portions:
            reader.feed(portion)
            while received := reader.next():
                found.append((received.opcode, received.payload))
                assert received.text.encode() == (
                    received.payload if received.opcode == TEXT else b""
                )
    except BadFrame as bad:
        return found, f"{bad.reason.code} {bad.text}"
    return found, ""


def torn(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` in portions that begin at `cuts`."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


HELLO = frame(TEXT, b"hello")
SAID = (TEXT, b"hello")
PROTOCOL_ERROR = "1002 Protocol error: "


class Case(Struct, frozen=True):
    """One case of the public test suite: what is sent, what is read of it, and the failure."""

    name: str
    sent: bytes
    read: tuple[tuple[int, bytes], ...] = ()
    failure: str = ""


def fragments(*payloads: bytes, opcode: int = TEXT, between: bytes = b"") -> bytes:
    last = len(payloads) - 1
    parts = (
        frame(CONTINUATION if at else opcode, payload, final=at == last)
        for at, payload in enumerate(payloads)
    )
    return between.join(parts)


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2) + reason)


def closed(code: int, reason: bytes = b"") -> tuple[int, bytes]:
    return CLOSE, code.to_bytes(2) + reason


PINGED = (PING, b"p")
P = frame(PING, b"p")
SIZES = (0, 1, 125, 126, 127, 128, MAX_BYTES)
NO_UTF_8 = "1007 Invalid data: a text message is not UTF-8"
TOO_LONG = PROTOCOL_ERROR + "a control frame has more than 125 bytes"
RESERVED = PROTOCOL_ERROR + "reserved bits are set, and no extension was negotiated"
FRAGMENTED = PROTOCOL_ERROR + "a control frame is fragmented"
NOTHING = PROTOCOL_ERROR + "nothing is continued"
INSIDE = PROTOCOL_ERROR + "a message inside a message"
SHORTEST = PROTOCOL_ERROR + "the length is not in its shortest form"

CASES = (
    *(Case(f"1.1 text of {n}", frame(TEXT, b"*" * n), ((TEXT, b"*" * n),)) for n in SIZES),
    *(Case(f"1.2 binary of {n}", frame(BINARY, b"\xfe" * n), ((BINARY, b"\xfe" * n),)) for n in SIZES),
    *(Case(f"2 ping of {n}", frame(PING, b"\xff" * n), ((PING, b"\xff" * n),)) for n in (0, 5, 125)),
    Case("2.5 ping of 126", HELLO + frame(PING, b"\xfe" * 126), (SAID,), TOO_LONG),
    Case("2 ping of 64 KiB", frame(PING, bytes(1 << 16)), (), TOO_LONG),
    Case("2.7 pong nobody asked for", frame(PONG) + P, ((PONG, b""), PINGED)),
    Case("2.10 ten pings", P * 10, (PINGED,) * 10),
    *(Case(f"3 bits {bits}", HELLO + frame(TEXT, b"x", reserved=bits) + P, (SAID,), RESERVED) for bits in range(1, 8)),
    *(Case(f"3.5 binary with bits {bits}", frame(BINARY, b"x", reserved=bits), (), RESERVED) for bits in (4, 5)),
    *(Case(f"3.6 control frame with bits {bits}", HELLO + frame(PING, reserved=bits), (SAID,), RESERVED) for bits in (6, 7)),
    *(
        Case(f"4 opcode {opcode}", HELLO + frame(opcode, payload) + P, (SAID,), f"{PROTOCOL_ERROR}opcode {opcode} is reserved")
        for opcode in (*range(3, 8), *range(11, 16))
        for payload in (b"", b"reserved")
    ),
    Case("5.1 ping in two", frame(PING, b"a", final=False) + frame(CONTINUATION, b"b"), (), FRAGMENTED),
    Case("5.2 pong in two", frame(PONG, b"a", final=False) + frame(CONTINUATION, b"b"), (), FRAGMENTED),
    Case("5 close in two", frame(CLOSE, b"\x03", final=False) + frame(CONTINUATION, b"\xe8"), (), FRAGMENTED),
    Case("5.3 text in two", fragments(b"hel", b"lo"), (SAID,)),
    Case("5.6 a ping between", fragments(b"hel", b"lo", between=P), (PINGED, SAID)),
    Case("5.9 nothing to continue", frame(CONTINUATION, b"x") + HELLO, (), NOTHING),
    Case("5.10 nothing to end", frame(CONTINUATION, b"x", final=False) + HELLO, (), NOTHING),
    Case("5.12 continued after its end", HELLO + frame(CONTINUATION, b"x", final=False), (SAID,), NOTHING),
    Case("5.15 continued after its end", fragments(b"hel", b"lo") + frame(CONTINUATION, b"x", final=False) + HELLO, (SAID,), NOTHING),
    Case("5.18 text in text", frame(TEXT, b"a", final=False) + HELLO, (), INSIDE),
    Case("5 binary in text", frame(TEXT, b"a", final=False) + frame(BINARY, b"b"), (), INSIDE),
    Case("5.19 five with pings", fragments(*[b"x"] * 5, between=P), ((PING, b"p"),) * 4 + ((TEXT, b"xxxxx"),)),
    Case("5 empty fragments", fragments(b"", b"", b"hello", b""), (SAID,)),
    Case("5 a ping where the message is full", fragments(b"x" * MAX_BYTES, b"", between=frame(PING, b"y" * 125)), ((PING, b"y" * 125), (TEXT, b"x" * MAX_BYTES))),
    Case("6.1 nothing in three", fragments(b"", b"", b""), ((TEXT, b""),)),
    Case("6.2 in its signs torn", fragments(*(bytes([byte]) for byte in "Hellö ∑ 😀".encode())), ((TEXT, "Hellö ∑ 😀".encode()),)),
    Case("6 a byte order mark", frame(TEXT, b"\xef\xbb\xbfx"), ((TEXT, b"\xef\xbb\xbfx"),)),
    *(
        Case(f"6 {bad.hex()}", HELLO + frame(TEXT, b"x" + bad), (SAID,), NO_UTF_8)
        for bad in (
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf",
            b"\xf4\x90\x80\x80", b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf", b"\xed\xaf\xbf\xed\xbf\xbf", b"\xfe", b"\xff", b"\xce",
            b"\xf0\x9f\x98", b"\xc3\x28",
        )
    ),
    Case("6.3 no UTF-8 in the second", fragments(b"ok", b"\xed\xa0\x80", b"never"), (), NO_UTF_8),
    Case("6.4.1 at once, not at the end", frame(TEXT, b"\xf4\x90", final=False), (), NO_UTF_8),
    Case("6.4.3 at once, not with the frame", frame(TEXT, b"x" * 9 + b"\xf4\x90" + b"x" * 9)[:17], (), NO_UTF_8),
    Case("6 the middle of a sign at the end", fragments(b"\xf0\x9f", b"\x98"), (), NO_UTF_8),
    Case("6 binary is anything", frame(BINARY, b"\xff\xfe\xed\xa0"), ((BINARY, b"\xff\xfe\xed\xa0"),)),
    Case("7.1.1 text, then close", HELLO + closing(1000), (SAID, closed(1000))),
    Case("7.1.5 close in a message", frame(TEXT, b"a", final=False) + closing(1000), (closed(1000),)),
    Case("7.3.1 close without a code", frame(CLOSE), ((CLOSE, b""),)),
    Case("7.3.2 half a code", frame(CLOSE, b"\x03"), (), PROTOCOL_ERROR + "half a close code"),
    Case("7.3.5 the longest reason", closing(1000, b"*" * 123), (closed(1000, b"*" * 123),)),
    Case("7.3.6 a longer reason", closing(1000, b"*" * 124), (), TOO_LONG),
    Case("7.5.1 a reason that is not UTF-8", closing(1000, b"\xed\xa0\x80"), (), "1007 Invalid data: the reason of a close frame is not UTF-8"),
    *(Case(f"7.7 {code}", closing(code), (closed(code),)) for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)),
    *(
        Case(f"7.9 {code}", HELLO + closing(code), (SAID,), f"{PROTOCOL_ERROR}close code {code} may not be sent")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    Case("9 one byte too many", HELLO + frame(TEXT, bytes(MAX_BYTES + 1)), (SAID,), "1009 Message too big: at most 300 bytes"),
    Case("9 too much in three", fragments(*[bytes(101)] * 3), (), "1009 Message too big: at most 300 bytes"),
    Case("9 the header is enough", frame(TEXT, bytes(1 << 16))[:10], (), "1009 Message too big: at most 300 bytes"),
    Case("10.1.1 many fragments", fragments(*[b"x"] * MAX_BYTES), ((TEXT, b"x" * MAX_BYTES),)),
    Case("not masked", HELLO + b"\x81\x02hi", (SAID,), PROTOCOL_ERROR + "a client's frame is not masked"),
    Case("125 in three bytes", frame(TEXT, b"x" * 125, form=3), (), SHORTEST),
    Case("126 in three bytes", frame(TEXT, b"x" * 126, form=3), ((TEXT, b"x" * 126),)),
    Case("127 in nine bytes", frame(TEXT, b"x" * 127, form=9), (), SHORTEST),
    Case("a negative length", b"\x81\xff" + b"\xff" * 8, (), SHORTEST),
    Case("a ping of 1 in three bytes", frame(PING, b"x", form=3), (), TOO_LONG),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_read_as_the_rfc_has_it(case: Case) -> None:
    assert read(case.sent) == (list(case.read), case.failure)
    assert read(*(bytes([byte]) for byte in case.sent)) == (list(case.read), case.failure)


OPCODES = st.sampled_from((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, 3, 11))
SOME_BYTES = st.one_of(
    st.binary(max_size=140), st.text(max_size=60).map(str.encode), st.just(b"\x03\xe8")
)
ANY_FRAME = st.builds(
    frame,
    OPCODES,
    SOME_BYTES,
    final=st.booleans(),
    reserved=st.sampled_from((0, 0, 0, 0, 0, 0, 0, 4)),
)
CUTS = st.lists(st.integers(0, 5_000), max_size=12)


@given(st.lists(st.one_of(ANY_FRAME, st.sampled_from([c.sent for c in CASES])), max_size=8), CUTS)
def test_the_portions_make_no_difference(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    whole = read(data)
    assert read(*torn(data, cuts)) == whole


@given(st.binary(max_size=400), CUTS)
def test_no_bytes_do_more_than_fail(data: bytes, cuts: list[int]) -> None:
    assert read(*torn(data, cuts)) == read(data)


MESSAGES = st.lists(
    st.tuples(
        st.one_of(st.text(max_size=80), st.binary(max_size=80)),
        st.lists(st.integers(0, 80), max_size=3),
        st.lists(st.binary(max_size=20), max_size=3),
    ),
    max_size=6,
)


def written(messages: Sequence[tuple[str | bytes, list[int], list[bytes]]]) -> bytes:
    """The messages as another implementation writes them, fragmented, with pings between."""
    sent = b""
    for message, cuts, pings in messages:
        payload = message.encode() if isinstance(message, str) else message
        parts = torn(payload, cuts) or [b""]
        for at, part in enumerate(parts):
            opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
            sent += Frame(Opcode.CONT if at else opcode, part, fin=at == len(parts) - 1).serialize(
                mask=True
            )
            if at < len(pings):
                sent += Frame(Opcode.PING, pings[at]).serialize(mask=True)
    return sent


@given(MESSAGES, CUTS)
def test_what_another_implementation_writes_is_read(
    messages: list[tuple[str | bytes, list[int], list[bytes]]], cuts: list[int]
) -> None:
    found, failure = read(*torn(written(messages), cuts))
    said = [payload for opcode, payload in found if opcode != PING]
    assert failure == ""
    assert said == [m.encode() if isinstance(m, str) else m for m, _, _ in messages]


def test_it_knows_whether_it_stands_in_the_middle() -> None:
    reader = FrameReader(MAX_BYTES)
    states = []
    for byte in frame(TEXT, b"a", final=False) + frame(CONTINUATION, b""):
        reader.feed(bytes([byte]))
        states.append((reader.next() is not None, reader.is_midway))
    assert states == [(False, True)] * (len(states) - 1) + [(True, False)]


def test_no_more_frames_are_read_than_allowed() -> None:
    reader = FrameReader(MAX_BYTES)
    parts = [frame(TEXT, b"a", final=False), *[frame(CONTINUATION, b"", final=False)] * 5]
    reader.feed(b"".join(parts) + frame(CONTINUATION, b"b") + P)
    found = []
    for _ in range(4):
        reader.allow(3)
        found.append((reader.next(), reader.is_held))
    message, ping = Received(TEXT, b"ab", "ab"), Received(PING, b"p")
    assert found == [(None, True), (None, True), (message, False), (ping, False)]


def test_what_has_been_read_is_forgotten() -> None:
    reader = FrameReader(1 << 20)
    payload = secrets.token_bytes(100_000)
    for _ in range(3):
        fed_bytes = 0
        for portion in torn(frame(BINARY, payload), range(0, 100_000, 7_000)):
            reader.feed(portion)
            assert reader.buffered_bytes <= fed_bytes + 7_000, "nothing is kept twice"
            fed_bytes += len(portion)
            received = reader.next()
        assert received == Received(BINARY, payload)
        assert reader.buffered_bytes <= 7_000, "the message is forgotten"
