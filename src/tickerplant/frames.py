"""WebSocket text frames as a server sends them: complete, unmasked, ready to be shared."""

from __future__ import annotations

from collections.abc import Iterator

_SHORT = 126
_MEDIUM = 1 << 16


class _Headers(dict[int, bytes]):
    """The header of a final text frame by the size of its payload (RFC 6455, section 5.2).

    Sizes below 64 KiB are remembered; there are no more of them than that.
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


def payloads(frames: bytes) -> Iterator[bytes]:
    """Yield the payloads of whole final text frames that stand one behind the other."""
    start = 0
    while start < len(frames):
        size, start = frames[start + 1], start + 2
        if size >= _SHORT:
            length_bytes = 2 if size == _SHORT else 8
            size = int.from_bytes(frames[start : start + length_bytes])
            start += length_bytes
        yield frames[start : start + size]
        start += size
