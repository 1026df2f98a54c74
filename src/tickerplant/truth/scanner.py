"""The bytes that were written to a connection, as its handshake and its frames."""

from __future__ import annotations

from copy import copy
from enum import Enum
from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.frames import BINARY, CLOSE, PING, PONG, TEXT

SentKind: TypeAlias = Literal["handshake", "text", "binary", "ping", "pong", "close", "bytes"]
"""What was written: the answer to the handshake, a frame, or bytes that are not a frame."""

_KINDS: dict[int, SentKind] = {
    0x80 | TEXT: "text",
    0x80 | BINARY: "binary",
    0x80 | CLOSE: "close",
    0x80 | PING: "ping",
    0x80 | PONG: "pong",
}
"""The frames that a server of ours sends, by their first byte: final, without reserved bits."""
_END_OF_HEAD = b"\r\n\r\n"
_SWITCHING = b"HTTP/1.1 101 "
_LONGEST_HEADER = 10


class Scanned(Struct, frozen=True):
    """One thing that was written."""

    kind: SentKind
    data: bytes
    """The payload of a frame; all of a handshake, and of what is not a frame."""


class _Phase(Enum):
    HANDSHAKE = 0
    FRAMES = 1
    BYTES = 2
    """What follows has no form: after a refused handshake, and after what is not a frame."""


class Scanner:
    """Splits what is written to a connection, however it is cut."""

    def __init__(self) -> None:
        self._phase = _Phase.HANDSHAKE
        self._rest = b""
        """The beginning of what is not complete."""

    @property
    def rest(self) -> bytes:
        """The beginning of a frame, or of the handshake, whose end was not written yet."""
        return self._rest

    def copy(self) -> Scanner:
        """Return one that goes on from here by itself."""
        return copy(self)

    def feed(self, data: bytes) -> list[Scanned]:
        """Return what is complete with `data`."""
        data, self._rest = self._rest + data, b""
        found: list[Scanned] = []
        at = 0
        if self._phase is _Phase.HANDSHAKE:
            at = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
            if at < len(_END_OF_HEAD):
                self._rest = data
                return found
            found.append(Scanned("handshake", data[:at]))
            is_open = data.startswith(_SWITCHING)
            self._phase = _Phase.FRAMES if is_open else _Phase.BYTES
        while self._phase is _Phase.FRAMES and at < len(data):
            end = self._take_frame(data, at, found)
            if end is None:
                break
            at = end
        if self._phase is not _Phase.BYTES:
            self._rest = data[at:]
        elif at < len(data):
            found.append(Scanned("bytes", data[at:]))
        return found

    def _take_frame(self, data: bytes, at: int, found: list[Scanned]) -> int | None:
        """Add the frame that begins at `at`; return its end, None if it is not complete or none."""
        kind = _KINDS.get(data[at])
        header = data[at + 1 : at + _LONGEST_HEADER]
        if kind is None or (header and header[0] & 0x80):  # only clients mask
            self._phase = _Phase.BYTES
            return None
        if not header:
            return None
        length_bytes = {126: 2, 127: 8}.get(header[0], 0)
        if len(header) <= length_bytes:
            return None
        size = int.from_bytes(header[1 : 1 + length_bytes]) if length_bytes else header[0]
        start = at + 2 + length_bytes
        if start + size > len(data):
            return None
        found.append(Scanned(kind, data[start : start + size]))
        return start + size
