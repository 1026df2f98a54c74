"""An edge on the bus: asks its plant for the streams that its clients want, and hands them to its hubs.

The hubs of an edge are ordinary ones with empty markets.  Their demand is what the edge asks for, and
what the plant publishes they broadcast, in the plant's order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from nats.errors import Error as NatsError

from tickerplant.bus import batches, nodes
from tickerplant.bus.batches import BadBatchError, Batch, Message
from tickerplant.bus.calls import Caller, Question
from tickerplant.bus.interest import Name
from tickerplant.bus.link import SILENT_MS, STUCK, Link, LinkState
from tickerplant.bus.nodes import (
    LEASE_MS,
    REPORT_MS,
    Accepted,
    Answer,
    Beat,
    ConnectionToClose,
    Control,
    EpochBegins,
    FaultsSet,
    Hello,
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
    ToEdge,
)
from tickerplant.bus.ordering import Ordering
from tickerplant.bus.subjects import Subjects, key_of
from tickerplant.bus.telling import Telling, by_venue
from tickerplant.cluster.connection import (
    MESSAGE_OVERHEAD_BYTES,
    BusConnection,
    BusSubscription,
    end,
)
from tickerplant.cluster.edge_streams import Joining, Wanted
from tickerplant.cluster.memory import BusMemory
from tickerplant.cluster.timing import TIMING, Timing, loop_ms
from tickerplant.errors import BusError
from tickerplant.hub.delivery import Published
from tickerplant.logs import Complaints, logger
from tickerplant.protocol.close_reasons import (
    BUS_LOST,
    CLOSE_REASON_BY_NAME,
    UPSTREAM_LOST,
    CloseReason,
)

if TYPE_CHECKING:
    from tickerplant.hub.hub import Hub
    from tickerplant.sources.source import Readers

LINGER_MS = 2_000
"""How long a stream that is not wanted any more stays subscribed to on the bus: it may be wanted again
soon.  The plant stops to publish it at once, as one process would."""
MAX_LINGERING = 10_000
"""Subscriptions that linger; with more, the oldest end."""
RECOVERY_PAUSE_S = 0.05
CANNOT_BE_TAKEN_OVER = "a simulation or a replay cannot be taken over"
REACHES_BACK = "the memory of the bus does not reach back far enough"


class EdgeClients(Protocol):
    """The clients of an edge, as far as the bus is concerned."""

    def start_outage(
        self,
        venue_name: str,
        names: Iterable[str] | None,
        reason: str,
        close_reason: CloseReason = UPSTREAM_LOST,
    ) -> None:
        """Disconnect the subscribers of the streams `names`; None means all of the venue.

        With None, new stream connections are refused until `end_outage`.
        """
        ...

    def end_outage(self, venue_name: str) -> None:
        """Accept stream connections of the venue again."""
        ...

    def end_streams(self, reason: CloseReason) -> None:
        """Close all stream connections, and each new one."""
        ...

    def begin_streams(self) -> None:
        """Accept stream connections again after `end_streams`."""
        ...

    def set_faults(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        """Let exactly these faults be on, by their ids."""
        ...

    def close_connection(self, worker: str, connection_id: str) -> None:
        """Close a connection, if this edge is called so."""
        ...

    def silent(self, venue_name: str, reasons: Mapping[str, str]) -> None:
        """Note why streams that are subscribed to stay silent, by name."""
        ...


class _Demand:
    """The streams that the clients of one venue want: the interface `hub.hub.Demand`."""

    def __init__(self, node: EdgeNode, venue_name: str) -> None:
        self._node = node
        self._venue_name = venue_name

    def opened(self, name: str) -> None:
        """Ask the plant for a stream."""
        self._node.want((self._venue_name, name))

    def closed(self, name: str) -> None:
        """Ask for it no longer."""
        self._node.unwant((self._venue_name, name))


class EdgeNode:
    """One edge of a plant.

    First `hello`, then `attach`, then `run`.

    Args:
        bus: The connection.
        plant_name: The plant.
        identity: The edge's own name, unique on the bus.
        grace_ms: How long clients are kept without the bus or the plant.
        complaints: Take what goes wrong.
        timing: How long the plant is waited for.
        clock: Monotonic, in ms.
    """

    def __init__(
        self,
        bus: BusConnection,
        plant_name: str,
        *,
        identity: str,
        grace_ms: int,
        complaints: Complaints,
        timing: Timing = TIMING,
        clock: Callable[[], int] = loop_ms,
    ) -> None:
        self.identity = identity
        self.description: PlantDescription
        self.ordering: Ordering
        self.link = Link(grace_ms, clock())
        self.bad_batch_count = 0
        """Batches that could not be read."""
        self.recovery_count = 0
        """Times messages were read from the memory of the bus."""
        self.delay_ns = 0
        """How long the last batch took from the plant to here, by both wall clocks."""
        self.subjects = Subjects(bus.settings.prefix, plant_name)
        self.caller = Caller(identity, self._ask, clock, self._part_bytes)
        self.memory = BusMemory(bus, self.subjects)
        self._bus = bus
        self._timing = timing
        self._clock = clock
        self._grace_ms = grace_ms
        self._complaints = complaints
        self._hubs: Mapping[str, Hub] = {}
        self._clients: EdgeClients
        self._readers: Readers
        self._report: Callable[[], bytes]
        self._telling = Telling(identity, self._send_interest)
        self._wanted: dict[Name, Wanted] = {}
        self._by_subject: dict[str, Wanted] = {}
        self._by_key: dict[int, str] = {}
        """The subjects of the wanted streams, by their keys."""
        self._lingering: dict[Name, int] = {}
        """When the subscriptions of streams that are not wanted any more end, in that order."""
        self._opened: dict[Name, None] = {}
        self._closed: dict[Name, None] = {}
        """What the plant has not been told yet."""
        self._is_change_due = False
        self._silent: dict[str, dict[str, str]] = {}
        """Why names stay silent, by venue and name."""
        self._outages: dict[str, str] = {}
        """Why the plant serves no streams of a venue."""
        self._news = asyncio.Event()
        """Set when the plant was heard, has accepted a change of interest, or is given up."""
        self._last_beat: Beat | None = None
        self._joining = Joining(self.lose)
        self._search: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._is_state_due = True
        """Whether control messages may have been missed: the plant tells its state anew then."""
        self._held_since_ms = 0
        """Since when messages are held, while they are."""
        self._waits: set[asyncio.Task[None]] = set()
        self._subscriptions: list[BusSubscription] = []

    # Life

    async def hello(self) -> PlantDescription:
        """Return what the plant says about itself.

        Raises:
            BusError: no plant of that name is on the bus; the text names those that are there.
        """
        hello = nodes.encode(Hello(self.identity))
        loop, wait_s = asyncio.get_running_loop(), self._timing.hello_s
        deadline_s = loop.time() + wait_s
        while True:
            data = await self._bus.request(self.subjects.hello, hello, wait_s)
            if data is not None:
                break
            if loop.time() >= deadline_s:
                raise BusError(await self._who_is_there(hello), may_pass=True)
            await asyncio.sleep(RECOVERY_PAUSE_S)
        try:
            self.description = nodes.decode(data, PlantDescription)
        except MalformedError as error:  # the plant is of another version, or a stranger was faster
            self._complaints.add("bus: malformed", f"! not the greeting of a plant: {error}")
            described = await self._descriptions(self.subjects.hello, hello)
            if not described:
                raise BusError(
                    f"the plant {self.subjects.plant} is not of this version of the program: {error}"
                ) from None
            self.description = described[0]
        return self.description

    async def _descriptions(self, subject: str, hello: bytes) -> list[PlantDescription]:
        """Return what all plants answer to a greeting that is published on `subject`."""
        found: list[PlantDescription] = []

        def collect(_subject: str, data: bytes, _reply: str) -> None:
            with contextlib.suppress(MalformedError):
                found.append(nodes.decode(data, PlantDescription))

        inbox = self._bus.new_inbox()
        subscription = self._bus.subscribe(inbox, collect)
        self._bus.publish(subject, hello, inbox)
        await asyncio.sleep(self._timing.others_s)
        subscription.close()
        return found

    async def _who_is_there(self, hello: bytes) -> str:
        names = {each.name for each in await self._descriptions(self.subjects.all_plants, hello)}
        there = ", ".join(sorted(names)) or "none"
        return (
            f"no plant named {self.subjects.plant} is on the bus at {self._bus.address}; "
            f"plants that are there: {there}"
        )

    def _published(self) -> Published:
        """Return the times of the message that is delivered now; only the plant knows its event."""
        return Published(None, self._joining.published_ns)

    def attach(
        self,
        hubs: Mapping[str, Hub],
        *,
        clients: EdgeClients,
        readers: Readers,
        report: Callable[[], bytes],
    ) -> None:
        """Take over the hubs of the edge: from now on their demand is asked of the plant.

        Args:
            hubs: By the name of the venue.
            clients: The connections.
            readers: Their congestion.
            report: Returns the edge's own figures, which the plant keeps.
        """
        self._hubs, self._clients, self._readers, self._report = hubs, clients, readers, report
        self.ordering = Ordering(self.description.epoch, self.subjects.control, self)
        subscribe = self._bus.subscribe
        self._subscriptions = [
            subscribe(self.subjects.edge(self.identity), self._on_told),
            subscribe(self.subjects.control, self._on_batch),
            subscribe(self.subjects.beat, self._on_beat),
        ]
        self._bus.watch(self._on_bus)
        self.link.heard(self._clock())  # when it said hello; opening the ports may have taken long
        for venue, hub in hubs.items():
            hub.accepts_unknown = self.description.accepts_unknown
            hub.silent_elsewhere = self._silent.setdefault(venue, {})
            hub.demand = _Demand(self, venue)
            hub.published = self._published
        self._take_over_state(self.description)
        self._tell_all()
        self.send_report()

    async def run(self) -> None:
        """Report to the plant regularly, and look after the way to it, until cancelled."""
        reported_ms = ticked_ms = self._clock()
        while True:
            await asyncio.sleep(self._timing.tick_s)
            before_ms, ticked_ms = ticked_ms, self._clock()
            if ticked_ms - before_ms > SILENT_MS:
                continue  # this process stood still: first hear what has come meanwhile
            now_ms = ticked_ms
            was_here = self.link.state is LinkState.HERE
            if self._bus.is_connected and self._telling.is_overdue(now_ms):
                self._tell_all()
            if self.link.tick(now_ms, self._waits_ms(now_ms)):
                self._lose_plant()
            elif was_here and self.link.state is LinkState.AWAY:
                logger().warning(f"! {self.trouble}", clients_kept_s=self._grace_ms / 1_000)
            if not self.ordering.is_holding:
                self._joining.settle(now_ms)
            self.caller.tick()
            self._end_lingering(now_ms)
            if now_ms - reported_ms >= REPORT_MS:
                reported_ms = now_ms
                self.send_report()

    async def close(self) -> None:
        """Tell the plant that the edge ends, and leave."""
        self.caller.fail_all("the edge ends")
        for task in (*self._waits, self._recovery, self._search):
            if task is not None:
                await end(task)
        self.send_report()
        self._bus.publish(self.subjects.interest, nodes.encode(Leaving(edge=self.identity)))
        for subscription in self._subscriptions:
            subscription.close()
        for wanted in self._wanted.values():
            wanted.subscription.close()
        await self._bus.flush()

    def demand(self, venue_name: str) -> _Demand:
        """Return what a hub of the venue tells its demand to."""
        return _Demand(self, venue_name)

    @property
    def wanted_count(self) -> int:
        """Streams that the plant was asked for, lingering ones included."""
        return len(self._wanted)

    @property
    def unaccepted_count(self) -> int:
        """Changes of interest that the plant has not accepted yet."""
        return self._telling.unaccepted_count + self._is_change_due

    # Interest

    def want(self, name: Name) -> None:
        """Ask the plant for a stream."""
        wanted = self._wanted.get(name)
        if wanted is None:
            wanted = self._subscribe(name)
        else:
            self._lingering.pop(name, None)
            wanted.reopen()
        self.ordering.open(wanted.subject)
        self._opened[name] = None
        self._tell_soon()

    def _subscribe(self, name: Name) -> Wanted:
        venue, stream = name
        subject = self.subjects.stream(venue, stream)
        subscription = self._bus.subscribe(subject, self._on_batch)
        wanted = Wanted(name, subject, self._hubs[venue], subscription)
        self._wanted[name] = self._by_subject[subject] = wanted
        self._by_key[key_of(subject)] = subject
        return wanted

    def unwant(self, name: Name) -> None:
        """Ask the plant for a stream no longer; what subscribes to it on the bus lingers."""
        wanted = self._wanted[name]
        self.ordering.close(wanted.subject)
        self._joining.forget(wanted)
        self._silent[name[0]].pop(name[1], None)
        if name in self._opened:  # the plant does not know yet
            del self._opened[name]
        else:
            self._closed[name] = None
        self._tell_soon()
        self._lingering[name] = self._clock() + LINGER_MS
        if len(self._lingering) > MAX_LINGERING:
            self._unsubscribe(next(iter(self._lingering)))

    def _end_lingering(self, now_ms: int) -> None:
        for name, due_ms in tuple(self._lingering.items()):
            if due_ms > now_ms:
                break
            self._unsubscribe(name)

    def _unsubscribe(self, name: Name) -> None:
        del self._lingering[name]
        wanted = self._wanted.pop(name)
        wanted.subscription.close()
        del self._by_subject[wanted.subject]
        self._by_key.pop(key_of(wanted.subject), None)

    def _tell_soon(self) -> None:
        """Tell the plant what has changed at the end of this turn of the loop."""
        if not self._is_change_due:
            self._is_change_due = True
            asyncio.get_running_loop().call_soon(self._tell_changes)

    def _tell_changes(self) -> None:
        self._is_change_due = False
        opened, self._opened = list(self._opened), {}
        closed, self._closed = list(self._closed), {}
        self._telling.change(opened, closed, self._clock())

    def _tell_all(self) -> None:
        """Tell the plant everything that is wanted."""
        self._opened.clear()
        self._closed.clear()
        names = [name for name in self._wanted if name not in self._lingering]
        self._telling.everything(names, self._clock())

    def _send_interest(self, change: Interest) -> None:
        told = msgspec.structs.replace(change, subscriber_count=self._readers.subscriber_count)
        self._bus.publish(self.subjects.interest, nodes.encode(told))

    def send_report(self) -> None:
        """Tell the plant the edge's own figures of now, as `run` does regularly."""
        report = Report(
            edge=self.identity,
            version=self._telling.version,
            host=socket.gethostname(),
            pid=os.getpid(),
            lease_ms=LEASE_MS + self._grace_ms,
            subscriber_count=self._readers.subscriber_count,
            is_congested=self._readers.congested,
            body=self._report(),
        )
        self._bus.publish(self.subjects.interest, nodes.encode(report))

    # What the plant tells this edge alone

    def _on_told(self, _subject: str, data: bytes, _reply: str) -> None:
        try:
            message = nodes.decode(data, ToEdge)
        except MalformedError as error:
            self._complaints.add("bus: malformed", f"! not from a plant of ours: {error}")
            return
        if isinstance(message, SendAll):  # a standby asks too
            if message.version != self._telling.version or self._telling.unaccepted_count:
                self._tell_all()
                self.caller.resend()
        elif message.epoch != self.ordering.epoch:
            self._complaints.count("bus: answer of another run of the plant", 1)
        elif isinstance(message, Answer):
            self.caller.receive(message)
        else:
            self._accept(message)

    def _accept(self, accepted: Accepted) -> None:
        for venue, numbers in accepted.earlier.items():
            for name, number in numbers.items():
                self.ordering.accept([self.subjects.stream(venue, name)], number)
        waited = self._telling.unaccepted_count
        names = self._telling.accept(accepted.version, self._clock())
        subjects = [self._wanted[name].subject for name in names if name in self._wanted]
        self.ordering.accept(subjects, accepted.number)
        self._news.set()
        for venue, reasons in accepted.silent.items():
            known = self._silent.get(venue)
            if known is not None and reasons:
                known.update(reasons)
                self._clients.silent(venue, reasons)
        if accepted.state is not None and waited and not self._telling.unaccepted_count:
            self._catch_up(accepted.state)

    def _catch_up(self, state: PlantDescription) -> None:
        """Go on with a plant that has accepted everything anew."""
        is_back = self.link.accepted(self._clock())
        if self._is_state_due and not self.ordering.is_holding:
            self._is_state_due = False
            self._take_over_state(state)
        if is_back:
            self._reopen()

    # Messages: the interface `bus.ordering.Outlet`

    def _on_batch(self, subject: str, data: bytes, _reply: str) -> None:
        batch = self._read(data)
        if batch is not None:
            self.delay_ns = time.time_ns() - batch.sent_ns
            self._joining.published_ns = batch.sent_ns
            if batch.epoch == self.ordering.epoch:
                self._joining.heard_ns = batch.sent_ns
                self.ordering.take(subject, batch)
            elif (begins := self._beginning_in(subject, batch)) is not None:
                self._begin_epoch(begins)
            else:
                self.ordering.take(subject, batch)  # which counts it

    def _read(self, data: bytes) -> Batch | None:
        try:
            return batches.decode(data)
        except BadBatchError as error:
            self.bad_batch_count += 1
            self._complaints.add("bus: malformed batch", f"! {error}")
            return None

    def deliver(self, subject: str, message: Message) -> None:
        """Hand a message to the hub of its venue."""
        wanted = self._by_subject.get(subject)
        if wanted is not None:
            wanted.last = payload = message.payload
            wanted.broadcast(payload, message.envelope)
        elif subject == self.subjects.control:
            self._obey(message.payload)

    def lose(self, subjects: Iterable[str], reason: str) -> None:
        """Close the subscribers of streams of which messages are missing."""
        lost = by_venue(
            self._by_subject[subject].name for subject in subjects if subject in self._by_subject
        )
        for venue, names in lost.items():
            self._complaints.add("bus: messages lost", f"! messages may be missing: {reason}")
            self._clients.start_outage(venue, names, reason, BUS_LOST)

    def recover(self) -> None:
        """Read what is missing from the memory of the bus."""
        self._held_since_ms = self._clock()
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Replay what is missing; lose what cannot be replayed."""
        self.recovery_count += 1
        try:
            is_whole = await self._replay_again()
        except Exception:  # noqa: BLE001  # a fault of ours must not leave clients silent
            self._complaints.add("fault in recovery", "! a recovery failed", exc_info=True)
            self.ordering.lose_all("the recovery failed")
            is_whole = False
        if not is_whole and self.link.state is not LinkState.LOST:
            self._is_state_due = True
            self._tell_all()

    async def _replay_again(self) -> bool:
        """Replay until nothing is missing; return False if that was given up."""
        ordering, deadline_s = self.ordering, 0.0
        loop = asyncio.get_running_loop()
        while ordering.is_holding:
            beat = self._last_beat
            if (
                beat is None
                or self.link.state is not LinkState.HERE
                or self._telling.unaccepted_count
            ):
                deadline_s = 0.0
                self._news.clear()
                await self._news.wait()  # until the link is given up, at the latest
                continue
            deadline_s = deadline_s or loop.time() + self._timing.recovery_s
            is_final = loop.time() >= deadline_s
            try:
                problem = await self._replay(beat)
            except (NatsError, OSError) as error:
                problem = str(error) or type(error).__name__
            if problem == REACHES_BACK or (problem and is_final):
                ordering.lose_all(problem)
            elif not problem and ordering.settle(is_final=is_final):
                return True
            else:
                await asyncio.sleep(RECOVERY_PAUSE_S)
        return False

    async def _replay(self, beat: Beat) -> str:
        """Replay the memory after what was delivered; return what went wrong."""
        ordering = self.ordering
        state = await self.memory.state()
        if state.generation != beat.generation:
            return "the bus has lost its memory"
        starts = [sequence for number, sequence in beat.kept if number <= ordering.delivered]
        if not starts or state.first > starts[-1] + 1:
            return REACHES_BACK
        if state.last <= starts[-1]:
            return ""
        subjects = [*self._by_subject, self.subjects.control]
        is_whole = await self.memory.replay(starts[-1] + 1, subjects, self._on_replayed)
        return "" if is_whole else "the bus stopped to replay its memory"

    def _on_replayed(self, subject: str, data: bytes) -> None:
        batch = self._read(data)
        if batch is not None:
            self._joining.published_ns = batch.sent_ns
            self.ordering.replay(subject, batch)

    # The plant

    def _obey(self, payload: bytes) -> None:
        """Do what a control message says."""
        try:
            control = nodes.decode(payload, Control)
        except MalformedError as error:
            self._complaints.add("bus: malformed", f"! not a control message of ours: {error}")
            return
        match control:
            case OutageStarted() | OutageEnded():
                self._obey_outage(control)
            case StreamsEnded(reason=reason) if reason in CLOSE_REASON_BY_NAME:
                self._clients.end_streams(CLOSE_REASON_BY_NAME[reason])
            case FaultsSet(rules=rules):
                self._clients.set_faults(rules)
            case ConnectionToClose(worker=worker, connection=connection_id):
                self._clients.close_connection(worker, connection_id)
            case PlantGoes(reason=reason) if reason in CLOSE_REASON_BY_NAME:
                logger().info("= the plant ends", reason=reason)
                if not self.description.can_be_taken_over:
                    self._clients.end_streams(CLOSE_REASON_BY_NAME[reason])
            case Mark():
                self._answer_mark(control)
            case EpochBegins():
                pass  # its own, after a reconnection
            case _:
                self._complaints.add("bus: malformed", "! an unknown reason to close connections")

    def _obey_outage(self, control: OutageStarted | OutageEnded) -> None:
        venue = control.venue
        if venue not in self._hubs:
            return
        if isinstance(control, OutageEnded):
            if self._outages.pop(venue, None) is not None:
                self._clients.end_outage(venue)
            return
        if control.names is None:
            self._outages[venue] = control.reason
        self._clients.start_outage(venue, control.names, control.reason)

    def _answer_mark(self, mark: Mark) -> None:
        if not (mark.waits and self._readers.congested):
            self._reach(mark)
            return
        task = asyncio.get_running_loop().create_task(self._wait_clear(mark))
        self._waits.add(task)
        task.add_done_callback(self._waits.discard)

    async def _wait_clear(self, mark: Mark) -> None:
        await self._readers.wait_clear()
        self._reach(mark)

    def _reach(self, mark: Mark) -> None:
        reached = Reached(edge=self.identity, mark=mark.mark, is_congested=self._readers.congested)
        self._bus.publish(self.subjects.interest, nodes.encode(reached))

    def _beginning_in(self, subject: str, batch: Batch) -> EpochBegins | None:
        """Return the message with which another run of the plant begins, if it is that."""
        if subject != self.subjects.control or len(batch.messages) != 1:
            return None
        try:
            control = nodes.decode(batch.messages[0].payload, Control)
        except MalformedError:
            return None
        is_ours = (
            isinstance(control, EpochBegins)
            and control.description.name == self.description.name
            and control.description.epoch == batch.epoch
        )
        return control if is_ours else None

    def _begin_epoch(self, begins: EpochBegins, *, is_late: bool = False) -> None:
        """Follow another run of the plant, unless a later one is followed already.

        Args:
            begins: What it began with.
            is_late: Whether messages have come since then that are to be read from the memory.
        """
        old, new = self.description, begins.description
        if new.epoch == self.ordering.epoch or new.term < old.term:
            return
        where = f" on {new.host}" if new.host else ""
        logger().warning(f"! another run of the plant {new.name} publishes from now on{where}")
        goes_on = old.can_be_taken_over and new.can_be_taken_over
        if not goes_on:
            self.ordering.lose_all(f"the plant was started again, and {CANNOT_BE_TAKEN_OVER}")
        self.description, self._last_beat = new, None
        self.ordering.restart(new.epoch)
        known = [subject for subject in begins.since_ns if subject in self._by_subject]
        self.ordering.accept([self.subjects.control, *known], begins.number)
        if goes_on and self.link.state is not LinkState.LOST:
            streams = [each for name, each in self._wanted.items() if name not in self._lingering]
            self._joining.begin(streams, begins.since_ns, self._clock())
        if is_late:
            self.ordering.cut()
        self.link.heard(self._clock())
        self._take_over_state(new)
        self._tell_all()
        self.caller.resend()

    def _take_over_state(self, description: PlantDescription) -> None:
        """Do what a plant has told before."""
        for venue in self._hubs:
            reason = description.outages.get(venue)
            if reason is not None:
                self._outages[venue] = reason
                self._clients.start_outage(venue, None, reason)
            elif self._outages.pop(venue, None) is not None:
                self._clients.end_outage(venue)
        self._clients.set_faults(description.faults)
        if description.ended in CLOSE_REASON_BY_NAME:
            self._clients.end_streams(CLOSE_REASON_BY_NAME[description.ended])
        else:
            self._clients.begin_streams()

    # The way to the plant

    def _on_beat(self, _subject: str, data: bytes, _reply: str) -> None:
        try:
            beat: Beat = nodes.decode(data, Beat)
        except MalformedError as error:
            self._complaints.add("bus: malformed", f"! not a heartbeat of a plant: {error}")
            return
        if beat.epoch != self.ordering.epoch:
            self._on_foreign_beat(beat)
            return
        self._last_beat = beat
        self._joining.heard_ns = beat.sent_ns
        if self.link.heard(self._clock()):
            self._come_back()
        elif self.link.state is LinkState.LOST and not self._telling.unaccepted_count:
            self._tell_all()  # it is back when the plant has accepted that
        self._news.set()
        by_key = self._by_key
        self.ordering.check([(by_key[key], number) for key, number in beat.latest if key in by_key])

    def _on_foreign_beat(self, beat: Beat) -> None:
        """Look for the beginning of a later run of the plant, which was missed."""
        self._complaints.count("bus: heartbeat of another run of the plant", 1)
        is_searching = self._search is not None and not self._search.done()
        if beat.term >= self.description.term and not is_searching:
            self._search = asyncio.get_running_loop().create_task(self._find_beginning(beat.epoch))

    async def _find_beginning(self, epoch: str) -> None:
        """Follow a run of the plant whose beginning was missed."""
        found: list[EpochBegins] = []

        def look(subject: str, data: bytes) -> None:
            batch = self._read(data)
            if batch is not None and batch.epoch == epoch:
                begins = self._beginning_in(subject, batch)
                found.extend([] if begins is None else [begins])

        try:
            state = await self.memory.state()
            await self.memory.replay(state.first, [self.subjects.control], look)
            if not found:  # too long ago
                before = self.description
                found = [EpochBegins(description=await self.hello())]
                self.description = before
        except (NatsError, OSError, BusError):
            return  # the next heartbeat comes soon
        self._begin_epoch(found[-1], is_late=True)

    @property
    def trouble(self) -> str:
        """Why the plant is not there, as one line; empty if it is."""
        reason = self.link.reason
        if reason == STUCK or (not reason and self._waits_ms(self._clock()) > SILENT_MS):
            return STUCK
        if not reason or self.description.can_be_taken_over or not self.link.is_bus_here:
            return reason
        return f"{reason}, and {CANNOT_BE_TAKEN_OVER}"

    def _waits_ms(self, now_ms: int) -> int:
        """Return for how long streams have waited for the plant, or for messages that are missing."""
        held_ms = now_ms - self._held_since_ms if self.ordering.is_holding else 0
        return max(held_ms, self._telling.waits_ms(now_ms))

    def _on_bus(self, is_connected: bool) -> None:  # a callback
        if is_connected:
            self.link.bus_back()
            self._tell_all()
            self.send_report()
            self.caller.resend()
        else:
            self._last_beat = None
            self.link.bus_lost(self._clock())
            self.ordering.cut()

    def _lose_plant(self) -> None:
        """Close the clients, and refuse new ones until the plant is back."""
        reason = self.trouble
        logger().warning(f"! {reason}: stream connections are closed")
        self._joining.clear()
        self.caller.fail_all(reason)
        self._telling.forget()
        self._is_state_due = True
        self.ordering.forget()
        self._news.set()
        for venue in self._hubs:
            self._clients.start_outage(venue, None, reason, BUS_LOST)

    def _come_back(self) -> None:
        """Go on within the grace: the plant is heard again."""
        logger().info("= the plant is back")
        self.ordering.cut()
        self.caller.resend()

    def _reopen(self) -> None:
        """Accept clients and questions again: the plant is back after the grace."""
        logger().info("= the plant is back")
        self.caller.resume()
        for venue in self._hubs:
            if venue not in self._outages:
                self._clients.end_outage(venue)

    def _ask(self, question: Question) -> None:
        self._bus.publish(self.subjects.call, nodes.encode(question))

    def _part_bytes(self) -> int:
        return self._bus.max_payload_bytes - MESSAGE_OVERHEAD_BYTES
