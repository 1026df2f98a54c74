"""Notices about several streams: each consumer gets one, about those it is subscribed to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec import structs

from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.notices import Disconnected, Notice, Recovered


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
    notify(news, notice)


def notify_recovered(merged_streams: Iterable[MergedStream], wall_ms: int) -> None:
    """Notify the consumers that know of an outage of `merged_streams` that it is over."""
    groups: defaultdict[int, list[MergedStream]] = defaultdict(list)
    for merged in merged_streams:
        outage_ms = merged.end_outage()
        if outage_ms is not None:
            groups[outage_ms].append(merged)
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
    notify(
        merged_streams,
        Disconnected(streams=(), time_ms=wall_ms, reason=reason, close_code=close_code),
    )
    notify(merged_streams, Recovered(streams=(), time_ms=wall_ms, outage_ms=outage_ms))
