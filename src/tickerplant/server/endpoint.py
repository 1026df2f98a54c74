"""What the connections of one venue's port share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count
from typing import Protocol

from tickerplant.hub.hub import Hub
from tickerplant.logs import Complaints
from tickerplant.protocol.budget import Budget
from tickerplant.protocol.closing import UPSTREAM_LOST, CloseReason
from tickerplant.protocol.counters import SessionCounters
from tickerplant.protocol.limits import Limits
from tickerplant.server.answerer import QueryAnswerer
from tickerplant.server.clock import Clock
from tickerplant.server.counters import PortCounters
from tickerplant.server.forwarding import Forwarder, Forwarding
from tickerplant.server.gate import Gate
from tickerplant.server.silent_names import SilentNames
from tickerplant.venue import Venue

_connection_numbers = count(1)


class Connection(Protocol):
    """An open WebSocket connection, as its port sees it."""

    @property
    def names(self) -> Collection[str] | None:
        """The names it is subscribed to; None for a WebSocket API connection."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether messages may still go both ways."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes written to it that the network has not taken."""
        ...

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` next has something to do, on the connection clock."""
        ...

    def tick(self, now_ms: int) -> None:
        """Do what is due at `now_ms`."""
        ...

    def close(self, reason: CloseReason) -> None:
        """Leave the hub at once and close."""
        ...

    def abort(self) -> None:
        """Cut the connection; what is unsent is lost."""
        ...


class Endpoint:
    """One venue's port: its hub, its limits, its counters and its open connections."""

    def __init__(
        self,
        *,
        venue: Venue,
        hub: Hub,
        answerer: QueryAnswerer,
        limits: Limits,
        budget: Budget,
        gate: Gate,
        complaints: Complaints,
        clock: Clock,
        forwarder: Forwarder | None = None,
    ) -> None:
        self.venue = venue
        self.hub = hub
        self.answerer = answerer
        self.limits = limits
        self.budget = budget
        self.gate = gate
        self.complaints = complaints
        self.silent_names = SilentNames(hub, complaints)
        self.clock = clock
        self.forwarding = Forwarding(forwarder, complaints)
        self.counters = PortCounters()
        self.session_counters = SessionCounters()
        self.connections: dict[Connection, None] = {}
        self.lost: str | None = None
        """Why no streams reach the port; None while they do."""

    @property
    def subscriber_count(self) -> int:
        """Open connections with at least one subscription."""
        return sum(bool(connection.names) for connection in self.connections)

    @property
    def subscription_count(self) -> int:
        """Subscriptions of all open connections."""
        return sum(len(connection.names or ()) for connection in self.connections)

    def new_connection_id(self) -> str:
        """Return a name for a connection that no other has, on any venue."""
        return f"c{next(_connection_numbers)}"

    def lose(self, names: Iterable[str] | None, reason: str) -> None:
        """Close the connections that are subscribed to any of `names`.

        Without `names` those are all that are for streams, and the port is lost until `restore`.
        """
        if names is None:
            self.lost = reason
        wanted = None if names is None else frozenset(names)
        for connection in tuple(self.connections):
            held = connection.names
            if held is not None and (wanted is None or not wanted.isdisjoint(held)):
                connection.close(UPSTREAM_LOST)

    def restore(self) -> None:
        """Take handshakes for streams again."""
        self.lost = None

    def tick(self) -> None:
        """Let every connection whose deadline has come ping, close or expire."""
        now_ms = self.clock()
        for connection in tuple(self.connections):
            if connection.next_deadline_ms <= now_ms:
                connection.tick(now_ms)
