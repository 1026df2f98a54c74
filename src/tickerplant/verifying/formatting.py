"""Findings as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tickerplant.formatting import (
    columns,
    count_text,
    date_text,
    duration_text,
    names_text,
    printable,
)
from tickerplant.recording.line import Place
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.units import NS_PER_MS, NS_PER_S
from tickerplant.venue import VENUES
from tickerplant.verifying.findings import (
    BookFinding,
    Findings,
    Gap,
    RecordingFinding,
    StreamFinding,
)

SHOWN_STREAMS = 3
"""Maximum number of streams named on one line."""
SHOWN_BREAKS = 3
"""Maximum number of times that are printed in which a book is not known; `--json` has more."""
SHOWN_DAMAGE = 20
"""Maximum number of damaged places of a recording to print; `--json` has more."""
_TITLES = {venue.name: venue.title for venue in VENUES}
_HEAD = ("stream", "from", "to", "messages", "gaps", "missing", "outage", "book")
_NUMBERS = frozenset({"messages", "gaps", "missing", "outage"})
"""The columns of a table that are aligned to the right."""


def lines_of(findings: Findings, max_listed: int) -> Iterator[str]:
    """Yield the lines of a report, without the last one."""
    for recording in findings.recordings:
        for line in _recording(recording, max_listed):
            yield printable(line)
        yield ""
    for damage in findings.unread:
        yield printable(f"! {damage.path}: {damage.reason}")


def summary_of(findings: Findings) -> str:
    """Return the last line: whether everything is complete, and if not, why."""
    recordings = findings.recordings
    messages = count_text(sum(each.messages for each in recordings), "message")
    streams = count_text(sum(len(each.streams) for each in recordings), "stream")
    if findings.complete:
        return f"complete: {messages} of {streams}{_unknown_books(findings)}"
    problems = _problems(findings)
    if findings.interrupted:
        seen = f"interrupted: {messages} of {streams} were looked at"
        return (
            f"{seen}; NOT complete: {', '.join(problems)}"
            if problems
            else f"{seen}; so far complete"
        )
    return f"NOT complete: {', '.join(problems) or 'it contains no messages'}{_unknown_books(findings)}"


def _unknown_books(findings: Findings) -> str:
    books = [
        stream.book
        for recording in findings.recordings
        for stream in recording.streams
        if stream.book is not None and stream.messages
    ]
    unknown = [each for each in books if not each.is_known_throughout]
    if not unknown:
        return ""
    if len(unknown) == 1:
        return f"; a book is known after {percent_text(unknown[0].known_share)} of its updates"
    worst = min(each.known_share for each in unknown)
    return f"; {len(unknown):,} books are not always known, one only after {percent_text(worst)} of its updates"


def _problems(findings: Findings) -> list[str]:
    recordings = findings.recordings
    streams = [stream for recording in recordings for stream in recording.streams]
    gaps = sum(each.gaps for each in streams)
    unknown = sum(each.unknown_gaps for each in streams)
    problems = []
    if gaps:
        size = f" ({unknown:,} of unknown size)" if unknown else ""
        problems.append(count_text(gaps, "gap") + size)
    if missing := sum(each.missing for each in streams):
        problems.append(f"{count_text(missing, 'message')} missing")
    counts = (
        (sum(each.lossy_outages for each in streams), "outage", " that may have lost messages"),
        (sum(each.dropped for each in recordings), "message", " dropped by the recorder"),
        (sum(each.unreadable for each in streams), "unreadable message", ""),
        (sum(each.unknown for each in recordings), "line", " of no known form"),
        (sum(each.inconsistent_ids for each in streams), "update", " with contradictory ids"),
        (sum(each.damage for each in recordings), "damaged place", " in the files"),
        (sum(len(each.absent) for each in recordings), "stream", " not in it"),
        (len(findings.unread), "path", " that cannot be read"),
    )
    return problems + [count_text(number, one) + more for number, one, more in counts if number]


def _recording(found: RecordingFinding, max_listed: int) -> Iterator[str]:
    yield _title(found)
    if found.first_ns:
        times = f"from {time_text(found.first_ns)} to {time_text(found.last_ns)}"
        yield f"  receive times (UTC) {times}"
    if found.streams:
        yield ""
        yield from (f"  {line}" for line in columns(_stream_table(found), _NUMBERS))
    for block in _remarks(found, max_listed):
        yield ""
        yield from (f"  {line}" for line in block)


def _stream_table(found: RecordingFinding) -> list[tuple[str, ...]]:
    shown = [each for each in found.streams if each.messages] or found.streams
    rows = [_row(each, found) for each in shown]
    used = [
        n
        for n, title in enumerate(_HEAD)
        if title not in {"outage", "book"} or any(row[n] for row in rows)
    ]
    return [tuple(row[n] for n in used) for row in (_HEAD, *rows)]


def _remarks(found: RecordingFinding, max_listed: int) -> Iterator[list[str]]:
    received = [each for each in found.streams if each.messages]
    blocks = (
        _all_gaps(received, found, max_listed),
        _outages(found),
        _damage(found),
        _odd(found),
        _without_messages(found),
        _books(found),
        (f"= {remark}" for remark in found.remarks),
    )
    yield from filter(None, map(list, blocks))


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
    time = clock_text if is_a_day else time_text
    return (
        each.stream,
        time(each.first_ns) if each.messages else "-",
        time(each.last_ns) if each.messages else "-",
        f"{each.messages:,}",
        f"{each.gaps:,}" if each.proof not in {"rising ids", "none"} else "-",
        _missing(each),
        length_text(each.outage_ns) if each.outages else "",
        "" if each.book is None else _book(each.book),
    )


def _missing(each: StreamFinding) -> str:
    if each.proof in {"rising ids", "none"}:
        return "-"
    if not each.unknown_gaps:
        return f"{each.missing:,}"
    return f"{each.missing:,} + ?" if each.missing else "?"


def _book(book: BookFinding) -> str:
    if not book.in_sync_from_ns:
        return "never"
    begins = "from start" if book.from_start else f"from {clock_text(book.in_sync_from_ns)}"
    if book.is_known_throughout:
        return begins
    known = f"{begins}, known {percent_text(book.known_share)}"
    if not book.breaks:
        return known
    end = "" if book.known_at_end else ", not at the end"
    return f"{known}, broken {book.breaks:,} times{end}".replace(" 1 times", " once")


def _books(found: RecordingFinding) -> Iterator[str]:
    for stream in found.streams:
        book = stream.book
        if book is None or not book.updates or book.is_known_throughout:
            continue
        reasons = sorted(book.unknown.items(), key=lambda each: (-each[1].updates, each[0]))
        why = "; ".join(
            f"{reason}: {count_text(each.updates, 'update')}, {length_text(each.ns)}"
            + (f", {count_text(each.times, 'time')}" if each.times else "")
            for reason, each in reasons
        )
        share = percent_text(book.known_ns / book.total_ns) if book.total_ns else "none"
        yield (
            f"= the book of {stream.stream} is known after {percent_text(book.known_share)} of its "
            f"updates, {share} of the time; not known: {why}"
        )
        broken = [each for each in book.first_breaks if each.cause != "gap"]
        for each in broken[:SHOWN_BREAKS]:
            until = f"to {clock_text(each.to_ns)}" if each.to_ns else "to the end"
            yield f"=   {each.cause} from {time_text(each.from_ns)} {until}"


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


def _outages(found: RecordingFinding) -> Iterator[str]:
    alike: defaultdict[tuple[int, int, str], dict[str, list[str]]] = defaultdict(dict)
    for stream in found.streams:
        for each in stream.first_outages:
            verdicts = alike[each.from_ns, each.to_ns, each.cause]
            verdicts.setdefault(each.verdict, []).append(stream.stream)
    for (from_ns, to_ns, cause), verdicts in sorted(alike.items()):
        said = "; ".join(f"{verdict}: {names_text(names)}" for verdict, names in verdicts.items())
        mark = "!" if verdicts.keys() - {"nothing lost"} else "="
        yield f"{mark} not received {_span(from_ns, to_ns)} ({cause}); {said}"
    listed = sum(len(stream.first_outages) for stream in found.streams)
    if more := sum(stream.outages for stream in found.streams) - listed:
        yield f"! {count_text(more, 'more outage')}"


def _damage(found: RecordingFinding) -> Iterator[str]:
    for damage in found.first_damage[:SHOWN_DAMAGE]:
        yield f"! {damage}"
    for damage in found.first_unreadable[:SHOWN_DAMAGE]:
        yield f"! {damage}"
    more = found.damage - min(len(found.first_damage), SHOWN_DAMAGE)
    if more > 0:
        yield f"! {count_text(more, 'more damaged place')}"
    if found.skipped_lines:
        yield f"! {count_text(found.skipped_lines, 'line')} lost with them"
    if found.dropped:
        reasons = "; ".join(filter(None, found.drop_reasons))
        because = f": {reasons}" if reasons else ""
        yield f"! {count_text(found.dropped, 'message')} dropped by the recorder{because}"


def _odd(found: RecordingFinding) -> Iterator[str]:
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
            f"line, by up to {length_text(found.max_regression_ns)}"
        )
    if found.unknown:
        yield f"! {count_text(found.unknown, 'line')} of no known form"


def _without_messages(found: RecordingFinding) -> Iterator[str]:
    if not found.messages and not found.absent:
        yield "! nothing was received"
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for stream in found.streams:
        if not stream.messages:
            reasons[stream.remark].append(stream.stream)
    for reason, names in reasons.items():
        yield f"= no message of {names_text(names)}" + (f": {reason}" if reason else "")
    if found.absent:
        yield f"! not in it: {names_text(found.absent)}"


def _span(from_ns: int, to_ns: int) -> str:
    end = time_text(to_ns)
    if from_ns // NS_PER_S // 86_400 == to_ns // NS_PER_S // 86_400:
        end = clock_text(to_ns)
    return f"{time_text(from_ns)} to {end} ({length_text(to_ns - from_ns)})"


def time_text(time_ns: int) -> str:
    """Return a date and time of day in UTC, to the millisecond."""
    time_ms = min(max(time_ns, 0), LATEST_NS) // NS_PER_MS
    return f"{date_text(time_ms).replace('T', ' ')}.{time_ms % 1_000:03d}"


def clock_text(time_ns: int) -> str:
    """Return a time of day in UTC, to the millisecond."""
    return time_text(time_ns)[11:]


def percent_text(share: float) -> str:
    """Return a share in percent, which is 100 or 0 only if it is exactly that."""
    percent = share * 100
    if share in {0.0, 1.0}:
        return f"{percent:.0f} %"
    return f"{min(max(percent, 0.1), 99.9):.1f} %"


def length_text(length_ns: int) -> str:
    """Return a duration, to the millisecond if it is shorter than a second."""
    milliseconds = max(length_ns, 0) / NS_PER_MS
    return f"{milliseconds / 1_000:.3f} s" if milliseconds < 1_000 else duration_text(milliseconds)
