"""Carries out the faults of a server: on its connections, handshakes and requests.

A connection is a plain one until a rule that is aimed at it opens; then it gets `ConnectionFaults`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

from tickerplant.errors import ConfigError
from tickerplant.faults.answer_faults import AnswerFaults
from tickerplant.faults.board import FaultBoard, FaultOn
from tickerplant.faults.clock import StampedClock, Timer
from tickerplant.faults.fault import ActsOn
from tickerplant.faults.request_faults import RestFault
from tickerplant.faults.rule import Rule, matches
from tickerplant.faults.snapshot_faults import StaleSnapshot
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.event_loop import Clock
from tickerplant.server.faults.aims import check_aim
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.faults.connection import ConnectionFaults, FaultedConnection
from tickerplant.server.faults.earlier_books import EarlierBooks
from tickerplant.server.faults.hooks import Refused

if TYPE_CHECKING:
    from tickerplant.truth.journal import Journal

_ON_STREAMS: tuple[ActsOn, ...] = ("connection", "message", "clock")
"""What is aimed at connections by their streams."""
_ON_ANSWERS: tuple[ActsOn, ...] = ("subscription", "api", "snapshot", "clock", "message")
_ON_CONNECTIONS = frozenset({*_ON_STREAMS, *_ON_ANSWERS})


class FaultRunner:
    """The faults of one server, carried out on all of its ports."""

    def __init__(
        self,
        board: FaultBoard,
        endpoints: Sequence[Endpoint],
        clock: Clock,
        market_ms: Callable[[], int],
        journal: Journal | None = None,
    ) -> None:
        self.board = board
        self.market_ms = market_ms
        self.delays = (
            board.clock if isinstance(board.clock, ConnectionClock) else ConnectionClock(clock)
        )
        """The clock of answers that come later."""
        self.message_clock = StampedClock(board.clock, self.sent_ms)
        """The clock of faults of messages."""
        self.touches_requests = False
        """Whether any fault that is on may change the answer to a request."""
        self._endpoints = tuple(endpoints)
        self._timed: Counter[Endpoint] = Counter()
        """The ports with connections for which it matters when something is written."""
        self._pulse: Timer | None = None
        self._stamp_ms: int | None = None
        self._hanging: dict[asyncio.Future[None], FaultOn] = {}
        self._earlier = EarlierBooks(endpoints, journal, market_ms)
        self._answers = AnswerFaults(board, self._earlier)
        board.published_ms = self.sent_ms
        board.check = self._check
        board.before_end = self._before_end
        board.subscribe(self._on_change)
        for endpoint in endpoints:
            endpoint.faults = self

    # Rules that open and end

    def _check(self, rule: Rule) -> None:
        check_aim(rule, self._endpoints)
        fault = rule.fault
        if isinstance(fault, StaleSnapshot) and fault.age and not self._earlier.keeps_ages:
            expected = "none: only a test server keeps books of any age"
            raise ConfigError("age", rule.given["age"], expected)

    def _before_end(self, on: FaultOn) -> None:
        """Write what was published while a rule about messages was on."""
        if on.rule.fault.acts_on in {"message", "clock"}:
            for endpoint in self._endpoints:
                if on.rule.aim.venue in {"", endpoint.venue.name}:
                    self.flush(endpoint)

    def _on_change(self, on: FaultOn) -> None:
        """Begin or end what a rule does."""
        board = self.board
        self.touches_requests = bool(
            board.on("rest")
            or board.on("snapshot")
            or board.on("clock")
            or any(each.rule.fault.refuse() for each in board.on("connection"))
        )
        if on.rule.fault.acts_on in _ON_CONNECTIONS:
            for connection in self._connections(on):
                if on.is_on:
                    self._attach(connection, on)
                elif isinstance(connection.faults, ConnectionFaults):
                    connection.faults.detach(on)
        if on.state == "over":
            for waiting, whose in self._hanging.items():
                if whose is on and not waiting.done():
                    waiting.set_result(None)

    def _connections(self, on: FaultOn) -> list[FaultedConnection]:
        """Return the connections that are not exempt, of the venue that a rule is aimed at."""
        venue_name = on.rule.aim.venue
        return [
            connection
            for endpoint in self._endpoints
            if venue_name in {"", endpoint.venue.name}
            for connection in tuple(endpoint.connections)
            if _can_be_faulted(connection)
        ]

    def _attach(self, connection: FaultedConnection, on: FaultOn) -> None:
        """Let a rule be on for a connection, if it is aimed at it."""
        aim = on.rule.aim
        if not connection.is_open or aim.connection not in {"", connection.identity}:
            return
        if not self.board.takes(on, connection.fault_number):
            return
        is_of_names = aim.stream and on.rule.fault.acts_on in _ON_STREAMS
        if is_of_names and not aim.takes_any(connection.names or ()):
            return
        faults = connection.faults
        if not isinstance(faults, ConnectionFaults):
            connection.faults = faults = ConnectionFaults(self, connection)
        faults.attach(on)

    # Steps of connections

    def next_number(self) -> int:
        """Return the number of a new connection that is not exempt."""
        return self.board.next_ordinal()

    def refusal(self, venue_name: str, target: str) -> Refused | None:
        """Return how a handshake is refused; None if no fault refuses it."""
        status = self._refused_status(venue_name)
        if not status:
            path = target.partition("?")[0]
            hits = (on for on in self.board.on("handshake") if self._hits(on, venue_name, path))
            status = next((on.rule.fault.refuse() for on in hits), 0)
        return Refused(status) if status else None

    def _refused_status(self, venue_name: str) -> int:
        """Return the status with which everything at a venue is refused; 0 if it is not."""
        for on in self.board.on("connection"):
            status = on.rule.fault.refuse()
            if status and on.rule.aim.venue in {"", venue_name}:
                self.board.count(on)
                return status
        return 0

    def opened(self, connection: object) -> None:
        """Let what acts on messages, subscriptions and requests be on for a new connection."""
        if not _can_be_faulted(connection):
            return
        for acts_on in _ON_ANSWERS:
            self._attach_all(connection, acts_on)

    def changed(self, connection: object) -> None:
        """Let what is aimed at streams be on, now that its subscriptions have changed."""
        if not _can_be_faulted(connection):
            return
        for acts_on in _ON_STREAMS:
            self._attach_all(connection, acts_on)

    def _attach_all(self, connection: FaultedConnection, acts_on: ActsOn) -> None:
        for on in self.board.on(acts_on):
            if on.rule.aim.venue in {"", connection.endpoint.venue.name}:
                self._attach(connection, on)

    # Requests

    async def request(self, venue_name: str, path: str) -> Refused | None:
        """Return how a request is answered, when it is time; None if no fault answers it."""
        if status := self._refused_status(venue_name):
            return Refused(status)
        for on in self.board.on("rest"):
            delay_ms = _delay_ms(on)
            if delay_ms and self._hits(on, venue_name, path):
                await self._wait(on, delay_ms)
        for on in self.board.on("rest"):
            if not _delay_ms(on) and self._hits(on, venue_name, path):
                return Refused(on.rule.fault.refuse())
        return None

    def _hits(self, on: FaultOn, venue_name: str, path: str) -> bool:
        aim, chances = on.rule.aim, on.all_requests
        return (
            chances is not None
            and aim.venue in {"", venue_name}
            and (not aim.path or matches(aim.path, path))
            and chances.occurs()
        )

    async def _wait(self, on: FaultOn, delay_ms: int) -> None:
        """Return after a time, or when the rule is over."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hanging[waiting] = on
        timer = self.delays.at(
            self.delays.now_ms + delay_ms,
            lambda _: None if waiting.done() else waiting.set_result(None),
        )
        try:
            await waiting
        finally:
            timer.cancel()
            del self._hanging[waiting]

    def revised_answer(
        self, venue_name: str, path: str, params: Mapping[str, object], body: bytes
    ) -> bytes:
        """Return what faults make of the answer to a REST request."""
        return self._answers.revised(venue_name, path, params, body)

    def revised_api_answer(
        self, endpoint: Endpoint, method: str, params: Mapping[str, object], text: bytes
    ) -> bytes:
        """Return what faults make of the reply to a WebSocket API request."""
        return self._answers.revised(endpoint.venue.name, method, params, text)

    # Time

    def sent_ms(self) -> int:
        """Return when data that is written now was sent, on the clock of faults."""
        return self.board.clock.now_ms if self._stamp_ms is None else self._stamp_ms

    def flush(self, endpoint: Endpoint) -> None:
        """Write what was published before the fault that comes now."""
        endpoint.hub.flush()

    def soon(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the next turn of the event loop."""
        asyncio.get_running_loop().call_soon(callback)

    def begin_timed(self, endpoint: Endpoint) -> None:
        """Write all messages of a port in the millisecond of their market time from now on."""
        self.flush(endpoint)
        self._timed[endpoint] += 1
        if self.board.clock.is_market and self._pulse is None:
            self._pulse_later()

    def end_timed(self, endpoint: Endpoint) -> None:
        """Undo one `begin_timed`."""
        self._timed[endpoint] -= 1
        if not +self._timed and self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None

    def _pulse_later(self) -> None:
        self._pulse = self.board.clock.after(1, self._beat)

    def _beat(self, due_ms: int) -> None:
        """Write what was published in the millisecond that is over."""
        self._stamp_ms = due_ms - 1
        try:
            for endpoint in +self._timed:
                self.flush(endpoint)
        finally:
            self._stamp_ms = None
        self._pulse_later()

    def tick(self) -> None:
        """Do what is due in connection time."""
        self.delays.tick()

    def end(self) -> None:
        """Release every request that waits: the server stops."""
        for waiting in self._hanging:
            if not waiting.done():
                waiting.set_result(None)
        self.delays.end()


def _can_be_faulted(connection: object) -> TypeGuard[FaultedConnection]:
    """Whether a connection is not exempt."""
    return bool(getattr(connection, "fault_number", 0))


def _delay_ms(on: FaultOn) -> int:
    fault = on.rule.fault
    return fault.delay_ms() if isinstance(fault, RestFault) else 0
