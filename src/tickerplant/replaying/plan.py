"""Which part of recordings is played, and from where on a warm-up must play."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal

from msgspec import Struct

from tickerplant.archive.coverage import Coverage, times_between
from tickerplant.errors import ConfigError
from tickerplant.formatting import iso_text
from tickerplant.recording.line import Batched, RecordedFile
from tickerplant.recording.segments import Segments
from tickerplant.recording.timestamps import LATEST_NS, TimeSpec
from tickerplant.replaying.choice import EVERYTHING, Choice, Chosen
from tickerplant.replaying.line_cursor import LineCursor
from tickerplant.replaying.message_times import SKEW_NS, ByEventTime
from tickerplant.replaying.scan import FileScan
from tickerplant.units import HOUR_MS, NS_PER_MS, NS_PER_S

DEFAULT_WARM_UP_NS = HOUR_MS * NS_PER_MS
SNAPSHOT_MARGIN_NS = 10 * NS_PER_S
"""A snapshot may be older than its place in the recording: updates from this long before it are
played too, and a snapshot this shortly before the target may not count."""


class Plan(Struct, frozen=True, kw_only=True):
    """How recordings are played."""

    speed: float = 1.0
    """Recorded seconds per second; 0 is as fast as the machine and the subscribers allow."""
    pace: Literal["receive", "event"] = "receive"
    """Which time of a line counts: when it was received, or when the exchange sent it."""
    begin: TimeSpec | None = None
    """Where to begin; None is the beginning of the recordings, from which `+` counts."""
    end: TimeSpec | None = None
    """Where to end; None is the end of the recordings.  `+` counts from where the replay begins."""
    warm_up_ns: int = DEFAULT_WARM_UP_NS
    """How much is played silently, at least, before a position in the middle."""
    loops: bool = False
    """Whether the replay starts over at its end."""
    rebased: bool = False
    """Whether all times are shifted so that the first message has the current time."""
    choice: Choice = EVERYTHING
    """Which streams are played."""
    verbatim: bool = False
    """Whether recorded streams are sent and nothing is derived from them."""
    is_paused: bool = False
    """Whether the clock is paused at the beginning."""
    waits: bool = False
    """Whether a paced replay, too, waits for readers that are slow."""
    shows_snapshots: bool = False
    """Whether subscribers of depth updates are sent the recorded snapshots, in their places."""


class Span(Struct, frozen=True):
    """The part of the recordings that is played."""

    first_ns: int
    """Time of the first line of the recordings."""
    begin_ns: int
    end_ns: int
    """The first time that is not played; later than every line if the end is not known."""
    is_end_known: bool


def views_of(plan: Plan, recordings: Sequence[RecordedFile]) -> list[Batched]:
    """Return the lines that are played of the recordings, with the times by which they are played."""
    choice = plan.choice
    views: list[Batched] = [
        each if choice.is_everything else Chosen(each, choice) for each in recordings
    ]
    return [ByEventTime(each) for each in views] if plan.pace == "event" else views


def span_of(plan: Plan, recordings: Sequence[RecordedFile]) -> Span:
    """Return the part of `recordings` that is played.

    Finds the end of a line file only if the plan needs it, because the complete file must be read.

    Raises:
        ConfigError: There is nothing to play.
        RecordingError: A recording cannot be opened, or is not a recording.
    """
    views = views_of(plan, recordings)
    first_ns = min(lines[0][0] for each in views for lines in islice(each.batches(), 1))
    is_limited = plan.begin is not None or plan.end is not None
    if not is_limited and not all(isinstance(each, Segments) for each in recordings):
        return Span(first_ns, first_ns, LATEST_NS, is_end_known=False)
    last_ns = max(
        _last_ns(view, recording) for view, recording in zip(views, recordings, strict=True)
    )
    begin_ns, end_ns = times_between(plan.begin, plan.end, Coverage(first_ns, last_ns))
    begin_ns, end_ns = max(begin_ns, first_ns), min(end_ns, last_ns + 1)
    if is_limited:
        cursor = LineCursor(views, end_ns)
        cursor.seek(begin_ns)
        if cursor.next_ns is None:
            nothing = f"a time after the next message; there is none from {iso_text(begin_ns)} on"
            raise ConfigError("--to", iso_text(end_ns), nothing)
    return Span(first_ns, begin_ns, end_ns, is_end_known=True)


def _last_ns(view: Batched, recording: RecordedFile) -> int:
    if not isinstance(recording, Segments):
        return max((lines[-1][0] for lines in view.batches()), default=0)
    last_ns = recording.last_ns()
    if isinstance(view, ByEventTime):
        batches = view.batches(max(last_ns + view.ahead_ns - SKEW_NS, 0))
        last_ns = max((lines[-1][0] for lines in batches), default=last_ns)
    return last_ns


def warm_up_start_ns(
    target_ns: int, warm_up_ns: int, files: Iterable[FileScan], ahead_ns: Iterable[int]
) -> int:
    """Return where playing must begin to know everything at `target_ns`; 0 is the beginning.

    That is before the last snapshot of every book, and at least `warm_up_ns` before the target.
    """
    start_ns = target_ns - warm_up_ns
    for file, ahead in zip(files, ahead_ns, strict=True):
        if file.snapshot_times is None:
            return 0
        latest: dict[str, int] = {}
        for snapshot in file.snapshot_times:
            time_ns = snapshot.received_ns + ahead
            is_early = time_ns + SNAPSHOT_MARGIN_NS <= target_ns
            if is_early or (time_ns <= target_ns and snapshot.symbol not in latest):
                latest[snapshot.symbol] = time_ns
        start_ns = min([start_ns, *(each - SNAPSHOT_MARGIN_NS for each in latest.values())])
    return max(start_ns, 0)
