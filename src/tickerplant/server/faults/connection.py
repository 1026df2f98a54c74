"""The faults of one WebSocket connection, attached while their windows are open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import cycle
from random import Random
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.faults.answer_faults import AnswerFaults
from tickerplant.faults.board import Chances, FaultOn
from tickerplant.faults.clock import Timer
from tickerplant.faults.connection_faults import ConnectionFault, Undo
from tickerplant.faults.request_faults import ApiFault, SubscriptionFault
from tickerplant.hub.delivery import Message
from tickerplant.logs import logger
from tickerplant.protocol.actions import Action, Send, Subscribe
from tickerplant.protocol.api_session import ApiError, ApiReply, RateLimit, Retry
from tickerplant.protocol.client_requests import ApiId
from tickerplant.protocol.close_reasons import SLOW_CONSUMER, CloseReason
from tickerplant.protocol.delivery import EVERY
from tickerplant.server.containment import ContainedClock, contained
from tickerplant.server.endpoint import Connection, Endpoint
from tickerplant.server.faults.clock import Timing
from tickerplant.server.faults.injected_errors import RETRY_AFTER_MS, injected_error
from tickerplant.server.faults.message_filters import (
    CountedMessages,
    MessageFilter,
    message_filter,
)
from tickerplant.server.faults.transport import FaultyTransport, reset

MAX_REQUESTS = 1_000
"""Requests of one connection that are kept until they are answered; further ones are spared."""


class FaultedConnection(Connection, Protocol):
    """A WebSocket connection, as faults see it."""

    transport: asyncio.Transport
    faults: ConnectionFaults | None
    """Its faults; None while none is on for it."""
    fault_number: int
    """It is the n-th connection that is not exempt from faults; 0 if it is exempt."""

    def cut_off(self) -> None:
        """Count its client as one that will come back, once."""

    @property
    def endpoint(self) -> Endpoint:
        """Its port."""

    @property
    def is_reading_paused(self) -> bool:
        """Whether it wants nothing to be read for now."""

    def receive(self, data: bytes) -> None:
        """Answer what was received."""

    def carry_out(self, actions: Iterable[Action]) -> None:
        """Carry out actions that faults have seen, at once."""

    def abandon(self, error: Exception) -> None:
        """Count and log an error of this connection, and cut it."""


class _Request(Struct):
    """The parts of a request that faults depend on."""

    method: str = ""
    id: ApiId = None
    params: dict[str, object] | None = None


class _Reply(Struct, rename="camel"):
    """The parts of a WebSocket API reply that an error in its place keeps."""

    id: ApiId
    rate_limits: tuple[RateLimit, ...] | UnsetType = UNSET


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode


class _Attached:
    """One rule that is on for this connection; a `FaultedClient` for the fault that it is."""

    def __init__(self, faults: ConnectionFaults, on: FaultOn, chances: Chances) -> None:
        self.on = on
        self.chances = chances
        self.timer: Timer | None = None
        """What it does next."""
        self.undo: Undo | None = None
        """Ends what it does now."""
        self.filter: MessageFilter | None = None
        self.is_timed = False
        """Whether the messages of its port are written in their millisecond because of it."""
        self.held: list[Callable[[], object]] = []
        """Answers that it delays."""
        self.line = faults.line
        self.reset = faults.reset
        self.next_of = faults.next_of
        self.market_ms = faults.market_ms
        self.rule_id = on.id
        self._faults = faults

    def write(self, frame: bytes) -> None:
        self._faults.connection.transport.write(frame)

    def close(self, code: int) -> None:
        self._faults.connection.close(close_reason(code))

    def draws_at(self, now_ms: int) -> Random:
        seed, number = self._faults.board.seed, self._faults.connection.fault_number
        return Random(f"{seed} {self.on.number} {number} {now_ms}")


class ConnectionFaults:
    """The rules that are on for one connection, and what they do to it."""

    def __init__(
        self, connection: FaultedConnection, timing: Timing, answers: AnswerFaults
    ) -> None:
        self.connection = connection
        self.board = timing.board
        self.market_ms = timing.market_ms
        self.is_lost = False
        """Whether a fault has ended the connection."""
        self._timing = timing
        self._answers = answers
        self._clock = ContainedClock(timing.clock, connection)
        self._delays = ContainedClock(timing.delays, connection)
        self._attached: dict[FaultOn, _Attached] = {}
        self._transport: FaultyTransport | None = None
        self._turns: dict[tuple[Any, ...], Iterator[Any]] = {}
        self._requests: dict[ApiId, _Request] = {}
        self._is_forgotten = False

    # Attaching and detaching

    @contained
    def attach(self, on: FaultOn) -> None:
        """Let a rule be on for this connection; does nothing if it is."""
        if on in self._attached or self._is_forgotten:
            return
        chances = self.board.chances(on, self.connection.fault_number)
        attached = self._attached[on] = _Attached(self, on, chances)
        aim = on.rule.aim
        match on.rule.fault.acts_on:
            case "clock" if aim.path or aim.method:
                pass  # it is aimed at answers
            case "message" | "clock" if on.rule.mean_ms is not None:
                chances.on_happened = partial(_soon, partial(self._rest, attached))
                self._arm_later(attached)
            case "message" | "clock":
                self._arm(attached)
            case "connection" if on.rule.window.after:
                then = partial(_soon, partial(self._after_messages, attached))
                attached.filter = CountedMessages(on, then, partial(self._release, on))
                self._set_filter()
            case "connection":
                self._begin(attached)

    def _arm_later(self, attached: _Attached) -> None:
        """Look at the messages when the next one may be hit; until then they are nobody's concern."""
        attached.timer = self._clock.after(attached.chances.left_ms, lambda _: self._arm(attached))

    def _arm(self, attached: _Attached) -> None:
        """Look at the messages from now on."""
        attached.timer = None
        if attached.chances.is_spent or attached.filter is not None:
            return
        on = attached.on
        attached.filter = message_filter(
            on, attached.chances, self._clock, partial(self._release, on)
        )
        is_timed = on.rule.mean_ms is not None or on.rule.fault.is_timed
        self._set_timed(attached, is_timed=is_timed)
        self._set_filter()

    @contained
    def _rest(self, attached: _Attached) -> None:
        """Look at no messages until the next one may be hit, unless some are withheld."""
        if attached.on not in self._attached or self._is_forgotten:
            return
        is_withholding = attached.filter is not None and attached.filter.withholds
        if is_withholding or attached.chances.left_ms <= 0:  # the next one is due
            return
        attached.filter = None
        self._set_filter()
        self._set_timed(attached, is_timed=False)
        if not attached.chances.is_spent:
            self._arm_later(attached)

    @contained
    def detach(self, on: FaultOn) -> None:
        """End a rule here, and what it does."""
        attached = self._attached.pop(on, None)
        if attached is None or self._is_forgotten:
            return
        self._stop(attached)
        self._set_timed(attached, is_timed=False)
        if attached.filter is not None:
            attached.filter.end()
            self._set_filter()
        for send in tuple(attached.held):
            send()

    def forget(self) -> None:
        """The connection is lost: nothing happens to it any more."""
        self._is_forgotten = True
        for attached in self._attached.values():
            if attached.timer is not None:
                attached.timer.cancel()
            self._set_timed(attached, is_timed=False)
        self._attached.clear()
        if self._transport is not None:
            self._transport.forget()

    def abandon(self, error: Exception) -> None:
        """Cut the connection because of an error."""
        self.connection.abandon(error)

    # What its connection asks

    @property
    def is_silent(self) -> bool:
        """Whether its client receives nothing for now."""
        return self._transport is not None and self._transport.is_silent

    @property
    def is_held(self) -> bool:
        """Whether anything waits for a fault, so that the client cannot have taken it."""
        return self._transport is not None and self._transport.is_held

    @property
    def is_in_the_way(self) -> bool:
        """Whether what is sent now, or its answer, would wait for a fault or be lost."""
        transport = self._transport
        return transport is not None and (transport.is_held or transport.is_timed)

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for a fault, and were not written."""
        return 0 if self._transport is None else self._transport.held_bytes

    def received(self, data: bytes) -> bytes:
        """Take what the client has sent; return what of it is received now."""
        return data if self._transport is None else self._transport.received(data)

    def requested(self, message: bytes) -> None:
        """Note a WebSocket API request, in case that its answer comes later."""
        faults = self._of("api", "snapshot", "clock")
        if self.connection.names is not None or not faults:
            return
        try:
            request = _decode_request(message)
        except msgspec.DecodeError:
            return
        if len(self._requests) < MAX_REQUESTS:
            self._requests[request.id] = request
        else:
            for each in faults:
                each.chances.overflowed()

    def revised(self, actions: Iterable[Action], message: bytes) -> Iterator[Action]:
        """Yield what faults leave of `actions`, the answer to `message`."""
        is_api = self.connection.names is None
        for action in actions:
            match action:
                case Subscribe(names=names):
                    delivered = tuple(
                        name for name in names if not self._hits_names([name], acknowledges=True)
                    )
                    if delivered:
                        yield Subscribe(delivered)
                case Send() if is_api:
                    yield from self._api_reply(action)
                case Send(error_code=None):
                    if not self._is_unacknowledged(message):
                        yield action
                case _:
                    yield action

    # Faults of connections

    def _begin(self, attached: _Attached) -> None:
        """Let a fault that acts on the connection happen, now or after a random time."""
        if attached.on.rule.mean_ms is None:
            self._happen(attached)
        else:
            self._schedule(attached, attached.chances.left_ms)

    @contained
    def _after_messages(self, attached: _Attached) -> None:
        """Let a fault happen after the messages that were counted, and let the others follow."""
        if attached.on not in self._attached or self._is_forgotten:
            return
        self.connection.endpoint.hub.flush()
        self._begin(attached)
        count, attached.filter = attached.filter, None
        if count is not None and attached.on in self._attached:
            count.end()
            self._set_filter()

    def _schedule(self, attached: _Attached, delay_ms: int) -> None:
        attached.timer = self._clock.after(delay_ms, lambda _: self._happen(attached))

    def _happen(self, attached: _Attached) -> None:
        """Let a fault do what it does, and schedule what it does next."""
        attached.timer = None
        connection, rule = self.connection, attached.on.rule
        if not connection.is_open or attached.chances.is_spent:
            return
        connection.endpoint.hub.flush()
        if self._is_forgotten:  # what was flushed was too much for it
            return
        attached.chances.happened()
        if connection.endpoint.complaints.has_room("fault"):
            logger().info(
                f"{connection.identity} ! fault on demand", fault=rule.kind, rule=attached.on.id
            )
        fault = rule.fault
        assert isinstance(fault, ConnectionFault)  # noqa: S101  # tells the type checker
        if fault.is_timed:
            self._set_timed(attached, is_timed=True)
        attached.undo = fault.begin(attached)
        if rule.mean_ms is None or self._is_forgotten:
            return
        if (stay_ms := fault.stay_ms()) is None:
            self._again(attached)
        else:
            attached.timer = self._clock.after(stay_ms, lambda _: self._end_stay(attached))

    def _again(self, attached: _Attached) -> None:
        if not attached.chances.is_spent:
            self._schedule(attached, attached.chances.wait_ms())

    def _end_stay(self, attached: _Attached) -> None:
        """End what a fault does by itself, and schedule what it does next."""
        attached.timer = None
        self._stop(attached)
        if self.connection.is_open:
            self._again(attached)

    def _stop(self, attached: _Attached) -> None:
        """End what a fault does now, and cancel what it would do next."""
        if attached.timer is not None:
            attached.timer.cancel()
            attached.timer = None
        if attached.undo is not None:
            undo, attached.undo = attached.undo, None
            self.connection.endpoint.hub.flush()
            undo()

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self.line().lose()
        self.connection.cut_off()
        self.is_lost = True
        self.forget()
        reset(self.connection.transport)

    def next_of(self, items: tuple[Any, ...]) -> Any:
        """Return the item whose turn it is on this connection."""
        if items not in self._turns:
            self._turns[items] = cycle(items)
        return next(self._turns[items])

    def _set_timed(self, attached: _Attached, *, is_timed: bool) -> None:
        """Let it matter, or no longer, in which millisecond messages are written."""
        if attached.is_timed is not is_timed:
            attached.is_timed = is_timed
            timing, endpoint = self._timing, self.connection.endpoint
            (timing.begin_timed if is_timed else timing.end_timed)(endpoint)

    def line(self) -> FaultyTransport:
        """Return its transport, through which from now on all of its bytes pass."""
        if self._transport is None:
            connection = self.connection
            self._transport = FaultyTransport(
                connection.transport,
                self._clock,
                sent_ms=self._timing.sent_ms,
                max_bytes=connection.endpoint.limits.max_unsent_bytes,
                overflow=partial(_soon, self._overflowed),
                receive=connection.receive,
                abandon=connection.abandon,
                behind=self._set_behind,
                is_paused=connection.is_reading_paused,
            )
            connection.transport = self._transport
            connection.write = self._transport.write
            connection.endpoint.hub.rewire(connection)
        return self._transport

    def _overflowed(self) -> None:
        """Close the connection: more waits for a fault than may."""
        if self._transport is not None and not self._is_forgotten:
            self._transport.make_room()
            self.connection.close(SLOW_CONSUMER)

    def _set_behind(self, is_behind: bool) -> None:  # told by the transport
        """Let messages wait where they can be replaced, if the client does not want every one."""
        connection = self.connection
        if connection.policy == EVERY or not connection.is_open:
            return
        hub = connection.endpoint.hub
        (hub.hold if is_behind else hub.release)(connection)

    # Faults of messages

    def _set_filter(self) -> None:
        filters = [each.filter for each in self._attached.values() if each.filter]
        connection = self.connection
        if connection.names is not None and connection.is_open:
            connection.endpoint.hub.set_filter(
                connection, partial(self._filtered, filters) if filters else None
            )

    def _filtered(
        self, filters: Sequence[MessageFilter], messages: Sequence[Message]
    ) -> Sequence[Message]:
        """Return what the faults leave of the messages, one after the other."""
        try:
            for each in filters:
                messages = each(messages)
        except Exception as error:  # noqa: BLE001  # the hub writes to all in one loop
            _soon(partial(self.abandon, error))
            return ()
        return messages

    def _release(self, on: FaultOn, messages: Sequence[Message]) -> None:
        """Write messages that a fault held, past the faults that come before it."""
        connection = self.connection
        if not connection.is_open or not messages:
            return
        attached = tuple(self._attached.values())
        found = next((place for place, each in enumerate(attached) if each.on is on), -1)
        for each in attached[found + 1 :]:
            if each.filter is not None:
                messages = each.filter(messages)
        connection.endpoint.hub.write_past_filter(connection, messages)

    # Faults of subscriptions and replies

    def _of(self, *acts_on: str) -> list[_Attached]:
        return [each for each in self._attached.values() if each.on.rule.fault.acts_on in acts_on]

    def _hits_names(self, names: Sequence[str], *, acknowledges: bool) -> bool:
        """Return whether a fault lets streams be silent, or does not acknowledge them."""
        return any(
            each.on.rule.aim.takes_any(names) and each.chances.occurs()
            for each in self._of("subscription")
            if isinstance(each.on.rule.fault, SubscriptionFault)
            and each.on.rule.fault.acknowledges is acknowledges
        )

    def _is_unacknowledged(self, message: bytes) -> bool:
        if not self._of("subscription"):
            return False
        try:
            request = json.loads(message)
        except ValueError:
            return False
        if not isinstance(request, dict) or request.get("method") != "SUBSCRIBE":
            return False
        names = [name for name in request.get("params") or () if isinstance(name, str)]
        return self._hits_names(names, acknowledges=False)

    def _api_reply(self, reply: Send) -> Iterator[Action]:
        """Yield a reply, or an error in its place, or nothing yet."""
        replaced = _decode_reply(reply.text)
        request = self._requests.pop(replaced.id, None) or _Request()
        venue_name, method = self.connection.endpoint.venue.name, request.method
        for each in self._of("api"):
            aim, fault = each.on.rule.aim, each.on.rule.fault
            if not (aim.takes_request(venue_name, method) and each.chances.occurs()):
                continue
            assert isinstance(fault, ApiFault)  # noqa: S101  # tells the type checker
            if statuses := fault.statuses():
                yield self._api_error(self.next_of(statuses), replaced)
            else:
                self._send_later(each, fault.delay_ms(), reply)
            return
        text = self._answers.revised(venue_name, method, request.params or {}, reply.text)
        yield Send(text, reply.error_code)

    def _api_error(self, status: int, replaced: _Reply) -> Send:
        endpoint = self.connection.endpoint
        now_ms = endpoint.clock()
        error = injected_error(status, endpoint.rate_limiter, now_ms)
        retry = Retry(server_time=now_ms, retry_after=now_ms + RETRY_AFTER_MS)
        error_reply = ApiReply(
            id=replaced.id,
            status=error.status,
            error=ApiError(
                error.code, error.message, retry if error.status in {418, 429} else UNSET
            ),
            rate_limits=replaced.rate_limits,
        )
        return Send(msgspec.json.encode(error_reply), error.code)

    def _send_later(self, attached: _Attached, delay_ms: int, reply: Send) -> None:
        def send() -> None:
            if send in attached.held:
                attached.held.remove(send)
                if self.connection.is_open:
                    self.connection.carry_out([reply])

        attached.held.append(send)
        self._delays.after(delay_ms, lambda _: send())


def _soon(callback: Callable[[], object]) -> None:
    """Call `callback` in the next turn of the event loop."""
    asyncio.get_running_loop().call_soon(callback)


def close_reason(code: int) -> CloseReason:
    """Return why a fault closes a connection."""
    return CloseReason(
        name="fault",
        code=code,
        reason="Fault on demand",
        should_reconnect=True,
        doc="A fault on demand.",
    )
