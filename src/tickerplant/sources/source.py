"""The interfaces between a source and the program around it.

A source drives a plant: it gives it events and time until it ends or is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from tickerplant.readiness import Readiness


class Readers(Protocol):
    """The connections of a server, which a source may wait for."""

    @property
    def congested(self) -> bool:
        """Whether any connection has more unsent data than it should."""

    @property
    def is_incomplete(self) -> bool:
        """Whether `wait_clear` would wait for a client that was cut off."""

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription."""

    async def wait_clear(self) -> None:
        """Return when no connection is congested; one that reads nothing for too long is closed."""


class Clients(Protocol):
    """The server, whose clients a source disconnects when their streams are lost."""

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Disconnect the subscribers of the streams `names`; None means all of the venue.

        With None, new stream connections are refused until `end_outage`.
        """

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of the venue again."""


POLL_S = 0.01
"""How often a source checks whether its first subscribers have connected."""


async def _nothing() -> None:
    """Do nothing."""


async def wait_for_subscribers(
    count: int,
    readers: Readers,
    status: Readiness,
    meanwhile: Callable[[], Awaitable[None]] = _nothing,
) -> None:
    """Return when `count` connections have subscribed; the source is ready in the meantime."""
    noun = "subscriber" if count == 1 else "subscribers"
    while readers.subscriber_count < count:
        status.ready(True, f"waiting for {count} {noun}")
        await meanwhile()
        await asyncio.sleep(POLL_S)
    status.ready(True)
