"""Several recordings as one, in time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol, TypeAlias

from tickerplant.recording.line import Line


class Batched(Protocol):
    """What can be merged."""

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield lines from `start_ns` on in order of time; no batch is empty but with `pauses`."""
        ...


def merge(
    recordings: Sequence[Batched], start_ns: int = 0, *, pauses: bool = False
) -> Iterator[tuple[int, list[Line]]]:
    """Yield runs of lines from `start_ns` on in time order, each with the index of its recording.

    Lines with the same time come in the order of the recordings.  Files that follow each other
    cost nothing: their batches pass through whole.  No run is empty, but with `pauses` some are
    while lines before `start_ns` are passed over.

    Raises:
        RecordingError: one of them cannot be opened, or is no recording.
    """
    heads: list[_Head] = []
    for index, recording in enumerate(recordings):
        batches = recording.batches(start_ns, pauses=pauses)
        for lines in batches:
            if lines:
                heads.append((lines[0][0], index, 0, lines, batches))
                break
            yield index, lines
    heapify(heads)
    while heads:
        _, index, start, lines, batches = heads[0]
        end = _run_end(lines, start, index, min(heads[1:3], default=None))
        yield index, lines[start:end] if end - start < len(lines) else lines
        if end < len(lines):
            heapreplace(heads, (lines[end][0], index, end, lines, batches))
            continue
        for following in batches:
            if following:
                heapreplace(heads, (following[0][0], index, 0, following, batches))
                break
            yield index, following
        else:
            heappop(heads)


_Head: TypeAlias = tuple[int, int, int, list[Line], Iterator[list[Line]]]
"""Where a merged recording stands: next time, index, position in the batch, batch, batches."""


def _run_end(lines: list[Line], start: int, index: int, rival: _Head | None) -> int:
    """Return how far `lines` go before the next line of `rival`."""
    if rival is None or lines[-1][0] < rival[0]:
        return len(lines)
    end = start + 1
    until = rival[0] + (index < rival[1])
    while end < len(lines) and lines[end][0] < until:
        end += 1
    return end
