"""Notices that concern several streams: each consumer gets one, about those it subscribed to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec import structs

from tickerplant.feed.strand import Sink, Strand
from tickerplant.messages.notice import Disconnected, Notice, Recovered

TOLD_AGAIN_MS = 10_000
"""That a stream is not heard for another reason than was told, is told at most this often."""


def tell(strands: Iterable[Strand], notice: Notice) -> None:
    """Tell the consumers of `strands` a notice, which needs no names."""
    names: defaultdict[Sink, list[str]] = defaultdict(list)
    for strand in strands:
        for sink in strand.sinks:
            names[sink].append(strand.name)
    for sink, each in names.items():
        sink(structs.replace(notice, streams=tuple(dict.fromkeys(each))))


def tell_blind(strands: Iterable[Strand], notice: Disconnected, heard_ms: int, now_ms: int) -> None:
    """Tell who hears nothing of `strands`, and was not told of that, or of another reason.

    `heard_ms` is when their connection last told anything: what was silent until then was heard.
    """
    blind = [each for each in strands if each.lead is None and _is_news(each, notice, now_ms)]
    for strand in blind:
        strand.miss(heard_ms)
        strand.blindness, strand.blindness_told_ms = notice, now_ms
        strand.blind_ms = now_ms if strand.blind_ms is None else strand.blind_ms
    tell(blind, notice)


def _is_news(strand: Strand, notice: Disconnected, now_ms: int) -> bool:
    told = strand.blindness
    if told is None:
        return True
    return told.reason != notice.reason and now_ms - strand.blindness_told_ms >= TOLD_AGAIN_MS


def tell_recovered(strands: Iterable[Strand], wall_ms: int) -> None:
    """Tell who was told that `strands` are not heard that they are again."""
    groups: defaultdict[int, list[Strand]] = defaultdict(list)
    for strand in strands:
        if strand.unheard_ms is not None:
            groups[strand.recover()].append(strand)
        strand.blindness, strand.blind_ms = None, None
    for blind_ms, again in groups.items():
        tell(again, Recovered(streams=(), time_ms=wall_ms, blind_ms=blind_ms))


def tell_hole(
    strands: Iterable[Strand], reason: str, blind_ms: int, wall_ms: int, close_code: int | None
) -> None:
    """Tell that something may be missing of `strands`, which are heard again already."""
    strands = tuple(strands)
    for strand in strands:
        strand.expect_hole()
    tell(
        strands,
        Disconnected(streams=(), time_ms=wall_ms, reason=reason, close_code=close_code),
    )
    tell(strands, Recovered(streams=(), time_ms=wall_ms, blind_ms=blind_ms))
