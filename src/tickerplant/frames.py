"""WebSocket frames as a server sends them: complete, unmasked and shareable."""

from __future__ import annotations

from collections.abc import Iterator

CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
CLOSE, PING, PONG = 0x8, 0x9, 0xA
"""The opcodes of data frames and of control frames (RFC 6455, section 5.2)."""

_SHORT = 126
_MEDIUM = 1 << 16


class _Headers(dict[int, bytes]):
    """The header of a final text frame by the size of its payload (RFC 6455, section 5.2).

    Headers of sizes below 64 KiB are cached, which bounds the cache.
    """

    def __missing__(self, size: int) -> bytes:
        if size >= _MEDIUM:
            return b"\x81\x7f" + size.to_bytes(8)
        header = b"\x81%c" % size if size < _SHORT else b"\x81\x7e" + size.to_bytes(2)
        self[size] = header
        return header


HEADERS = _Headers()
"""The header of a final text frame by the size of its payload."""


def text_frame(payload: bytes) -> bytes:
    """Return `payload` as one final text frame."""
    return HEADERS[len(payload)] + payload


def control_frame(opcode: int, payload: bytes) -> bytes:
    """Return a close, ping or pong frame; `payload` has at most 125 bytes."""
    return bytes((0x80 | opcode, len(payload))) + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return a close frame; `reason` is ASCII of at most 123 characters."""
    return control_frame(CLOSE, code.to_bytes(2) + reason.encode("ascii"))


def payloads(frames: bytes) -> Iterator[bytes]:
    """Yield the payloads of consecutive, complete final text frames."""
    start = 0
    while start < len(frames):
        size, start = frames[start + 1], start + 2
        if size >= _SHORT:
            length_bytes = 2 if size == _SHORT else 8
            size = int.from_bytes(frames[start : start + length_bytes])
            start += length_bytes
        yield frames[start : start + size]
        start += size
