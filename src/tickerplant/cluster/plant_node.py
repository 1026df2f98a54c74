"""A plant on the bus: publishes the streams that its edges want, and answers their questions.

The messages of a turn of the event loop travel together: one batch a stream, numbered over all streams.
Nothing is published while no edge wants it, and a message is encoded once, however many edges there are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from nats.errors import Error as NatsError

from tickerplant.bus import batches, nodes
from tickerplant.bus.batches import Batch, Message
from tickerplant.bus.calls import Answerer, Question
from tickerplant.bus.interest import EdgeState, InterestTable, Name
from tickerplant.bus.nodes import (
    HEARTBEAT_MS,
    Accepted,
    Answer,
    Beat,
    ConnectionToClose,
    Control,
    EpochBegins,
    FaultsSet,
    FromEdge,
    Interest,
    Leaving,
    MalformedError,
    Mark,
    OutageEnded,
    OutageStarted,
    PlantDescription,
    PlantGoes,
    Reached,
    Report,
    SendAll,
    StreamsEnded,
)
from tickerplant.bus.subjects import Subjects, key_of
from tickerplant.bus.tail import Tail
from tickerplant.cluster.connection import (
    MESSAGE_OVERHEAD_BYTES,
    BusConnection,
    BusSubscription,
    end,
)
from tickerplant.cluster.lease import Holder
from tickerplant.cluster.memory import MEMORY_S, BusMemory
from tickerplant.cluster.plant_readers import PlantReaders
from tickerplant.cluster.succession import Succession
from tickerplant.cluster.timing import TIMING, Timing, loop_ms
from tickerplant.envelope import prefix_of
from tickerplant.errors import BusError
from tickerplant.hub.hub import UNKNOWN_STREAM
from tickerplant.logs import logger

if TYPE_CHECKING:
    from tickerplant.hub.channel import Tap
    from tickerplant.hub.hub import Hub
    from tickerplant.plant import Plant
    from tickerplant.protocol.close_reasons import CloseReason
    from tickerplant.sources.source import Readers

TAIL_BYTES = 64 << 20
"""How much a plant keeps of what it has published, for when the bus has lost it."""
BATCH_SHARE = 2
"""A batch is closed when it is longer than a message of the bus may be, divided by this."""
KEPT_EVERY_MS = 1_000
"""How often the plant asks what the bus has kept."""
BEGINS = 1
"""The number of the message that a run begins with; no other message has it."""


class _Published:
    """One stream that edges want."""

    __slots__ = ("_node", "_prefix", "key", "opened_ns", "pending", "previous", "subject", "tap")

    def __init__(self, node: PlantNode, name: Name, subject: str, opened_ns: int) -> None:
        self.subject = subject
        self.opened_ns = opened_ns
        """Since when it is wanted, wall clock."""
        self.key = key_of(subject)
        self.previous = node.number
        """The number of its last message, or of any before it was published."""
        self.pending: list[Message] = []
        """The messages of this turn."""
        self.tap: Tap
        self._node = node
        self._prefix = prefix_of(name[1])

    def take(self, payload: bytes, envelope: bytes) -> None:
        """Number a message, and keep it until the end of the turn."""
        node, pending = self._node, self.pending
        node.number = number = node.number + 1
        if not pending:
            node.add_to_turn(self)
        elif node.latest is not self:
            node.is_interleaved = True
        node.latest = self
        if envelope and envelope == b"%b%b}" % (self._prefix, payload):
            envelope = b""
        pending.append(Message(number, payload, envelope))


class PlantNode:
    """A plant as its edges see it.

    It publishes while it holds the lease of its name.  Otherwise it is silent: it hears what the edges
    want, and keeps what it would have published.

    Args:
        bus: The connection.
        plant: The market and its hubs.
        description: What edges are told about it.
        is_standby: Whether it waits while another plant of the name publishes.
        local: The readers of the plant's own ports, if it has any.
        timing: How long the name is its own without being renewed.
        clock: Monotonic, in ms.
        wall_ns: The wall clock, in ns since the epoch.
    """

    def __init__(
        self,
        bus: BusConnection,
        plant: Plant,
        description: PlantDescription,
        *,
        is_standby: bool = False,
        local: Readers | None = None,
        timing: Timing = TIMING,
        clock: Callable[[], int] = loop_ms,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.description = description
        self.number = BEGINS
        """Of the last message."""
        self.latest: _Published | None = None
        """The stream of the last message of this turn."""
        self.is_interleaved = False
        """Whether this turn has messages of one stream between those of another."""
        self.is_active = False
        """Whether it publishes and answers."""
        self.published_count = 0
        """Messages published."""
        self.published_bytes = 0
        """Bytes of batches published."""
        self.subjects = Subjects(bus.settings.prefix, description.name)
        self.tail = Tail(TAIL_BYTES, MEMORY_S * 1_000)
        self.answerer = Answerer(self._answer, self._part_bytes)
        self.interest = InterestTable(self)
        self.readers = PlantReaders(self.interest, self._send_mark, local)
        """All connections of all edges and, if it has any, of its own ports."""
        self.memory = BusMemory(bus, self.subjects)
        self._bus = bus
        self._hubs: Mapping[str, Hub] = plant.hubs
        self._clock = clock
        self._wall_ns = wall_ns
        self._streams: dict[Name, _Published] = {}
        self._turn: list[_Published] = []
        """The streams with messages in this turn."""
        self._changed: dict[_Published, None] = {}
        """The streams with messages since the last heartbeat."""
        self._control_previous = BEGINS
        self._generation = ""
        """Of the bus's memory; empty while it is not known to keep anything."""
        self._kept: deque[tuple[int, int]] = deque(maxlen=MEMORY_S * 1_000 // KEPT_EVERY_MS + 2)
        self._confirmed = 0
        """The bus has taken all messages up to this number."""
        self._is_live = False
        """Whether what is published reaches the bus now, and not only the tail."""
        self._is_announced = False
        """Whether the edges know that this run publishes."""
        self._asking: asyncio.Task[None] | None = None
        """Asks the bus what it has kept; heartbeats do not wait for the answer."""
        self.succession = Succession(
            bus,
            self.subjects,
            Holder(epoch=description.epoch, term=0, host=socket.gethostname(), pid=os.getpid()),
            self,
            is_standby=is_standby,
            can_stand_by=description.can_be_taken_over,
            timing=timing,
        )
        """Decides when it publishes."""
        self._subscriptions: list[BusSubscription] = []
        self._is_away = asyncio.Event()
        """Set when the bus is back, or publishing begins, and `run` has to act."""
        self._outages: dict[str, str] = {}
        self._on_report: Callable[[EdgeState], object] = _nothing
        self._on_gone: Callable[[EdgeState], object] = _nothing

    @property
    def edges(self) -> Mapping[str, EdgeState]:
        """The edges, by identity."""
        return self.interest.edges

    @property
    def stream_count(self) -> int:
        """The streams that are published."""
        return len(self._streams)

    def watch_edges(
        self,
        on_report: Callable[[EdgeState], object],
        on_gone: Callable[[EdgeState], object],
    ) -> None:
        """Call `on_report` at each report of an edge, and `on_gone` when one has left or gone silent."""
        self._on_report, self._on_gone = on_report, on_gone

    # Life

    async def start(self) -> None:
        """Join the bus.

        Raises:
            BusError: a plant of the name publishes already, or the bus cannot keep its messages.
        """
        bus, subjects = self._bus, self.subjects
        for subject, callback in (
            (subjects.interest, self._on_edge),
            (subjects.call, self._on_question),
            (subjects.hello, self._on_hello),
            (subjects.all_plants, self._on_hello),
        ):
            self._subscriptions.append(bus.subscribe(subject, callback))
        bus.watch(self._on_bus)
        try:
            await self.memory.ensure()
            await self.succession.start()
            if self.is_active:
                await self._go_live()
        except (NatsError, TimeoutError) as error:
            raise BusError(
                f"the bus at {bus.address} cannot keep the messages of the plant: {error}"
            ) from None

    async def run(self) -> None:
        """Publish whenever the name is ours, until cancelled.

        Raises:
            BusError: another plant has replaced this one, which cannot be a standby.
        """
        beats = asyncio.create_task(self._keep())
        try:
            await self.succession.run()
        finally:
            await end(beats)
            if self._asking is not None:
                await end(self._asking)

    async def _keep(self) -> None:
        """Say regularly that the plant is there, and go on when the bus is back."""
        next_kept_ms = 0
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_MS / 1_000):
                    await self._is_away.wait()
            except TimeoutError:
                pass
            self._is_away.clear()
            for edge in self.interest.expire(self._clock()):
                self._forget(edge, "it has gone silent")
            if not (self.is_active and self._bus.is_connected):
                continue
            try:
                if not self._is_live:
                    await self._go_live()
            except (NatsError, OSError):
                self._bus.complaints.count("bus: JetStream does not answer", 1)
            if self._is_live:
                self._beat()
                if self._clock() >= next_kept_ms and (self._asking is None or self._asking.done()):
                    next_kept_ms = self._clock() + KEPT_EVERY_MS
                    self._asking = asyncio.create_task(self._ask_kept())

    async def retire(self) -> None:
        """Give the name up, so that a standby goes on at once; `run` must have ended."""
        self.end_turn()
        await self.succession.close()
        if self.is_active:
            self._beat(is_last=True)
            self.pause()

    async def close(self) -> None:
        """Leave the bus; say goodbye with `go` before."""
        await self.retire()
        for subscription in self._subscriptions:
            subscription.close()
        for name in tuple(self._streams):
            self.close_stream(name)
        await self._bus.flush()

    def begin(self, term: int) -> None:
        """Publish and answer from now on, beginning with what edges may have missed."""
        self.description = msgspec.structs.replace(self.description, term=term)
        self.is_active = True
        self._is_away.set()

    def pause(self) -> None:
        """Publish and answer nothing from now on; go on keeping what would be published."""
        self.end_turn()
        self.is_active = self._is_live = self._is_announced = False

    # The source: the interface `sources.source.Clients`

    def start_outage(self, venue_name: str, names: Iterable[str] | None, reason: str) -> None:
        """Let the edges disconnect the subscribers of streams whose upstream is lost."""
        listed = None if names is None else list(names)
        if listed is None:
            self._outages[venue_name] = reason
        self._control(OutageStarted(venue=venue_name, names=listed, reason=reason))

    def end_outage(self, venue_name: str) -> None:
        """Let the edges accept stream connections of a venue again."""
        self._outages.pop(venue_name, None)
        self._control(OutageEnded(venue=venue_name))

    def end_streams(self, reason: CloseReason) -> None:
        """Let the edges close all stream connections, and each new one."""
        self.description = msgspec.structs.replace(self.description, ended=reason.name)
        self._control(StreamsEnded(reason=reason.name))

    def set_faults(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        """Let other faults be on at the connections of the edges, by their ids."""
        listed: dict[str, Mapping[str, Any]] = {name: dict(rule) for name, rule in rules.items()}
        if listed == self.description.faults:
            return
        self.description = msgspec.structs.replace(self.description, faults=listed)
        self._control(FaultsSet(rules=listed))

    def close_connection(self, worker: str, connection_id: str) -> None:
        """Let an edge close a connection."""
        self._control(ConnectionToClose(worker=worker, connection=connection_id))

    def go(self, reason: CloseReason) -> None:
        """Tell the edges that the plant ends."""
        self._control(PlantGoes(reason=reason.name))

    # Streams: the interface `bus.interest.Streams`

    def open_stream(self, name: Name) -> None:
        """Publish a stream from now on, if a venue has it."""
        venue, stream = name
        hub = self._hubs.get(venue)
        if hub is None or hub.why_silent(stream) == UNKNOWN_STREAM:
            return
        self.end_turn()
        published = _Published(self, name, self.subjects.stream(venue, stream), self._wall_ns())
        published.tap = hub.tap(stream, published.take)
        self._streams[name] = published

    def close_stream(self, name: Name) -> None:
        """Publish a stream no longer."""
        published = self._streams.pop(name, None)
        if published is not None:
            published.tap.close()
            self._changed.pop(published, None)

    def add_to_turn(self, published: _Published) -> None:
        """Publish the messages of a stream at the end of this turn."""
        if not self._turn:
            asyncio.get_running_loop().call_soon(self.end_turn)
        self._turn.append(published)

    def end_turn(self) -> None:
        """Publish the messages of this turn."""
        turn = self._turn
        if not turn:
            return
        self._turn, self.latest = [], None
        is_interleaved, self.is_interleaved = self.is_interleaved, False
        now_ns = self._wall_ns()
        most_bytes = self._part_bytes() // BATCH_SHARE
        for published in turn:
            messages, published.pending = published.pending, []
            self._changed[published] = None
            self.published_count += len(messages)
            start = size = 0
            if len(messages) > 1:
                for position, message in enumerate(messages):
                    size += len(message.payload) + len(message.envelope)
                    if size > most_bytes and position > start:
                        self._publish(published, messages[start:position], now_ns, is_interleaved)
                        start, size = position, 0
            self._publish(
                published, messages[start:] if start else messages, now_ns, is_interleaved
            )
        if is_interleaved:
            self._publish_control(())
        if not self.succession.waits_for:
            self.readers.published(self.published_bytes)

    def _publish(
        self, published: _Published, messages: list[Message], now_ns: int, is_interleaved: bool
    ) -> None:
        number = messages[-1].number
        data = batches.encode(
            Batch(
                batches.FORMAT_VERSION,
                self.description.epoch,
                now_ns,
                published.previous,
                tuple(messages),
                is_interleaved,
            )
        )
        published.previous = number
        self._send(number, now_ns, published.subject, data)

    def _send(self, number: int, now_ns: int, subject: str, data: bytes) -> None:
        self.tail.add(number, now_ns, subject, data)
        self.published_bytes += len(data)
        if self._is_live:
            self._bus.publish(subject, data)

    def _control(self, control: Control) -> None:
        """Tell all edges, in order with the messages.

        While another plant publishes, only a hole in our copies is kept, for those who will get them.
        """
        is_hole = isinstance(control, OutageStarted) and control.names is not None
        if self.succession.waits_for and not is_hole:
            return
        self.end_turn()
        self.number += 1
        self._publish_control((Message(self.number, nodes.encode(control)),))

    def _publish_control(self, messages: tuple[Message, ...]) -> None:
        """Publish a control message; none is the mark at the end of an interleaved turn."""
        now_ns = self._wall_ns()
        data = batches.encode(
            Batch(
                batches.FORMAT_VERSION,
                self.description.epoch,
                now_ns,
                self._control_previous,
                messages,
            )
        )
        if messages:
            self._control_previous = messages[-1].number
        self._send(self.number, now_ns, self.subjects.control, data)

    # The bus

    def _on_bus(self, is_connected: bool) -> None:  # a callback
        self._is_live = False
        if is_connected:
            self._is_away.set()

    async def _go_live(self) -> None:
        """Let the bus keep what is published, republish what it may have lost, and go on live.

        Raises:
            NatsError: the bus does not answer.
        """
        state = await self.memory.ensure()
        self.end_turn()
        if state.generation == self._generation:
            first = self._confirmed
        else:  # a new memory: that of a bus that was started again, or that of our first start
            first = self.tail.dropped_number
            self._generation = state.generation
            self._kept.clear()
            self._kept.append((first, state.last))
        if not self.is_active:
            return
        self._is_live = True
        if not self._is_announced:
            self._is_announced = True
            self._announce(max(first, BEGINS))
        for kept in self.tail.after(first):
            self._bus.publish(kept.subject, kept.data)
        for edge in self.interest.take_unanswered():
            self._tell(edge, SendAll())
        self._beat()

    def _announce(self, number: int) -> None:
        """Tell the edges that this run publishes, first every message after `number`."""
        begins = EpochBegins(
            description=self._described,
            number=number,
            since_ns={
                published.subject: max(published.opened_ns, self.tail.dropped_ns)
                for published in self._streams.values()
            },
        )
        data = batches.encode(
            Batch(
                batches.FORMAT_VERSION,
                self.description.epoch,
                self._wall_ns(),
                BEGINS - 1,
                (Message(BEGINS, nodes.encode(begins)),),
            )
        )
        self._bus.publish(self.subjects.control, data)

    @property
    def _described(self) -> PlantDescription:
        """The description with the outages of now."""
        return msgspec.structs.replace(self.description, outages=dict(self._outages))

    async def _ask_kept(self) -> None:
        """Ask the bus what it has kept, for edges that have missed something."""
        asked = 0 if self._bus.unsent_bytes else self.number
        try:
            state = await self.memory.state()
        except (NatsError, OSError):
            self._bus.complaints.count("bus: JetStream does not answer", 1)
            return
        if not self._is_live or state.generation != self._generation:
            self._is_live = False
            self._is_away.set()
            return
        self._confirmed = max(self._confirmed, asked)
        self.end_turn()
        self._kept.append((self.number, state.last))

    def _beat(self, *, is_last: bool = False) -> None:
        self.end_turn()
        changed, self._changed = self._changed, {}
        beat = Beat(
            epoch=self.description.epoch,
            term=self.description.term,
            number=self.number,
            latest=tuple((published.key, published.previous) for published in changed),
            generation=self._generation,
            kept=tuple(self._kept),
            sent_ns=self._wall_ns(),
            is_last=is_last,
        )
        self._bus.publish(self.subjects.beat, nodes.encode(beat))

    # Edges

    def _on_hello(self, _subject: str, data: bytes, reply: str) -> None:
        del data
        if self.is_active and reply:
            self._bus.publish(reply, nodes.encode(self._described))

    def _on_edge(self, _subject: str, data: bytes, _reply: str) -> None:
        try:
            message = nodes.decode(data, FromEdge)
        except MalformedError as error:
            self._bus.complaints.add("bus: malformed", f"! not from an edge of ours: {error}")
            return
        known = len(self.interest.edges)
        match message:
            case Interest():
                self._on_interest(message)
            case Report():
                is_known = self.interest.report(message, self._clock())
                if is_known is False:
                    version = self.interest.edges[message.edge].version
                    self._tell(message.edge, SendAll(version=version))
                if is_known is not None:
                    self._on_report(self.interest.edges[message.edge])
            case Reached():
                self.readers.reached(message)
            case Leaving():
                edge = self.interest.leave(message.edge)
                if edge is not None:
                    self._forget(edge, "it ended")
        if len(self.interest.edges) > known:
            self.readers.joined(self.interest.edges[message.edge])
            logger().info(f"= edge {message.edge} joined", edges=len(self.interest.edges))

    def _on_interest(self, change: Interest) -> None:
        self.end_turn()
        known = self.interest.edges.get(change.edge)
        earlier = _earlier(change, known) if known is not None and change.is_full else {}
        applied = self.interest.change(change, self._clock(), self.number)
        if applied is None:
            self._bus.complaints.add("bus: too many edges", "! an edge too many was refused")
        elif not applied:
            self._tell(change.edge, SendAll(version=self.interest.edges[change.edge].version))
        else:
            silent = {
                venue: reasons
                for venue, names in change.opened.items()
                if (hub := self._hubs.get(venue)) is not None
                and (reasons := {name: why for name in names if (why := hub.why_silent(name))})
            }
            self._tell(
                change.edge,
                Accepted(
                    epoch=self.description.epoch,
                    version=0 if change.has_more else change.version,
                    number=self.number,
                    earlier=earlier,
                    silent=silent,
                    state=self._described if change.is_full and not change.has_more else None,
                ),
            )

    def _forget(self, edge: EdgeState, why: str) -> None:
        self.answerer.forget(edge.identity)
        self.readers.left()
        self._on_gone(edge)
        logger().info(f"= edge {edge.identity} left: {why}", edges=len(self.interest.edges))

    def _on_question(self, _subject: str, data: bytes, _reply: str) -> None:
        try:
            question = nodes.decode(data, Question)
        except MalformedError as error:
            self._bus.complaints.add("bus: malformed", f"! not a question of ours: {error}")
            return
        if self.is_active:
            self.answerer.receive(question)
        else:
            self.interest.leave_unanswered(question.edge)

    def _answer(self, edge: str, answer: Answer) -> None:
        self._tell(edge, msgspec.structs.replace(answer, epoch=self.description.epoch))

    def _tell(self, edge: str, message: Accepted | SendAll | Answer) -> None:
        if self.is_active or isinstance(message, SendAll):
            self._bus.publish(self.subjects.edge(edge), nodes.encode(message))
        else:
            self.interest.leave_unanswered(edge)

    def _send_mark(self, mark: int, waits: bool) -> None:  # a callback
        self._control(Mark(mark=mark, waits=waits))

    def _part_bytes(self) -> int:
        return self._bus.max_payload_bytes - MESSAGE_OVERHEAD_BYTES


def _nothing(_edge: EdgeState) -> None:
    """Do nothing."""


def _earlier(change: Interest, edge: EdgeState) -> dict[str, dict[str, int]]:
    """Return since which numbers an edge has wanted streams of its list, by venue and name."""
    return {
        venue: {name: edge.wanted[venue, name] for name in names if (venue, name) in edge.wanted}
        for venue, names in change.opened.items()
    }
