"""The findings of a verification as a page: pictures, tables and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tickerplant import __version__
from tickerplant.drawing.page import heading, page, paragraph, picture, sentences, table
from tickerplant.formatting import count_text, names_text
from tickerplant.verifying.coverage_picture import coverage_picture
from tickerplant.verifying.coverage_rows import chosen_streams, rates_of, row_of
from tickerplant.verifying.findings import Findings, RecordingFinding
from tickerplant.verifying.formatting import (
    NUMBERS,
    length_text,
    outages_alike,
    remarks_without_holes,
    stream_table,
    time_text,
    times_of,
    title_of,
    verdicts_of,
)
from tickerplant.verifying.timeline import Timeline

MOST_RECORDINGS = 50
"""Most recordings with a section of their own."""
MOST_STREAM_ROWS = 2_000
MOST_HOLE_ROWS = 1_000
MOST_REMARKS = 200
_HOLE_HEAD = ("from (UTC)", "to (UTC)", "length", "streams", "missing", "what the ids show", "why")


class FindingsPage:
    """The page about some recordings; each is added when it was walked.

    Args:
        paths: What is verified.
        max_listed: How many gaps and outages of each stream are listed.
    """

    def __init__(self, paths: Sequence[str], max_listed: int) -> None:
        self._paths = paths
        self._max_listed = max_listed
        self._sections: list[str] = []
        self._left_out = 0

    def add(self, found: RecordingFinding, timeline: Timeline) -> None:
        """Draw what was found of a recording."""
        if len(self._sections) >= MOST_RECORDINGS:
            self._left_out += 1
            return
        number = len(self._sections)
        parts = _section(found, timeline, f"r{number}", self._max_listed)
        self._sections.append("\n".join(filter(None, parts)))

    def text(self, findings: Findings) -> str:
        """Return the page, as HTML.

        Args:
            findings: What was found in all recordings together.
        """
        kind = "good" if findings.complete else "bad"
        parts = [paragraph(findings.summary, f"verdict {kind}")]
        if findings.unread:
            unread = [f"{each.path}: {each.reason}" for each in findings.unread[:MOST_REMARKS]]
            parts += [heading("What could not be read"), sentences(unread)]
        parts += self._sections
        if self._left_out:
            more = count_text(self._left_out, "more recording")
            parts.append(paragraph(f"{more} were verified and are in the verdict, but not shown."))
        made = f"Made by tickerplant {__version__} verify; times are receive times in UTC."
        parts.append(paragraph(made, "faint"))
        return page(f"Verification of {names_text(self._paths)}", parts)


def _section(
    found: RecordingFinding, timeline: Timeline, name: str, max_listed: int
) -> Iterator[str]:
    yield heading(title_of(found))
    if found.first_ns:
        yield paragraph(times_of(found))
    if timeline.bins:
        yield from _drawn(found, timeline, name)
    else:
        yield paragraph("There is no line in it, so there is nothing to draw.")
    head, *rows = stream_table(found)
    if rows:
        yield heading("Streams", 3)
        yield table(head, rows[:MOST_STREAM_ROWS], NUMBERS)
        if len(rows) > MOST_STREAM_ROWS:
            yield paragraph(f"{count_text(len(rows) - MOST_STREAM_ROWS, 'more stream')}.")
    yield from _holes(found, max_listed)
    remarks = [line for block in remarks_without_holes(found) for line in block]
    if remarks:
        yield heading("Remarks", 3)
        yield paragraph("Lines with ! make a recording incomplete, those with = do not.", "faint")
        yield sentences(remarks[:MOST_REMARKS])
        if len(remarks) > MOST_REMARKS:
            yield paragraph(f"{count_text(len(remarks) - MOST_REMARKS, 'more remark')}.")


def _drawn(found: RecordingFinding, timeline: Timeline, name: str) -> Iterator[str]:
    rows = [row for each in chosen_streams(found) if (row := row_of(each, timeline)) is not None]
    svg = coverage_picture(rows, rates_of(timeline, found.last_ns), timeline, found.last_ns)
    yield picture(svg, name, f"What was received over time: {title_of(found)}")
    if len(rows) < len(found.streams):
        yield paragraph(
            f"The picture has {len(rows):,} of {count_text(len(found.streams), 'stream')}, those that "
            "are incomplete first; the rates are those of all.",
            "faint",
        )


def _holes(found: RecordingFinding, max_listed: int) -> Iterator[str]:
    """Yield a table of the gaps and outages in order of time."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    for stream in found.streams:
        for gap in stream.first_gaps[:max_listed]:
            missing = "unknown" if gap.missing is None else f"{gap.missing:,}"
            shown = f"messages missing between {gap.after_id} and {gap.before_id}"
            cells = (*_times(gap.from_ns, gap.to_ns), stream.stream, missing, shown, gap.cause)
            rows.append((gap.from_ns, cells))
    for outage, streams in outages_alike(found):
        for verdict, names in verdicts_of(streams).items():
            times = _times(outage.from_ns, outage.to_ns)
            cells = (*times, names_text(names), "", verdict, f"not received: {outage.cause}")
            rows.append((outage.from_ns, cells))
    counted = sum(each.gaps + each.outages for each in found.streams)
    yield heading("Holes", 3)
    if not counted:
        yield paragraph("No gap and no outage was found.")
        return
    rows.sort()
    if rows:
        yield table(
            _HOLE_HEAD, [cells for _, cells in rows[:MOST_HOLE_ROWS]], frozenset({"missing"})
        )
    listed = sum(
        min(len(each.first_gaps), max_listed) + len(each.first_outages) for each in found.streams
    )
    if counted > listed or len(rows) > MOST_HOLE_ROWS:
        yield paragraph(
            f"Not all of {count_text(counted, 'gap and outage', 'gaps and outages')} of single streams "
            f"are in this table: it has the first {max_listed} of each stream (--gaps), and at most "
            f"{MOST_HOLE_ROWS:,} rows. The picture has those of all streams that it shows.",
            "faint",
        )


def _times(from_ns: int, to_ns: int) -> tuple[str, str, str]:
    return time_text(from_ns), time_text(to_ns), length_text(to_ns - from_ns)
