"""What a source and the program around it know of each other.

A source drives a plant: it gives it events and time until it is over or cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal, Protocol

from msgspec import Struct


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


class Clients(Protocol):
    """The server, as far as a source lets its clients know what they miss."""

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Close who hears one of the streams `names`, or any (None), of which nothing comes.

        With None, who wants streams of the venue is told to come back later, until `restore`.
        """
        ...

    def end_outage(self, venue_name: str) -> None:
        """Take clients of the venue again."""
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
    """Where a source says how it is doing."""

    lag_ms: int
    left_out: Callable[[], Mapping[str, int]]
    """Counts what could not be used so far, by reason; a source that leaves out puts its own."""

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the source is flowing, and why not."""
        ...

    def warn(self, subject: str, text: str) -> bool:
        """Say what is incomplete of `subject` while it flows; return whether that is new."""
        ...

    def clear(self, subject: str) -> bool:
        """Say that `subject` is complete again; return whether it was not."""
        ...

    def measure(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Let `/metrics` print these too; asked for each time somebody reads it."""
        ...


POLL_S = 0.01
"""How often a source looks whether its first subscribers are there."""


async def _nothing() -> None:
    """Do nothing."""


async def wait_for_subscribers(
    count: int,
    readers: Readers,
    status: Status,
    meanwhile: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Return when `count` connections have subscribed; the source is ready meanwhile."""
    noun = "subscriber" if count == 1 else "subscribers"
    while readers.subscriber_count < count:
        status.ready(True, f"waiting for {count} {noun}")
        await meanwhile()
        await asyncio.sleep(POLL_S)
    status.ready(True)
