"""WebSocket text frames as a server sends them: complete, unmasked, ready to be shared."""

from __future__ import annotations

_SHORT = 126
_MEDIUM = 1 << 16


def text_frame(payload: bytes) -> bytes:
    """Return `payload` as one final text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < _SHORT:
        return b"\x81%c%b" % (size, payload)
    if size < _MEDIUM:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), payload)
