"""The interfaces between a source and the program around it.

A source drives a plant: it gives it events and time until it ends or is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, Protocol

from msgspec import Struct


class Readers(Protocol):
    """The connections of a server, which a source may wait for."""

    @property
    def congested(self) -> bool:
        """Whether any connection has more unsent data than it should."""
        ...

    @property
    def is_incomplete(self) -> bool:
        """Whether `wait_clear` would wait for a client that was cut off."""
        ...

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription."""
        ...

    async def wait_clear(self) -> None:
        """Return when no connection is congested; one that reads nothing for too long is closed."""
        ...


class Clients(Protocol):
    """The server, whose clients a source disconnects when their streams are lost."""

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Disconnect the subscribers of the streams `names`; None means all of the venue.

        With None, new stream connections are refused until `end_outage`.
        """
        ...

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of the venue again."""
        ...


class Sample(Struct, frozen=True, kw_only=True):
    """One number that `/metrics` prints."""

    name: str
    """Without the prefix of the program and, of a counter, without `_total`."""
    value: float
    doc: str
    """One sentence; samples of one name have one sentence and one type."""
    type: Literal["counter", "gauge"] = "gauge"
    labels: Mapping[str, str] = {}
    """Few values each: no symbols, no streams."""


class Status(Protocol):
    """Where a source reports its state."""

    lag_ms: int
    skipped: Callable[[], Mapping[str, int]]
    """Counts what could not be used so far, by reason; a source that skips messages sets its own."""

    late_ns: Callable[[], int | None]
    """Returns how late, in ns, is what is published now; a source that keeps a pace sets its own."""

    def observe_lateness(self, late_ns: int) -> None:
        """Count how late the first event of a slice is published; negative if it is early."""
        ...

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Set whether the source is running, and why not."""
        ...

    def follow_machine(self, *, follows: bool) -> None:
        """Set whether market time is the time of the machine, as that is now."""
        ...

    def warn(self, subject: str, text: str) -> bool:
        """Set the warning about `subject`; return whether it is new."""
        ...

    def clear(self, subject: str) -> bool:
        """Withdraw the warning about `subject`; return whether there was one."""
        ...

    def measure(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Add samples to `/metrics`; `samples` is called at each request."""
        ...


POLL_S = 0.01
"""How often a source checks whether its first subscribers have connected."""


async def _nothing() -> None:
    """Do nothing."""


async def wait_for_subscribers(
    count: int,
    readers: Readers,
    status: Status,
    meanwhile: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Return when `count` connections have subscribed; the source is ready in the meantime."""
    noun = "subscriber" if count == 1 else "subscribers"
    while readers.subscriber_count < count:
        status.ready(True, f"waiting for {count} {noun}")
        await meanwhile()
        await asyncio.sleep(POLL_S)
    status.ready(True)
