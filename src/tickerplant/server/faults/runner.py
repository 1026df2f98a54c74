"""Carries out the faults of a server: on its connections, handshakes and requests.

A connection is a plain one until a rule that is aimed at it opens; then it gets `ConnectionFaults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeGuard

from tickerplant.errors import ConfigError
from tickerplant.faults.answer_faults import AnswerFaults
from tickerplant.faults.board import FaultBoard, FaultOn
from tickerplant.faults.fault import ActsOn
from tickerplant.faults.request_faults import RestFault
from tickerplant.faults.rule import Rule
from tickerplant.faults.snapshot_faults import StaleSnapshot
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.event_loop import Clock
from tickerplant.server.faults.aims import check_aim
from tickerplant.server.faults.clock import Timing
from tickerplant.server.faults.connection import ConnectionFaults, FaultedConnection
from tickerplant.server.faults.earlier_books import EarlierBooks

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
        self.touches_requests = False
        """Whether any fault that is on may change the answer to a request."""
        self._timing = Timing(board, clock, market_ms)
        self._endpoints = tuple(endpoints)
        self._hanging: dict[asyncio.Future[None], FaultOn] = {}
        self._earlier = EarlierBooks(endpoints, journal, market_ms, board)
        self._answers = AnswerFaults(board, self._earlier.find)
        self.revised_answer = self._answers.revised
        board.published_ms = self._timing.sent_ms
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
                    endpoint.hub.flush()

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
                elif connection.faults is not None:
                    connection.faults.detach(on)
        if on.state == "over":
            self._release(each for each, whose in self._hanging.items() if whose is on)

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
        if connection.faults is None:
            connection.faults = ConnectionFaults(connection, self._timing, self._answers)
        connection.faults.attach(on)

    # Steps of connections

    def next_number(self) -> int:
        """Return the number of a new connection that is not exempt."""
        return self.board.next_ordinal()

    def refusal(self, venue_name: str, target: str) -> int:
        """Return the status with which a handshake is refused; 0 if no fault refuses it."""
        if status := self._refused_status(venue_name):
            return status
        path = target.partition("?")[0]
        hit = (on for on in self.board.on("handshake") if self._hits(on, venue_name, path))
        return next((on.rule.fault.refuse() for on in hit), 0)

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
        self._attach_all(connection, _ON_ANSWERS)

    def changed(self, connection: object) -> None:
        """Let what is aimed at streams be on, now that its subscriptions have changed."""
        self._attach_all(connection, _ON_STREAMS)

    def _attach_all(self, connection: object, acted_on: Iterable[ActsOn]) -> None:
        if not _can_be_faulted(connection):
            return
        for acts_on in acted_on:
            for on in self.board.on(acts_on):
                if on.rule.aim.venue in {"", connection.endpoint.venue.name}:
                    self._attach(connection, on)

    # Requests

    async def request(self, venue_name: str, path: str) -> int:
        """Return the status with which a request is refused, when it is time; 0 if none refuses it."""
        if status := self._refused_status(venue_name):
            return status
        for on in self.board.on("rest"):
            delay_ms = _delay_ms(on)
            if delay_ms and self._hits(on, venue_name, path):
                await self._wait(on, delay_ms)
        for on in self.board.on("rest"):
            if not _delay_ms(on) and self._hits(on, venue_name, path):
                return on.rule.fault.refuse()
        return 0

    def _hits(self, on: FaultOn, venue_name: str, path: str) -> bool:
        chances, is_meant = on.all_requests, on.rule.aim.takes_request(venue_name, path)
        return chances is not None and is_meant and chances.occurs()

    async def _wait(self, on: FaultOn, delay_ms: int) -> None:
        """Return after a time, or when the rule is over."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hanging[waiting] = on
        timer = self._timing.delays.after(delay_ms, lambda _: self._release([waiting]))
        try:
            await waiting
        finally:
            timer.cancel()
            del self._hanging[waiting]

    def _release(self, hanging: Iterable[asyncio.Future[None]]) -> None:
        for waiting in hanging:
            if not waiting.done():
                waiting.set_result(None)

    def tick(self) -> None:
        """Do what is due in connection time."""
        self._timing.delays.tick()

    def end(self) -> None:
        """Release every request that waits: the server stops."""
        self._release(self._hanging)
        self._timing.delays.end()


def _can_be_faulted(connection: object) -> TypeGuard[FaultedConnection]:
    """Whether a connection is not exempt."""
    return bool(getattr(connection, "fault_number", 0))


def _delay_ms(on: FaultOn) -> int:
    fault = on.rule.fault
    return fault.delay_ms() if isinstance(fault, RestFault) else 0
