"""A feed and the server's own pure side, joined through memory, with a clock that the test sets.

Every connection of the feed is a `Wire`: a session of the server, a subscriber of its hub, and what
is on the way between, which can be delayed, lost, garbled, cut or swallowed.  What the server
published is seen by a witness at the hub.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import msgspec
from tuning import tuned

from tickerplant import frames
from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.context import Action, Drop, Fetch, Open, Ping, Send, Verify
from tickerplant.feed.feed import Feed
from tickerplant.feed.hosts import hosts_of
from tickerplant.hub.hub import Hub
from tickerplant.messages.message import Message
from tickerplant.messages.readers import reader
from tickerplant.notices import Notice
from tickerplant.plant import Plant
from tickerplant.protocol import actions as server
from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import StreamTarget, parse_target
from tickerplant.streams import resolve
from tickerplant.venue import USDM, Venue

TICK_MS = 100
WALL_MS = 1_772_000_000_000
START_MS = 1_000_000


class Wire:
    """One connection between the feed and the server."""

    def __init__(self, world: World, number: int, target: StreamTarget) -> None:
        self.world = world
        self.number = number
        self.down_ms = world.delay_ms
        """How long what the server says is on the way."""
        self.up_ms = world.delay_ms
        self.is_open = True
        self.swallows: Callable[[bytes], bool] = lambda _: False
        """Which texts of the server never arrive."""
        self.garbles: Callable[[bytes], bytes] = lambda text: text
        """What becomes of each text on the way."""
        self.is_dead = False
        """Nothing arrives any more, and neither side notices."""
        self.requests: list[tuple[int, Any]] = []
        """When the server read each control message."""
        self.route = target.route
        self.unread: list[bytes] | None = None
        """What came and is not read, as the feed wants it; None: all is read."""
        self._due_down = self._due_up = 0
        self.session = StreamSession(target, world.limits, world.now_ms)
        world.hub.set_combined(self, target.combined)
        self._perform(self.session.open())

    def write(self, data: bytes) -> None:
        """Take frames of the hub."""
        for text in frames.payloads(data):
            self.say(text)

    def say(self, text: bytes) -> None:
        """Let the server say `text`."""
        if not self.is_open or self.swallows(text):
            return
        text = self.garbles(text)
        self._due_down = max(self._due_down, self.world.now_ms + self.down_ms)
        self.world.at(self._due_down, lambda: self._arrive(text))

    def _arrive(self, text: bytes) -> None:
        if self.world.wires.get(self.number) is self and not self.is_dead:
            if self.unread is not None:
                self.unread.append(text)
            else:
                self.world.feed.received(self.number, text, self.world.now_ms)

    def read(self, is_reading: bool) -> None:
        """Let the client read, or not."""
        if not is_reading:
            self.unread = [] if self.unread is None else self.unread
        elif self.unread is not None:
            waiting, self.unread = self.unread, None
            for text in waiting:
                self._arrive(text)

    def swallow(self, payloads: Iterable[bytes]) -> None:
        """Let none of `payloads` arrive."""
        missing = tuple(payloads)
        self.swallows = lambda text: any(each in text for each in missing)

    def receive(self, text: bytes) -> None:
        """Let the client say `text`."""
        self._due_up = max(self._due_up, self.world.now_ms + self.up_ms)
        self.world.at(self._due_up, lambda: self._read(text))

    def _read(self, text: bytes) -> None:
        if self.is_open and not self.is_dead:
            self.requests.append((self.world.now_ms, msgspec.json.decode(text)))
            self._perform(self.session.receive_text(text, self.world.now_ms))

    def ping(self) -> None:
        """Let the client ping."""
        due_ms = self.world.now_ms + self.up_ms
        self.world.at(due_ms, self._pong)

    def _pong(self) -> None:
        if self.is_open and not self.is_dead:
            due_ms = self.world.now_ms + self.down_ms
            self.world.at(due_ms, self._ponged)

    def _ponged(self) -> None:
        if self.world.wires.get(self.number) is self and not self.is_dead:
            self.world.feed.pong_received(self.number)

    def _perform(self, todo: Iterable[server.Action]) -> None:
        hub = self.world.hub
        for action in todo:
            match action:
                case server.Send(text=text):
                    self.say(text)
                case server.Subscribe(names=names):
                    hub.subscribe(self, names, self.route)
                case server.Unsubscribe(names=names):
                    hub.unsubscribe(self, names)
                case server.Close(reason=reason):
                    self.end(f"closed {reason.reason}", reason.code)

    def leave(self) -> None:
        """Be no subscriber any more."""
        self.is_open = False
        self.world.hub.remove(self)

    def end(self, reason: str, code: int | None = None) -> None:
        """Let the server end the connection; what is on the way arrives before."""
        if self.is_open:
            self.leave()
            self._due_down = max(self._due_down, self.world.now_ms + self.down_ms)
            self.world.at(self._due_down, lambda: self._over(reason, code))

    def cut(self, reason: str = "reset") -> None:
        """Let the network end the connection; what is on the way is lost."""
        if self.world.wires.get(self.number) is self:
            self.leave()
            self.is_dead = True
            self._over(reason, None)

    def _over(self, reason: str, code: int | None) -> None:
        if self.world.wires.get(self.number) is self:
            del self.world.wires[self.number]
            self.world.feed.lost(self.number, reason, code)
            self.world.perform()


class Witness:
    """Sees what the hub published, by stream."""

    def __init__(self) -> None:
        self.published: dict[str, list[bytes]] = {}

    def write(self, data: bytes) -> None:
        for text in frames.payloads(data):
            message = msgspec.json.decode(text, type=_Envelope)
            self.published.setdefault(message.stream, []).append(bytes(message.data))


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class Consumer:
    """Keeps all messages and notices."""

    def __init__(self) -> None:
        self.received: list[Message | Notice] = []

    def __call__(self, item: Message | Notice) -> None:
        self.received.append(item)

    def messages(self, stream: str = "") -> list[Any]:
        return [
            each
            for each in self.received
            if isinstance(each, Message) and stream in {"", each.stream}
        ]

    def payloads(self, stream: str) -> list[bytes]:
        return [each.payload for each in self.messages(stream)]

    def notices(self, kind: type[Notice] = Notice) -> list[Any]:
        return [each for each in self.received if isinstance(each, kind)]

    def kinds(self) -> list[str]:
        """The kinds of what was received, in order; consecutive messages as one."""
        names = [
            "message" if isinstance(each, Message) else type(each).__name__
            for each in self.received
        ]
        return [name for name, _ in itertools.groupby(names)]


class Slow(Consumer):
    """Has room for some messages, and reads when it is let."""

    def __init__(self, world: World, size: int) -> None:
        super().__init__()
        self.crowded = 0
        self.waited_for = 0
        self._world = world
        self._size = size
        self._is_full = False
        self._waiting = 0

    def __call__(self, item: Message | Notice) -> None:
        super().__call__(item)
        self._waiting += 1
        if self._waiting >= self._size and not self._is_full:
            self._is_full = True
            self._world.feed.pool.pause_for(self, self)

    def check_room(self) -> None:
        """Take no note: it makes room when it reads."""

    def on_waited_for(self) -> None:
        """Count the reports that the server waits for it."""
        self.waited_for += 1

    def on_crowded(self) -> None:
        """Count the reports that others share its connections."""
        self.crowded += 1

    def read(self) -> None:
        """Read all that waits, and what comes then."""
        while self._waiting:
            self._waiting, self._is_full = 0, False
            self._world.feed.pool.resume_for(self)
            self._world.perform()


class World:
    """A feed, a server and what is between them."""

    def __init__(
        self,
        *,
        venue: Venue = USDM,
        limits: Limits = LIMITS,
        delay_ms: int = 10,
        seed: int = 1,
        begin: Callable[[], Plant] = lambda: Plant([], start_ms=WALL_MS),
        **settings: Any,
    ) -> None:
        self.venue = venue
        self.limits = limits
        self._begin = begin
        self.delay_ms = delay_ms
        self.now_ms = START_MS
        self.wires: dict[int, Wire] = {}
        self.opens: list[tuple[int, int, str]] = []
        """Time, connection and URL of each attempt."""
        self.refusals: Callable[[str], tuple[int | None, int] | None] = lambda _: None
        """By URL, the HTTP status and `Retry-After` in ms with which an attempt is refused."""
        self.fetches: list[Fetch] = []
        self.verified: list[tuple[str, ...]] = []
        """Streams that are asked about, as they are silent."""
        self.is_stalled = False
        """Whether the feed gets no ticks."""
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self.witness = Witness()
        self._names: list[str] = []
        self.feed = Feed(
            hosts_of(venue, "ws://plant:9001"),
            tuned(**settings),
            reader,
            Random(seed),
        )
        self.start_server()
        self.feed.tick(self.now_ms, WALL_MS)

    # The server

    def start_server(self) -> None:
        """Let a server begin, with nothing that another knew."""
        self.plant = self._begin()
        self.hub: Hub = self.plant.hubs[self.venue.name]
        self.hub.accepts_unknown = not self.plant.markets
        self.hub.set_combined(self.witness, True)
        self.watch(*self._names)

    def watch(self, *names: str) -> None:
        """Let the witness see what is published of streams."""
        for name in names:
            found = resolve(self.venue, name)
            route = "" if found is None else found[0].route
            self.hub.subscribe(self.witness, [name], route)

    def restart(self) -> None:
        """Let the server end, and another begin."""
        for wire in tuple(self.wires.values()):
            wire.end("closed 1001 Server shutdown", 1001)
        self.start_server()

    def publish(self, name: str, *published: bytes) -> None:
        """Let the server publish messages of a stream."""
        if name not in self._names:
            self._names.append(name)
            self.watch(name)
        for payload in published:
            self.hub.broadcast(name, payload)
        self.hub.flush()

    def published(self, name: str) -> list[bytes]:
        """What was published of a stream."""
        return self.witness.published.get(name, [])

    # Time

    def at(self, due_ms: int, what: Callable[[], object]) -> None:
        """Do something when it is `due_ms`."""
        heapq.heappush(self._events, (due_ms, next(self._order), what))

    def run(self, duration_ms: int = 0) -> None:
        """Let time pass."""
        end_ms = self.now_ms + duration_ms
        while True:
            next_tick = (self.now_ms // TICK_MS + 1) * TICK_MS
            due_ms = self._events[0][0] if self._events else next_tick
            if min(due_ms, next_tick) > end_ms:
                break
            if due_ms < next_tick:
                self.now_ms = max(self.now_ms, due_ms)
                heapq.heappop(self._events)[2]()
            else:
                self.now_ms = next_tick
                if not self.is_stalled:
                    self.feed.tick(self.now_ms, WALL_MS + self.now_ms - START_MS)
            self.perform()
        self.now_ms = end_ms

    def perform(self) -> None:
        """Carry out what the feed asks for."""
        if self.feed.pool.full or any(wire.unread is not None for wire in self.wires.values()):
            unread = self.feed.pool.connections_to_pause()
            for wire in tuple(self.wires.values()):
                wire.read(wire.number not in unread)
        while actions := self.feed.take_actions():
            for action in actions:
                self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Open():
                self._open(action)
            case Fetch():
                self.fetches.append(action)
            case Verify(streams=streams):
                self.verified.append(streams)
            case Drop(number=number):
                wire = self.wires.pop(number, None)
                if wire is not None:
                    wire.leave()
            case Send() | Ping() if action.number in self.wires:
                wire = self.wires[action.number]
                if isinstance(action, Send):
                    wire.receive(action.text)
                else:
                    wire.ping()

    def _open(self, action: Open) -> None:
        self.opens.append((self.now_ms, action.number, action.url))
        self.at(self.now_ms + self.delay_ms, lambda: self._shake_hands(action))

    def _shake_hands(self, action: Open) -> None:
        refusal = self.refusals(action.url)
        if refusal is not None:
            status, retry_ms = refusal
            self.feed.refused(action.number, f"HTTP {status}", status, retry_ms)
            return
        target = parse_target(action.url.removeprefix("ws://plant:9001"), self.venue, self.limits)
        assert isinstance(target, StreamTarget)
        if action.number in self.feed.connections:
            self.wires[action.number] = Wire(self, action.number, target)
            self.feed.opened(action.number)

    # Shortcuts

    def attach(self, *names: str, backfills: bool = False, settle_ms: int = 1_000) -> Consumer:
        """Let somebody listen, and wait until everything is subscribed to."""
        consumer = Consumer()
        self.feed.attach(names, consumer, backfills=backfills)
        self.perform()
        self.run(settle_ms)
        return consumer

    def refuse_for(self, duration_ms: int, status: int | None = 503, retry_ms: int = 0) -> None:
        """Refuse all attempts for a time."""
        until_ms = self.now_ms + duration_ms
        self.refusals = lambda _: (status, retry_ms) if self.now_ms < until_ms else None

    def connection(self, name: str, copy: int = 0) -> FeedConnection:
        """The connection that carries a stream."""
        found = [each for each in self.feed.connections.values() if name in each.names]
        return next(each for each in found if each.group.copy == copy and each.successor is None)

    def wire(self, name: str, copy: int = 0) -> Wire:
        """The same, as the server sees it."""
        return self.wires[self.connection(name, copy).number]

    def primary(self, name: str) -> Wire:
        """The connection that leads."""
        connection = self.feed.merged_streams[name].primary
        assert isinstance(connection, FeedConnection)
        return self.wires[connection.number]

    def secondary(self, name: str) -> Wire:
        """Another connection than the one that leads."""
        return next(wire for wire in self.wires.values() if wire is not self.primary(name))

    def renew(self, name: str, copy: int = 0) -> None:
        """Let the renewal of a connection be due."""
        self.connection(name, copy).renew_by(self.now_ms)

    def held(self) -> dict[str, int]:
        """On how many connections the server holds each name."""
        counted: dict[str, int] = {}
        for wire in self.wires.values():
            for name in wire.session.names:
                counted[name] = counted.get(name, 0) + 1
        return counted

    def check_counters(self, consumer: Consumer) -> None:
        """All that came was handed out, left out, or waits; `consumer` listens from the beginning."""
        for name, merged in self.feed.merged_streams.items():
            waiting = sum(len(each.waiting) for each in merged.secondaries.values())
            waiting += merged.held_count
            received = [each for each in consumer.messages(name) if not each.backfilled]
            assert merged.messages == len(received) + merged.counters.duplicates + waiting, name
