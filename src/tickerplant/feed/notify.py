"""Notices about several streams: each consumer gets one, about those it is subscribed to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter

from msgspec import structs

from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.notices import Disconnected, Notice, Recovered, Stale


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
