"""What the connections of one venue's port share, and what is counted and logged about them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from email.utils import formatdate
from itertools import count
from sys import intern
from typing import Protocol

from msgspec import Struct

from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.formatting import printable
from tickerplant.hub.channel import Write
from tickerplant.hub.hub import Hub
from tickerplant.logs import Complaints, logger
from tickerplant.protocol.close_reasons import EXPLANATIONS, UPSTREAM_LOST, CloseReason
from tickerplant.protocol.delivery import EVERY, Policy
from tickerplant.protocol.keepalive import NEVER_MS, SessionCounters
from tickerplant.protocol.limits import Limits
from tickerplant.protocol.rate_limiter import RateLimiter, Throttle
from tickerplant.protocol.redaction import loggable
from tickerplant.server.backend import Backend, LocalBackend
from tickerplant.server.congestion import CheckedReader, Congestion
from tickerplant.server.event_loop import Clock, connection_clock_ms, wall_clock_ms
from tickerplant.server.faults.hooks import PortFaults
from tickerplant.server.guard import Guard
from tickerplant.server.proxies import MALFORMED_PROXY, MalformedProxyError
from tickerplant.server.query_service import QueryService
from tickerplant.streams.spelling import remedy
from tickerplant.truth.sent import SentJournal
from tickerplant.venue import Venue

NO_DESCRIPTOR = "no descriptor"
TLS_TO_PLAIN = "TLS to a plain port"
PLAIN_TO_TLS = "plain to a TLS port"
NO_TLS = "TLS failed"
"""Why connections are rejected before their first request."""

MAX_SILENT_LOGGED = 1_000
"""Silent names of one port that are logged; further ones are only counted, and one line says so."""
MAX_SILENT_AT_ONCE = 3
"""Silent names of one message that are logged; one line says how many more there are.  Explaining a
name takes up to half a millisecond."""

MAX_CLOSED = 100
"""Connections of one port that were closed and are remembered."""
MAX_AGENT_BYTES = 200
"""What is kept of the name of a client."""
CHECKED_AT_ONCE = 256
"""Connections that are checked without a turn of the event loop, in less than a millisecond."""


class PortCounters:
    """Plain counts for the metrics: connections and requests add to them, the collector reads."""

    def __init__(self) -> None:
        self.accept_pauses = 0
        """Times the system had no socket for a connection, and accepting paused."""
        self.turned_away: Counter[str] = Counter()
        """Connections rejected before their first request, by reason."""
        self.opened = 0
        """WebSocket connections opened."""
        self.closed: Counter[str] = Counter()
        """WebSocket connections that ended, by reason."""
        self.refused: Counter[int] = Counter()
        """Handshakes refused, by HTTP status."""
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """HTTP requests answered, by path, method and status; unknown paths count as `other`."""
        self.compressed: Counter[str] = Counter()
        """HTTP responses sent as gzip: `made` for the request, `kept` from one before, `evicted` since."""
        self.malformed = 0
        """HTTP requests that could not be parsed, or whose head was too long."""
        self.timeouts: Counter[str] = Counter()
        """HTTP connections closed for being late, by what they were late with."""
        self.weight = 0
        """Request weight charged for HTTP requests."""


class SilentSubscriptions:
    """Counts the subscriptions of one port on which nothing will come, and logs each name once."""

    def __init__(self, hub: Hub, complaints: Complaints) -> None:
        self._hub = hub
        self._complaints = complaints
        self._logged: set[str] = set()

    def add(self, identity: str, silent: Mapping[str, str]) -> None:
        """Count the names in `silent`, and log those that are new."""
        for reason, number in Counter(silent.values()).items():
            self._complaints.count(f"silent: {reason}", number)
        new = [name for name in silent if name not in self._logged]
        room = MAX_SILENT_LOGGED - len(self._logged)
        for name in new[: min(MAX_SILENT_AT_ONCE, room)]:
            self._logged.add(name)
            self._log(identity, name, silent[name])
        if 0 < room <= min(MAX_SILENT_AT_ONCE, len(new)):
            logger().warning(
                f"! {MAX_SILENT_LOGGED} silent names are in the log; others are only counted"
            )
        elif room > 0 and len(new) > MAX_SILENT_AT_ONCE:
            others = len(new) - MAX_SILENT_AT_ONCE
            logger().warning(f"{identity} ! {others} more subscriptions of the message are silent")

    def _log(self, identity: str, name: str, reason: str) -> None:
        stream = loggable(name)
        # The explanation repeats parts of the name: none for a name that may be a key.
        fields = {"why": remedy(self._hub.markets, name)} if stream == name else {}
        logger().warning(
            f"{identity} ! a subscription is silent: {reason}", stream=stream, **fields
        )


_connection_numbers = count(1)


class Connection(CheckedReader, Protocol):
    """An open WebSocket connection, as its port sees it."""

    @property
    def identity(self) -> str:
        """What it is called in the log."""

    @property
    def names(self) -> Collection[str] | None:
        """The names it is subscribed to; None for a WebSocket API connection."""

    write: Write
    """Takes its frames."""
    policy: Policy
    """What happens to its messages while its client is behind."""
    reply_count: int
    """Replies to messages of its client so far."""
    reply_bytes: int
    """The frames of these replies."""

    @property
    def address(self) -> str:
        """The address of the client."""

    @property
    def is_open(self) -> bool:
        """Whether messages may still go both ways."""

    @property
    def throttle(self) -> Throttle | None:
        """Limits what its client sends: messages, or pings and pongs of the WebSocket API."""

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` next has something to do, in connection time."""

    @property
    def machine_deadline_ms(self) -> int:
        """When `tick` next has something to do, on the machine's clock."""

    def tick(self, now_ms: int, machine_ms: int) -> None:
        """Do what is due at `now_ms` of connection time and `machine_ms` of the machine's clock."""

    def abort(self) -> None:
        """Cut the connection; what is unsent is lost."""


class Opening(Struct, frozen=True):
    """How a connection was opened."""

    target: str
    """What it asked for, as it was sent."""
    user_agent: str
    opened_ms: int
    """When, in connection time."""
    market_ms: int | None
    """When, in market time; None where that is not known."""
    number: int
    """It was the n-th connection of its port."""


class ClosedConnection(Struct, frozen=True, kw_only=True):
    """A connection that was closed."""

    id: str
    """What it is called in the log."""
    worker: str = ""
    """The process that had it; see `/plant/v1/nodes`."""
    venue: str
    """Whose port it was connected to: `usdm` or `coinm`."""
    address: str
    """The address of the client."""
    path: str
    """What it asked for."""
    user_agent: str
    """What its client calls itself."""
    opened_ms: int
    """When it was opened, in connection time, ms since 1970."""
    closed_ms: int
    """When it was closed, in connection time, ms since 1970."""
    closed_market_ms: int | None
    """When it was closed, in market time; null where that is not known, as at an edge."""
    reason: str
    """Why: the name of a [close reason](errors.md#close-reasons)."""
    explanation: str
    """What that means."""


class EndedConnection(Struct, frozen=True, kw_only=True):
    """A connection that has ended, and what would take its place."""

    identity: str
    """What it was called in the log."""
    number: int
    """It was the n-th connection of its port."""
    names: frozenset[str] | None
    """The names it was subscribed to; None for a WebSocket API connection."""
    reason: str
    """Why it has ended."""
    market_ms: int
    """Market time when it was gone."""
    followers: int | None
    """Later connections than the n-th may be in its place: n of them had been opened when the server
    ended it.  None if its client did."""


class Endpoint:
    """One venue's port: its hub, queries, limits, counters and open connections.

    Lifetimes, pings, limits and bans follow `clock`, connection time.  What protects the server from
    stuck sockets follows `machine_clock`, which is the same clock unless connection time is market
    time.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        hub: Hub,
        queries: QueryService,
        limits: Limits,
        rate_limiter: RateLimiter,
        congestion: Congestion,
        complaints: Complaints,
        clock: Clock,
        machine_clock: Clock | None = None,
        alarms: FaultClock | None = None,
        policy: Policy = EVERY,
        sent: SentJournal | None = None,
    ) -> None:
        self.venue = venue
        self.hub = hub
        self.queries = queries
        self.limits = limits
        self.rate_limiter = rate_limiter
        self.congestion = congestion
        self.complaints = complaints
        self.silent_subscriptions = SilentSubscriptions(hub, complaints)
        self.clock = clock
        self.machine_clock = machine_clock or clock
        is_of_machine = self.machine_clock is connection_clock_ms
        self.wall_clock: Clock = wall_clock_ms if is_of_machine else self.machine_clock
        """The time of the machine, also after somebody has set its clock."""
        self._alarms = alarms
        """Connection time where it is market time: what is due happens between the events of the
        market.  None where a tick now and then is enough."""
        self._alarm: Timer | None = None
        self._alarm_ms = NEVER_MS
        self.policy = policy
        """The delivery to connections that do not ask for another."""
        self.sent = sent
        """Keeps what is written to connections; None if nothing does."""
        self.faults: PortFaults | None = None
        """What goes wrong on demand; None if nothing can."""
        self.counters = PortCounters()
        self.session_counters = SessionCounters()
        self.backend: Backend = LocalBackend(queries, rate_limiter, limits, self.session_counters)
        """Decides about connections and answers WebSocket API requests; at an edge, its plant."""
        self.connections: dict[Connection, Opening] = {}
        """The open connections, each with what is known of its opening."""
        self.closed: deque[ClosedConnection] = deque(maxlen=MAX_CLOSED)
        """The last connections that were closed, the latest last."""
        self.ended: deque[EndedConnection] = deque(maxlen=MAX_CLOSED)
        """The same where market time is known."""
        self.market_ms: Callable[[], int | None] = lambda: None
        """Returns market time; None where it is not known, as at an edge."""
        self._date = (0, "")
        """The second that was written last as a date, and the date."""
        self.subscriber_count = 0
        """Open connections with at least one subscription."""
        self.subscription_count = 0
        """Subscriptions of all open connections."""
        self.outage: str | None = None
        """Why streams are not served; None while they are."""
        self.ending: CloseReason | None = None
        """Why the streams are over; None while they are not."""
        self.guard = Guard("127.0.0.1", "127.0.0.1")
        """Decides which requests are accepted; that of the port, once it is open."""

    @property
    def policy_counts(self) -> Counter[Policy]:
        """Open stream connections, by what happens to their messages while the client is behind."""
        return Counter(each.policy for each in self.connections if each.names is not None)

    def reject_proxy(self, error: MalformedProxyError) -> None:
        """Count and log a trusted proxy that does not say for whom it speaks."""
        self.counters.turned_away[MALFORMED_PROXY] += 1
        self.complaints.add(MALFORMED_PROXY, f"! a trusted proxy is not understood: {error}")

    @property
    def date(self) -> str:
        """The date of now, as HTTP writes it."""
        now_s = (self.wall_clock if self._alarms is None else self.clock)() // 1_000
        if self._date[0] != now_s:
            self._date = (now_s, formatdate(now_s, usegmt=True))
        return self._date[1]

    def new_connection_id(self) -> str:
        """Return an identity for a connection, unique over all ports."""
        return f"c{next(_connection_numbers)}"

    def arrived(self, connection: Connection, target: str, agents: Sequence[bytes]) -> None:
        """Count a connection that is open from now on."""
        agent = agents[0][:MAX_AGENT_BYTES].decode("latin-1") if agents else ""
        self.connections[connection] = Opening(
            target, intern(agent), self.clock(), self.market_ms(), self.counters.opened + 1
        )
        self.counters.opened += 1
        self._set_alarm(connection.next_deadline_ms)

    def left(self, connection: Connection, reason: str, followers: int | None = None) -> None:
        """Count a connection that was open until now, and why it ended.

        `followers` are the connections that had been opened when the server ended it; None if its client
        did.
        """
        opening = self.connections.pop(connection)
        market_ms, names = self.market_ms(), connection.names
        if market_ms is not None:
            self.ended.append(
                EndedConnection(
                    identity=connection.identity,
                    number=opening.number,
                    names=None if names is None else frozenset(names),
                    reason=reason,
                    market_ms=market_ms,
                    followers=followers,
                )
            )
        self.counters.closed[reason] += 1
        self.closed.append(
            ClosedConnection(
                id=connection.identity,
                venue=self.venue.name,
                address=connection.address,
                path=loggable(opening.target),
                user_agent=printable(opening.user_agent),
                opened_ms=opening.opened_ms,
                closed_ms=self.clock(),
                closed_market_ms=market_ms,
                reason=reason,
                explanation=EXPLANATIONS.get(reason, ""),
            )
        )

    def end_streams(self, reason: CloseReason) -> None:
        """Send what waits, close all stream connections, and from now on each new one once it is open."""
        self.hub.flush()
        self.ending = reason
        for connection in tuple(self.connections):
            if connection.names is not None:
                connection.close(reason)

    def start_outage(
        self,
        names: Iterable[str] | None,
        reason: str,
        close_reason: CloseReason = UPSTREAM_LOST,
    ) -> None:
        """Close the connections that are subscribed to any of `names`.

        If `names` is None, close all stream connections, and refuse new ones until `end_outage`.
        """
        if names is None:
            self.outage = reason
        wanted = None if names is None else frozenset(names)
        for connection in tuple(self.connections):
            names_of = connection.names
            if names_of is not None and (wanted is None or not wanted.isdisjoint(names_of)):
                connection.close(close_reason)

    def end_outage(self) -> None:
        """Accept stream connections again."""
        self.outage = None

    def tick(self) -> Iterator[None]:
        """Let every connection whose deadline has passed ping, close or expire, and check its reading.

        Yields:
            From time to time: the event loop should have a turn.
        """
        now_ms, machine_ms, congestion = self.clock(), self.machine_clock(), self.congestion
        for number, connection in enumerate(tuple(self.connections), 1):
            if (
                connection.next_deadline_ms <= now_ms
                or connection.machine_deadline_ms <= machine_ms
            ):
                connection.tick(now_ms, machine_ms)
            if connection.is_open:
                congestion.check(connection, machine_ms)
            if not number % CHECKED_AT_ONCE:
                yield

    def _set_alarm(self, due_ms: int) -> None:
        """Look at the connections when market time is `due_ms`, if they follow it."""
        if self._alarms is None or due_ms >= self._alarm_ms:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_ms = self._alarms.at(due_ms, self._wake), due_ms

    def _wake(self, now_ms: int) -> None:
        """Do what is due at a market time, after what was published before."""
        self._alarm, self._alarm_ms = None, NEVER_MS
        due = [each for each in self.connections if each.next_deadline_ms <= now_ms]
        if due:
            self.hub.flush()
        for connection in due:
            connection.tick(now_ms, self.machine_clock())
        self._set_alarm(min((each.next_deadline_ms for each in self.connections), default=NEVER_MS))
