"""The faults of one WebSocket connection, attached while their windows are open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from random import Random
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tickerplant.faults.board import Chances, FaultBoard, FaultOn
from tickerplant.faults.clock import StampedClock, Timer
from tickerplant.faults.content_rows import DELAY, REORDER
from tickerplant.faults.message_faults import MessageFault, message_fault
from tickerplant.faults.network_rows import RETRY_AFTER_MS
from tickerplant.faults.rule import matches
from tickerplant.frames import text_frame
from tickerplant.hub.delivery import Message
from tickerplant.logs import logger
from tickerplant.protocol.actions import Action, Send, Subscribe
from tickerplant.protocol.api_session import ApiError, ApiReply, RateLimit, Retry
from tickerplant.protocol.client_requests import ApiId
from tickerplant.protocol.close_reasons import SLOW_CONSUMER, CloseReason
from tickerplant.protocol.delivery import EVERY
from tickerplant.server.containment import ContainedClock, contained
from tickerplant.server.endpoint import Connection, Endpoint
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.faults.hooks import ConnectionFaultsHook
from tickerplant.server.faults.injected_errors import injected_error
from tickerplant.server.faults.transport import FaultyTransport, Latency, reset

API_STATUSES = (429, 503, 418)
"""How WebSocket API requests are refused in turn, unless the rule says how."""
MAX_REQUESTS = 1_000
"""Requests of one connection that are kept until they are answered; further ones are spared."""
GARBAGE_FRAMES = tuple(
    map(
        text_frame,
        (
            b"not JSON",
            b'{"zz":"nothing known"}',
            b'{"e":"trade","E":1767225600000,"s":"BTCUSDT","t":',
            b'{"e":"zz","E":1767225600000,"s":"BTCUSDT"}',
            b"[]",
            b"",
            b"null",
            b"7",
        ),
    )
)
"""Frames that are not a message, in the order in which a connection gets them."""
INVALID_UTF8_FRAME = text_frame(b'{"zz":"\xc3\x28\xff"}')


class FaultedConnection(Connection, Protocol):
    """A WebSocket connection, as faults see it."""

    transport: asyncio.Transport
    faults: ConnectionFaultsHook | None
    """Its faults; None while none is on for it."""
    fault_number: int
    """It is the n-th connection that is not exempt from faults; 0 if it is exempt."""

    def cut_off(self) -> None:
        """Count its client as one that will come back, once."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Its port."""
        ...

    @property
    def is_reading_paused(self) -> bool:
        """Whether it wants nothing to be read for now."""
        ...

    def receive(self, data: bytes) -> None:
        """Answer what was received."""
        ...

    def carry_out(self, actions: Iterable[Action]) -> None:
        """Carry out actions that faults have seen, at once."""
        ...

    def abandon(self, error: Exception) -> None:
        """Count and log an error of this connection, and cut it."""
        ...


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


class Shared(Protocol):
    """What the faults of all connections share."""

    board: FaultBoard
    delays: ConnectionClock
    """The clock of answers that come later."""
    message_clock: StampedClock
    """The clock of faults of messages."""
    market_ms: Callable[[], int]
    """Returns market time."""

    def sent_ms(self) -> int:
        """Return when data that is written now was sent, on the clock of faults."""
        ...

    def flush(self, endpoint: Endpoint) -> None:
        """Write what was published before the fault that comes now."""
        ...

    def soon(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the next turn of the event loop."""
        ...

    def begin_timed(self, endpoint: Endpoint) -> None:
        """Write all messages of a port in the millisecond of their market time from now on."""
        ...

    def end_timed(self, endpoint: Endpoint) -> None:
        """Undo one `begin_timed`."""
        ...

    def revised_api_answer(
        self, endpoint: Endpoint, method: str, params: Mapping[str, object], text: bytes
    ) -> bytes:
        """Return what faults make of the reply to a WebSocket API request."""
        ...


class _Attached(Struct, eq=False):
    """One rule that is on for this connection."""

    on: FaultOn
    chances: Chances
    timer: Timer | None = None
    """What it does next."""
    undo: Callable[[], object] | None = None
    """Ends what it does now."""
    message_fault: MessageFault[Message] | None = None
    is_timed: bool = False
    """Whether the messages of its port are written in their millisecond because of it."""
    held: list[Callable[[], object]] = msgspec.field(default_factory=list)
    """Answers that it delays."""


class ConnectionFaults:
    """The rules that are on for one connection, and what they do to it."""

    def __init__(self, runner: Shared, connection: FaultedConnection) -> None:
        self._runner = runner
        self._connection = connection
        self._clock = ContainedClock(runner.board.clock, connection)
        self._message_clock = ContainedClock(runner.message_clock, connection)
        self._delays = ContainedClock(runner.delays, connection)
        self._attached: dict[FaultOn, _Attached] = {}
        self._transport: FaultyTransport | None = None
        self._garbage = cycle(GARBAGE_FRAMES)
        self._api_statuses = cycle(API_STATUSES)
        self._requests: dict[ApiId, _Request] = {}
        self._is_lost = False
        self.is_lost = False
        """Whether a fault has ended the connection."""

    # Attaching and detaching

    @contained
    def attach(self, on: FaultOn) -> None:
        """Let a rule be on for this connection; does nothing if it is."""
        if on in self._attached or self._is_lost:
            return
        chances = self._runner.board.chances(on, self._connection.fault_number)
        attached = self._attached[on] = _Attached(on, chances)
        aim = on.rule.aim
        match on.rule.row.acts_on:
            case "clock" if aim.path or aim.method:
                pass  # it is aimed at answers
            case "message" | "clock" if on.rule.values.get("mean") is not None:
                chances.on_happened = partial(self._runner.soon, partial(self._rest, attached))
                self._arm_later(attached)
            case "message" | "clock":
                self._arm(attached)
            case "connection" if on.rule.window.after:
                attached.message_fault = _Count(
                    on,
                    partial(self._runner.soon, partial(self._after_messages, attached)),
                    partial(self._release, on),
                )
                self._set_filter()
            case "connection":
                self._begin(attached)

    def _arm_later(self, attached: _Attached) -> None:
        """Look at the messages when the next one may be hit; until then they are nobody's concern."""
        attached.timer = self._clock.after(attached.chances.left_ms, lambda _: self._arm(attached))

    def _arm(self, attached: _Attached) -> None:
        """Look at the messages from now on."""
        attached.timer = None
        if attached.chances.is_spent or attached.message_fault is not None:
            return
        on = attached.on
        attached.message_fault = message_fault(
            on, attached.chances, self._message_clock, partial(self._release, on)
        )
        is_timed = on.rule.values.get("mean") is not None or on.rule.row.name == DELAY.name
        self._set_timed(attached, is_timed=is_timed)
        self._set_filter()

    @contained
    def _rest(self, attached: _Attached) -> None:
        """Look at no messages until the next one may be hit, unless some are withheld."""
        is_withholding = attached.on.rule.row.name in {DELAY.name, REORDER.name}
        if attached.on not in self._attached or self._is_lost or is_withholding:
            return
        if attached.chances.left_ms <= 0:
            return  # the next one is due
        attached.message_fault = None
        self._set_filter()
        self._set_timed(attached, is_timed=False)
        if not attached.chances.is_spent:
            self._arm_later(attached)

    @contained
    def detach(self, on: FaultOn) -> None:
        """End a rule here, and what it does."""
        attached = self._attached.pop(on, None)
        if attached is None or self._is_lost:
            return
        self._stop(attached)
        self._set_timed(attached, is_timed=False)
        if attached.message_fault is not None:
            attached.message_fault.end()
            self._set_filter()
        for send in tuple(attached.held):
            send()

    def forget(self) -> None:
        """The connection is lost: nothing happens to it any more."""
        self._is_lost = True
        for attached in self._attached.values():
            if attached.timer is not None:
                attached.timer.cancel()
            self._set_timed(attached, is_timed=False)
        self._attached.clear()
        if self._transport is not None:
            self._transport.forget()

    def abandon(self, error: Exception) -> None:
        """Cut the connection because of an error."""
        self._connection.abandon(error)

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
        if self._connection.names is not None or not faults:
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
        is_api = self._connection.names is None
        for action in actions:
            match action:
                case Subscribe(names=names):
                    delivered = tuple(name for name in names if not self._is_silenced(name))
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
        if attached.chances.is_spent:
            return
        if attached.on.rule.values.get("mean") is None:
            self._happen(attached)
        else:
            self._schedule(attached, attached.chances.left_ms)

    @contained
    def _after_messages(self, attached: _Attached) -> None:
        """Let a fault happen after the messages that were counted, and let the others follow."""
        if attached.on not in self._attached or self._is_lost:
            return
        self._runner.flush(self._connection.endpoint)
        self._begin(attached)
        count, attached.message_fault = attached.message_fault, None
        if count is not None and attached.on in self._attached:
            count.end()
            self._set_filter()

    def _schedule(self, attached: _Attached, delay_ms: int) -> None:
        attached.timer = self._clock.after(delay_ms, lambda _: self._due(attached))

    def _due(self, attached: _Attached) -> None:
        attached.timer = None
        if self._connection.is_open and not attached.chances.is_spent:
            self._happen(attached)

    def _happen(self, attached: _Attached) -> None:
        """Do what a fault does, and schedule what it does next."""
        connection, on = self._connection, attached.on
        if not connection.is_open:
            return
        self._runner.flush(connection.endpoint)
        if self._is_lost:  # what was flushed was too much for it
            return
        attached.chances.happened()
        if connection.endpoint.complaints.has_room("fault"):
            logger().info(
                f"{connection.identity} ! fault on demand", fault=on.rule.row.name, rule=on.id
            )
        ACTS[on.rule.row.name](self, attached)
        mean_ms = on.rule.values.get("mean")
        if mean_ms is not None and attached.undo is None and not self._is_lost:
            self._again(attached)

    def _again(self, attached: _Attached) -> None:
        if not attached.chances.is_spent:
            self._schedule(attached, attached.chances.wait_ms())

    def _stop(self, attached: _Attached) -> None:
        """End what a fault does now, and cancel what it would do next."""
        if attached.timer is not None:
            attached.timer.cancel()
            attached.timer = None
        if attached.undo is not None:
            undo, attached.undo = attached.undo, None
            self._runner.flush(self._connection.endpoint)
            undo()

    def _reset(self, _attached: _Attached) -> None:
        self._faulty_transport().lose()
        self._connection.cut_off()
        self.is_lost = True
        self.forget()
        reset(self._connection.transport)

    def _close(self, attached: _Attached) -> None:
        self._connection.close(close_reason(attached.on.rule.values["code"]))

    def _write(self, frame: bytes, _attached: _Attached) -> None:
        self._connection.transport.write(frame)

    def _write_garbage(self, attached: _Attached) -> None:
        self._write(next(self._garbage), attached)

    def _write_notice(self, attached: _Attached) -> None:
        notice = {"e": "serverShutdown", "E": self._runner.market_ms()}
        self._write(text_frame(json.dumps(notice, separators=(",", ":")).encode()), attached)

    def _stall(self, attached: _Attached) -> None:
        transport = self._faulty_transport()
        transport.stall()
        attached.undo = transport.resume
        time_ms, mean_ms = (attached.on.rule.values[name] for name in ("time", "mean"))
        if mean_ms is not None:
            attached.timer = self._clock.after(time_ms, lambda _: self._end_stall(attached))

    def _end_stall(self, attached: _Attached) -> None:
        attached.timer = None
        self._stop(attached)
        if self._connection.is_open:
            self._again(attached)

    def _lose(self, attached: _Attached) -> None:
        self._faulty_transport().lose()
        attached.undo = partial(self._reset, attached)

    def _delay(self, attached: _Attached) -> None:
        values, on = attached.on.rule.values, attached.on
        seed = f"{self._runner.board.seed} {on.number} {self._connection.fault_number}"
        latency = Latency(values["time"], jitter_of(seed, values["jitter"]))
        self._set_timed(attached, is_timed=True)
        self._faulty_transport().set_latency(on.id, latency)
        attached.undo = partial(self._faulty_transport().set_latency, on.id, None)

    def _limit(self, attached: _Attached) -> None:
        self._set_timed(attached, is_timed=True)
        self._faulty_transport().set_rate(attached.on.id, attached.on.rule.values["rate"])
        attached.undo = partial(self._faulty_transport().set_rate, attached.on.id, None)

    def _set_timed(self, attached: _Attached, *, is_timed: bool) -> None:
        """Let it matter, or no longer, in which millisecond messages are written."""
        if attached.is_timed is not is_timed:
            attached.is_timed = is_timed
            runner, endpoint = self._runner, self._connection.endpoint
            (runner.begin_timed if is_timed else runner.end_timed)(endpoint)

    def _faulty_transport(self) -> FaultyTransport:
        """Return its transport, through which from now on all of its bytes pass."""
        if self._transport is None:
            connection = self._connection
            self._transport = FaultyTransport(
                connection.transport,
                self._clock,
                sent_ms=self._runner.sent_ms,
                max_bytes=connection.endpoint.limits.max_unsent_bytes,
                overflow=partial(self._runner.soon, self._overflowed),
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
        if self._transport is not None and not self._is_lost:
            self._transport.make_room()
            self._connection.close(SLOW_CONSUMER)

    def _set_behind(self, is_behind: bool) -> None:  # told by the transport
        """Let messages wait where they can be replaced, if the client does not want every one."""
        connection = self._connection
        if connection.policy == EVERY or not connection.is_open:
            return
        hub = connection.endpoint.hub
        (hub.hold if is_behind else hub.release)(connection)

    # Faults of messages

    def _set_filter(self) -> None:
        acts = [each.message_fault for each in self._attached.values() if each.message_fault]
        connection = self._connection
        if connection.names is not None and connection.is_open:
            connection.endpoint.hub.set_filter(
                connection, _Filter(acts, self._failed) if acts else None
            )

    def _failed(self, error: Exception) -> None:
        """Cut the connection in the next turn: the hub is writing now."""
        self._runner.soon(partial(self.abandon, error))

    def _release(self, on: FaultOn, messages: Sequence[Message]) -> None:
        """Write messages that a fault held, past the faults that come before it."""
        connection = self._connection
        if not connection.is_open or not messages:
            return
        attached = tuple(self._attached.values())
        found = next((place for place, each in enumerate(attached) if each.on is on), -1)
        for each in attached[found + 1 :]:
            if each.message_fault is not None:
                messages = each.message_fault(messages)
        connection.endpoint.hub.write_past_filter(connection, messages)

    # Faults of subscriptions and replies

    def _of(self, *acts_on: str) -> list[_Attached]:
        return [each for each in self._attached.values() if each.on.rule.row.acts_on in acts_on]

    def _hits(self, name: str, stream: str | None = None) -> bool:
        return any(
            (stream is None or each.on.rule.aim.takes_stream(stream)) and each.chances.occurs()
            for each in self._of("subscription")
            if each.on.rule.row.name == name
        )

    def _is_silenced(self, name: str) -> bool:
        return self._hits("silent", name)

    def _is_unacknowledged(self, message: bytes) -> bool:
        faults = [each for each in self._of("subscription") if each.on.rule.row.name == "no_ack"]
        if not faults:
            return False
        try:
            request = json.loads(message)
        except ValueError:
            return False
        if not isinstance(request, dict) or request.get("method") != "SUBSCRIBE":
            return False
        names = [name for name in request.get("params") or () if isinstance(name, str)]
        return any(each.on.rule.aim.takes_any(names) and each.chances.occurs() for each in faults)

    def _api_reply(self, reply: Send) -> Iterator[Action]:
        """Yield a reply, or an error in its place, or nothing yet."""
        replaced = _decode_reply(reply.text)
        request = self._requests.pop(replaced.id, None) or _Request()
        method = request.method
        for each in self._of("api"):
            rule = each.on.rule
            if rule.aim.method and not matches(rule.aim.method, method):
                continue
            if not each.chances.occurs():
                continue
            if rule.row.name == "api_delay":
                self._send_later(each, reply)
                return
            reply = self._api_error(each, replaced)
            break
        else:
            text = self._runner.revised_api_answer(
                self._connection.endpoint, method, request.params or {}, reply.text
            )
            reply = Send(text, reply.error_code)
        yield reply

    def _api_error(self, attached: _Attached, replaced: _Reply) -> Send:
        endpoint = self._connection.endpoint
        now_ms = endpoint.clock()
        status = attached.on.rule.values["status"] or next(self._api_statuses)
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

    def _send_later(self, attached: _Attached, reply: Send) -> None:
        is_sent = False

        def send() -> None:
            nonlocal is_sent
            if is_sent:
                return
            is_sent = True
            if send in attached.held:
                attached.held.remove(send)
            if self._connection.is_open:
                self._connection.carry_out([reply])

        self._delays.at(self._delays.now_ms + attached.on.rule.values["time"], lambda _: send())
        attached.held.append(send)


class _Filter:
    """The faults of messages of one connection, one after the other."""

    def __init__(
        self, acts: Sequence[MessageFault[Message]], failed: Callable[[Exception], object]
    ) -> None:
        self._acts = acts
        self._failed = failed

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return what the faults leave of the messages."""
        try:
            for act in self._acts:
                messages = act(messages)
        except Exception as error:  # noqa: BLE001  # the hub writes to all in one loop
            self._failed(error)
            return ()
        return messages


class _Count:
    """Counts messages; those after the last one wait until a fault has happened."""

    def __init__(
        self,
        on: FaultOn,
        then: Callable[[], object],
        release: Callable[[Sequence[Message]], object],
    ) -> None:
        self._aim = on.rule.aim
        self._left = on.rule.window.after
        self._then = then
        self._release = release
        self._held: list[Message] = []
        self._is_over = False

    def __call__(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return the messages until the last one that is counted."""
        if self._is_over:
            return messages
        for place, message in enumerate(messages):
            if not self._left:
                self._held += messages[place:]
                return messages[:place]
            if self._aim.takes_stream(message.stream.name):
                self._left -= 1
                if not self._left:
                    self._then()
        return messages

    def end(self) -> None:
        """Write what waits, and let all that follows pass."""
        self._is_over = True
        held, self._held = self._held, []
        self._release(held)


ACTS: dict[str, Callable[[ConnectionFaults, _Attached], None]] = {
    "reset": ConnectionFaults._reset,  # noqa: SLF001  # the table of what faults do
    "close": ConnectionFaults._close,  # noqa: SLF001
    "stall": ConnectionFaults._stall,  # noqa: SLF001
    "half_open": ConnectionFaults._lose,  # noqa: SLF001
    "latency": ConnectionFaults._delay,  # noqa: SLF001
    "bandwidth": ConnectionFaults._limit,  # noqa: SLF001
    "garbage": ConnectionFaults._write_garbage,  # noqa: SLF001
    "invalid_utf8": lambda faults, attached: faults._write(INVALID_UTF8_FRAME, attached),  # noqa: SLF001
    "shutdown_notice": ConnectionFaults._write_notice,  # noqa: SLF001
}
"""What happens to a connection, by the name of the fault."""


def close_reason(code: int) -> CloseReason:
    """Return why a fault closes a connection."""
    return CloseReason(
        name="fault",
        code=code,
        reason="Fault on demand",
        should_reconnect=True,
        doc="A fault on demand.",
    )


def jitter_of(seed: str, jitter_ms: int) -> Callable[[int], int]:
    """Return what draws the jitter of a time: the same for all that is sent in a millisecond."""
    if not jitter_ms:
        return lambda _: 0
    return lambda now_ms: Random(f"{seed} {now_ms}").randint(0, jitter_ms)
