"""Findings as lines for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from tickerplant.explain.text import columns
from tickerplant.formatting import printable
from tickerplant.recording.block import LATEST_NS
from tickerplant.recording.line import Place
from tickerplant.units import NS_PER_MS, NS_PER_S
from tickerplant.venue import VENUES
from tickerplant.verifying.findings import (
    BookFinding,
    Findings,
    Gap,
    Outage,
    RecordingFinding,
    StreamFinding,
)

SHOWN_STREAMS = 3
"""Of more streams that are told the same only so many are named."""
SHOWN_FLAWS = 20
"""Of more flaws of a recording only so many are printed; `--json` has more of them."""
_TITLES = {venue.name: venue.title for venue in VENUES}
_HEAD = ("stream", "from", "to", "messages", "gaps", "missing", "blind", "book")
_NUMBERS = frozenset({"messages", "gaps", "missing", "blind"})


def lines_of(findings: Findings, max_listed: int) -> Iterator[str]:
    """Yield findings line by line, but for the last line."""
    for recording in findings.recordings:
        for line in _recording(recording, max_listed):
            yield printable(line)
        yield ""
    for flaw in findings.unread:
        yield printable(f"! {flaw.path}: {flaw.reason}")


def summary_of(findings: Findings) -> str:
    """Return the last line: whether all is complete, and if not, why."""
    recordings = findings.recordings
    messages = count_text(sum(each.messages for each in recordings), "message")
    streams = count_text(sum(len(each.streams) for each in recordings), "stream")
    if findings.complete:
        return f"complete: {messages} of {streams}"
    lossy_outages = _holes(findings)
    if findings.interrupted:
        seen = f"interrupted: {messages} of {streams} were looked at"
        return (
            f"{seen}; NOT complete: {', '.join(lossy_outages)}"
            if lossy_outages
            else f"{seen}; so far complete"
        )
    return f"NOT complete: {', '.join(lossy_outages) or 'there is no message in it'}"


def _holes(findings: Findings) -> list[str]:
    recordings = findings.recordings
    streams = [stream for recording in recordings for stream in recording.streams]
    gaps = sum(each.gaps for each in streams)
    unknown = sum(each.unknown_gaps for each in streams)
    lossy_outages = []
    if gaps:
        size = f" ({unknown:,} of unknown size)" if unknown else ""
        lossy_outages.append(count_text(gaps, "gap") + size)
    if missing := sum(each.missing for each in streams):
        lossy_outages.append(f"{count_text(missing, 'message')} missing")
    counts = (
        (sum(each.lossy_outages for each in streams), "blind time", " that may have lost messages"),
        (sum(each.dropped for each in recordings), "message", " left out by the recorder"),
        (sum(each.unreadable for each in streams), "unreadable message", ""),
        (sum(each.unknown for each in recordings), "line", " of no known form"),
        (sum(each.inconsistent_ids for each in streams), "update", " with contradictory ids"),
        (sum(each.damage for each in recordings), "damage", " in the files"),
        (sum(len(each.absent) for each in recordings), "stream", " not in it"),
        (len(findings.unread), "path", " that cannot be read"),
    )
    return lossy_outages + [
        count_text(number, one) + more for number, one, more in counts if number
    ]


def _recording(found: RecordingFinding, max_listed: int) -> Iterator[str]:
    yield _title(found)
    if found.first_ns:
        yield f"  receive times (UTC) from {moment_text(found.first_ns)} to {moment_text(found.last_ns)}"
    heard = [each for each in found.streams if each.messages]
    shown = heard or found.streams
    if shown:
        yield ""
        rows = [_row(each, found) for each in shown]
        used = [
            n
            for n, title in enumerate(_HEAD)
            if title not in {"blind", "book"} or any(row[n] for row in rows)
        ]
        table = [[row[n] for n in used] for row in (_HEAD, *rows)]
        yield from (f"  {line}" for line in columns(_aligned(table)))
    blocks = (
        _all_gaps(heard, found, max_listed),
        _all_blind(found),
        _damage_log(found),
        _odd(found),
        _unheard(found),
        (f"= {remark}" for remark in found.remarks),
    )
    for block in blocks:
        for number, line in enumerate(block):
            if not number:
                yield ""
            yield f"  {line}"


def _title(found: RecordingFinding) -> str:
    shown = ", ".join(found.paths[:SHOWN_STREAMS])
    if len(found.paths) > SHOWN_STREAMS:
        shown += f" and {len(found.paths) - SHOWN_STREAMS} more"
    facts = [_TITLES.get(found.venue, found.venue)] if found.venue else []
    if found.segments:
        facts.append(count_text(found.segments, "segment"))
    if found.runs:
        facts.append(count_text(found.runs, "run"))
    facts.append(count_text(found.messages, "message"))
    return f"{shown}: {', '.join(facts)}"


def _row(each: StreamFinding, found: RecordingFinding) -> tuple[str, ...]:
    is_a_day = found.first_ns // NS_PER_S // 86_400 == found.last_ns // NS_PER_S // 86_400
    time = clock_text if is_a_day else moment_text
    return (
        each.stream,
        time(each.first_ns) if each.messages else "-",
        time(each.last_ns) if each.messages else "-",
        f"{each.messages:,}",
        f"{each.gaps:,}" if each.proof not in {"rising ids", "none"} else "-",
        _missing(each),
        duration_text(each.outage_ns) if each.outages else "",
        "" if each.book is None else _book(each.book),
    )


def _aligned(table: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return a table whose numbers, and their titles, end in one line."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        [
            cell.rjust(width) if title in _NUMBERS else cell
            for title, cell, width in zip(table[0], row, widths, strict=True)
        ]
        for row in table
    ]


def _missing(each: StreamFinding) -> str:
    """Return how many messages are missing; `-` where nothing tells."""
    if each.proof in {"rising ids", "none"}:
        return "-"
    if not each.unknown_gaps:
        return f"{each.missing:,}"
    return f"{each.missing:,} + ?" if each.missing else "?"


def _book(book: BookFinding) -> str:
    if not book.in_sync_from_ns:
        return "never"
    begins = "from start" if book.from_start else f"from {clock_text(book.in_sync_from_ns)}"
    if not book.breaks:
        return begins
    end = "" if book.in_sync_at_end else ", not at the end"
    return f"{begins}, broken {book.breaks:,} times{end}".replace(" 1 times", " once")


def _all_gaps(
    streams: Iterable[StreamFinding], found: RecordingFinding, max_listed: int
) -> Iterator[str]:
    for stream in streams:
        for gap in stream.first_gaps[:max_listed]:
            yield f"! {stream.stream}: {_gap(gap, found)}"
        more = stream.gaps - min(len(stream.first_gaps), max_listed)
        if more > 0:
            yield f"! {stream.stream}: {count_text(more, 'more gap')}"


def _gap(gap: Gap, found: RecordingFinding) -> str:
    what = "messages missing" if gap.missing is None else f"{gap.missing:,} missing"
    cause = f" ({gap.cause})" if gap.cause else ""
    span = _span(gap.from_ns, gap.to_ns)
    return (
        f"{what} between {gap.after_id} and {gap.before_id}, {span}, "
        f"{_place(gap.place, found)}{cause}"
    )


def _place(place: Place, found: RecordingFinding) -> str:
    path = place.path
    folder = f"{found.paths[0]}/"
    path = path.removeprefix(folder) if len(found.paths) == 1 else path
    if place.line:
        return f"{path} line {place.line} byte {place.offset_bytes}"
    return f"{path} block at byte {place.offset_bytes}"


def _all_blind(found: RecordingFinding) -> Iterator[str]:
    """Yield the times in which streams were not heard; those of many streams on one line."""
    alike: defaultdict[tuple[int, int, str], list[tuple[str, Outage]]] = defaultdict(list)
    listed = 0
    for stream in found.streams:
        listed += len(stream.first_outages)
        for each in stream.first_outages:
            alike[each.from_ns, each.to_ns, each.cause].append((stream.stream, each))
    for (from_ns, to_ns, cause), streams in sorted(alike.items()):
        verdicts: defaultdict[str, list[str]] = defaultdict(list)
        for name, each in streams:
            verdicts[each.verdict].append(name)
        said = "; ".join(f"{verdict}: {_names(names)}" for verdict, names in verdicts.items())
        mark = "!" if verdicts.keys() - {"nothing lost"} else "="
        yield f"{mark} not heard {_span(from_ns, to_ns)} ({cause}); {said}"
    more = sum(stream.outages for stream in found.streams) - listed
    if more:
        yield f"! {count_text(more, 'more outages time')}"


def _damage_log(found: RecordingFinding) -> Iterator[str]:
    for flaw in found.first_damage[:SHOWN_FLAWS]:
        yield f"! {flaw}"
    for flaw in found.first_unreadable[:SHOWN_FLAWS]:
        yield f"! {flaw}"
    more = found.damage - min(len(found.first_damage), SHOWN_FLAWS)
    if more > 0:
        yield f"! {count_text(more, 'more flaw')}"
    if found.skipped_lines:
        yield f"! {count_text(found.skipped_lines, 'line')} lost with them"
    if found.dropped:
        reasons = "; ".join(filter(None, found.drop_reasons))
        because = f": {reasons}" if reasons else ""
        yield f"! {count_text(found.dropped, 'message')} left out by the recorder{because}"


def _odd(found: RecordingFinding) -> Iterator[str]:
    """Yield what is odd about ids and times; most of it is no hole."""
    for stream in found.streams:
        odd = [
            count_text(number, one) + more
            for number, one, more in (
                (stream.unreadable, "unreadable message", ""),
                (stream.inconsistent_ids, "update", " with contradictory ids"),
                (stream.duplicates, "duplicate", ""),
                (stream.late, "message", " out of order"),
                (stream.restarts, "restart", " of its ids"),
                (stream.event_time_regressions, "event time", " before that of an earlier message"),
            )
            if number
        ]
        if odd:
            mark = "!" if stream.unreadable or stream.inconsistent_ids else "="
            yield f"{mark} {stream.stream}: {', '.join(odd)}"
    if found.receive_time_regressions:
        yield (
            f"= {count_text(found.receive_time_regressions, 'receive time')} before that of an earlier "
            f"line, by up to {duration_text(found.max_regression_ns)}"
        )
    if found.unknown:
        yield f"! {count_text(found.unknown, 'line')} of no known form"


def _unheard(found: RecordingFinding) -> Iterator[str]:
    """Yield the streams of which there is no message."""
    if not found.messages and not found.absent:
        yield "! nothing was heard"
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for stream in found.streams:
        if not stream.messages:
            reasons[stream.remark].append(stream.stream)
    for reason, names in reasons.items():
        yield f"= no message of {_names(names)}" + (f": {reason}" if reason else "")
    if found.absent:
        yield f"! not in it: {_names(found.absent)}"
    never = [each.stream for each in found.streams if each.book and not each.book.in_sync_at_end]
    if never:
        yield f"= no book at the end, for want of a snapshot: {_names(never)}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_STREAMS])
    more = len(names) - SHOWN_STREAMS
    return f"{shown} and {more} more" if more > 0 else shown


def _span(from_ns: int, to_ns: int) -> str:
    end = moment_text(to_ns)
    if from_ns // NS_PER_S // 86_400 == to_ns // NS_PER_S // 86_400:
        end = clock_text(to_ns)
    return f"{moment_text(from_ns)} to {end} ({duration_text(to_ns - from_ns)})"


def moment_text(time_ns: int) -> str:
    """Return a moment in UTC, to the millisecond; the first or last that can be if it is none."""
    time_ns = min(max(time_ns, 0), LATEST_NS)
    second = datetime.fromtimestamp(time_ns // NS_PER_S, UTC)
    return f"{second:%Y-%m-%d %H:%M:%S}.{time_ns // NS_PER_MS % 1_000:03d}"


def clock_text(time_ns: int) -> str:
    """Return the time of the day of a moment in UTC, to the millisecond."""
    return moment_text(time_ns)[11:]


def duration_text(length_ns: int) -> str:
    """Return a time: `0.004 s`, `12.3 s`, `3 m 05 s`, `2 h 10 m`."""
    seconds = max(length_ns, 0) / NS_PER_S
    if seconds < 1:
        return f"{seconds:.3f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} m"


def count_text(number: int, one: str) -> str:
    """Return a number with what is counted."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"
