"""Detects silence: streams that should have sent something, and connections that deliver nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.context import FeedContext
from tickerplant.feed.expected_interval import LOOK_MS
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.notify import notify_stale
from tickerplant.notices import Stale

MAX_DOUBLINGS = 10
"""How often the timeout is doubled after unsuccessful repairs."""


class StalenessMonitor:
    """Notifies consumers of silent streams, and says which are to be repaired."""

    def __init__(self, context: FeedContext, connections: dict[int, FeedConnection]) -> None:
        self.notices = 0
        """`Stale` notices so far."""
        self._context = context
        self._connections = connections
        self._look_ms = 0
        self._fell_silent: list[tuple[MergedStream, Stale]] = []
        """Streams that this look found silent, and their notices."""
        settings = context.settings
        self._min_silence_ms = min(
            settings.staleness.quick_stale_ms,
            settings.staleness.event_stream_stale_ms,
            settings.staleness.stale_ms,
            settings.staleness.first_message_timeout_ms,
        )
        """No stream is stale after less."""
        self._replacements = 0
        """Connections replaced because all their streams were stale, since a stale stream last sent
        again."""
        self._recoveries = 0
        """How often a stale stream had sent again, as of the last tick."""

    def tick(
        self, merged_streams: Iterable[MergedStream]
    ) -> tuple[list[FeedConnection], list[tuple[FeedConnection, MergedStream]]]:
        """Notify consumers of streams that fell silent, and return what is to be repaired.

        Returns:
            Connections to replace, and streams to subscribe to again, each with its connection.
        """
        context = self._context
        if context.now_ms < self._look_ms:
            return [], []
        self._look_ms = context.now_ms + LOOK_MS
        if context.recoveries != self._recoveries:
            self._recoveries, self._replacements = context.recoveries, 0
        silent = [found for merged in merged_streams if (found := self._check_primary(merged))]
        fallen, self._fell_silent = self._fell_silent, []
        notify_stale([merged for merged, _ in fallen], [notice for _, notice in fallen])
        silent += [
            found
            for each in merged_streams
            if each.secondaries
            for found in self._check_secondaries(each)
        ]
        all_stale = [
            connection
            for connection in tuple(self._connections.values())
            if self._is_all_stale(connection)
        ]
        self._replacements += len(all_stale)
        return all_stale, silent

    def _check_primary(self, merged: MergedStream) -> tuple[FeedConnection, MergedStream] | None:
        """Notify consumers if `merged` fell silent; return it if it is to be subscribed to again."""
        context, connection = self._context, merged.primary
        if not isinstance(connection, FeedConnection) or connection in context.paused:
            return None
        silent_ms, expected_interval = (
            context.now_ms - merged.silent_since_ms,
            merged.expected_interval,
        )
        count = merged.messages - merged.counters.duplicates
        expected_interval.observe(count, merged.silent_since_ms, silent_ms)
        if silent_ms < self._min_silence_ms:
            return None
        patience_ms = (
            expected_interval.repair_after_ms
            if merged.is_stale
            else expected_interval.stale_after_ms
        )
        if patience_ms is None or silent_ms < patience_ms << min(merged.stale_level, MAX_DOUBLINGS):
            return None
        merged.raise_stale_level()
        if merged.stale_level > 1:
            return connection, merged
        self.notices += 1
        notice = Stale(
            streams=(merged.name,),
            time_ms=context.wall_ms,
            silent_ms=silent_ms,
            expected_ms=merged.expected_interval.expected_ms,
        )
        self._fell_silent.append((merged, notice))
        return None

    def _check_secondaries(
        self, merged: MergedStream
    ) -> Iterator[tuple[FeedConnection, MergedStream]]:
        """Yield secondary connections that deliver other streams, but not this one as the primary does."""
        settings = self._context.settings
        for connection, secondary in merged.secondaries.items():
            if (
                not isinstance(connection, FeedConnection)
                or merged.primary is None
                or not merged.is_idle(secondary)
            ):
                secondary.idle_since_ms, secondary.is_mute = 0, False
                continue
            secondary.idle_since_ms = secondary.idle_since_ms or self._context.now_ms
            others_ms = connection.received_ms - secondary.idle_since_ms
            secondary.is_mute = others_ms >= settings.connections.overlap_ms
            patience_ms = settings.staleness.stale_ms << min(
                secondary.resubscriptions, MAX_DOUBLINGS
            )
            if (
                others_ms >= patience_ms
                and connection.session is not None
                and connection.successor is None
            ):
                secondary.resubscriptions += 1
                secondary.idle_since_ms = 0
                secondary.is_delivering = False
                yield connection, merged

    def _is_all_stale(self, connection: FeedConnection) -> bool:
        """Whether a connection has been open for long and all its streams are stale."""
        if (
            not connection.is_open
            or connection.successor is not None
            or connection.predecessor is not None
        ):
            return False
        age_ms = self._context.now_ms - connection.opened_ms
        if age_ms < self._context.settings.staleness.all_stale_reconnect_ms << min(
            self._replacements, MAX_DOUBLINGS
        ):
            return False
        merged_streams = connection.merged_streams
        due = [
            each
            for each in merged_streams
            if each.expected_interval.repair_after_ms is not None and _may_come(each)
        ]
        if any(each.messages for each in merged_streams) and not any(each.messages for each in due):
            return False  # streams that never sent anything may be unknown: others do send
        return bool(due) and all(
            each.is_stale and each.primary is connection and self._is_overdue(each) for each in due
        )

    def _is_overdue(self, merged: MergedStream) -> bool:
        """Whether `merged` has been silent for long enough to be repaired."""
        repair_after_ms = merged.expected_interval.repair_after_ms
        return (
            repair_after_ms is not None
            and self._context.now_ms - merged.silent_since_ms >= repair_after_ms
        )


def _may_come(merged: MergedStream) -> bool:
    """Whether messages of `merged` can be expected: it is not an unknown stream."""
    return merged.messages > 0 or not merged.unknown_reason
