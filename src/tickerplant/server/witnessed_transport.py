"""A transport that shows all that is written to it to a log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import ref

from tickerplant.truth.sent import SentJournal


def witnessed(
    transport: asyncio.Transport, sent: SentJournal, identity: str, venue: str, path: str
) -> WitnessedTransport:
    """Return a transport whose writes are kept in `sent`."""
    there = ref(transport)

    def is_open() -> bool:
        found = there()
        return found is not None and not found.is_closing()

    return WitnessedTransport(transport, sent.open(identity, venue, path, is_open).write)


class WitnessedTransport(asyncio.Transport):
    """Passes everything on; nothing that reaches the socket goes past it."""

    def __init__(self, transport: asyncio.Transport, witness: Callable[[bytes], object]) -> None:
        super().__init__()
        self._transport = transport
        self._witness = witness

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Show `data` to the witness, and write it unless the transport is closing."""
        if data and not self._transport.is_closing():
            self._witness(bytes(data))
        self._transport.write(data)

    def write_eof(self) -> None:
        """Close the side of the server once everything is written."""
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Return whether one side can be closed."""
        return self._transport.can_write_eof()

    def abort(self) -> None:
        """Close at once; what is not sent is lost, though the witness has seen it."""
        self._transport.abort()

    def close(self) -> None:
        """Close once everything is written."""
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the network has not taken."""
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return when writing pauses and resumes."""
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when writing pauses and resumes."""
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Return whether it reads."""
        return self._transport.is_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the socket."""
        return self._transport.get_extra_info(name, default)
