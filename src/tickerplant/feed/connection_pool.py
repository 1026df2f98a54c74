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

from tickerplant.envelope import head_of
from tickerplant.feed import endings
from tickerplant.feed.actions import Action, Drop, Open, Ping, Send
from tickerplant.feed.backoff import Backoff
from tickerplant.feed.connection import FeedConnection, State
from tickerplant.feed.endings import Ending
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.feed.notify import (
    notify,
    notify_disconnected,
    notify_possible_loss,
    notify_recovered,
)
from tickerplant.feed.observer import Observer
from tickerplant.feed.session import ClientSession
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import LONGEST_BAN_MS
from tickerplant.messages.notice import Disconnected, SubscriptionRejected
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

    def is_full(self, connection: FeedConnection) -> bool:
        """Whether no consumer of a connection has room."""


class ConnectionPool:
    """Connections that look after themselves.

    Args:
        feed: Whose they are.
        hosts: Where the venue is served.
        rng: Decides pauses and times of renewal.
    """

    def __init__(self, feed: Feed, hosts: Hosts, rng: Random) -> None:
        self.connections: dict[int, FeedConnection] = {}
        self.opened_connections = 0
        self.refused_connections = 0
        self.lost_connections = 0
        self.renewed_connections = 0
        self._feed = feed
        self._settings = feed.settings
        self._hosts = hosts
        self._rng = rng
        self._splits_routes = hosts.venue.routed
        self._max_streams = feed.settings.max_streams
        self._attempts = TokenBucket(feed.settings.opens_per_s, feed.settings.open_burst, 0)
        self._admitted_ms = 0
        """No attempt is made before: the server refuses the whole address until then."""
        self._next_number = 1

    # Places

    def place(self, merged: MergedStream, owner: Sink | None = None) -> None:
        """Let as many connections as are wanted carry `merged`: those of `owner`, or shared ones."""
        found = resolve(self._hosts.venue, merged.name)
        route = "market" if found is None else found[0].route
        for copy in range(self._settings.copies):
            self._give(merged, self._connection_with_room(route, copy, owner))

    def remove(self, merged: MergedStream) -> None:
        """Let no connection carry `merged` any more."""
        self._clear(merged, self._connections_of(merged))

    def remove_own(self, merged: MergedStream, owner: Sink) -> None:
        """Let no connection of `owner` carry `merged` any more."""
        self._clear(merged, self.own_connections(merged, owner))

    def own_connections(self, merged: MergedStream, owner: Sink) -> list[FeedConnection]:
        """Return the connections of `owner` that are to carry `merged`."""
        return [
            connection for connection in self._connections_of(merged) if connection.owner == owner
        ]

    def _connections_of(self, merged: MergedStream) -> list[FeedConnection]:
        head = head_of(merged.name)
        return [
            connection
            for connection in self.connections.values()
            if connection.lanes.get(head) is merged
        ]

    def _clear(self, merged: MergedStream, connections: Iterable[FeedConnection]) -> None:
        for connection in connections:
            self._take_away(merged, connection)
            if connection.session is not None:
                connection.session.unwant((merged.name,))
            if not connection.names:
                self._forget(connection)

    def split(self, merged: MergedStream, owner: Sink) -> MergedStream | None:
        """Return a strand for `owner` alone, on its own connections, which continues `merged`.

        It is `merged` itself if nobody else consumes it.  None if something would be lost by now:
        the connections of either side have not caught up with the leader.
        """
        own = self.own_connections(merged, owner)
        others = [
            connection for connection in self._connections_of(merged) if connection not in own
        ]
        primary = next(
            (connection for connection in own if self._keeps_up(merged, connection)), None
        )
        if merged.has_gap or primary is None:
            return None
        if merged.sinks.count(owner) == len(merged.sinks):
            self._clear(merged, others)
            return merged
        if merged.primary in own:
            shared = next(
                (connection for connection in others if self._keeps_up(merged, connection)), None
            )
            if shared is not None:
                merged.switch_primary(shared)
            return None
        apart = merged.split(owner, own, primary)
        for connection in own:
            connection.lanes[head_of(merged.name)] = apart
        return apart

    def _keeps_up(self, merged: MergedStream, connection: FeedConnection) -> bool:
        """Whether `connection` carries what the leader of `merged` carries, as far as can be known."""
        primary = merged.primary
        heard_ms = primary.heard_ms if isinstance(primary, FeedConnection) else 0
        return primary is connection or merged.is_caught_up(connection, heard_ms)

    def _give(self, merged: MergedStream, connection: FeedConnection) -> None:
        connection.names[merged.name] = None
        connection.lanes[head_of(merged.name)] = merged
        if connection.session is not None:
            connection.session.want((merged.name,))
            connection.settled_ms = 0
            merged.add(connection)

    def _take_away(self, merged: MergedStream, connection: FeedConnection) -> None:
        del connection.names[merged.name]
        del connection.lanes[head_of(merged.name)]
        connection.told_carried.discard(merged.name)
        merged.remove(connection)

    def _connection_with_room(self, route: str, copy: int, owner: Sink | None) -> FeedConnection:
        for connection in self.connections.values():
            is_of_group = (connection.route, connection.copy, connection.owner) == (
                route,
                copy,
                owner,
            )
            is_usable = not connection.is_apart and (owner is not None or not connection.is_held_up)
            has_room = len(connection.names) < self._max_streams and connection.successor is None
            if is_of_group and is_usable and has_room:
                return connection
        return self._new_connection(route, copy, owner)

    def _new_connection(self, route: str, copy: int, owner: Sink | None) -> FeedConnection:
        settings = self._settings
        backoff = Backoff(settings.retry_base_ms, settings.retry_max_ms, self._rng)
        connection = FeedConnection(
            self._next_number, route, copy, owner, backoff, self._feed.now_ms
        )
        self._next_number += 1
        self.connections[connection.number] = connection
        return connection

    def _merged_streams_of(
        self, connection: FeedConnection, names: Iterable[str] | None = None
    ) -> list[MergedStream]:
        """Return what `connection` carries, or is to: of `names`, or all."""
        wanted = connection.names if names is None else names
        return [connection.lanes[head_of(name)] for name in wanted if name in connection.names]

    # What happens to connections

    def opened(self, connection: FeedConnection) -> None:
        """Take note that a connection is open."""
        now_ms = self._feed.now_ms
        self.opened_connections += 1
        connection.state = State.OPEN
        connection.opened_ms = connection.heard_ms = now_ms
        connection.pinged_ms = connection.settled_ms = 0
        connection.is_fresh = False
        connection.told_carried.clear()
        share = self._rng.uniform(0.5, 1 - self._settings.renewal_margin)
        connection.renew_ms = now_ms + round(self._settings.max_connection_age_ms * share)
        connection.session = ClientSession(self._settings, now_ms)
        connection.session.want(connection.names)
        for merged in self._merged_streams_of(connection):
            merged.add(connection)

    def refused(
        self, connection: FeedConnection, reason: str, status: int | None, retry_after_ms: int
    ) -> None:
        """Take note that an attempt failed."""
        self.refused_connections += 1
        retry_after_ms = min(retry_after_ms, LONGEST_BAN_MS)
        ending = endings.of_handshake(status)
        if status == NO_SUCH_PATH and connection.is_split:
            self._splits_routes = False  # a server from before the split: try its paths
            ending = endings.REFUSED
        if ending is endings.LIMITED:
            wait_ms = max(ending.least_ms, retry_after_ms)
            self._admitted_ms = max(self._admitted_ms, self._feed.now_ms + wait_ms)
        self._end(connection, f"refused: {reason}", ending, None, retry_after_ms)

    def lost(self, connection: FeedConnection, reason: str, close_code: int | None) -> None:
        """Take note that an open connection ended."""
        self.lost_connections += 1
        self._end(connection, reason, endings.of_close(close_code), close_code)

    def heard(self, connection: FeedConnection) -> None:
        """Take note that something came that is no message."""
        connection.heard_ms = self._feed.now_ms
        connection.pinged_ms = 0

    def held_up(self, numbers: Container[int]) -> None:
        """Take note which connections are not read for want of room: their silence says nothing."""
        for number, connection in self.connections.items():
            is_held_up = number in numbers
            if connection.is_held_up and not is_held_up:
                self.heard(connection)
                self._pardon(connection)
            connection.is_held_up = is_held_up

    def pardon(self) -> None:
        """Forget what was not heard: nothing was read for a while.  Ask whether anybody is there."""
        for connection in self.connections.values():
            if connection.is_open:
                connection.pinged_ms, connection.is_fresh = 0, False
                connection.heard_ms = self._feed.now_ms - self._settings.idle_ms
                self._pardon(connection)

    def _pardon(self, connection: FeedConnection) -> None:
        """Let all patience on `connection` begin now."""
        for merged in self._merged_streams_of(connection):
            merged.restart_silence()
            merged.restart_waits()
            merged.expected_interval.rest()
        if connection.session is not None:
            connection.session.restart_timeouts(self._feed.now_ms)

    def _end(
        self,
        connection: FeedConnection,
        reason: str,
        ending: Ending,
        close_code: int | None = None,
        retry_after_ms: int = 0,
    ) -> None:
        """Let `connection` wait for its next attempt, or go if another is taking its place."""
        names, successor = tuple(connection.names), connection.successor
        merged_streams = self._merged_streams_of(connection)
        pause_ms = self._pause_ms(connection, ending, retry_after_ms)
        connection.session = None
        if connection.is_open:
            connection.ended_ms = self._feed.now_ms
        connection.state = State.WAITING
        connection.is_held_up = False
        connection.retry_ms = self._feed.now_ms + pause_ms
        if connection.successor is not None:
            self._forget(connection)
        elif len(names) > self._max_streams:
            self._move(connection, names[self._max_streams :])
        now_ms, wall_ms = self._feed.now_ms, self._feed.wall_ms
        if connection.is_fresh:
            connection.heard_ms = now_ms
        holes = [
            each
            for each in merged_streams
            if each.may_lose_without(connection, connection.heard_ms)
        ]
        notify_possible_loss(holes, reason, now_ms - connection.heard_ms, wall_ms, close_code)
        for merged in merged_streams:
            merged.remove(connection)
        self._tell_spared(connection, successor, holes, reason)
        notice = Disconnected(
            streams=(),
            time_ms=wall_ms,
            reason=reason,
            close_code=close_code,
            retry_ms=pause_ms,
        )
        notify_disconnected(merged_streams, notice, connection.heard_ms, now_ms)
        if connection.predecessor is not None and connection.predecessor.is_retiring:
            self._cut(connection.predecessor, f"{reason}, while it took the place of another")

    def _tell_spared(
        self,
        connection: FeedConnection,
        successor: FeedConnection | None,
        holes: Iterable[MergedStream],
        reason: str,
    ) -> None:
        """Let the observer know what is heard as before without `connection`, which is lost."""
        holed = {merged.name for merged in holes}
        spared = [
            merged.name
            for merged in self._merged_streams_of(connection, connection.told_carried)
            if merged.primary is not None and merged.name not in holed
        ]
        connection.told_carried.clear()
        if successor is not None:
            self._tell_renewed(successor, spared)
        elif spared:
            self._feed.observer.spared(connection.number, spared, reason)

    def _tell_renewed(self, connection: FeedConnection, names: Iterable[str]) -> None:
        """Let the observer know that `connection` carries `names` instead of another."""
        renewed = [name for name in names if name in connection.names]
        connection.told_carried.update(renewed)
        if renewed:
            self._feed.observer.renewed(connection.number, renewed)

    def _pause_ms(self, connection: FeedConnection, ending: Ending, retry_after_ms: int) -> int:
        """Return how long to wait before the next attempt."""
        age_ms = self._feed.now_ms - connection.opened_ms
        if connection.is_open and age_ms >= self._settings.stable_after_ms:
            connection.backoff.restart()
            if not ending.least_ms:
                return connection.backoff.short_ms()
        return connection.backoff.pause_ms(max(ending.least_ms, retry_after_ms))

    def _move(self, connection: FeedConnection, names: Iterable[str]) -> None:
        """Let other connections carry `names`, which the server does not take on `connection`."""
        for merged in self._merged_streams_of(connection, names):
            self._take_away(merged, connection)
            self._give(
                merged,
                self._connection_with_room(connection.route, connection.copy, connection.owner),
            )

    def _cut(self, connection: FeedConnection, reason: str) -> None:
        """Give an open connection up."""
        self._feed.actions.append(Drop(connection.number))
        self.lost_connections += 1
        self._end(connection, reason, endings.SILENT)

    def _forget(self, connection: FeedConnection) -> None:
        """End a connection that is not needed any more."""
        if self.connections.pop(connection.number, None) is None:
            return
        self._feed.actions.append(Drop(connection.number))
        if connection.successor is not None:
            connection.successor.predecessor = None
        if connection.predecessor is not None:
            connection.predecessor.successor = None
        connection.successor = connection.predecessor = connection.session = None

    # Answers

    def answered(
        self, connection: FeedConnection, request_id: object, code: int | None, reason: str
    ) -> None:
        """Take the answer to a control message; `code` is that of an error."""
        if connection.session is None:
            return
        sent = connection.session.on_response(request_id, refused=code is not None)
        if sent is None:
            return
        names = [name for name in sent.names if name in connection.names]
        if sent.method == "UNSUBSCRIBE":
            if connection.is_retiring:
                for merged in self._merged_streams_of(connection, names):
                    merged.remove(connection)
        elif code is None:
            self.begin(connection, self._merged_streams_of(connection, names))
        elif code == TOO_MANY_SUBSCRIPTIONS:
            room = len(connection.session.subscribed) or len(names) // 2
            self._max_streams = max(1, min(self._max_streams, room))
            self._move(
                connection, names if connection.session.subscribed else names[self._max_streams :]
            )
        else:
            self._part(connection, names, code, reason)

    def _part(self, connection: FeedConnection, names: list[str], code: int, reason: str) -> None:
        """Find out which of `names` the server does not take: ask for them by halves, apart."""
        merged_streams = self._merged_streams_of(connection, names)
        half = len(merged_streams) // 2
        for part in (merged_streams[:half], merged_streams[half:]):
            if not part or len(connection.names) == len(part):
                connection.is_apart = connection.is_apart or bool(part)
                continue
            other = self._new_connection(connection.route, connection.copy, connection.owner)
            other.is_apart = True
            other.retry_ms = self._feed.now_ms + endings.POLICY.least_ms
            for merged in part:
                self._take_away(merged, connection)
                self._give(merged, other)
        if len(merged_streams) == 1 and merged_streams[0].refusal is None:
            notice = SubscriptionRejected(
                streams=(), time_ms=self._feed.wall_ms, code=code, reason=reason
            )
            merged_streams[0].refusal = notice
            notify(merged_streams, notice)

    def begin(self, connection: FeedConnection, merged_streams: Iterable[MergedStream]) -> None:
        """Let `connection` count for `merged_streams`; tell who was blind that they see again."""
        seeing, news = [], []
        for merged in merged_streams:
            merged.refusal = None
            is_first = merged.mark_delivering(connection)
            if is_first:
                seeing.append(merged)
            if is_first or (
                connection.predecessor is None and merged.name not in connection.told_carried
            ):
                news.append(merged.name)
        if news:
            connection.told_carried.update(news)
            self._feed.observer.carried(connection.number, news)
        notify_recovered(seeing, self._feed.wall_ms)

    # Time

    def look_after(self) -> None:
        """Do what is due on open connections."""
        for connection in tuple(self.connections.values()):
            if connection.is_open and not connection.is_held_up:
                self._look_after(connection)

    def carry_out(self) -> None:
        """Open what waits long enough, ask for what is wanted."""
        now_ms = self._feed.now_ms
        for connection in self.connections.values():
            if connection.session is not None:
                for text in connection.session.due(now_ms):
                    self._feed.actions.append(Send(connection.number, text))
            elif (
                connection.state is State.WAITING
                and not self._feed.is_full(connection)
                and now_ms >= max(connection.retry_ms, self._admitted_ms)
                and self._attempts.take(now_ms)
            ):
                connection.state = State.OPENING
                connection.is_split = self._splits_routes
                route = f"/{connection.route}" if connection.is_split else ""
                self._feed.actions.append(
                    Open(connection.number, f"{self._hosts.streams}{route}/stream")
                )

    def _look_after(self, connection: FeedConnection) -> None:
        session, settings, now_ms = connection.session, self._settings, self._feed.now_ms
        if session is None:
            return
        if connection.is_fresh:
            connection.is_fresh, connection.heard_ms = False, now_ms
        silent_ms = now_ms - connection.heard_ms
        if session.is_overdue(now_ms) and not self._waits_for_another(connection, session):
            self._cut(connection, "a control message was not answered")
        elif connection.pinged_ms and now_ms - connection.pinged_ms >= settings.pong_timeout_ms:
            if silent_ms >= settings.pong_timeout_ms:
                self._cut(connection, "silent: a ping was not answered")
            else:
                connection.pinged_ms = 0
        elif silent_ms >= settings.idle_ms and not connection.pinged_ms:
            connection.pinged_ms = now_ms
            self._feed.actions.append(Ping(connection.number))
        elif connection.predecessor is not None:
            self._follow_up(connection, connection.predecessor, session)
        elif connection.successor is None and now_ms >= connection.renew_ms:
            self.renew(connection)

    def _waits_for_another(self, connection: FeedConnection, session: ClientSession) -> bool:
        """Replace a connection that tells messages but does not answer; return whether it is one."""
        if (
            connection.heard_ms <= session.oldest_sent_ms
            or connection.predecessor is not None
            or connection.is_retiring
        ):
            return False
        if connection.successor is None:
            self.renew(connection)
        return True

    # Renewal

    def renew(self, connection: FeedConnection) -> None:
        """Begin to let another connection take the place of `connection`."""
        self._splits_routes = self._hosts.venue.routed  # the server may be another one by now
        successor = self._new_connection(connection.route, connection.copy, connection.owner)
        successor.is_apart = connection.is_apart
        successor.predecessor, connection.successor = connection, successor
        for merged in self._merged_streams_of(connection):
            self._give(merged, successor)

    def shut_down(self, connection: FeedConnection) -> None:
        """Take note that the server of `connection` will soon end it."""
        earliest_ms = max(self._feed.now_ms, connection.opened_ms + self._settings.stable_after_ms)
        connection.renew_ms = min(connection.renew_ms, earliest_ms)

    def _follow_up(
        self, connection: FeedConnection, predecessor: FeedConnection, session: ClientSession
    ) -> None:
        """End the overlap, once nothing is lost by that.

        What the predecessor acknowledges to be unsubscribed it has told to the end; only then the
        successor leads.
        """
        now_ms = self._feed.now_ms
        if predecessor.session is None:
            return
        if predecessor.is_retiring:
            if predecessor.session.is_settled:
                self._retire(predecessor)
            return
        if not session.is_settled:
            return
        connection.settled_ms = connection.settled_ms or now_ms
        if now_ms - connection.settled_ms >= self._settings.overlap_ms and all(
            merged.is_delivered_without(predecessor)
            for merged in self._merged_streams_of(predecessor)
        ):
            predecessor.is_retiring = True
            predecessor.session.unwant(predecessor.names)

    def _retire(self, connection: FeedConnection) -> None:
        self.renewed_connections += 1
        merged_streams, successor = self._merged_streams_of(connection), connection.successor
        self._forget(connection)
        if successor is not None:
            self._tell_renewed(successor, [merged.name for merged in merged_streams])
        for merged in merged_streams:
            merged.remove(connection)
