"""What the picture of a recording shows, as numbers: a row of cells for each stream, and rates."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct

from tickerplant.units import NS_PER_S
from tickerplant.verifying.findings import RecordingFinding, StreamFinding
from tickerplant.verifying.timeline import OTHER, StreamBins, Timeline

MOST_ROWS = 100
"""Most streams that are drawn."""
MOST_LINES = 6
"""Most kinds of streams whose rates are drawn; the rest is together `OTHER`."""
LEAST_RATE_BINS = 20
"""Bins of rates are joined until they are a second long, but not to fewer than so many."""
LEAST_SHARE = 0.1
"""The share of the last bin that must have passed for a rate."""


class Cell(IntEnum):
    """What a stream was in a bin; where several hold, the greatest."""

    OUTSIDE = 0
    """Before its first message, or after its last."""
    QUIET = 1
    """Received, but without a message in this bin."""
    MESSAGES = 2
    BRIDGED = 3
    """Not received for a time, and nothing was lost."""
    LOST = 4
    """Not received for a time, and messages were lost, or may be."""
    GAP = 5
    """Messages are missing, as the ids prove."""


class Row(Struct):
    """One stream."""

    stream: str
    cells: bytes
    """A `Cell` for each bin."""
    messages: Sequence[int]
    """Messages in each bin."""


def chosen_streams(found: RecordingFinding, most: int = MOST_ROWS) -> list[StreamFinding]:
    """Return the streams that are drawn, by name: the incomplete ones come first into the choice."""
    ranked = sorted(found.streams, key=lambda each: (not each.is_incomplete, not each.messages))
    return sorted(ranked[:most], key=lambda each: each.stream)


def row_of(each: StreamFinding, timeline: Timeline) -> Row | None:
    """Return the row of a stream; None if what it was over time is not kept."""
    count = timeline.bins
    bins = timeline.streams.get(each.stream)
    if bins is None:
        if each.messages:
            return None
        bins = StreamBins(array("Q", bytes(8 * count)), array("Q", bytes(8 * count)))
    cells = bytearray(count)
    if each.messages:
        _mark(cells, Cell.QUIET, each.first_ns, each.last_ns, timeline)
    _mark_counted(cells, Cell.MESSAGES, bins.messages)
    for outage in bins.outages:
        kind = Cell.BRIDGED if outage.verdict == "nothing lost" else Cell.LOST
        _mark(cells, kind, outage.from_ns, outage.to_ns, timeline)
    _mark_counted(cells, Cell.GAP, bins.gaps)
    return Row(each.stream, bytes(cells), bins.messages[:count])


def _mark(cells: bytearray, kind: Cell, from_ns: int, to_ns: int, timeline: Timeline) -> None:
    """Mark the bins of a time."""
    for at in range(_bin_of(from_ns, timeline), _bin_of(to_ns, timeline) + 1):
        cells[at] = max(cells[at], kind)


def _mark_counted(cells: bytearray, kind: Cell, counts: Sequence[int]) -> None:
    """Mark the bins of which something was counted."""
    for at, number in enumerate(counts[: len(cells)]):
        if number:
            cells[at] = max(cells[at], kind)


class Rates(Struct):
    """Messages in a second over time, by kind of stream."""

    edges_ns: list[int]
    """Where the bins begin, and where the last one ends."""
    lines: dict[str, list[float]]
    """The rates of each kind, those with most messages first; NaN where too little time passed."""


def rates_of(timeline: Timeline, last_ns: int, most: int = MOST_LINES) -> Rates:
    """Return the rates of a recording.

    Args:
        timeline: What was seen.
        last_ns: When the last line was received.
        most: Most kinds; further ones are added up.
    """
    count, width_ns = timeline.bins, timeline.width_ns
    group = max(1, min(-(-NS_PER_S // width_ns), count // LEAST_RATE_BINS))
    kinds = sorted(timeline.kinds, key=lambda kind: (-sum(timeline.kinds[kind]), kind))
    named = kinds if len(kinds) <= most else [each for each in kinds if each != OTHER][: most - 1]
    edges_ns = [
        min(timeline.start_ns + at * width_ns, max(last_ns, timeline.start_ns + 1))
        for at in range(0, count + group, group)
    ]
    lines: dict[str, list[float]] = {}
    for kind in named:
        lines[kind] = _grouped(timeline.kinds[kind][:count], group)
    rest = [timeline.kinds[kind][:count] for kind in kinds if kind not in named]
    if rest:
        lines[OTHER] = _grouped(list(map(sum, zip(*rest, strict=True))), group)
    least_ns = LEAST_SHARE * width_ns * group
    for rates in lines.values():
        for at, number in enumerate(rates):
            length_ns = edges_ns[at + 1] - edges_ns[at]
            enough = length_ns >= least_ns or len(rates) == 1
            rates[at] = number * NS_PER_S / length_ns if enough else float("nan")
    return Rates(edges_ns, lines)


def _grouped(counts: Sequence[int], group: int) -> list[float]:
    return [float(sum(counts[at : at + group])) for at in range(0, len(counts), group)]


def _bin_of(time_ns: int, timeline: Timeline) -> int:
    at = (time_ns - timeline.start_ns) // timeline.width_ns
    return min(max(at, 0), timeline.bins - 1)
