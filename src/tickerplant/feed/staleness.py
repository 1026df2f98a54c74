"""Detects silence: streams that should have sent something, and connections that deliver nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from msgspec import structs

from tickerplant.feed.connection import FeedConnection
from tickerplant.feed.context import FeedContext, Verify
from tickerplant.feed.expected_interval import LOOK_MS
from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.notices import Disconnected, Notice, Recovered, Stale, UnknownStream


def notify(merged_streams: Iterable[MergedStream], notice: Notice) -> None:
    """Hand a notice without names to the consumers of `merged_streams`, each with its own names."""
    names: defaultdict[Sink, list[str]] = defaultdict(list)
    for merged in merged_streams:
        for sink in merged.sinks:
            names[sink].append(merged.name)
    for sink, each in names.items():
        sink(structs.replace(notice, streams=tuple(dict.fromkeys(each))))


def notify_disconnected(
    merged_streams: Iterable[MergedStream], notice: Disconnected, received_ms: int
) -> None:
    """Notify the consumers of those of `merged_streams` that have no connection, unless they know.

    `received_ms` is when something last arrived on the lost connection.
    """
    news = [
        each
        for each in merged_streams
        if each.primary is None and each.begin_outage(notice, received_ms)
    ]
    _report(news, notice)
    notify(news, notice)


def notify_recovered(merged_streams: Iterable[MergedStream], wall_ms: int) -> None:
    """Notify the consumers that know of an outage of `merged_streams` that it is over."""
    groups: defaultdict[int, list[MergedStream]] = defaultdict(list)
    for merged in merged_streams:
        outage_ms = merged.end_outage()
        if outage_ms is not None:
            groups[outage_ms].append(merged)
    recovered_all = [merged for recovered in groups.values() for merged in recovered]
    longest_ms = max(groups, default=0)
    _report(recovered_all, Recovered(streams=(), time_ms=wall_ms, outage_ms=longest_ms))
    for outage_ms, recovered in groups.items():
        notify(recovered, Recovered(streams=(), time_ms=wall_ms, outage_ms=outage_ms))


def notify_possible_loss(
    merged_streams: Iterable[MergedStream],
    reason: str,
    outage_ms: int,
    wall_ms: int,
    close_code: int | None,
) -> None:
    """Notify consumers that messages of `merged_streams` may be lost, and that they arrive again."""
    merged_streams = tuple(merged_streams)
    for merged in merged_streams:
        merged.expect_loss()
    lost = Disconnected(streams=(), time_ms=wall_ms, reason=reason, close_code=close_code)
    for notice in (lost, Recovered(streams=(), time_ms=wall_ms, outage_ms=outage_ms)):
        _report(merged_streams, notice)
        notify(merged_streams, notice)


def notify_stale(merged_streams: Sequence[MergedStream], notices: Sequence[Stale]) -> None:
    """Notify the consumers of streams that fell silent at the same time, each of its own silence."""
    if notices:
        _report(merged_streams, max(notices, key=attrgetter("silent_ms")))
    for merged, notice in zip(merged_streams, notices, strict=True):
        notify([merged], notice)


def _report(merged_streams: Sequence[MergedStream], notice: Notice) -> None:
    """Hand a notice to the observer, once for all of `merged_streams`."""
    if merged_streams:
        names = tuple(dict.fromkeys(merged.name for merged in merged_streams))
        merged_streams[0].report(structs.replace(notice, streams=names))


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


UNKNOWN_LOOK_MS = 500
"""How often silent streams are looked for."""
RETRY_MS = 60_000
"""How long after a check without a response it is repeated."""
MAX_FAILURES = 3
"""Consecutive checks without a response; after these, no more checks are made."""


class UnknownStreams:
    """Checks silent streams and notifies consumers of those that are unknown."""

    def __init__(self, context: FeedContext) -> None:
        self.failed_checks = 0
        """Checks that got no response."""
        self._context = context
        self._silent_ms = context.settings.staleness.unknown_after_ms
        self._silent_since_ms: dict[MergedStream, int | None] = {}
        """Since when streams that have sent nothing could have; None: they could not yet."""
        self._checking: dict[MergedStream, None] = {}
        """Streams that are being checked."""
        self._look_ms = 0
        self._failures = 0

    def add(self, merged: MergedStream) -> None:
        """Report a stream with a malformed name, and check others when they stay silent."""
        if merged.unknown_reason:
            self._context.observer.unknown(merged.name, merged.unknown_reason)
        else:
            self._silent_since_ms[merged] = None

    def remove(self, merged: MergedStream) -> None:
        """Forget a stream that has no consumers any more."""
        self._silent_since_ms.pop(merged, None)
        self._checking.pop(merged, None)

    def tick(self) -> None:
        """Ask for a check of the streams that have been silent for too long."""
        context = self._context
        if not self._silent_since_ms or context.now_ms < self._look_ms:
            return
        self._look_ms = context.now_ms + min(UNKNOWN_LOOK_MS, self._silent_ms)
        silent = [merged for merged in tuple(self._silent_since_ms) if self._is_silent(merged)]
        for merged in silent:
            del self._silent_since_ms[merged]
        if silent and self._failures < MAX_FAILURES:
            self._checking.update(dict.fromkeys(silent))
            context.actions.append(Verify(tuple(merged.name for merged in silent)))

    def _is_silent(self, merged: MergedStream) -> bool:
        context = self._context
        since_ms = self._silent_since_ms[merged]
        if merged.messages:
            del self._silent_since_ms[merged]
        elif merged.primary is None or merged.primary in context.paused:
            self._silent_since_ms[merged] = None
        elif since_ms is None:
            self._silent_since_ms[merged] = context.now_ms
        else:
            return context.now_ms - since_ms >= self._silent_ms
        return False

    def checked(self, names: Iterable[str], reasons: Mapping[str, str] | None) -> None:
        """Take the result of a check.

        Args:
            names: The streams that were checked.
            reasons: Why some of them will never send anything, by name; None: no response.
        """
        context = self._context
        self._failures = self._failures + 1 if reasons is None else 0
        self.failed_checks += reasons is None
        checked = frozenset(names)
        for merged in [each for each in self._checking if each.name in checked]:
            del self._checking[merged]
            if merged.messages:
                continue
            if reasons is None:
                self._silent_since_ms[merged] = context.now_ms + RETRY_MS - self._silent_ms
            elif reason := reasons.get(merged.name, ""):
                merged.unknown_reason = reason
                context.observer.unknown(merged.name, reason)
                notify([merged], UnknownStream(streams=(), time_ms=context.wall_ms, reason=reason))
