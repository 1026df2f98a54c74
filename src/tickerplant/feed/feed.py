"""A feed: streams of one venue, heard over as many connections as they need, without a hole.

This is a state machine.  The shell around it (`client/`) tells it what happens, `opened`,
`refused`, `lost`, `received`, `heard`, and what time it is, `tick`; whatever is to be done then
stands in `actions`, which the shell takes out and carries out.

    wanted ──▶ waiting ──▶ opening ──▶ open ──▶ (renewed: another link opens, both are heard for a
                  ▲           │          │        while, then this one is dropped)
                  └───────────┴──────────┘
                    refused, lost: after a pause

Messages go from `received` by plain calls to the consumers' sinks; see `strand.py` for how several
connections become one stream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable
from random import Random

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tickerplant.decode.decoder import NAME_AT, NECK_BYTES, envelope_of
from tickerplant.feed import endings
from tickerplant.feed.actions import Action, Drop, Fetch, Open, Ping, Send
from tickerplant.feed.backoff import Backoff
from tickerplant.feed.endings import Ending
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.link import Link, State
from tickerplant.feed.rhythm import Rhythm
from tickerplant.feed.sequence import kind_of, sequence_of
from tickerplant.feed.session import ClientSession
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.strand import (
    CandleStrand,
    Item,
    NumberedStrand,
    Sink,
    Strand,
    StrandCounters,
)
from tickerplant.messages.notice import (
    Disconnected,
    Recovered,
    Refused,
    Stale,
    Unreadable,
)
from tickerplant.messages.readers import UNREADABLE, Reader
from tickerplant.protocol.token_bucket import TokenBucket
from tickerplant.streams import resolve

LOOK_MS = 500
"""How often silence is looked for."""
SHOWN_BYTES = 200
"""As much of an unreadable message is shown."""
GARBAGE_MS = 1_000
"""Consumers are told of unreadable messages of a connection at most this often."""
TOO_MANY_SUBSCRIPTIONS = 4
"""Error code of a connection that holds all it can (control messages page)."""
NO_SUCH_PATH = 404
SHUTDOWN = "serverShutdown"
"""Event of a server that will soon close its connections."""


class _Refusal(Struct):
    code: int = 0
    msg: str = ""


class _ServerEvent(Struct):
    kind: str = msgspec.field(name="e", default="")


class _AnyMessage(Struct):
    """Any message of the server: enough of it to see what it is."""

    stream: str = ""
    data: Raw = Raw()
    id: int | str | UnsetType | None = UNSET
    error: _Refusal | None = None
    event: _ServerEvent | None = None


_any_message = msgspec.json.Decoder(_AnyMessage).decode


class FeedCounters(Struct):
    """What happened so far, over all connections and streams."""

    messages: int = 0
    bytes: int = 0
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
        self.links: dict[int, Link] = {}
        self.strands: dict[str, Strand] = {}
        self._hosts = hosts
        self._venue = hosts.venue
        self._reader = reader
        self._chance = chance
        self._counters = FeedCounters()
        self._ended = FeedCounters()
        """Counts of strands that are no more."""
        self._splits_routes = self._venue.routed
        self._max_streams = settings.max_streams
        self._attempts = TokenBucket(settings.opens_per_s, settings.open_burst, 0)
        self._watched: dict[Strand, None] = {}
        self._deaf = 0
        """Connections that were replaced in a row because all their streams were stale."""
        self._next_number = 1
        self._look_ms = 0

    # What the consumer wants

    def attach(self, names: Iterable[str], sink: Sink, *, backfills: bool = False) -> None:
        """Give the messages of `names`, and what is to be told of them, to `sink` from now on."""
        for name in names:
            strand = self.strands.get(name) or self._open_strand(name)
            strand.sinks = (*strand.sinks, sink)
            strand.backfills = strand.backfills or (backfills and _can_backfill(name))
        self._carry_out()

    def detach(self, names: Iterable[str], sink: Sink) -> None:
        """Give nothing of `names` to `sink` any more."""
        for name in names:
            strand = self.strands.get(name)
            if strand is None or sink not in strand.sinks:
                continue
            left = list(strand.sinks)
            left.remove(sink)
            strand.sinks = tuple(left)
            if not left:
                self._close_strand(strand)
        self._carry_out()

    @property
    def counters(self) -> FeedCounters:
        """What happened so far."""
        counted = msgspec.structs.replace(self._counters)
        for strand in self.strands.values():
            counted.messages += strand.messages
            _add(counted, strand.counters)
        _add(counted, self._ended)
        counted.messages += self._ended.messages
        return counted

    @property
    def is_heard(self) -> bool:
        """Whether every stream is carried by a connection, and none is stale."""
        return all(
            strand.lead is not None and not strand.is_stale for strand in self.strands.values()
        )

    def links_of(self, names: Iterable[str]) -> set[int]:
        """Return the connections that carry any of `names`."""
        wanted = set(names)
        return {number for number, link in self.links.items() if wanted & link.names.keys()}

    def _open_strand(self, name: str) -> Strand:
        reader, sequence = self._reader(name), sequence_of(name)
        rhythm = Rhythm(self._venue, name, self.settings)
        if sequence is not None:
            strand: Strand = NumberedStrand(name, reader.decode, rhythm, self, sequence)
        elif "line_" in name:
            strand = CandleStrand(name, reader.decode, rhythm, self)
        else:
            strand = Strand(name, reader.decode, rhythm, self)
        self.strands[name] = strand
        for copy in range(self.settings.copies):
            self._give(strand, self._link_with_room(self._route_of(name), copy))
        return strand

    def _close_strand(self, strand: Strand) -> None:
        del self.strands[strand.name]
        self._watched.pop(strand, None)
        self._ended.messages += strand.messages
        _add(self._ended, strand.counters)
        for link in tuple(self.links.values()):
            if strand.name in link.names:
                self._take_away(strand, link)

    def _route_of(self, name: str) -> str:
        found = resolve(self._venue, name)
        return "market" if found is None else found[0].route

    def _give(self, strand: Strand, link: Link) -> None:
        """Let `link` carry `strand`."""
        link.names[strand.name] = None
        link.lanes[envelope_of(strand.name)] = strand
        if link.session is not None:
            link.session.want((strand.name,))
            link.settled_ms = 0
            strand.join(link)

    def _take_away(self, strand: Strand, link: Link) -> None:
        del link.names[strand.name]
        del link.lanes[envelope_of(strand.name)]
        strand.leave(link)
        if link.session is not None:
            link.session.unwant((strand.name,))
        if not link.names:
            self._drop(link)

    def _link_with_room(self, route: str, copy: int) -> Link:
        for link in self.links.values():
            is_of_group = (link.route, link.copy) == (route, copy)
            if is_of_group and len(link.names) < self._max_streams and link.successor is None:
                return link
        return self._new_link(route, copy)

    def _new_link(self, route: str, copy: int) -> Link:
        settings = self.settings
        backoff = Backoff(settings.retry_base_ms, settings.retry_max_ms, self._chance)
        link = Link(self._next_number, route, copy, backoff, self.now_ms)
        self._next_number += 1
        self.links[link.number] = link
        return link

    # What happens to connections

    def opened(self, number: int) -> None:
        """Take note that a connection is open."""
        link = self.links.get(number)
        if link is None:
            return
        self._counters.opened += 1
        link.state = State.OPEN
        link.opened_ms = link.heard_ms = self.now_ms
        link.pinged_ms = link.settled_ms = 0
        share = self._chance.uniform(0.5, 1 - self.settings.renew_share)
        link.renew_ms = self.now_ms + round(self.settings.life_ms * share)
        link.session = ClientSession(self.settings, self.now_ms)
        link.session.want(link.names)
        for name in link.names:
            self.strands[name].join(link)
        self._carry_out()

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
        if link is None:
            return
        self._counters.refused += 1
        ending = endings.of_handshake(status)
        if status == NO_SUCH_PATH and self._splits_routes:
            self._splits_routes = False  # a server from before the split: try its paths
            ending = endings.REFUSED
        self._end(link, f"refused: {reason}", ending, None, retry_after_ms)
        self._carry_out()

    def lost(self, number: int, reason: str, close_code: int | None = None) -> None:
        """Take note that an open connection ended."""
        link = self.links.get(number)
        if link is None:
            return
        self._counters.lost += 1
        self._end(link, reason, endings.of_close(close_code), close_code)
        self._carry_out()

    def heard(self, number: int) -> None:
        """Take note that a pong, or anything else but a message, came."""
        link = self.links.get(number)
        if link is not None:
            link.heard_ms = self.now_ms
            link.pinged_ms = 0

    def held_up(self, numbers: Container[int]) -> None:
        """Take note which connections are not read for want of room: their silence says nothing."""
        for number, link in self.links.items():
            is_held_up = number in numbers
            if link.is_held_up and not is_held_up:
                self.heard(number)
                for name in link.names:
                    self.strands[name].heard_ms = self.now_ms
            link.is_held_up = is_held_up

    def _end(
        self,
        link: Link,
        reason: str,
        ending: Ending,
        close_code: int | None = None,
        retry_after_ms: int = 0,
    ) -> None:
        """Let `link` wait for its next attempt, or go if another is taking its place."""
        was_good = link.is_open and self.now_ms - link.opened_ms >= self.settings.steady_ms
        link.session = None
        link.state = State.WAITING
        if was_good and not ending.least_ms:
            pause_ms = link.backoff.restart()
        else:
            pause_ms = link.backoff.pause_ms(max(ending.least_ms, retry_after_ms))
        link.retry_ms = self.now_ms + pause_ms
        for name in link.names:
            self.strands[name].leave(link)
        if link.successor is not None:
            link.successor.predecessor = None
            del self.links[link.number]
        elif len(link.names) > self._max_streams:
            self._move_surplus(link)
        self._tell_blind(link, reason, close_code, pause_ms)

    def _move_surplus(self, link: Link) -> None:
        """Let other connections carry what is more than the server takes."""
        for name in tuple(link.names)[self._max_streams :]:
            strand = self.strands[name]
            del link.names[name]
            del link.lanes[envelope_of(name)]
            self._give(strand, self._link_with_room(link.route, link.copy))

    def _tell_blind(self, link: Link, reason: str, close_code: int | None, pause_ms: int) -> None:
        """Tell the consumers of streams that nothing carries any more, once."""
        blind = [self.strands[name] for name in link.names]
        blind = [each for each in blind if each.lead is None and not each.is_blindness_told]
        for strand in blind:
            strand.is_blindness_told = True
            strand.blind_ms = self.now_ms if strand.blind_ms is None else strand.blind_ms
        for sink, names in _by_sink(blind).items():
            sink(
                Disconnected(
                    streams=names,
                    time_ms=self.wall_ms,
                    reason=reason,
                    close_code=close_code,
                    retry_ms=pause_ms,
                )
            )

    def _cut(self, link: Link, reason: str) -> None:
        """Give an open connection up."""
        self.actions.append(Drop(link.number))
        self._counters.lost += 1
        self._end(link, reason, endings.SILENT)

    def _drop(self, link: Link) -> None:
        """End a connection that is not needed any more."""
        if link.state is not State.WAITING:
            self.actions.append(Drop(link.number))
        if link.successor is not None:
            link.successor.predecessor = None
        if link.predecessor is not None:
            link.predecessor.successor = None
        del self.links[link.number]

    def _renew(self, link: Link) -> None:
        """Begin to let another connection take the place of `link`."""
        successor = self._new_link(link.route, link.copy)
        successor.predecessor, link.successor = link, successor
        for name in link.names:
            self._give(self.strands[name], successor)

    def _retire(self, link: Link) -> None:
        """End the overlap: what the successor told beyond `link` is delivered now."""
        self._counters.renewed += 1
        for name in link.names:
            self.strands[name].leave(link)
        self._drop(link)

    # Messages

    def received(self, number: int, raw: bytes, received_ns: int) -> None:
        """Take a text message as it came; this is the hot path."""
        link = self.links.get(number)
        if link is None:
            return
        link.heard_ms = self.now_ms
        start = raw.find(b'"', NAME_AT) + NECK_BYTES
        strand = link.lanes.get(raw[:start])
        if strand is None:
            self._received_oddly(link, raw, received_ns)
            return
        payload = raw[start:-1]
        try:
            item = strand.decode(payload)
        except UNREADABLE:
            self._received_oddly(link, raw, received_ns)
            return
        if type(item) is list:
            for message in item:
                message.stream = strand.name
                message.payload = payload
                message.received_ns = received_ns
            if not item:
                return
        else:
            item.stream = strand.name
            item.payload = payload
            item.received_ns = received_ns
        if strand.lead is link:
            strand.messages += 1
            if strand.is_stale:
                self._end_silence(strand)
            strand.heard_ms = self.now_ms
            strand.take(item)
        else:
            self._follow(link, strand, item)

    def _follow(self, link: Link, strand: Strand, item: Item) -> None:
        """Take a message of a connection that does not lead."""
        strand.join(link)
        if strand.lead is not None:
            strand.follow(link, item)
            return
        self._begin(link, [strand])  # heard before it was acknowledged
        strand.messages += 1
        strand.take(item)

    def _received_oddly(self, link: Link, raw: bytes, received_ns: int) -> None:
        """Take a message that is not one of a known stream in the usual form."""
        try:
            message = _any_message(raw)
        except UNREADABLE as error:
            self._tell_unreadable(link, tuple(link.names), raw, str(error))
            return
        if message.stream:
            self._received_otherwise(link, message.stream, bytes(message.data), received_ns)
        elif message.event is not None and message.event.kind == SHUTDOWN:
            if link.successor is None:
                self._renew(link)
        elif message.id is not UNSET or message.error is not None:
            self._answered(link, message)
        else:
            self._tell_unreadable(link, tuple(link.names), raw, "neither a stream nor an answer")
        self._carry_out()

    def _received_otherwise(self, link: Link, name: str, payload: bytes, received_ns: int) -> None:
        """Take a message of a stream whose envelope is written in another way, or that fails."""
        strand = self.strands.get(name) if name in link.names else None
        if strand is None:
            self._counters.late += 1
            return
        usual = envelope_of(name) + payload + b"}"
        try:
            strand.decode(payload)
        except UNREADABLE as error:
            self._tell_unreadable(link, (name,), payload, str(error))
        else:
            self.received(link.number, usual, received_ns)

    def _tell_unreadable(self, link: Link, names: tuple[str, ...], raw: bytes, reason: str) -> None:
        self._counters.unreadable += 1
        if link.told_garbage_ms and self.now_ms - link.told_garbage_ms < GARBAGE_MS:
            return
        link.told_garbage_ms = self.now_ms
        strands = [self.strands[name] for name in names]
        for sink, streams in _by_sink(strands).items():
            sink(
                Unreadable(
                    streams=streams,
                    time_ms=self.wall_ms,
                    payload=raw[:SHOWN_BYTES],
                    reason=reason,
                )
            )

    def _answered(self, link: Link, message: _AnyMessage) -> None:
        """Take the answer to a control message."""
        if link.session is None:
            return
        error = message.error
        sent = link.session.answered(message.id, refused=error is not None)
        if error is not None and error.code == TOO_MANY_SUBSCRIPTIONS and link.session.carried:
            self._max_streams = min(self._max_streams, len(link.session.carried))
        if sent is None or sent.method != "SUBSCRIBE":
            return
        strands = [self.strands[name] for name in sent.names if name in link.names]
        if error is None:
            self._begin(link, strands)
            return
        for sink, names in _by_sink(strands).items():
            sink(Refused(streams=names, time_ms=self.wall_ms, code=error.code, reason=error.msg))

    def _begin(self, link: Link, strands: Iterable[Strand]) -> None:
        """Let `link` count for `strands`; tell who was blind that they see again."""
        seeing = [strand for strand in strands if strand.carry(link)]
        for blind_ms, again in _by_blindness(seeing).items():
            for strand in again:
                strand.is_blindness_told, strand.blind_ms = False, None
            if blind_ms is not None:
                self._tell_recovered(again, self.now_ms - blind_ms)

    def _tell_recovered(self, strands: Iterable[Strand], blind_ms: int) -> None:
        for sink, names in _by_sink(strands).items():
            sink(Recovered(streams=names, time_ms=self.wall_ms, blind_ms=blind_ms))

    # Time

    def tick(self, now_ms: int, wall_ms: int) -> None:
        """Let the clocks reach `now_ms` and `wall_ms`, and do what is due."""
        self.now_ms = now_ms
        self.wall_ms = wall_ms
        for strand in tuple(self._watched):
            if not strand.tick(now_ms):
                self._watched.pop(strand, None)
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + LOOK_MS
            self._look_for_silence()
        for link in tuple(self.links.values()):
            if link.is_open and not link.is_held_up:
                self._look_after(link)
        self._carry_out()

    def _carry_out(self) -> None:
        """Open what waits long enough, ask for what is wanted."""
        for link in self.links.values():
            if link.session is not None:
                for text in link.session.due(self.now_ms):
                    self.actions.append(Send(link.number, text))
            elif (
                link.state is State.WAITING
                and self.now_ms >= link.retry_ms
                and self._attempts.take(self.now_ms)
            ):
                link.state = State.OPENING
                self.actions.append(Open(link.number, self._url(link)))

    def _url(self, link: Link) -> str:
        route = f"/{link.route}" if self._splits_routes else ""
        return f"{self._hosts.streams}{route}/stream"

    def _look_after(self, link: Link) -> None:
        """Do what is due on an open connection."""
        settings, session = self.settings, link.session
        silent_ms = self.now_ms - link.heard_ms
        if session is None:
            return
        if session.overdue(self.now_ms):
            self._cut(link, "a subscription was not answered")
        elif link.pinged_ms and self.now_ms - link.pinged_ms >= settings.pong_timeout_ms:
            if silent_ms >= settings.pong_timeout_ms:
                self._cut(link, "silent: a ping was not answered")
            else:
                link.pinged_ms = 0
        elif silent_ms >= settings.idle_ms and not link.pinged_ms:
            link.pinged_ms = self.now_ms
            self.actions.append(Ping(link.number))
        elif link.successor is None and link.predecessor is None:
            if self.now_ms >= link.renew_ms:
                self._renew(link)
        elif link.predecessor is not None and session.settled:
            link.settled_ms = link.settled_ms or self.now_ms
            if self.now_ms - link.settled_ms >= settings.overlap_ms:
                self._retire(link.predecessor)

    def _look_for_silence(self) -> None:
        for strand in self.strands.values():
            if not isinstance(strand.lead, Link) or strand.lead.is_held_up:
                continue
            strand.rhythm.hear(strand.messages, strand.heard_ms)
            silent_ms = self.now_ms - strand.heard_ms
            patience_ms = strand.rhythm.patience_ms
            if patience_ms is None or silent_ms < patience_ms or strand.is_stale:
                continue
            strand.is_stale = True
            self._counters.stale += 1
            strand.tell(
                Stale(
                    streams=(strand.name,),
                    time_ms=self.wall_ms,
                    silent_ms=silent_ms,
                    expected_ms=strand.rhythm.expected_ms,
                )
            )
        for link in tuple(self.links.values()):
            if link.is_open and link.successor is None and self._is_deaf(link):
                self._deaf += 1
                self._renew(link)

    def _is_deaf(self, link: Link) -> bool:
        """Whether a connection has been open for long, and everything on it is stale."""
        age_ms = self.now_ms - link.opened_ms
        if link.predecessor is not None or age_ms < self.settings.deaf_ms << min(self._deaf, 10):
            return False
        strands = [self.strands[name] for name in link.names]
        told = [each for each in strands if each.rhythm.patience_ms is not None]
        return bool(told) and all(each.is_stale and each.lead is link for each in told)

    def _end_silence(self, strand: Strand) -> None:
        strand.is_stale = False
        strand.rhythm.rest()
        self._deaf = 0
        self._tell_recovered([strand], self.now_ms - strand.heard_ms)

    # For strands

    def watch(self, strand: Strand) -> None:
        """Call `tick` of the strand from now on, until it returns False."""
        self._watched[strand] = None

    def fetch(self, strand: Strand, after_id: int, before_id: int) -> None:
        """Ask for the messages between two ids."""
        kind = kind_of(strand.name)
        symbol = strand.name.partition("@")[0].upper()
        self.actions.append(
            Fetch(strand.name, symbol, kind.removeprefix("kline_"), after_id, before_id)
        )

    def filled(self, stream: str, messages: Iterable[object]) -> None:
        """Give a stream what it missed, oldest first."""
        strand = self.strands.get(stream)
        if strand is not None:
            strand.filled(messages)  # type: ignore[arg-type]

    def unfilled(self, stream: str, reason: str) -> None:
        """Tell a stream that what it missed cannot be had."""
        strand = self.strands.get(stream)
        if strand is not None:
            strand.unfilled(reason)


def _add(total: FeedCounters, counted: FeedCounters | StrandCounters) -> None:
    """Add what was counted of messages to `total`."""
    total.duplicates += counted.duplicates
    total.gaps += counted.gaps
    total.missing += counted.missing
    total.backfilled += counted.backfilled


def _can_backfill(name: str) -> bool:
    kind = kind_of(name)
    return kind in {"trade", "aggTrade"} or kind.startswith("kline_")


def _by_sink(strands: Iterable[Strand]) -> dict[Sink, tuple[str, ...]]:
    """Return the names of `strands` by who consumes them."""
    names: defaultdict[Sink, list[str]] = defaultdict(list)
    for strand in strands:
        for sink in strand.sinks:
            names[sink].append(strand.name)
    return {sink: tuple(each) for sink, each in names.items()}


def _by_blindness(strands: Iterable[Strand]) -> dict[int | None, list[Strand]]:
    """Return `strands` by since when they are blind, if somebody was told."""
    found: defaultdict[int | None, list[Strand]] = defaultdict(list)
    for strand in strands:
        found[strand.blind_ms if strand.is_blindness_told else None].append(strand)
    return found
