"""What a source and the program around it know of each other.

A source drives a plant: it gives it events and time until it is over or cancelled.
"""

from __future__ import annotations

from typing import Protocol


class Readers(Protocol):
    """The connections that are served, as far as a source may wait for them."""

    @property
    def congested(self) -> bool:
        """Whether any connection has more unsent data than it should."""
        ...

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription."""
        ...

    async def wait_clear(self) -> None:
        """Return when nobody is congested; who takes nothing for too long is closed."""
        ...


class Status(Protocol):
    """Where a source says how it is doing."""

    lag_ms: int

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the source is flowing, and why not."""
        ...

    def warn(self, text: str) -> None:
        """Say what is incomplete while it flows."""
        ...
