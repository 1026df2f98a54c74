"""Silence: streams that should have told something, and connections on which nothing is heard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.expected_interval import LOOK_MS
from tickerplant.feed.merged_stream import MergedStream
from tickerplant.feed.settings import FeedSettings
from tickerplant.messages.notice import Recovered, Stale

DOUBLINGS = 10
"""As often patience with what is asked for in vain is doubled."""


class Watched(Protocol):
    """What a vigil sees of the feed."""

    settings: FeedSettings
    now_ms: int
    wall_ms: int
    connections: dict[int, FeedConnection]

    @property
    def all_merged_streams(self) -> list[MergedStream]:
        """The streams, shared and apart."""


class StalenessMonitor:
    """Looks for silence.

    Args:
        feed: What is looked at.
    """

    def __init__(self, feed: Watched) -> None:
        self.told = 0
        """Times a stream was called stale."""
        self._feed = feed
        self._look_ms = 0
        settings = feed.settings
        self._least_ms = min(
            settings.quick_stale_ms,
            settings.event_stream_stale_ms,
            settings.stale_ms,
            settings.first_message_timeout_ms,
        )
        """No stream is stale sooner."""
        self._deaf = 0
        """Connections that were replaced in a row because all their streams were stale."""

    def look(self) -> tuple[list[FeedConnection], list[tuple[FeedConnection, MergedStream]]]:
        """Tell which streams fell silent; return what is to be asked for anew.

        Returns:
            Connections to be replaced, and streams to be subscribed to again.
        """
        feed = self._feed
        if feed.now_ms < self._look_ms:
            return [], []
        self._look_ms = feed.now_ms + LOOK_MS
        merged_streams = feed.all_merged_streams
        silent = [found for merged in merged_streams if (found := self._see(merged))]
        silent += [
            found for each in merged_streams if each.secondaries for found in self._mute(each)
        ]
        deaf = [
            connection
            for connection in tuple(feed.connections.values())
            if self._is_deaf(connection)
        ]
        self._deaf += len(deaf)
        return deaf, silent

    def end(self, merged: MergedStream) -> None:
        """Tell that a stale stream is heard again."""
        feed = self._feed
        if merged.stale_level == 1:  # it was not subscribed again
            merged.expected_interval.endure()
        merged.expected_interval.rest()
        self._deaf = 0
        outage_ms = merged.end_outage() or 0
        merged.notify(Recovered(streams=(merged.name,), time_ms=feed.wall_ms, outage_ms=outage_ms))

    def _see(self, merged: MergedStream) -> tuple[FeedConnection, MergedStream] | None:
        """Tell that `merged` fell silent; return it if it is to be asked for again."""
        feed, connection = self._feed, merged.primary
        if not isinstance(connection, FeedConnection) or connection.is_paused:
            return None
        silent_ms, expected_interval = (
            feed.now_ms - merged.silent_since_ms,
            merged.expected_interval,
        )
        count = merged.messages - merged.counters.duplicates
        expected_interval.hear(count, merged.silent_since_ms, silent_ms)
        if silent_ms < self._least_ms:
            return None
        patience_ms = (
            expected_interval.repair_ms if merged.is_stale else expected_interval.patience_ms
        )
        if patience_ms is None or silent_ms < patience_ms << min(merged.stale_level, DOUBLINGS):
            return None
        merged.raise_stale_level()
        if merged.stale_level > 1:
            return connection, merged
        self.told += 1
        merged.notify(
            Stale(
                streams=(merged.name,),
                time_ms=feed.wall_ms,
                silent_ms=silent_ms,
                expected_ms=merged.expected_interval.expected_ms,
            )
        )
        return None

    def _mute(self, merged: MergedStream) -> Iterator[tuple[FeedConnection, MergedStream]]:
        """Yield the connections that tell other streams but not this one, which the leader tells."""
        settings = self._feed.settings
        for connection, secondary in merged.secondaries.items():
            if (
                not isinstance(connection, FeedConnection)
                or merged.primary is None
                or not merged.is_idle(secondary)
            ):
                secondary.idle_since_ms, secondary.is_mute = 0, False
                continue
            secondary.idle_since_ms = secondary.idle_since_ms or self._feed.now_ms
            told_ms = connection.received_ms - secondary.idle_since_ms
            secondary.is_mute = told_ms >= settings.overlap_ms
            patience_ms = settings.stale_ms << min(secondary.resubscriptions, DOUBLINGS)
            if (
                told_ms >= patience_ms
                and connection.session is not None
                and connection.successor is None
            ):
                secondary.resubscriptions += 1
                secondary.idle_since_ms = 0
                secondary.is_delivering = False
                yield connection, merged

    def _is_deaf(self, connection: FeedConnection) -> bool:
        """Whether a connection has been open for long, and everything on it is stale."""
        if (
            not connection.is_open
            or connection.successor is not None
            or connection.predecessor is not None
        ):
            return False
        age_ms = self._feed.now_ms - connection.opened_ms
        if age_ms < self._feed.settings.all_stale_reconnect_ms << min(self._deaf, DOUBLINGS):
            return False
        merged_streams = connection.merged_streams
        due = [
            each
            for each in merged_streams
            if each.expected_interval.repair_ms is not None and _may_come(each)
        ]
        if any(each.messages for each in merged_streams) and not any(each.messages for each in due):
            return False  # what was never heard may be no stream at all: others are heard
        return bool(due) and all(
            each.is_stale and each.primary is connection and self._is_overdue(each) for each in due
        )

    def _is_overdue(self, merged: MergedStream) -> bool:
        """Whether `merged` is silent for so long that something is to be done about it."""
        repair_ms = merged.expected_interval.repair_ms
        return repair_ms is not None and self._feed.now_ms - merged.silent_since_ms >= repair_ms


def _may_come(merged: MergedStream) -> bool:
    """Whether messages of `merged` can be expected."""
    return merged.messages > 0 or not merged.doubt
