"""A feed: streams of one venue, heard over as many connections as they need, without a hole.

This is a state machine.  The shell around it (`client/`) tells it what happens, `opened`,
`refused`, `lost`, `received`, `heard`, and what time it is, `tick`; whatever is to be done then
stands in `actions`, which the shell takes out and carries out.

Messages go from `received` by plain calls to the consumers' sinks.  How several connections become
one stream is in `strand.py`, what becomes of the connections in `fleet.py`, what silence means in
`vigil.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from random import Random
from typing import TypeAlias

from msgspec import UNSET, Struct, structs

from tickerplant.decode.decoder import NECK, head_of
from tickerplant.feed.actions import Action, Fetch
from tickerplant.feed.any_message import any_message
from tickerplant.feed.candles import CandleStrand
from tickerplant.feed.doubts import Doubts
from tickerplant.feed.fleet import Fleet
from tickerplant.feed.hold_ups import Full, HoldUps, Waiting
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.identified import IdentifiedStrand
from tickerplant.feed.link import Link
from tickerplant.feed.matched import MatchedStrand
from tickerplant.feed.numbered import AggregateTradeStrand, TradeStrand, UpdateStrand
from tickerplant.feed.observer import Observer
from tickerplant.feed.rhythm import Rhythm
from tickerplant.feed.rising import RisingStrand
from tickerplant.feed.sequence import kind_of, sequence_of
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.strand import Item, Keep, Sink, Strand, StrandCounters
from tickerplant.feed.telling import tell, tell_hole
from tickerplant.feed.vigil import Vigil
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Doubtful, Stale, Unreadable
from tickerplant.messages.readers import UNREADABLE, Reader
from tickerplant.streams.spelling import why_doubtful

_END = ord("}")
"""How a message in the usual envelope ends."""

STALLED_MS = 2_000
"""Without a tick for so long, nothing was read either: what was not heard says nothing."""
SHOWN_BYTES = 200
"""As much of an unreadable message is shown."""
GARBAGE_MS = 1_000
"""Consumers are told of unreadable messages of a stream, or connection, at most this often."""
SHUTDOWN = "serverShutdown"
"""Event of a server that will soon close its connections."""


Receive: TypeAlias = Callable[[bytes, int], bool]
"""Takes a text message and when it was received, ns; returns whether that was all there is to do."""


_IDENTIFIED: Mapping[str, type[IdentifiedStrand]] = {
    "trade_id": TradeStrand,
    "aggregate_id": AggregateTradeStrand,
    "final_update_id": UpdateStrand,
    "update_id": RisingStrand,
}
"""How streams whose messages have ids are put together, by the name of the id."""


class FeedCounters(Struct):
    """What happened so far, over all connections and streams."""

    messages: int = 0
    opened: int = 0
    """Connections that were opened."""
    refused: int = 0
    """Attempts that failed."""
    lost: int = 0
    """Connections that ended although they were wanted."""
    renewed: int = 0
    """Connections that were replaced in time."""
    unreadable: int = 0
    late: int = 0
    """Messages of streams that nobody wants any more."""
    stale: int = 0
    """Times a stream was called stale."""
    apart: int = 0
    """Subscriptions that were given connections of their own, because they were full."""
    duplicates: int = 0
    gaps: int = 0
    missing: int = 0
    backfilled: int = 0


class Feed:
    """The streams of one venue.

    Args:
        hosts: Where the venue is served.
        settings: How the feed behaves.
        reader: Returns what turns the payloads of a stream into messages.
        chance: Decides pauses and times of renewal.
    """

    def __init__(
        self,
        hosts: Hosts,
        settings: FeedSettings,
        reader: Callable[[str], Reader],
        chance: Random,
    ) -> None:
        self.settings = settings
        self.now_ms = 0
        """The clock of the feed: it only ever goes forward."""
        self.wall_ms = 0
        """Milliseconds since the epoch, for notices."""
        self.actions: list[Action] = []
        """What the shell is to do, oldest first."""
        self.strands: dict[str, Strand] = {}
        """The streams that consumers share, by name."""
        self.apart: dict[Sink, dict[str, Strand]] = {}
        """The streams of consumers who have connections of their own, because they are slow."""
        self.observer = Observer()
        """Who keeps a record of the connections."""
        self._venue = hosts.venue
        self._reader = reader
        self._unreadable = 0
        self._late = 0
        self._ended = FeedCounters()
        """Counts of strands that are no more."""
        self._fleet = Fleet(self, hosts, chance)
        self.links: dict[int, Link] = self._fleet.links
        self._vigil = Vigil(self)
        self._hold_ups = HoldUps(self, self._fleet)
        self._doubts = Doubts(self)
        self._watched: dict[Strand, None] = {}

    # What the consumer wants

    def attach(
        self,
        names: Iterable[str],
        sink: Sink,
        *,
        backfills: bool = False,
        keeper: Callable[[str], Keep] | None = None,
    ) -> None:
        """Give the messages of `names`, and what is to be told of them, to `sink` from now on.

        Args:
            names: The streams.
            sink: Takes messages and notices.
            backfills: Whether it wants gaps to be filled over REST.
            keeper: Returns what takes messages of a stream in the place of `sink` whenever they are
                to be delivered at once, came in the usual envelope, and nobody else wants them.
        """
        joined = []
        for name in names:
            strand = self._strand_for(name, sink) or self._open_strand(name, sink)
            keep = keeper and keeper(name)
            strand.attach(sink, backfills=backfills and _can_backfill(name), keep=keep)
            joined.append(strand)
        self._tell_newcomer(joined, sink)
        self._fleet.carry_out()

    def _tell_newcomer(self, strands: Iterable[Strand], sink: Sink) -> None:
        """Tell a new consumer what is to be doubted, and what others were told is not heard."""
        for strand in dict.fromkeys(strands):
            if strand.doubt and not strand.messages:
                names = (strand.name,)
                sink(Doubtful(streams=names, time_ms=self.wall_ms, reason=strand.doubt))
            if strand.refusal is not None:
                sink(structs.replace(strand.refusal, streams=(strand.name,)))
            if strand.blindness is not None:
                sink(structs.replace(strand.blindness, streams=(strand.name,)))
            elif strand.is_stale:
                silent_ms = self.now_ms - (strand.unheard_ms or strand.heard_ms)
                expected_ms = strand.rhythm.expected_ms
                sink(
                    Stale(
                        streams=(strand.name,),
                        time_ms=self.wall_ms,
                        silent_ms=silent_ms,
                        expected_ms=expected_ms,
                    )
                )

    def detach(self, names: Iterable[str], sink: Sink) -> None:
        """Give nothing of `names` to `sink` any more."""
        for name in names:
            strand = self._strand_for(name, sink)
            if strand is None or sink not in strand.sinks:
                continue
            strand.detach(sink)
            if not strand.sinks:
                self._close_strand(strand, sink)
            elif sink not in strand.sinks:
                self._fleet.remove_own(strand, sink)
        self._fleet.carry_out()

    @property
    def all_strands(self) -> list[Strand]:
        """The streams, shared and apart."""
        apart = (strand for strands in self.apart.values() for strand in strands.values())
        return [*self.strands.values(), *apart]

    @property
    def counters(self) -> FeedCounters:
        """What happened so far."""
        fleet = self._fleet
        counted = structs.replace(
            self._ended,
            opened=fleet.opened_links,
            refused=fleet.refused_links,
            lost=fleet.lost_links,
            renewed=fleet.renewed_links,
            unreadable=self._unreadable,
            late=self._late,
            stale=self._vigil.told,
            apart=self._hold_ups.moved,
        )
        for strand in self.all_strands:
            counted.messages += strand.messages
            _add(counted, strand.counters)
        return counted

    @property
    def is_heard(self) -> bool:
        """Whether every stream is carried by a connection, and none is stale."""
        return all(strand.lead is not None and not strand.is_stale for strand in self.all_strands)

    def is_carried(self, name: str) -> bool:
        """Whether connections carry the stream `name` for all who want it."""
        strands = self._named(name)
        return bool(strands) and all(strand.lead is not None for strand in strands)

    def _strand_for(self, name: str, sink: Sink) -> Strand | None:
        return self.apart.get(sink, {}).get(name) or self.strands.get(name)

    def _open_strand(self, name: str, sink: Sink) -> Strand:
        reader = self._reader(name)
        rhythm = Rhythm(self._venue, name, self.settings)
        ids = sequence_of(name, reader.message)
        if ids is not None:
            strand: Strand = _IDENTIFIED[ids.id_field](name, reader.decode, rhythm, self, ids)
        elif "candle" in reader.message.__struct_fields__:
            strand = CandleStrand(name, reader.decode, rhythm, self)
        else:
            strand = MatchedStrand(name, reader.decode, rhythm, self)
        strand.is_array = reader.array
        strand.doubt = why_doubtful(self._venue, name)
        self._doubts.begin(strand)
        if sink in self.apart:
            self.apart[sink][name] = strand
            self._fleet.place(strand, sink)
        else:
            self.strands[name] = strand
            self._fleet.place(strand)
        return strand

    def _close_strand(self, strand: Strand, sink: Sink) -> None:
        if self.strands.get(strand.name) is strand:
            del self.strands[strand.name]
        else:
            del self.apart[sink][strand.name]
            if not self.apart[sink]:
                del self.apart[sink]
        self._watched.pop(strand, None)
        self._doubts.forget(strand)
        self._ended.messages += strand.messages
        _add(self._ended, strand.counters)
        strand.close()
        self._fleet.remove(strand)

    # What happens to connections

    def opened(self, number: int) -> None:
        """Take note that a connection is open."""
        link = self.links.get(number)
        if link is not None:
            self._fleet.opened(link)
            self._fleet.carry_out()

    def refused(
        self, number: int, reason: str, status: int | None = None, retry_after_ms: int = 0
    ) -> None:
        """Take note that an attempt failed.

        Args:
            number: The connection.
            reason: Why, for people.
            status: The HTTP status of the answer, None if there was none.
            retry_after_ms: What the server asked for.
        """
        link = self.links.get(number)
        if link is not None:
            self._fleet.refused(link, reason, status, retry_after_ms)
            self._fleet.carry_out()

    def lost(self, number: int, reason: str, close_code: int | None = None) -> None:
        """Take note that an open connection ended."""
        link = self.links.get(number)
        if link is not None:
            self._fleet.lost(link, reason, close_code)
            self._fleet.carry_out()

    def heard(self, number: int) -> None:
        """Take note that a pong, or anything else but a message, came."""
        link = self.links.get(number)
        if link is not None:
            self._fleet.heard(link)

    def hold_up(self, sink: Sink, waiting: Waiting | None = None) -> None:
        """Take note that a consumer has no room: `unread` says what is not to be read because of it.

        Args:
            sink: The consumer.
            waiting: Who is told what becomes of it.
        """
        self._hold_ups.full[sink] = Full(self.now_ms, waiting)

    def make_room(self, sink: Sink) -> bool:
        """Take note that a consumer has room again; return whether it had none."""
        return self._hold_ups.full.pop(sink, None) is not None

    @property
    def has_full(self) -> bool:
        """Whether any consumer has no room."""
        return bool(self._hold_ups.full)

    def is_full(self, link: Link) -> bool:
        """Whether no consumer of a connection has room."""
        return self._hold_ups.is_full(link)

    def unread(self) -> set[int]:
        """Return the open connections that are not to be read from now on: nobody there has room.

        Their silence says nothing.
        """
        numbers = self._hold_ups.unread()
        self.held_up(numbers)
        return numbers

    def held_up(self, numbers: Container[int]) -> None:
        """Take note which connections are not read for want of room: their silence says nothing."""
        self._fleet.held_up(numbers)

    # Messages

    def received(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message as it came."""
        if number in self.links and not self.receiver(number)(raw, received_ns):
            self.received_oddly(number, raw, received_ns)

    def receiver(self, number: int) -> Receive:
        """Return what takes the text messages of an open connection: the hot path.

        It returns whether the message was one of a stream in the usual form; if not, nothing was
        done, and `received_oddly` is to be told.
        """
        link = self.links[number]
        lanes, unreadable = link.lanes, UNREADABLE

        def receive(raw: bytes, received_ns: int) -> bool:
            head, _, rest = raw.partition(NECK)
            strand = lanes.get(head)
            if strand is None:
                return False
            payload = rest[:-1]
            try:
                item = strand.decode(payload)
            except unreadable:
                return False
            speaks = passes = strand.speaker is link
            if not speaks and strand.is_array:
                self._take_any(link, strand, item, payload, received_ns)
                return True
            strand.messages += 1
            link.is_fresh = True
            if speaks:
                strand.heard_ms = self.now_ms
                passes = strand.passes(item)
                if passes and strand.keep is not None and raw[-1] == _END:
                    strand.keep(received_ns, raw, item)
                    return True
            item.stream = strand.name
            item.payload = payload
            item.received_ns = received_ns
            if passes:
                strand.deliver(item)
            elif speaks:
                strand.sift(item)
            else:
                self._take_from(link, strand, item)
            return True

        return receive

    def _take_any(
        self, link: Link, strand: Strand, item: Item, payload: bytes, received_ns: int
    ) -> None:
        """Take a message, or the list of those of an array, of whatever connection."""
        link.is_fresh = True
        if type(item) is not list:
            _stamp(item, strand.name, payload, received_ns)
        elif item:
            for message in item:
                _stamp(message, strand.name, payload, received_ns)
        else:
            strand.heard_ms = self.now_ms
            return
        strand.messages += 1
        self._take_from(link, strand, item)

    def _take_from(self, link: Link, strand: Strand, item: Item) -> None:
        """Take what was counted."""
        if strand.lead is link:
            if strand.is_stale:
                self._vigil.end(strand)
            strand.heard_ms = self.now_ms
            strand.take(item)
            return
        strand.join(link)
        if strand.lead is not None:
            strand.follow(link, item)
            return
        self._fleet.begin(link, [strand])  # heard before it was acknowledged
        strand.take(item)

    def received_oddly(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message that is not one of a known stream in the usual form."""
        link = self.links.get(number)
        if link is None:
            return
        link.is_fresh = True
        try:
            message = any_message(raw)
        except UNREADABLE as unreadable:
            self._tell_unreadable(link, None, raw, str(unreadable))
            return
        error = message.error
        if message.stream:
            self._received_otherwise(link, message.stream, bytes(message.data), received_ns)
        elif SHUTDOWN in {message.kind, message.event.kind if message.event else ""}:
            self._fleet.shut_down(link)
        elif error is not None:
            self._fleet.answered(link, message.id, error.code, error.msg)
        elif message.id is not UNSET:
            self._fleet.answered(link, message.id, None, "")
        else:
            self._tell_unreadable(link, None, raw, "neither a stream nor an answer")
        self._fleet.carry_out()

    def _received_otherwise(self, link: Link, name: str, payload: bytes, received_ns: int) -> None:
        """Take a message of a stream whose envelope is written in another way, or that fails."""
        strand = link.lanes.get(head_of(name))
        if strand is None:
            self._late += 1
            return
        try:
            item = strand.decode(payload)
        except UNREADABLE as error:
            if strand.lead in {None, link}:
                self.observer.unread(name, payload, received_ns)
            self._tell_unreadable(link, strand, payload, str(error))
            return
        self._take_any(link, strand, item, payload, received_ns)

    def _tell_unreadable(self, link: Link, strand: Strand | None, raw: bytes, reason: str) -> None:
        """Tell of what cannot be read, of a stream or of who knows which one on a connection."""
        self._unreadable += 1
        told = strand or link
        if told.told_garbage_ms and self.now_ms - told.told_garbage_ms < GARBAGE_MS:
            return
        told.told_garbage_ms = self.now_ms
        strands = [strand] if strand else list(link.lanes.values())
        notice = Unreadable(
            streams=(), time_ms=self.wall_ms, payload=raw[:SHOWN_BYTES], reason=reason
        )
        tell(strands, notice)

    # Time

    def tick(self, now_ms: int, wall_ms: int) -> None:
        """Let the clocks reach `now_ms` and `wall_ms`, and do what is due."""
        has_stalled = now_ms - self.now_ms >= STALLED_MS
        self.now_ms = now_ms
        self.wall_ms = wall_ms
        if has_stalled:
            self._fleet.pardon()
        for strand in tuple(self._watched):
            if not strand.tick():
                self._watched.pop(strand, None)
        self._hold_ups.look()
        deaf, silent = self._vigil.look()
        for link in deaf:
            self._fleet.renew(link)
        for link, strand in silent:
            if link.session is not None and link.successor is None:
                link.session.ask_again(strand.name)
        self._fleet.look_after()
        self._doubts.look()
        self._fleet.carry_out()

    # For strands

    def watch(self, strand: Strand) -> None:
        """Call `tick` of the strand from now on, until it returns False."""
        self._watched[strand] = None

    def is_held_up(self, link: Hashable) -> bool:
        """Whether a connection is not read, because a consumer has no room."""
        return isinstance(link, Link) and link.is_held_up

    def end_silence(self, strand: Strand) -> None:
        """Tell that a stale stream is heard again."""
        self._vigil.end(strand)

    def tell_hole(self, strand: Strand) -> None:
        """Tell that something may be missing: a follower leads that began when nothing was heard."""
        silent_ms = self.now_ms - strand.heard_ms
        tell_hole([strand], "its connection fell silent", silent_ms, self.wall_ms, None)

    def fetch(self, strand: Strand, after_id: int, before_id: int) -> None:
        """Ask for the messages between two ids."""
        kind = kind_of(strand.name)
        symbol = strand.name.partition("@")[0].upper()
        self.actions.append(
            Fetch(strand.name, symbol, kind.removeprefix("kline_"), after_id, before_id)
        )

    def filled(self, stream: str, messages: Iterable[Message], after_id: int | None = None) -> None:
        """Give a stream what it missed.

        Args:
            stream: The stream.
            messages: What could be had.
            after_id: Of what was asked for; an answer that came too late is known by it.
        """
        for strand in self._named(stream):
            strand.filled(messages, after_id)

    def verified(self, streams: Iterable[str], doubts: Mapping[str, str] | None) -> None:
        """Take the answer about silent streams: why nothing will come, by name; None: no answer."""
        self._doubts.verified(streams, doubts)

    def unfilled(self, stream: str, reason: str, after_id: int | None = None) -> None:
        """Tell a stream that what it missed cannot be had."""
        for strand in self._named(stream):
            strand.unfilled(reason, after_id)

    def _named(self, name: str) -> list[Strand]:
        found = (self.strands.get(name), *(strands.get(name) for strands in self.apart.values()))
        return [strand for strand in found if strand is not None]


def _stamp(message: Message, stream: str, payload: bytes, received_ns: int) -> None:
    """Say of `message` where and when it came from."""
    message.stream = stream
    message.payload = payload
    message.received_ns = received_ns


def _add(total: FeedCounters, counted: StrandCounters) -> None:
    """Add what was counted of messages to `total`."""
    total.duplicates += counted.duplicates
    total.gaps += counted.gaps
    total.missing += counted.missing
    total.backfilled += counted.backfilled


def _can_backfill(name: str) -> bool:
    kind = kind_of(name)
    return kind in {"trade", "aggTrade"} or kind.startswith("kline_")
