"""The connections of a feed: which stream is heard on which, and the life of each.

waiting ──▶ opening ──▶ open ──▶ (renewed: another link opens, both are heard for a while, then
   ▲           │          │       this one is asked to tell nothing any more, and dropped)
   └───────────┴──────────┘
     refused, lost: after a pause
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from random import Random
from typing import Protocol

from tickerplant.decode.decoder import head_of
from tickerplant.feed import endings
from tickerplant.feed.actions import Action, Drop, Open, Ping, Send
from tickerplant.feed.backoff import Backoff
from tickerplant.feed.endings import Ending
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.link import Link, State
from tickerplant.feed.observer import Observer
from tickerplant.feed.session import ClientSession
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.strand import Sink, Strand
from tickerplant.feed.telling import tell, tell_blind, tell_hole, tell_recovered
from tickerplant.feed.weight import LONGEST_BAN_MS
from tickerplant.messages.notice import Disconnected, Refused
from tickerplant.protocol.token_bucket import TokenBucket
from tickerplant.streams import resolve

TOO_MANY_SUBSCRIPTIONS = 4
"""Error code of a connection that holds all it can (control messages page)."""
NO_SUCH_PATH = 404


class Feed(Protocol):
    """What a fleet sees of the feed."""

    settings: FeedSettings
    now_ms: int
    wall_ms: int
    actions: list[Action]
    observer: Observer

    def is_full(self, link: Link) -> bool:
        """Whether no consumer of a connection has room."""


class Fleet:
    """Connections that look after themselves.

    Args:
        feed: Whose they are.
        hosts: Where the venue is served.
        chance: Decides pauses and times of renewal.
    """

    def __init__(self, feed: Feed, hosts: Hosts, chance: Random) -> None:
        self.links: dict[int, Link] = {}
        self.opened_links = 0
        self.refused_links = 0
        self.lost_links = 0
        self.renewed_links = 0
        self._feed = feed
        self._settings = feed.settings
        self._hosts = hosts
        self._chance = chance
        self._splits_routes = hosts.venue.routed
        self._max_streams = feed.settings.max_streams
        self._attempts = TokenBucket(feed.settings.opens_per_s, feed.settings.open_burst, 0)
        self._admitted_ms = 0
        """No attempt is made before: the server refuses the whole address until then."""
        self._next_number = 1

    # Places

    def place(self, strand: Strand, owner: Sink | None = None) -> None:
        """Let as many connections as are wanted carry `strand`: those of `owner`, or shared ones."""
        found = resolve(self._hosts.venue, strand.name)
        route = "market" if found is None else found[0].route
        for copy in range(self._settings.copies):
            self._give(strand, self._link_with_room(route, copy, owner))

    def remove(self, strand: Strand) -> None:
        """Let no connection carry `strand` any more."""
        self._clear(strand, self._links_of(strand))

    def remove_own(self, strand: Strand, owner: Sink) -> None:
        """Let no connection of `owner` carry `strand` any more."""
        self._clear(strand, self.own_links(strand, owner))

    def own_links(self, strand: Strand, owner: Sink) -> list[Link]:
        """Return the connections of `owner` that are to carry `strand`."""
        return [link for link in self._links_of(strand) if link.owner == owner]

    def _links_of(self, strand: Strand) -> list[Link]:
        head = head_of(strand.name)
        return [link for link in self.links.values() if link.lanes.get(head) is strand]

    def _clear(self, strand: Strand, links: Iterable[Link]) -> None:
        for link in links:
            self._take_away(strand, link)
            if link.session is not None:
                link.session.unwant((strand.name,))
            if not link.names:
                self._forget(link)

    def split(self, strand: Strand, owner: Sink) -> Strand | None:
        """Return a strand for `owner` alone, on its own connections, which continues `strand`.

        It is `strand` itself if nobody else consumes it.  None if something would be lost by now:
        the connections of either side have not caught up with the leader.
        """
        own = self.own_links(strand, owner)
        others = [link for link in self._links_of(strand) if link not in own]
        leader = next((link for link in own if self._keeps_up(strand, link)), None)
        if strand.holds or leader is None:
            return None
        if strand.sinks.count(owner) == len(strand.sinks):
            self._clear(strand, others)
            return strand
        if strand.lead in own:
            shared = next((link for link in others if self._keeps_up(strand, link)), None)
            if shared is not None:
                strand.change_lead(shared)
            return None
        apart = strand.split(owner, own, leader)
        for link in own:
            link.lanes[head_of(strand.name)] = apart
        return apart

    def _keeps_up(self, strand: Strand, link: Link) -> bool:
        """Whether `link` carries what the leader of `strand` carries, as far as can be known."""
        lead = strand.lead
        heard_ms = lead.heard_ms if isinstance(lead, Link) else 0
        return lead is link or strand.keeps_up(link, heard_ms)

    def _give(self, strand: Strand, link: Link) -> None:
        link.names[strand.name] = None
        link.lanes[head_of(strand.name)] = strand
        if link.session is not None:
            link.session.want((strand.name,))
            link.settled_ms = 0
            strand.join(link)

    def _take_away(self, strand: Strand, link: Link) -> None:
        del link.names[strand.name]
        del link.lanes[head_of(strand.name)]
        link.told_carried.discard(strand.name)
        strand.leave(link)

    def _link_with_room(self, route: str, copy: int, owner: Sink | None) -> Link:
        for link in self.links.values():
            is_of_group = (link.route, link.copy, link.owner) == (route, copy, owner)
            is_usable = not link.is_apart and (owner is not None or not link.is_held_up)
            has_room = len(link.names) < self._max_streams and link.successor is None
            if is_of_group and is_usable and has_room:
                return link
        return self._new_link(route, copy, owner)

    def _new_link(self, route: str, copy: int, owner: Sink | None) -> Link:
        settings = self._settings
        backoff = Backoff(settings.retry_base_ms, settings.retry_max_ms, self._chance)
        link = Link(self._next_number, route, copy, owner, backoff, self._feed.now_ms)
        self._next_number += 1
        self.links[link.number] = link
        return link

    def _strands_of(self, link: Link, names: Iterable[str] | None = None) -> list[Strand]:
        """Return what `link` carries, or is to: of `names`, or all."""
        wanted = link.names if names is None else names
        return [link.lanes[head_of(name)] for name in wanted if name in link.names]

    # What happens to connections

    def opened(self, link: Link) -> None:
        """Take note that a connection is open."""
        now_ms = self._feed.now_ms
        self.opened_links += 1
        link.state = State.OPEN
        link.opened_ms = link.heard_ms = now_ms
        link.pinged_ms = link.settled_ms = 0
        link.is_fresh = False
        link.told_carried.clear()
        share = self._chance.uniform(0.5, 1 - self._settings.renew_share)
        link.renew_ms = now_ms + round(self._settings.life_ms * share)
        link.session = ClientSession(self._settings, now_ms)
        link.session.want(link.names)
        for strand in self._strands_of(link):
            strand.join(link)

    def refused(self, link: Link, reason: str, status: int | None, retry_after_ms: int) -> None:
        """Take note that an attempt failed."""
        self.refused_links += 1
        retry_after_ms = min(retry_after_ms, LONGEST_BAN_MS)
        ending = endings.of_handshake(status)
        if status == NO_SUCH_PATH and link.is_split:
            self._splits_routes = False  # a server from before the split: try its paths
            ending = endings.REFUSED
        if ending is endings.LIMITED:
            wait_ms = max(ending.least_ms, retry_after_ms)
            self._admitted_ms = max(self._admitted_ms, self._feed.now_ms + wait_ms)
        self._end(link, f"refused: {reason}", ending, None, retry_after_ms)

    def lost(self, link: Link, reason: str, close_code: int | None) -> None:
        """Take note that an open connection ended."""
        self.lost_links += 1
        self._end(link, reason, endings.of_close(close_code), close_code)

    def heard(self, link: Link) -> None:
        """Take note that something came that is no message."""
        link.heard_ms = self._feed.now_ms
        link.pinged_ms = 0

    def held_up(self, numbers: Container[int]) -> None:
        """Take note which connections are not read for want of room: their silence says nothing."""
        for number, link in self.links.items():
            is_held_up = number in numbers
            if link.is_held_up and not is_held_up:
                self.heard(link)
                self._pardon(link)
            link.is_held_up = is_held_up

    def pardon(self) -> None:
        """Forget what was not heard: nothing was read for a while.  Ask whether anybody is there."""
        for link in self.links.values():
            if link.is_open:
                link.pinged_ms, link.is_fresh = 0, False
                link.heard_ms = self._feed.now_ms - self._settings.idle_ms
                self._pardon(link)

    def _pardon(self, link: Link) -> None:
        """Let all patience on `link` begin now."""
        for strand in self._strands_of(link):
            strand.forgive()
            strand.wait_anew()
            strand.rhythm.rest()
        if link.session is not None:
            link.session.begin_to_wait(self._feed.now_ms)

    def _end(
        self,
        link: Link,
        reason: str,
        ending: Ending,
        close_code: int | None = None,
        retry_after_ms: int = 0,
    ) -> None:
        """Let `link` wait for its next attempt, or go if another is taking its place."""
        names, successor = tuple(link.names), link.successor
        strands = self._strands_of(link)
        pause_ms = self._pause_ms(link, ending, retry_after_ms)
        link.session = None
        if link.is_open:
            link.ended_ms = self._feed.now_ms
        link.state = State.WAITING
        link.is_held_up = False
        link.retry_ms = self._feed.now_ms + pause_ms
        if link.successor is not None:
            self._forget(link)
        elif len(names) > self._max_streams:
            self._move(link, names[self._max_streams :])
        now_ms, wall_ms = self._feed.now_ms, self._feed.wall_ms
        if link.is_fresh:
            link.heard_ms = now_ms
        holes = [each for each in strands if each.has_hole_without(link, link.heard_ms)]
        tell_hole(holes, reason, now_ms - link.heard_ms, wall_ms, close_code)
        for strand in strands:
            strand.leave(link)
        self._tell_spared(link, successor, holes, reason)
        notice = Disconnected(
            streams=(),
            time_ms=wall_ms,
            reason=reason,
            close_code=close_code,
            retry_ms=pause_ms,
        )
        tell_blind(strands, notice, link.heard_ms, now_ms)
        if link.predecessor is not None and link.predecessor.is_retiring:
            self._cut(link.predecessor, f"{reason}, while it took the place of another")

    def _tell_spared(
        self, link: Link, successor: Link | None, holes: Iterable[Strand], reason: str
    ) -> None:
        """Let the observer know what is heard as before without `link`, which is lost."""
        holed = {strand.name for strand in holes}
        spared = [
            strand.name
            for strand in self._strands_of(link, link.told_carried)
            if strand.lead is not None and strand.name not in holed
        ]
        link.told_carried.clear()
        if successor is not None:
            self._tell_renewed(successor, spared)
        elif spared:
            self._feed.observer.spared(link.number, spared, reason)

    def _tell_renewed(self, link: Link, names: Iterable[str]) -> None:
        """Let the observer know that `link` carries `names` instead of another."""
        renewed = [name for name in names if name in link.names]
        link.told_carried.update(renewed)
        if renewed:
            self._feed.observer.renewed(link.number, renewed)

    def _pause_ms(self, link: Link, ending: Ending, retry_after_ms: int) -> int:
        """Return how long to wait before the next attempt."""
        age_ms = self._feed.now_ms - link.opened_ms
        if link.is_open and age_ms >= self._settings.steady_ms:
            link.backoff.restart()
            if not ending.least_ms:
                return link.backoff.short_ms()
        return link.backoff.pause_ms(max(ending.least_ms, retry_after_ms))

    def _move(self, link: Link, names: Iterable[str]) -> None:
        """Let other connections carry `names`, which the server does not take on `link`."""
        for strand in self._strands_of(link, names):
            self._take_away(strand, link)
            self._give(strand, self._link_with_room(link.route, link.copy, link.owner))

    def _cut(self, link: Link, reason: str) -> None:
        """Give an open connection up."""
        self._feed.actions.append(Drop(link.number))
        self.lost_links += 1
        self._end(link, reason, endings.SILENT)

    def _forget(self, link: Link) -> None:
        """End a connection that is not needed any more."""
        if self.links.pop(link.number, None) is None:
            return
        self._feed.actions.append(Drop(link.number))
        if link.successor is not None:
            link.successor.predecessor = None
        if link.predecessor is not None:
            link.predecessor.successor = None
        link.successor = link.predecessor = link.session = None

    # Answers

    def answered(self, link: Link, request_id: object, code: int | None, reason: str) -> None:
        """Take the answer to a control message; `code` is that of an error."""
        if link.session is None:
            return
        sent = link.session.answered(request_id, refused=code is not None)
        if sent is None:
            return
        names = [name for name in sent.names if name in link.names]
        if sent.method == "UNSUBSCRIBE":
            if link.is_retiring:
                for strand in self._strands_of(link, names):
                    strand.leave(link)
        elif code is None:
            self.begin(link, self._strands_of(link, names))
        elif code == TOO_MANY_SUBSCRIPTIONS:
            room = len(link.session.carried) or len(names) // 2
            self._max_streams = max(1, min(self._max_streams, room))
            self._move(link, names if link.session.carried else names[self._max_streams :])
        else:
            self._part(link, names, code, reason)

    def _part(self, link: Link, names: list[str], code: int, reason: str) -> None:
        """Find out which of `names` the server does not take: ask for them by halves, apart."""
        strands = self._strands_of(link, names)
        half = len(strands) // 2
        for part in (strands[:half], strands[half:]):
            if not part or len(link.names) == len(part):
                link.is_apart = link.is_apart or bool(part)
                continue
            other = self._new_link(link.route, link.copy, link.owner)
            other.is_apart = True
            other.retry_ms = self._feed.now_ms + endings.POLICY.least_ms
            for strand in part:
                self._take_away(strand, link)
                self._give(strand, other)
        if len(strands) == 1 and strands[0].refusal is None:
            notice = Refused(streams=(), time_ms=self._feed.wall_ms, code=code, reason=reason)
            strands[0].refusal = notice
            tell(strands, notice)

    def begin(self, link: Link, strands: Iterable[Strand]) -> None:
        """Let `link` count for `strands`; tell who was blind that they see again."""
        seeing, news = [], []
        for strand in strands:
            strand.refusal = None
            is_first = strand.carry(link)
            if is_first:
                seeing.append(strand)
            if is_first or (link.predecessor is None and strand.name not in link.told_carried):
                news.append(strand.name)
        if news:
            link.told_carried.update(news)
            self._feed.observer.carried(link.number, news)
        tell_recovered(seeing, self._feed.wall_ms)

    # Time

    def look_after(self) -> None:
        """Do what is due on open connections."""
        for link in tuple(self.links.values()):
            if link.is_open and not link.is_held_up:
                self._look_after(link)

    def carry_out(self) -> None:
        """Open what waits long enough, ask for what is wanted."""
        now_ms = self._feed.now_ms
        for link in self.links.values():
            if link.session is not None:
                for text in link.session.due(now_ms):
                    self._feed.actions.append(Send(link.number, text))
            elif (
                link.state is State.WAITING
                and not self._feed.is_full(link)
                and now_ms >= max(link.retry_ms, self._admitted_ms)
                and self._attempts.take(now_ms)
            ):
                link.state = State.OPENING
                link.is_split = self._splits_routes
                route = f"/{link.route}" if link.is_split else ""
                self._feed.actions.append(Open(link.number, f"{self._hosts.streams}{route}/stream"))

    def _look_after(self, link: Link) -> None:
        session, settings, now_ms = link.session, self._settings, self._feed.now_ms
        if session is None:
            return
        if link.is_fresh:
            link.is_fresh, link.heard_ms = False, now_ms
        silent_ms = now_ms - link.heard_ms
        if session.overdue(now_ms) and not self._waits_for_another(link, session):
            self._cut(link, "a control message was not answered")
        elif link.pinged_ms and now_ms - link.pinged_ms >= settings.pong_timeout_ms:
            if silent_ms >= settings.pong_timeout_ms:
                self._cut(link, "silent: a ping was not answered")
            else:
                link.pinged_ms = 0
        elif silent_ms >= settings.idle_ms and not link.pinged_ms:
            link.pinged_ms = now_ms
            self._feed.actions.append(Ping(link.number))
        elif link.predecessor is not None:
            self._follow_up(link, link.predecessor, session)
        elif link.successor is None and now_ms >= link.renew_ms:
            self.renew(link)

    def _waits_for_another(self, link: Link, session: ClientSession) -> bool:
        """Replace a connection that tells messages but does not answer; return whether it is one."""
        if link.heard_ms <= session.asked_ms or link.predecessor is not None or link.is_retiring:
            return False
        if link.successor is None:
            self.renew(link)
        return True

    # Renewal

    def renew(self, link: Link) -> None:
        """Begin to let another connection take the place of `link`."""
        self._splits_routes = self._hosts.venue.routed  # the server may be another one by now
        successor = self._new_link(link.route, link.copy, link.owner)
        successor.is_apart = link.is_apart
        successor.predecessor, link.successor = link, successor
        for strand in self._strands_of(link):
            self._give(strand, successor)

    def shut_down(self, link: Link) -> None:
        """Take note that the server of `link` will soon end it."""
        earliest_ms = max(self._feed.now_ms, link.opened_ms + self._settings.steady_ms)
        link.renew_ms = min(link.renew_ms, earliest_ms)

    def _follow_up(self, link: Link, predecessor: Link, session: ClientSession) -> None:
        """End the overlap, once nothing is lost by that.

        What the predecessor acknowledges to be unsubscribed it has told to the end; only then the
        successor leads.
        """
        now_ms = self._feed.now_ms
        if predecessor.session is None:
            return
        if predecessor.is_retiring:
            if predecessor.session.settled:
                self._retire(predecessor)
            return
        if not session.settled:
            return
        link.settled_ms = link.settled_ms or now_ms
        if now_ms - link.settled_ms >= self._settings.overlap_ms and all(
            strand.is_carried_beside(predecessor) for strand in self._strands_of(predecessor)
        ):
            predecessor.is_retiring = True
            predecessor.session.unwant(predecessor.names)

    def _retire(self, link: Link) -> None:
        self.renewed_links += 1
        strands, successor = self._strands_of(link), link.successor
        self._forget(link)
        if successor is not None:
            self._tell_renewed(successor, [strand.name for strand in strands])
        for strand in strands:
            strand.leave(link)
