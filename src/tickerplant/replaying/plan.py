"""Which part of recordings is played, and from where on it has to be run up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.recording.block import LATEST_NS
from tickerplant.recording.line import RecordedFile
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import TimeSpec, iso
from tickerplant.replaying.event_time import SKEW_NS, ByEventTime
from tickerplant.replaying.line_cursor import LineCursor
from tickerplant.replaying.scan import FileScan

DEFAULT_WARM_UP_NS = 3_600_000_000_000
ANCHOR_MARGIN_NS = 10_000_000_000
"""Updates from so long before a snapshot are played too, because it may be older than its place in
the recording; a snapshot so shortly before a moment may not count before it."""

FROM, TO = "--from", "--to"


class Plan(Struct, frozen=True, kw_only=True):
    """How somebody wants recordings to be played."""

    speed: float = 1.0
    """Recorded seconds per second; 0 is as fast as the machine and the subscribers go."""
    pace: Literal["receive", "event"] = "receive"
    """Which time of a line counts: when it was received, or when the exchange sent it."""
    begin: TimeSpec | None = None
    """From where; from the beginning without."""
    end: TimeSpec | None = None
    """Up to where."""
    warm_up_ns: int = DEFAULT_WARM_UP_NS
    """How much is played silently, at least, before a moment in the middle."""
    loops: bool = False
    """Whether it begins anew at the end."""
    rebased: bool = False
    """Whether all times are shifted so that the first message is of now."""
    verbatim: bool = False
    """Whether recorded streams are sent and nothing else is done with them."""


class Span(Struct, frozen=True):
    """What is played: from one moment to before another."""

    opening_ns: int
    """Time of the first line there is."""
    begin_ns: int
    end_ns: int
    """The first moment that is not played any more; beyond every line if nobody knows."""
    is_end_known: bool


def views_of(plan: Plan, recordings: Sequence[RecordedFile]) -> list[RecordedFile | ByEventTime]:
    """Return the recordings with the times that the plan wants."""
    by_event = plan.pace == "event"
    return [ByEventTime(each) if by_event else each for each in recordings]


def span_of(plan: Plan, recordings: Sequence[RecordedFile]) -> Span:
    """Return what is to be played.

    The end of a file of lines is looked for only where the plan needs it: all of it is read then.

    Raises:
        ConfigError: that is nothing.
        RecordingError: a recording cannot be opened, or is none.
    """
    views = views_of(plan, recordings)
    opening_ns = min(lines[0][0] for each in views for lines in islice(each.batches(), 1))
    asked = plan.begin is not None or plan.end is not None
    if not asked and not all(isinstance(each, Segments) for each in recordings):
        return Span(opening_ns, opening_ns, LATEST_NS, is_end_known=False)
    last_ns = max(
        _last_ns(view, recording) for view, recording in zip(views, recordings, strict=True)
    )
    begin_ns = _resolved(plan.begin, opening_ns, last_ns, opening_ns)
    end_ns = min(_resolved(plan.end, opening_ns, last_ns, last_ns + 1), last_ns + 1)
    if asked:
        _refuse_nothing(plan, max(begin_ns, opening_ns), end_ns, opening_ns, last_ns)
        reel = LineCursor(views, end_ns)
        reel.wind(begin_ns)
        if reel.next_ns is None:
            nothing = f"a moment after the next message; there is none from {iso(begin_ns)} on"
            raise ConfigError(TO, iso(end_ns), nothing)
    return Span(opening_ns, max(begin_ns, opening_ns), end_ns, is_end_known=True)


def _refuse_nothing(plan: Plan, begin_ns: int, end_ns: int, opening_ns: int, last_ns: int) -> None:
    bounds = f"the recording is from {iso(opening_ns)} to {iso(last_ns)}"
    if begin_ns > last_ns:
        raise ConfigError(FROM, iso(begin_ns), f"a moment before the end; {bounds}")
    if end_ns <= opening_ns:
        raise ConfigError(TO, iso(end_ns), f"a moment after the beginning; {bounds}")
    if end_ns <= begin_ns and plan.end is not None:
        raise ConfigError(TO, iso(end_ns), f"a moment after {FROM}, {iso(begin_ns)}; {bounds}")


def _resolved(moment: TimeSpec | None, opening_ns: int, last_ns: int, default_ns: int) -> int:
    if moment is None:
        return default_ns
    if moment.sign == "+":
        return opening_ns + moment.ns
    return last_ns - moment.ns if moment.sign else moment.ns


def _last_ns(view: RecordedFile | ByEventTime, recording: RecordedFile) -> int:
    """Return the time of the last line."""
    if not isinstance(recording, Segments):
        return max((lines[-1][0] for lines in view.batches()), default=0)
    last_ns = recording.last_ns()
    if isinstance(view, ByEventTime):
        late = view.batches(max(last_ns + view.ahead_ns - SKEW_NS, 0))
        last_ns = max((lines[-1][0] for lines in late), default=last_ns)
    return last_ns


def warm_up_start_ns(
    target_ns: int, warm_up_ns: int, files: Iterable[FileScan], ahead_ns: Iterable[int]
) -> int:
    """Return from where on to play so that at `target_ns` all is known; 0 is from the beginning.

    That is before the last snapshot of every book, and at least `warm_up_ns` before.

    Args:
        target_ns: The moment.
        warm_up_ns: How much is played at least.
        files: The recordings.
        ahead_ns: How far the times of each are ahead of its receive times.
    """
    start_ns = target_ns - warm_up_ns
    for file, ahead in zip(files, ahead_ns, strict=True):
        if file.anchors is None:
            return 0
        latest: dict[str, int] = {}
        for anchor in file.anchors:
            at_ns = anchor.received_ns + ahead
            early = at_ns + ANCHOR_MARGIN_NS <= target_ns
            if early or (at_ns <= target_ns and anchor.symbol not in latest):
                latest[anchor.symbol] = at_ns
        start_ns = min([start_ns, *(at_ns - ANCHOR_MARGIN_NS for at_ns in latest.values())])
    return max(start_ns, 0)
