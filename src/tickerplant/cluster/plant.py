"""The plant's side: publishes the streams that its edges want, and answers their questions.

A run is one connection to the bus.  When that is lost, all that was known of edges is forgotten, their
clients are closed, and the next run begins with nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tickerplant.cluster import messages
from tickerplant.cluster.broker import (
    OVERHEAD_BYTES,
    Broker,
    Failed,
    Subjects,
    answer,
    ask,
    loop_ms,
    reading,
    wait,
)
from tickerplant.envelope import prefix_of
from tickerplant.errors import BusError
from tickerplant.hub.hub import UNKNOWN_STREAM
from tickerplant.logs import Complaints, logger

if TYPE_CHECKING:
    from tickerplant.hub.channel import Tap
    from tickerplant.hub.hub import Hub
    from tickerplant.plant import Plant
    from tickerplant.protocol.close_reasons import CloseReason
    from tickerplant.sources.source import Readers

HEARTBEAT_MS = 500
FORGET_MS = 10_000
"""An edge that says nothing for this long is forgotten."""
LISTEN_S = 1.2
"""How long a plant that starts listens for another one of its name."""
RETRY_S = 0.25
BATCH_SHARE = 2
"""A batch is closed when it is longer than a message of the bus may be, divided by this."""
MAX_EDGES = 4_096
WINDOW_BYTES = 8 << 20
"""What a source that waits may publish before every edge has delivered it."""
ASKS_PER_WINDOW = 4

Reply: TypeAlias = Callable[[bytes | Failed], object]
Open: TypeAlias = Callable[[], Awaitable[Broker]]


class Edge(Struct, kw_only=True, eq=False):
    """One edge, as far as a run of its plant knows it."""

    identity: str
    seen_ms: int
    gone: asyncio.Future[None]
    """Done when it is forgotten."""
    report: messages.Report = messages.Report()


Handler: TypeAlias = Callable[[Edge, bytes, Reply], object]
"""Answers a question of an edge, now or later; may raise `MalformedError`."""


class _Stream:
    """One stream that edges want."""

    __slots__ = ("_prefix", "_run", "edges", "key", "number", "subject", "tap")

    def __init__(self, run: PlantRun, name: messages.Name, key: int) -> None:
        self.edges: set[str] = set()
        self.key = key
        self.number = 0
        """Of its last message."""
        self.subject = run.subjects.stream(*name)
        self.tap: Tap | None = None
        self._run, self._prefix = run, prefix_of(name[1])

    def take(self, payload: bytes, envelope: bytes) -> None:
        """Keep a message until the end of the turn."""
        run, size = self._run, len(payload) + len(envelope)
        if run.latest is not self or run.size_bytes + size > run.most_bytes:
            run.turn_to(self)
        run.size_bytes += size
        if envelope and envelope != b"%b%b}" % (self._prefix, payload):
            run.envelopes[len(run.payloads)] = envelope
        run.payloads.append(payload)


class PlantRun:
    """One connection of a plant to its bus, and what its edges want there."""

    def __init__(self, node: PlantNode, broker: Broker, run: str, hubs: Mapping[str, Hub]) -> None:
        self.broker, self.run = broker, run
        self.subjects = Subjects(node.prefix, node.description.name, run)
        self.edges: dict[str, Edge] = {}
        self.streams: dict[messages.Name, _Stream] = {}
        self.latest: _Stream | None = None
        """The stream of the last message of this turn."""
        self.payloads: list[bytes]
        self.envelopes: dict[int, bytes]
        """The messages of this turn that follow each other in `latest`."""
        self.size_bytes = 0
        self.most_bytes = (broker.max_bytes - OVERHEAD_BYTES) // BATCH_SHARE
        self._node, self._hubs = node, hubs
        self._turn: list[tuple[_Stream, list[bytes], dict[int, bytes]]] = []
        self._changed: set[_Stream] = set()
        self.control_number = self._last_key = 0
        broker.subscribe(self.subjects.ask, reading(messages.Question, self._take, node.complaints))

    # Messages

    def turn_to(self, stream: _Stream) -> None:
        """Begin the next batch: that of another stream, or the first of a turn."""
        if not self._turn:
            asyncio.get_running_loop().call_soon(self.end_turn)
        self.latest, self.size_bytes, self.payloads, self.envelopes = stream, 0, [], {}
        self._turn.append((stream, self.payloads, self.envelopes))

    def end_turn(self) -> None:
        """Publish the messages of this turn, in their order."""
        turn, self._turn, self.latest = self._turn, [], None
        node, now_ns = self._node, time.time_ns()
        for stream, payloads, envelopes in turn:
            self._changed.add(stream)
            batch = messages.Batch(stream.number + 1, now_ns, tuple(payloads), envelopes)
            data = messages.encode(batch)
            stream.number += len(payloads)
            node.published_count += len(payloads)
            node.published_bytes += len(data)
            self.broker.publish(stream.subject, data)
        node.readers.published(node.published_bytes)

    def control(self, control: messages.PlantDescription | messages.StreamsLost) -> None:
        """Tell all edges, in order with the messages."""
        self.end_turn()
        self.control_number += 1
        batch = messages.Batch(self.control_number, time.time_ns(), (messages.encode(control),))
        self.broker.publish(self.subjects.control, messages.encode(batch))

    def beat(self) -> None:
        """Say that the plant is there, and how far its streams are."""
        self.end_turn()
        latest = tuple((stream.key, stream.number) for stream in self._changed)
        self._changed.clear()
        node = self._node
        plant, now_ns = node.description, time.time_ns()
        beat = messages.Beat(
            *(self.run, plant.started_ns, self.control_number, now_ns, plant.host, latest),
            name=plant.name,
        )
        self.broker.publish(self.subjects.beat, messages.encode(beat))

    # Edges

    def _take(self, question: messages.Question, subject: str) -> None:
        """Answer a question, after the messages of this turn."""
        self.end_turn()
        reply: Reply = partial(answer, self.broker, subject)
        edge = self.edges.get(question.edge)
        if edge is None:
            reply(Failed("the plant does not know this edge"))
            return
        edge.seen_ms = loop_ms()
        try:
            self._answer(edge, question, reply)
        except messages.MalformedError as error:
            kind = question.method[:20]
            self._node.complaints.add("bus: malformed", f"! not a question about {kind}: {error}")
            reply(Failed("the plant cannot read the question"))

    def _answer(self, edge: Edge, question: messages.Question, reply: Reply) -> None:
        method, body, node = question.method, question.body, self._node
        if method == messages.WANT:
            reply(messages.encode(self._want(edge, messages.decode(body, messages.Want))))
        elif method == messages.REPORT:
            edge.report = messages.decode(body, messages.Report)
            node.on_report(edge)
            reply(b"")
        elif method == messages.LEAVE:
            node.on_leave(edge, messages.decode(body, messages.Told))
            reply(b"")
            self.forget(edge, "it ended")
        elif method in node.handlers:
            node.handlers[method](edge, body, reply)
        else:
            reply(Failed("the plant answers no such questions"))

    def join(self, identity: str) -> bool:
        """Take in an edge, which may ask again; return whether there is room."""
        if identity in self.edges:
            return True
        if len(self.edges) >= MAX_EDGES:
            self._node.refused_count += 1
            return False
        gone = asyncio.get_running_loop().create_future()
        edge = Edge(identity=identity, seen_ms=loop_ms(), gone=gone)
        self.edges[identity] = edge
        logger().info(f"= edge {identity} joined", edges=len(self.edges))
        return True

    def _want(self, edge: Edge, want: messages.Want) -> tuple[messages.Opened, ...]:
        for name in want.closed:
            self._close(edge, name)
        return tuple(self._open(edge, name) for name in want.opened)

    def _open(self, edge: Edge, name: messages.Name) -> messages.Opened:
        hub, stream = self._hubs.get(name[0]), self.streams.get(name)
        if hub is None:
            raise messages.MalformedError("the venue is not served")
        silent = hub.why_silent(name[1])
        if stream is None:
            self._last_key += 1
            stream = self.streams[name] = _Stream(self, name, self._last_key)
            if silent != UNKNOWN_STREAM:
                stream.tap = hub.tap(name[1], stream.take)
        stream.edges.add(edge.identity)
        return messages.Opened(stream.key, stream.number, silent or "")

    def _close(self, edge: Edge, name: messages.Name) -> None:
        stream = self.streams.get(name)
        if stream is None:
            return
        stream.edges.discard(edge.identity)
        if not stream.edges:
            del self.streams[name]
            self._changed.discard(stream)
            if stream.tap is not None:
                stream.tap.close()

    def ask_edge(self, identity: str, question: bytes) -> asyncio.Future[bytes | Failed]:
        """Return what will be the answer of an edge to a question of the plant."""
        return ask(self.broker.ask, self.subjects.edge(identity), question)

    def forget(self, edge: Edge, why: str = "") -> None:
        """Publish nothing more for an edge."""
        self.end_turn()
        del self.edges[edge.identity]
        edge.gone.set_result(None)
        for name in [name for name, each in self.streams.items() if edge.identity in each.edges]:
            self._close(edge, name)
        self._node.on_gone(edge)
        if why:
            logger().info(f"= edge {edge.identity} left: {why}", edges=len(self.edges))

    def expire(self) -> None:
        """Forget the edges that have gone silent."""
        now_ms = loop_ms()
        for edge in [each for each in self.edges.values() if now_ms - each.seen_ms > FORGET_MS]:
            self.forget(edge, "it has gone silent")

    def close(self) -> None:
        """Forget everything."""
        for edge in tuple(self.edges.values()):
            self.forget(edge)


class PlantReaders:
    """Tells a source whether to wait, and counts the subscribers; `local` are those of own ports.

    From time to time all edges are asked.  Each answers when it has delivered everything before, and none
    of its connections is congested.
    """

    def __init__(self, node: PlantNode, local: Readers) -> None:
        self.wait_count = 0
        self.is_incomplete = False
        """Whether a source is to wait for a client that was cut off: never, there are many."""
        self._node, self._local = node, local
        self._published_bytes = self._asked_bytes = self._reached_bytes = 0
        self._asking: asyncio.Task[None] | None = None

    @property
    def congested(self) -> bool:
        """Whether a source that can wait should wait."""
        return self._local.congested or self._is_behind()

    @property
    def subscriber_count(self) -> int:
        """Connections with at least one subscription, over all edges."""
        return self._local.subscriber_count + sum(
            edge.report.subscribers for edge in self._node.edges.values()
        )

    @property
    def unreached_bytes(self) -> int:
        """What was published and not yet delivered by all edges."""
        return self._published_bytes - self._reached_bytes if self._node.edges else 0

    async def wait_clear(self) -> None:
        """Return when no connection is congested; one that reads nothing for too long is closed."""
        await asyncio.sleep(0)
        await self._local.wait_clear()
        self.wait_count += self._is_behind()
        while self._is_behind():
            await asyncio.shield(self._ask_soon())

    def published(self, published_bytes: int) -> None:
        """Note how many bytes were published so far."""
        self._published_bytes = published_bytes
        if published_bytes - self._asked_bytes > WINDOW_BYTES // ASKS_PER_WINDOW:
            self._ask_soon()

    def _is_behind(self) -> bool:
        reports = [edge.report for edge in self._node.edges.values()]
        return self.unreached_bytes > WINDOW_BYTES or any(each.is_congested for each in reports)

    def _ask_soon(self) -> asyncio.Task[None]:
        """Ask the edges, unless they are asked already."""
        if self._asking is None or self._asking.done():
            self._asked_bytes = self._published_bytes
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return self._asking

    async def _ask(self) -> None:
        """Ask all edges, and return when each has answered or gone."""
        run, published_bytes = self._node.run, self._published_bytes
        if run is not None:
            run.end_turn()
            await asyncio.gather(*(self._reach(run, edge) for edge in tuple(run.edges.values())))
        self._reached_bytes = max(self._reached_bytes, published_bytes)

    async def _reach(self, run: PlantRun, edge: Edge) -> None:
        """Return when an edge has delivered everything and nothing is congested, or it has gone."""
        question = messages.encode(messages.Asked(waits=True))
        while not edge.gone.done():
            said = run.ask_edge(edge.identity, question)
            ends: list[asyncio.Future[Any]] = [said, edge.gone]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if said.done() and isinstance(said.result(), bytes):
                edge.report = replace(edge.report, is_congested=False)
                return
            await asyncio.sleep(0)


class PlantNode:
    """A plant on the bus: one run after another, as long as the name is its own.

    Args:
        open_broker: Connects to the bus; raises `BusError`.
        prefix: The beginning of all subjects.
        is_alone: Whether nobody else can be on the bus, so that nobody can have the name.
        local: The readers of the plant's own ports.
    """

    def __init__(
        self,
        open_broker: Open,
        plant: Plant,
        description: messages.PlantDescription,
        *,
        prefix: str,
        local: Readers,
        complaints: Complaints,
        is_alone: bool = False,
    ) -> None:
        self.description, self.prefix, self.complaints = description, prefix, complaints
        self.handlers: dict[str, Handler] = {}
        """Answer the questions that are not about streams, by method."""
        self.on_report: Callable[[Edge], object] = lambda _edge: None
        self.on_gone: Callable[[Edge], object] = lambda _edge: None
        self.on_leave: Callable[[Edge, messages.Told], object] = lambda _edge, _told: None
        self.published_count = self.published_bytes = self.run_count = self.refused_count = 0
        self.run: PlantRun | None = None
        """None while the bus is lost."""
        self.readers = PlantReaders(self, local)
        self._open, self._hubs, self._is_alone = open_broker, plant.hubs, is_alone
        self._subjects = Subjects(prefix, description.name)
        self._refused: asyncio.Future[None] | None = None

    @property
    def edges(self) -> Mapping[str, Edge]:
        """The edges, by identity."""
        return {} if self.run is None else self.run.edges

    # Life

    async def start(self) -> None:
        """Join the bus.

        Raises:
            BusError: it cannot be used, or another plant has the name.
        """
        self._refused = asyncio.get_running_loop().create_future()
        broker = await self._connect()
        try:
            if not self._is_alone:
                await wait(LISTEN_S, broker.lost, self._refused)
            if self._refused.done():
                self._refused.result()
        except BaseException:
            await broker.close()
            raise
        self._begin(broker)

    async def keep(self) -> None:
        """Go on until cancelled: with a new run whenever the bus is back.

        Raises:
            BusError: another plant has the name.
        """
        while True:
            run = self.run
            if run is not None:
                reason = await self._live(run)
                await self.close()
                logger().warning("! the bus is lost", why=reason)
            await asyncio.sleep(RETRY_S)
            try:
                broker = await self._connect()
            except BusError as error:
                if not error.may_pass:
                    raise
                self.complaints.add("bus: no connection", f"! {error}")
                continue
            self._begin(broker)
            logger().info("= the bus is back, and a new run begins")

    async def _connect(self) -> Broker:
        broker, beats = await self._open(), self._subjects.beat
        broker.subscribe(beats, reading(messages.Beat, self._on_beat, self.complaints))
        return broker

    def _begin(self, broker: Broker) -> None:
        self.run_count += 1
        self.run = PlantRun(self, broker, secrets.token_hex(4), self._hubs)
        broker.subscribe(self._subjects.join, reading(str, self._on_join, self.complaints))
        self.run.beat()

    async def _live(self, run: PlantRun) -> str:
        """Beat until the connection is lost; return why it is.

        Raises:
            BusError: another plant has the name.
        """
        assert self._refused is not None  # noqa: S101
        while True:
            await wait(HEARTBEAT_MS / 1_000, run.broker.lost, self._refused)
            if self._refused.done():
                self._refused.result()
            if run.broker.lost.done():
                return run.broker.lost.result()
            run.expire()
            run.beat()

    async def close(self) -> None:
        """Leave the bus; tell the edges before, with `end_streams`."""
        run, self.run = self.run, None
        if run is not None:
            run.close()
            await run.broker.close()

    def _on_join(self, identity: str, reply: str) -> None:
        run = self.run
        if reply and run is not None:
            run.end_turn()
            joined = run.join(identity)
            described = replace(self.description, run=run.run, control=run.control_number)
            said = messages.encode(described)
            answer(run.broker, reply, said if joined else Failed("the plant has too many edges"))

    def _on_beat(self, beat: messages.Beat, _reply: str) -> None:
        """Give way to another plant of the name, if that was first or has begun."""
        own = self.description
        is_first = self.run is None or beat.started_ns < own.started_ns
        if is_first and self._refused and not self._refused.done():
            text = f"a plant named {own.name} is on the bus already, on {beat.host}: give this one "
            self._refused.set_exception(BusError(f"{text}another --plant"))
            self._refused.exception()  # whoever waits may have gone

    # The source: the interface `sources.source.Clients`, and what else concerns all edges

    def start_outage(self, venue: str, names: Iterable[str] | None, reason: str) -> None:
        """Let the edges disconnect the subscribers of streams whose upstream is lost."""
        if names is None:
            self._describe(outages={**self.description.outages, venue: reason})
        elif self.run is not None:
            lost = messages.StreamsLost(venue=venue, names=tuple(names), reason=reason)
            self.run.control(lost)

    def end_outage(self, venue: str) -> None:
        """Let the edges accept stream connections of a venue again."""
        outages = {key: why for key, why in self.description.outages.items() if key != venue}
        self._describe(outages=outages)

    def end_streams(self, reason: CloseReason) -> None:
        """Let the edges close all stream connections, and each new one."""
        self._describe(ended=reason.name)

    def set_faults(self, rules: messages.Rules) -> None:
        """Let other faults be on at the connections of the edges, by their ids."""
        self._describe(faults={name: dict(rule) for name, rule in rules.items()})

    def _describe(self, **changes: Any) -> None:
        """Tell all edges what has changed, if the bus is there."""
        described = replace(self.description, **changes)
        if described != self.description:
            self.description = described
            if self.run is not None:
                self.run.control(replace(described, run=self.run.run))
