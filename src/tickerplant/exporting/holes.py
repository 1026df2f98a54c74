"""What is missing in an export, because it is missing in the recording: what `verify` finds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from msgspec import Struct

from tickerplant.archive.outage_log import NEVER
from tickerplant.archive.selection import Selection
from tickerplant.errors import RecordingError
from tickerplant.formatting import count_text, iso_text, names_text
from tickerplant.stream_name import parse_stream_name
from tickerplant.verifying.findings import RecordingFinding
from tickerplant.verifying.formatting import length_text
from tickerplant.verifying.verify import groups_of
from tickerplant.verifying.walk import Part, Walk

MAX_HOLES = 1_000
"""Holes of each stream that are listed; all are counted."""
SHOWN_HOLES = 5
"""Holes that are printed, the longest ones."""
NOT_RECEIVED = "not received"


class Hole(Struct, kw_only=True):
    """A time in which messages of a stream are missing, or may be."""

    stream: str
    from_ns: int
    """Receive time of the last message before it, ns since the epoch."""
    to_ns: int
    """Receive time of the first one after it."""
    missing: int | None
    """How many messages; null if ids do not show it."""
    cause: str
    """What the manifest says about it; empty if it says nothing."""


class Holes(Struct):
    """What is missing in an export."""

    count: int = 0
    """Holes, also those that are not listed."""
    missing: int = 0
    """Messages missing in holes of known size."""
    dropped: int = 0
    """Messages that the recorder dropped, of whatever stream and time."""
    listed: list[Hole] = []
    """In order of time."""


def holes_of(
    paths: Sequence[str],
    selection: Selection,
    has_stream: Callable[[str], bool],
) -> Holes:
    """Return what is missing of the selected messages.

    Args:
        paths: The recordings.
        selection: The messages that are exported.
        has_stream: Returns whether the messages of a stream are exported.
    """

    def is_exported(stream: str) -> bool:
        topic = parse_stream_name(stream).topic.upper()
        wanted = not (selection.symbols and topic) or topic in selection.symbols
        return wanted and has_stream(stream)

    part = Part(
        start_ns=selection.start_ns,
        end_ns=selection.end_ns,
        has_stream=is_exported,
    )
    found = Holes()
    for group in groups_of(paths, []):
        with suppress(RecordingError):  # the export has said what it could not read
            _add(found, Walk(group, max_listed=MAX_HOLES, part=part).go(), part)
    found.listed.sort(key=lambda each: (each.from_ns, each.stream))
    return found


def _add(found: Holes, recording: RecordingFinding, part: Part) -> None:
    found.dropped += recording.dropped
    for stream in recording.streams:
        found.count += stream.gaps
        found.missing += stream.missing
        found.listed += [
            Hole(
                stream=stream.stream,
                from_ns=gap.from_ns,
                to_ns=gap.to_ns,
                missing=gap.missing,
                cause=gap.cause,
            )
            for gap in stream.first_gaps
        ]
        for outage in stream.first_outages:
            if outage.cause == NEVER:
                continue  # no message, or a manifest without an entry that it was connected
            is_inside = outage.to_ns >= part.start_ns and outage.from_ns < part.end_ns
            if is_inside and outage.verdict == "may have lost" and part.has_stream(stream.stream):
                found.count += 1
                times = outage.from_ns, outage.to_ns
                cause = f"{NOT_RECEIVED}: {outage.cause}"
                found.listed.append(_outage(stream.stream, *times, cause))


def _outage(stream: str, from_ns: int, to_ns: int, cause: str) -> Hole:
    return Hole(stream=stream, from_ns=from_ns, to_ns=to_ns, missing=None, cause=cause)


def lines_of(holes: Holes) -> Iterator[str]:
    """Yield what is missing, as text."""
    if holes.count:
        listed = holes.listed
        streams = sorted({each.stream for each in listed})
        first, last = min(each.from_ns for each in listed), max(each.to_ns for each in listed)
        yield (
            f"! {count_text(holes.count, 'hole')} in {names_text(streams)}, from {iso_text(first)} to "
            f"{iso_text(last)}: {count_text(holes.missing, 'message')} missing, as far as ids show it"
        )
        longest = sorted(listed, key=lambda each: each.from_ns - each.to_ns)[:SHOWN_HOLES]
        for each in sorted(longest, key=lambda each: each.from_ns):
            missing = "" if each.missing is None else f", {each.missing:,} missing"
            cause = f" ({each.cause})" if each.cause else ""
            length = length_text(each.to_ns - each.from_ns)
            yield f"!   {each.stream}: {length} from {iso_text(each.from_ns)}{missing}{cause}"
        if holes.count > SHOWN_HOLES:
            yield f"!   {count_text(holes.count - SHOWN_HOLES, 'more hole')}; verify lists them"
    if holes.dropped:
        yield f"! {count_text(holes.dropped, 'message')} dropped by the recorder"
