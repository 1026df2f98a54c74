"""The connections of a feed: which stream is subscribed to on which, and their life cycle.

waiting ──▶ opening ──▶ open ──▶ retiring (a successor is open: for a while both deliver, then this
   ▲           │          │               connection unsubscribes and is closed)
   └───────────┴──────────┘
     refused or lost: after a pause

A connection is paused if none of its consumers has room.  If another one has room, it is read, so
that no consumer stops another.  Messages for the full consumer then fill the spare room of its queue,
and those after them are dropped, which it is told.  A server whose streams end waits for its slowest
reader: its connections are paused as soon as one of their consumers has no room.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from random import Random
from typing import NamedTuple, Protocol

from tickerplant.envelope import head_of
from tickerplant.feed import reconnect
from tickerplant.feed.connection import ClientSession, FeedConnection, Group, Phase
from tickerplant.feed.context import Drop, FeedContext, Open, Ping, Send
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.feed.reconnect import Backoff, Ending
from tickerplant.feed.staleness import (
    notify,
    notify_disconnected,
    notify_possible_loss,
    notify_recovered,
)
from tickerplant.feed.weight import MAX_BAN_MS
from tickerplant.notices import Disconnected, SubscriptionRejected
from tickerplant.protocol.close_reasons import UPSTREAM_LOST
from tickerplant.protocol.rate_limiter import TokenBucket
from tickerplant.streams import resolve

TOO_MANY_SUBSCRIPTIONS = 4
"""Error code when a connection already has as many streams as allowed (control messages page)."""
NO_SUCH_PATH = 404


PATIENCE_MS = 500
"""How long a consumer must be full, while others are not, before it is told."""
WAITING_MS = 5_000
"""How long a server must wait for a consumer before that is reported."""


class FullConsumer(Protocol):
    """Callbacks for a consumer that has no room."""

    def check_room(self) -> None:
        """Call `resume_for` if there is room again; called with each tick."""

    def on_crowded(self) -> None:
        """Called while the consumer has been full for long and others share its connections."""

    def on_waited_for(self) -> None:
        """Called while the server, and so everybody else, has been waiting for the consumer for long."""


class Full(NamedTuple):
    """A consumer without room."""

    since_ms: int
    consumer: FullConsumer | None


class ConnectionPool:
    """Opens, renews and replaces connections, and distributes streams over them."""

    def __init__(
        self,
        context: FeedContext,
        hosts: Hosts,
        rng: Random,
    ) -> None:
        self.connections: dict[int, FeedConnection] = {}
        self.full: dict[Sink, Full] = {}
        """The consumers without room."""
        self.opened_connections = 0
        self.refused_connections = 0
        self.lost_connections = 0
        self.renewed_connections = 0
        self.has_finished = False
        """Whether the streams of a connection are over."""
        self._context = context
        self._settings = context.settings
        self._hosts = hosts
        self._rng = rng
        self._may_split = True
        """Whether the server may have paths of their own for the routes of streams."""
        delivery = context.settings.connections.delivery
        self._query = "" if delivery is None else f"?delivery={delivery}"
        self._max_streams = context.settings.connections.max_streams
        self._attempts = TokenBucket(
            context.settings.connections.opens_per_s, context.settings.connections.open_burst, 0
        )
        self._limited_until_ms = 0
        """Until then no connection is attempted: the server rejects this IP address."""
        self._next_number = 1

    # Streams on connections

    def place(self, merged: MergedStream) -> None:
        """Subscribe to `merged` on as many connections as configured."""
        route, copies = self._route_of(merged.name), self._settings.connections.copies
        groups = [Group(route, copy) for copy in range(copies)]
        connections = [self._connection_with_room(group) for group in groups]
        for connection in connections:
            connection.subscribe(merged)
        endings = [each.ending for each in connections if each.ending is not None]
        if len(endings) == copies:  # it is disconnected from the start
            merged.begin_outage(endings[0], 0)

    @property
    def _splits_routes(self) -> bool:
        """Whether each route of streams has connections of its own."""
        return self._may_split and self._hosts.venue.routed and not self._context.has_end

    def _route_of(self, name: str) -> str:
        if self._context.has_end:
            return ""
        found = resolve(self._hosts.venue, name)
        return "market" if found is None else found[0].route

    def remove(self, merged: MergedStream) -> None:
        """Unsubscribe from `merged` on all connections."""
        head = head_of(merged.name)
        for connection in tuple(self.connections.values()):
            if connection.streams.get(head) is not merged:
                continue
            connection.unsubscribe(merged)
            if not connection.streams:
                self._discard(connection)

    def _connection_with_room(self, group: Group) -> FeedConnection:
        for connection in self.connections.values():
            has_room = (
                connection not in self._context.paused
                and len(connection.streams) < self._max_streams
                and not connection.is_isolated
                and connection.successor is None
            )
            if connection.group == group and has_room:
                return connection
        return self._new_connection(group)

    def _new_connection(self, group: Group) -> FeedConnection:
        settings = self._settings
        backoff = Backoff(settings.retries.retry_base_ms, settings.retries.retry_max_ms, self._rng)
        connection = FeedConnection(self._next_number, group, backoff, self._context.now_ms)
        self._next_number += 1
        self.connections[connection.number] = connection
        return connection

    # Connections that open and end

    def opened(self, connection: FeedConnection) -> None:
        """Note that a connection is open."""
        now_ms = self._context.now_ms
        self.opened_connections += 1
        share = self._rng.uniform(0.5, 1 - self._settings.connections.renewal_margin)
        renew_ms = now_ms + round(self._settings.connections.max_connection_age_ms * share)
        connection.opened(ClientSession(self._settings, now_ms), now_ms, renew_ms)

    def refused(
        self, connection: FeedConnection, reason: str, status: int | None, retry_after_ms: int
    ) -> None:
        """Note that an attempt failed."""
        self.refused_connections += 1
        retry_after_ms = min(retry_after_ms, MAX_BAN_MS)
        ending = reconnect.ending_of_handshake(status)
        if status == NO_SUCH_PATH and connection.has_routed_url:
            self._may_split = False  # a server from before the split: try its paths
            ending = reconnect.REFUSED
        if ending is reconnect.LIMITED:
            until_ms = self._context.now_ms + max(ending.min_pause_ms, retry_after_ms)
            self._limited_until_ms = max(self._limited_until_ms, until_ms)
        self._end(connection, f"refused: {reason}", ending, None, retry_after_ms)

    def lost(self, connection: FeedConnection, reason: str, close_code: int | None) -> None:
        """Note that an open connection ended."""
        ending = reconnect.ending_of_close(close_code)
        if ending is reconnect.ENDED and self._context.has_end:
            self._finish(connection)
            return
        self.lost_connections += 1
        self._end(connection, reason, ending, close_code)

    def _finish(self, connection: FeedConnection) -> None:
        """Forget a connection whose streams are over; it has delivered everything."""
        self.has_finished = True
        for merged in connection.merged_streams:
            merged.finish()
        connection.unlink()
        del self.connections[connection.number]
        for merged in connection.merged_streams:
            merged.remove(connection)

    def pause(self, numbers: Container[int]) -> None:
        """Note that exactly these connections are not read; their silence means nothing."""
        paused = self._context.paused
        for number, connection in self.connections.items():
            is_paused = number in numbers
            if connection in paused and not is_paused:
                connection.received(self._context.now_ms)
                self._restart_timeouts(connection)
            (paused.add if is_paused else paused.discard)(connection)

    def restart_timeouts(self) -> None:
        """Restart all timeouts, because nothing was read for a while, and ping every connection."""
        for connection in self.connections.values():
            if connection.is_open:
                connection.restart_silence(
                    self._context.now_ms - self._settings.connections.idle_ms
                )
                self._restart_timeouts(connection)

    def _restart_timeouts(self, connection: FeedConnection) -> None:
        for merged in connection.merged_streams:
            merged.restart_silence()
            merged.restart_waits()
            merged.expected_interval.restart()
        if connection.session is not None:
            connection.session.restart_timeouts(self._context.now_ms)

    def _end(
        self,
        connection: FeedConnection,
        reason: str,
        ending: Ending,
        close_code: int | None = None,
        retry_after_ms: int = 0,
    ) -> None:
        """Schedule the next attempt, or discard `connection` if it is being replaced."""
        now_ms, wall_ms = self._context.now_ms, self._context.wall_ms
        merged_streams, successor = connection.merged_streams, connection.successor
        pause_ms = self._pause_ms(connection, ending, retry_after_ms)
        connection.closed(now_ms, now_ms + pause_ms)
        self._context.paused.discard(connection)
        if successor is not None:
            self._discard(connection)
        elif len(merged_streams) > self._max_streams:
            self._move(connection, merged_streams[self._max_streams :])
        if connection.has_received:
            connection.received_ms = now_ms
        received_ms = connection.received_ms
        if close_code == UPSTREAM_LOST.code:  # streams were lost before, while others arrived
            received_ms = min((each.silent_since_ms for each in merged_streams), default=now_ms)
        lossy = [each for each in merged_streams if each.may_lose_without(connection, received_ms)]
        notify_possible_loss(lossy, reason, now_ms - received_ms, wall_ms, close_code)
        for merged in merged_streams:
            merged.remove(connection)
        self._report_lost(connection, successor, lossy, reason)
        notice = Disconnected(
            streams=(), time_ms=wall_ms, reason=reason, close_code=close_code, retry_ms=pause_ms
        )
        connection.ending = notice
        notify_disconnected(merged_streams, notice, received_ms)
        predecessor = connection.predecessor
        if predecessor is not None and predecessor.is_retiring:
            self._drop(predecessor, f"{reason}, while it took the place of another")

    def _pause_ms(self, connection: FeedConnection, ending: Ending, retry_after_ms: int) -> int:
        """Return how long to wait before the next attempt.

        A server whose streams end waits for its client, which has it for itself.
        """
        if self._context.has_end:
            connection.backoff.restart()
        age_ms = self._context.now_ms - connection.opened_ms
        if connection.is_open and age_ms >= self._settings.retries.stable_after_ms:
            connection.backoff.restart()
            if not ending.min_pause_ms:
                return connection.backoff.quick_retry_ms()
        return connection.backoff.pause_ms(max(ending.min_pause_ms, retry_after_ms))

    def _move(self, connection: FeedConnection, merged_streams: Iterable[MergedStream]) -> None:
        """Move streams that the server does not accept on `connection` to other connections."""
        for merged in merged_streams:
            connection.release(merged)
            self._connection_with_room(connection.group).subscribe(merged)

    def _drop(self, connection: FeedConnection, reason: str) -> None:
        """Give up an open connection that does not respond."""
        self._context.actions.append(Drop(connection.number))
        self.lost_connections += 1
        self._end(connection, reason, reconnect.SILENT)

    def _discard(self, connection: FeedConnection) -> None:
        """Close a connection that is no longer needed."""
        if self.connections.pop(connection.number, None) is None:
            return
        self._context.actions.append(Drop(connection.number))
        connection.unlink()
        connection.session = None

    # Consumers without room

    def pause_for(self, sink: Sink, consumer: FullConsumer | None = None) -> None:
        """Note that a consumer has no room; see `connections_to_pause`."""
        self.full[sink] = Full(self._context.now_ms, consumer)

    def resume_for(self, sink: Sink) -> bool:
        """Note that a consumer has room; return whether it had none before."""
        return self.full.pop(sink, None) is not None

    def is_full(self, connection: FeedConnection) -> bool:
        """Whether no consumer of `connection` has room."""
        full = self.full
        if not full:
            return False
        sinks = (sink for merged in connection.streams.values() for sink in merged.sinks)
        return (any if self._context.has_end else all)(sink in full for sink in sinks)

    def connections_to_pause(self) -> set[int]:
        """Pause the open connections without a consumer that has room; return their numbers."""
        connections = self.connections.items() if self.full else ()
        numbers = {
            number
            for number, connection in connections
            if connection.is_open and self.is_full(connection)
        }
        self.pause(numbers)
        return numbers

    def tell_full(self) -> None:
        """Tell consumers that have been full for long what that means for them or for others."""
        for full in tuple(self.full.values()):
            if full.consumer is not None:
                full.consumer.check_room()
        has_end = self._context.has_end
        since_ms = self._context.now_ms - (WAITING_MS if has_end else PATIENCE_MS)
        for sink, full in tuple(self.full.items()):
            if full.consumer is None or full.since_ms > since_ms:
                continue
            if has_end:
                full.consumer.on_waited_for()
            elif self._is_crowded(sink):
                full.consumer.on_crowded()

    def _is_crowded(self, sink: Sink) -> bool:
        """Whether a consumer with room shares a connection with `sink`."""
        return any(
            not self.is_full(connection)
            and any(sink in merged.sinks for merged in connection.streams.values())
            for connection in self.connections.values()
        )

    # What the observer knows

    def _report_lost(
        self,
        connection: FeedConnection,
        successor: FeedConnection | None,
        lossy: Iterable[MergedStream],
        reason: str,
    ) -> None:
        """Report which streams continue without loss although `connection` was lost."""
        lossy_names = {merged.name for merged in lossy}
        spared = [
            merged.name
            for merged in connection.among(connection.reported)
            if merged.primary is not None and merged.name not in lossy_names
        ]
        connection.reported.clear()
        if successor is not None:
            self._report_renewed(successor, spared)
        elif spared:
            self._context.observer.covered(connection.number, spared, reason)

    def _report_renewed(self, connection: FeedConnection, names: Iterable[str]) -> None:
        """Report that `connection` delivers `names` instead of its predecessor."""
        renewed = [name for name in names if connection.has(name)]
        connection.reported.update(renewed)
        if renewed:
            self._context.observer.renewed(connection.number, renewed)

    # Responses

    def on_response(
        self, connection: FeedConnection, request_id: object, code: int | None, reason: str
    ) -> None:
        """Handle the response to a control message; `code` is that of an error."""
        session = connection.session
        if session is None:
            return
        sent = session.on_response(request_id, refused=code is not None)
        if sent is None:
            return
        merged_streams = connection.among(sent.names)
        if sent.method == "UNSUBSCRIBE":
            if connection.is_retiring:
                for merged in merged_streams:
                    merged.remove(connection)
        elif code is None:
            self.mark_delivering(connection, merged_streams)
        elif code == TOO_MANY_SUBSCRIPTIONS:
            room = len(session.subscribed) or len(merged_streams) // 2
            self._max_streams = max(1, min(self._max_streams, room))
            first = 0 if session.subscribed else self._max_streams
            self._move(connection, merged_streams[first:])
        else:
            self._isolate(connection, merged_streams, code, reason)

    def _isolate(
        self, connection: FeedConnection, merged_streams: list[MergedStream], code: int, reason: str
    ) -> None:
        """Find the streams that the server rejects by bisection, on separate connections."""
        half = len(merged_streams) // 2
        for part in (merged_streams[:half], merged_streams[half:]):
            if not part or len(connection.streams) == len(part):
                connection.is_isolated = connection.is_isolated or bool(part)
                continue
            other = self._new_connection(connection.group)
            other.is_isolated = True
            other.retry_ms = self._context.now_ms + reconnect.POLICY.min_pause_ms
            for merged in part:
                connection.release(merged)
                other.subscribe(merged)
        if len(merged_streams) == 1 and merged_streams[0].rejection is None:
            notice = SubscriptionRejected(
                streams=(), time_ms=self._context.wall_ms, code=code, reason=reason
            )
            merged_streams[0].rejection = notice
            notify(merged_streams, notice)

    def mark_delivering(
        self, connection: FeedConnection, merged_streams: Iterable[MergedStream]
    ) -> None:
        """Note that `connection` delivers streams; notify consumers of those that recovered."""
        recovered, news = [], []
        for merged in merged_streams:
            merged.rejection = None
            is_first = merged.mark_delivering(connection)
            if is_first:
                recovered.append(merged)
            is_unreported = merged.name not in connection.reported
            if is_first or (connection.predecessor is None and is_unreported):
                news.append(merged.name)
        if news:
            connection.reported.update(news)
            self._context.observer.delivering(connection.number, news)
        notify_recovered(recovered, self._context.wall_ms)

    # Time

    def tick(self) -> None:
        """Ping, drop and renew the open connections for which that is due."""
        for connection in tuple(self.connections.values()):
            if connection.session is not None and connection not in self._context.paused:
                self._tick(connection, connection.session)

    def _tick(self, connection: FeedConnection, session: ClientSession) -> None:
        settings, now_ms = self._settings, self._context.now_ms
        connection.update_received(now_ms)
        silent_ms = now_ms - connection.received_ms
        if session.is_overdue(now_ms) and not self._can_await_successor(connection, session):
            self._drop(connection, "a control message was not answered")
        elif (
            connection.pinged_ms
            and now_ms - connection.pinged_ms >= settings.connections.pong_timeout_ms
        ):
            if silent_ms >= settings.connections.pong_timeout_ms:
                self._drop(connection, "silent: a ping was not answered")
            else:
                connection.pinged_ms = 0
        elif silent_ms >= settings.connections.idle_ms and not connection.pinged_ms:
            connection.pinged_ms = now_ms
            self._context.actions.append(Ping(connection.number))
        elif connection.predecessor is not None:
            self._continue_renewal(connection, connection.predecessor, session)
        elif (
            connection.successor is None
            and now_ms >= connection.renew_ms
            and not self._context.has_end
        ):
            self.renew(connection)

    def add_actions(self) -> None:
        """Add the attempts and control messages that are due to the actions of the feed."""
        now_ms, actions = self._context.now_ms, self._context.actions
        for connection in self.connections.values():
            if connection.session is not None:
                actions += [Send(connection.number, it) for it in connection.session.due(now_ms)]
            elif (
                connection.phase is Phase.WAITING
                and not self.is_full(connection)
                and now_ms >= max(connection.retry_ms, self._limited_until_ms)
                and self._attempts.take(now_ms)
            ):
                connection.begin_opening(routed=self._splits_routes)
                route = f"/{connection.group.route}" if self._splits_routes else ""
                url = f"{self._hosts.streams}{route}/stream{self._query}"
                actions.append(Open(connection.number, url))

    # Renewal

    def renew(self, connection: FeedConnection) -> None:
        """Begin to replace `connection` by another one."""
        self._may_split = True  # the server may have changed
        successor = self._new_connection(connection.group)
        successor.is_isolated = connection.is_isolated
        successor.replace(connection)
        for merged in connection.merged_streams:
            successor.subscribe(merged)

    def on_shutdown(self, connection: FeedConnection) -> None:
        """Note that the server announced that it will close `connection`."""
        stable_ms = connection.opened_ms + self._settings.retries.stable_after_ms
        connection.renew_by(max(self._context.now_ms, stable_ms))

    def _can_await_successor(self, connection: FeedConnection, session: ClientSession) -> bool:
        """Replace a connection that delivers messages but no responses.

        Returns False if it is to be dropped at once.
        """
        if (
            connection.received_ms <= session.oldest_sent_ms
            or connection.predecessor is not None
            or connection.is_retiring
        ):
            return False
        if connection.successor is None:
            self.renew(connection)
        return True

    def _continue_renewal(
        self, connection: FeedConnection, predecessor: FeedConnection, session: ClientSession
    ) -> None:
        """End the overlap of two connections once that loses nothing.

        When the predecessor acknowledges that it is unsubscribed, it has delivered everything; only
        then the successor becomes primary.
        """
        now_ms = self._context.now_ms
        if predecessor.session is None:
            return
        if predecessor.is_retiring:
            if predecessor.session.is_settled:
                self._finish_renewal(predecessor)
            return
        if not session.is_settled:
            return
        connection.settled_ms = connection.settled_ms or now_ms
        if now_ms - connection.settled_ms >= self._settings.connections.overlap_ms and all(
            each.is_delivered_without(predecessor) for each in predecessor.streams.values()
        ):
            predecessor.retire(predecessor.session)

    def _finish_renewal(self, connection: FeedConnection) -> None:
        self.renewed_connections += 1
        merged_streams, successor = connection.merged_streams, connection.successor
        self._discard(connection)
        if successor is not None:
            self._report_renewed(successor, [merged.name for merged in merged_streams])
        for merged in merged_streams:
            merged.remove(connection)
