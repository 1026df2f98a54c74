"""How much a server has served."""

from __future__ import annotations

from msgspec import Struct


class Totals(Struct, frozen=True):
    """The totals of a server since it started."""

    messages: int
    sent_bytes: int
    connections: int

    def __add__(self, other: Totals) -> Totals:
        """Return the totals of two together."""
        return Totals(
            self.messages + other.messages,
            self.sent_bytes + other.sent_bytes,
            self.connections + other.connections,
        )
