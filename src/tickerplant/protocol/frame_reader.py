"""Parses the bytes of a WebSocket client into messages and control frames (RFC 6455).

The reader takes bytes in any portions and returns one message or control frame at a time, so that
each can be answered before the next is read.  The result does not depend on the portions.  A violation
is reported as soon as its bytes are there: a bad header without its payload, text that is not UTF-8
without the rest of its frame.
"""

from __future__ import annotations

from codecs import getincrementaldecoder

from msgspec import Struct

from tickerplant.errors import TickerplantError
from tickerplant.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tickerplant.protocol.close_reasons import (
    FRAME_TOO_BIG,
    INVALID_DATA,
    PROTOCOL_ERROR,
    CloseReason,
)

MAX_CONTROL_BYTES = 125
"""Longest payload of a control frame, and longest length that fits into the second byte."""
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_FIRST_CONTROL = CLOSE
_LENGTH_BYTES = {126: 2, 127: 8}
_SHORTEST = {126: MAX_CONTROL_BYTES + 1, 127: 1 << 16}
"""The shortest length that needs each longer form of the length."""
_FINAL, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""Codes that a close frame may have (RFC 6455, section 7.4, and the IANA registry)."""

_Utf8Decoder = getincrementaldecoder("utf-8")


ANY_NUMBER = 1 << 62
"""Frames that may be read without a call of `allow`."""


class BadFrame(TickerplantError):  # noqa: N818  # it names what is wrong, not that
    """Invalid bytes that end the connection: the `reason`, and the `text` of the close frame."""

    def __init__(self, reason: CloseReason, detail: str) -> None:
        self.reason = reason
        self.text = f"{reason.reason}: {detail}"
        super().__init__(self.text)


class Received(Struct, frozen=True):
    """A complete message (`TEXT`, `BINARY`) or a control frame (`CLOSE`, `PING`, `PONG`)."""

    opcode: int
    payload: bytes
    text: str = ""
    """The payload of a text message."""


class FrameReader:
    """Reads the frames of one client."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._data = b""
        self._at = 0
        self._opcode = 0
        self._is_final = False
        self._mask = b""
        self._missing_bytes = 0
        self._in_payload = False
        self._frames_left = ANY_NUMBER
        self._control = b""
        self._message_opcode = CONTINUATION  # no message has begun
        self._message = bytearray()
        self._texts: list[str] = []
        self._utf8 = _Utf8Decoder()

    @property
    def is_in_message(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._message_opcode != CONTINUATION

    @property
    def is_midway(self) -> bool:
        """Whether a frame or a message is incomplete."""
        return self._in_payload or self.is_in_message or self._at < len(self._data)

    @property
    def is_held(self) -> bool:
        """Whether `next` left input unread because no more frames are allowed."""
        return not self._frames_left and not self._in_payload and self._at < len(self._data)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are buffered: unread input, and the current message."""
        return len(self._data) + len(self._message)

    def allow(self, frames: int) -> None:
        """Let `next` read this many frames from now on."""
        self._frames_left = frames

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the client; `next` returns what they contain."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Received | None:
        """Return the next message or control frame; None if it is incomplete, or not allowed yet.

        Raises:
            BadFrame: the bytes are invalid; nothing may be read after that.
        """
        while self._in_payload or (self._frames_left and self._read_header()):
            self._read_payload()
            if self._missing_bytes:
                return None
            self._in_payload = False
            if self._opcode >= _FIRST_CONTROL:
                return self._control_frame()
            if self._is_final:
                return self._complete_message()
        return None

    def _read_header(self) -> bool:
        """Read the header of the next frame; return whether it was complete."""
        data, at = self._data, self._at
        if len(data) < at + 2:
            return False
        first, second = data[at], data[at + 1]
        opcode, length = first & _OPCODE, second & _LENGTH
        self._check_start(first, second)
        at += 2
        if length > MAX_CONTROL_BYTES:
            length_bytes = _LENGTH_BYTES[length]
            if len(data) < at + length_bytes:
                return False
            least, length = _SHORTEST[length], int.from_bytes(data[at : at + length_bytes])
            at += length_bytes
            if length < least or length >> 63:
                raise _broken("the length is not in its shortest form")
        if opcode < _FIRST_CONTROL and len(self._message) + length > self._max_message_bytes:
            raise BadFrame(FRAME_TOO_BIG, f"at most {self._max_message_bytes} bytes")
        if len(data) < at + 4:
            return False
        self._mask = data[at : at + 4]
        self._at = at + 4
        self._opcode, self._is_final, self._missing_bytes = opcode, first >= _FINAL, length
        self._in_payload = True
        self._frames_left -= 1
        if opcode in (TEXT, BINARY):
            self._message_opcode = opcode
        return True

    def _check_start(self, first: int, second: int) -> None:
        """Check the first two bytes of a frame."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise _broken("reserved bits are set, and no extension was negotiated")
        if opcode not in _OPCODES:
            raise _broken(f"opcode {opcode} is reserved")
        if opcode >= _FIRST_CONTROL:
            if first < _FINAL:
                raise _broken("a control frame is fragmented")
            if second & _LENGTH > MAX_CONTROL_BYTES:
                raise _broken(f"a control frame has more than {MAX_CONTROL_BYTES} bytes")
        elif (opcode == CONTINUATION) is (self._message_opcode == CONTINUATION):
            begun = self._message_opcode != CONTINUATION
            raise _broken("a message inside a message" if begun else "nothing is continued")
        if second < _MASKED:
            raise _broken("a client's frame is not masked")

    def _read_payload(self) -> None:
        """Read what is there of the payload of the frame."""
        chunk = self._data[self._at : self._at + self._missing_bytes]
        size = len(chunk)
        self._at += size
        self._missing_bytes -= size
        if not size:
            return
        mask = self._mask
        plain = _unmasked(chunk, mask)
        if size & 3 and self._missing_bytes:
            self._mask = mask[size & 3 :] + mask[: size & 3]
        if self._opcode >= _FIRST_CONTROL:
            self._control += plain
            return
        self._message += plain
        if self._message_opcode == TEXT:
            self._decode(plain)

    def _control_frame(self) -> Received:
        payload, self._control = self._control, b""
        if self._opcode == CLOSE:
            _check_close(payload)
        return Received(self._opcode, payload)

    def _complete_message(self) -> Received:
        if self._message_opcode == TEXT:
            self._decode(b"", final=True)
        message = Received(self._message_opcode, bytes(self._message), "".join(self._texts))
        self._message_opcode = CONTINUATION
        self._message.clear()
        self._texts.clear()
        return message

    def _decode(self, plain: bytes, *, final: bool = False) -> None:
        try:
            self._texts.append(self._utf8.decode(plain, final))
        except UnicodeDecodeError:
            raise BadFrame(INVALID_DATA, "a text message is not UTF-8") from None


def _unmasked(chunk: bytes, mask: bytes) -> bytes:
    """Return `chunk` without its mask, which starts at its first byte."""
    size = len(chunk)
    masks = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(chunk) ^ int.from_bytes(masks)).to_bytes(size)


def _check_close(payload: bytes) -> None:
    """Raise `BadFrame` if `payload` is not valid in a close frame."""
    if not payload:
        return
    if len(payload) == 1:
        raise _broken("half a close code")
    code = int.from_bytes(payload[:2])
    if code not in _CLOSE_CODES:
        raise _broken(f"close code {code} may not be sent")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise BadFrame(INVALID_DATA, "the reason of a close frame is not UTF-8") from None


def _broken(detail: str) -> BadFrame:
    return BadFrame(PROTOCOL_ERROR, detail)
