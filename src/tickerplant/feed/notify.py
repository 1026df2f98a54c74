"""Notices that concern several streams: each consumer gets one, about those it subscribed to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec import structs

from tickerplant.feed.merged_stream import MergedStream, Sink
from tickerplant.messages.notice import Disconnected, Notice, Recovered

TOLD_AGAIN_MS = 10_000
"""That a stream is not heard for another reason than was told, is told at most this often."""


def notify(merged_streams: Iterable[MergedStream], notice: Notice) -> None:
    """Tell the consumers of `merged_streams` a notice, which needs no names."""
    names: defaultdict[Sink, list[str]] = defaultdict(list)
    for merged in merged_streams:
        for sink in merged.sinks:
            names[sink].append(merged.name)
    for sink, each in names.items():
        sink(structs.replace(notice, streams=tuple(dict.fromkeys(each))))


def notify_disconnected(
    merged_streams: Iterable[MergedStream], notice: Disconnected, heard_ms: int, now_ms: int
) -> None:
    """Tell who hears nothing of `merged_streams`, and was not told of that, or of another reason.

    `heard_ms` is when their connection last told anything: what was silent until then was heard.
    """
    blind = [
        each for each in merged_streams if each.primary is None and _is_news(each, notice, now_ms)
    ]
    for merged in blind:
        merged.miss(heard_ms)
        merged.blindness, merged.blindness_told_ms = notice, now_ms
        merged.blind_ms = now_ms if merged.blind_ms is None else merged.blind_ms
    notify(blind, notice)


def _is_news(merged: MergedStream, notice: Disconnected, now_ms: int) -> bool:
    told = merged.blindness
    if told is None:
        return True
    return told.reason != notice.reason and now_ms - merged.blindness_told_ms >= TOLD_AGAIN_MS


def notify_recovered(merged_streams: Iterable[MergedStream], wall_ms: int) -> None:
    """Tell who was told that `merged_streams` are not heard that they are again."""
    groups: defaultdict[int, list[MergedStream]] = defaultdict(list)
    for merged in merged_streams:
        if merged.unheard_ms is not None:
            groups[merged.recover()].append(merged)
        merged.blindness, merged.blind_ms = None, None
    for outage_ms, again in groups.items():
        notify(again, Recovered(streams=(), time_ms=wall_ms, outage_ms=outage_ms))


def notify_possible_loss(
    merged_streams: Iterable[MergedStream],
    reason: str,
    outage_ms: int,
    wall_ms: int,
    close_code: int | None,
) -> None:
    """Tell that something may be missing of `merged_streams`, which are heard again already."""
    merged_streams = tuple(merged_streams)
    for merged in merged_streams:
        merged.expect_loss()
    notify(
        merged_streams,
        Disconnected(streams=(), time_ms=wall_ms, reason=reason, close_code=close_code),
    )
    notify(merged_streams, Recovered(streams=(), time_ms=wall_ms, outage_ms=outage_ms))
