"""What a run of `record` recorded, as a line and as JSON."""

from __future__ import annotations

from msgspec import Struct

from tickerplant.formatting import count_text, size_text
from tickerplant.recorder.recorder import Recorder
from tickerplant.recorder.writer import RecordingWriter


class RecordReport(Struct, frozen=True, kw_only=True):
    """What `tickerplant record --json` prints at the end."""

    folder: str
    """The folder of the recording."""
    venue: str
    """`usdm` or `coinm`."""
    ended: str
    """Why it ended: `interrupted`, `the time is up`, or what failed."""
    seconds: float
    """How long this run recorded."""
    messages: int
    """Messages of streams that were recorded."""
    snapshots: int
    """Snapshots of books that were recorded."""
    snapshots_delayed: int
    """Snapshots that were due while there was no request weight for them."""
    streams: int
    """Streams that were asked for."""
    silent_streams: list[str]
    """Those of them that nothing was received for."""
    gaps: int
    """Gaps that ids prove."""
    connections_lost: int
    """Connections that ended unexpectedly."""
    connections_renewed: int
    """Connections that were replaced in time, without loss."""
    unreadable: int
    """Messages that could not be read; they are recorded."""
    dropped: int
    """Messages that are not recorded, because the disk was too slow."""
    text_bytes: int
    """The size of the messages as text."""
    stored_bytes: int
    """The size of what was written."""


def report_of(
    recorder: Recorder,
    writer: RecordingWriter,
    *,
    folder: str,
    venue: str,
    ended: str,
    seconds: float,
) -> RecordReport:
    """Return the report of a recording that has ended."""
    totals, counters = writer.totals, recorder.counters
    received = set(recorder.received)
    snapshots = recorder.rest_jobs.snapshots
    return RecordReport(
        folder=folder,
        venue=venue,
        ended=ended,
        seconds=round(seconds, 3),
        messages=totals.lines - snapshots,
        snapshots=snapshots,
        snapshots_delayed=recorder.schedule.delayed,
        streams=len(recorder.names),
        silent_streams=[name for name in recorder.names if name not in received],
        gaps=recorder.manifest.gaps,
        connections_lost=counters.lost,
        connections_renewed=counters.renewed,
        unreadable=counters.unreadable,
        dropped=totals.dropped,
        text_bytes=totals.text_bytes,
        stored_bytes=totals.stored_bytes,
    )


def report_text(report: RecordReport) -> str:
    """Return a report as one line."""
    parts = [
        count_text(report.gaps, "gap"),
        count_text(report.connections_lost, "connection lost", "connections lost"),
        count_text(report.snapshots, "snapshot"),
    ]
    if report.snapshots_delayed:
        parts[-1] += f" ({report.snapshots_delayed:,} late for want of request weight)"
    if report.connections_renewed:
        parts.append(f"{report.connections_renewed:,} renewed")
    if report.unreadable:
        parts.append(f"{report.unreadable:,} unreadable")
    if report.dropped:
        parts.append(f"{count_text(report.dropped, 'message')} dropped")
    stored = size_text(report.stored_bytes)
    if report.stored_bytes:
        stored += f", {report.text_bytes / report.stored_bytes:.1f} times smaller than text"
    received = report.streams - len(report.silent_streams)
    return (
        f"recorded {count_text(report.messages, 'message')} of {received:,} of "
        f"{count_text(report.streams, 'stream')} in {report.seconds:.1f} s, {stored}: "
        f"{', '.join(parts)}. The same command continues the recording."
    )
