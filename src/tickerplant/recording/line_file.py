"""Line files: lines of `<receive time> <message>`, read in order of time.

A collector writes one line per message, in order of arrival:

    1723161255088169167 {"stream":"btcusdt@bookTicker","data":{…}}

The receive time counts from the epoch in ns, µs, ms or s, told apart by its size.  A second form has
seconds and a colon, and REST responses behind the address of the request:

    1626916403.8469708: {"stream":…}
    https://…/depth?symbol=BATUSDT&limit=1000 -> 1617647797.907: {"lastUpdateId":…}

In a third form the time is an ISO date, in UTC unless it says otherwise, with up to nine digits of a
second:

    2024-08-08T23:54:15.088169167Z {"stream":…}

The message of a REST response is `<address> <body>`, which the other forms may have too: `zstdcat`
prints it of a segment.  Files are plain, gzip or zstd.  Lines are parsed a chunk at a time, because
one day of one symbol is millions of lines.

After the first line, damage raises no exception: everything readable is read, and each kind of
damage is reported once per file with its line and byte.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import accumulate, repeat
from operator import itemgetter, lt, sub
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta
from msgspec.json import Decoder as JsonDecoder

from tickerplant.errors import RecordingError
from tickerplant.raw_events import FAR_MS
from tickerplant.recording.line import Damage, Line, Place, ReadStats, Report
from tickerplant.recording.stored_text import StoredText
from tickerplant.recording.timestamps import EARLIEST_NS, LATEST_NS
from tickerplant.regular_files import open_regular
from tickerplant.units import NS_PER_MS, NS_PER_S

MAX_LINE_BYTES = 16 << 20
"""A file with a longer line is not a recording from there on."""
MAX_BAD_LINES = 100_000
"""This many lines in a row in another form end a file: no damage leaves as many, and a few stored
bytes can hold any number."""
FORM_LINES = 100
"""A file is a recording if one of its first lines, this many, has the form of one; most of them
determine the unit of receive times."""
WITNESSES = 8
"""Lines behind a receive time that is far ahead of the one before: if most of them go back, the time
is damaged, and does not change that of other lines."""
_FAR_NS = FAR_MS * NS_PER_MS

EXPECTED = "lines of `<receive time> <message>`, plain, gzip or zstd"

_UNITS_NS = ((10**11, NS_PER_S), (10**14, NS_PER_MS), (10**17, 10**3))
"""A receive time below the first number counts in this many nanoseconds; a larger one in one."""

_PLAIN_LINE = re.compile(rb"(\d{9,19}) (?:[\[{]|https?://\S+ [\[{])")
_ISO_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{0,9})?(?:Z|[+-]\d\d:?\d\d)?"
_ISO_LINE = re.compile(rf"({_ISO_TIME}) (?:[\[{{]|https?://\S+ [\[{{])".encode())
_ISO_TAIL = re.compile(rb"(?:\.(\d{0,9}))?(?:Z|(?:([+-])(\d\d):?(\d\d))?)")
"""What may follow the whole seconds of an ISO date."""
_ISO_SECONDS = len("2024-08-08T23:54:15")
_COLON_LINE = re.compile(rb"(?:(https?://\S+) -> )?(\d{9,11})(?:\.(\d+))?: (?=[\[{])")
_REMARK = re.compile(rb"configuration: |wss?://\S+ <-> ")
_CONNECTED = re.compile(rb"wss?://[^\s?]*(?:\?streams=|/ws/)([^\s&?]+)\S* <-> ")
"""The streams in the address of a connection."""

_SCALES = tuple(int(10 ** (9 - digits)) for digits in range(10))
"""What a fraction with this many digits is multiplied with to be ns."""
_FIRST, _THIRD = itemgetter(0), itemgetter(2)
_times: Callable[[bytes], list[int]] = JsonDecoder(list[Annotated[int, Meta(ge=0)]]).decode

_Parse: TypeAlias = Callable[[list[bytes]], list[Line]]
"""Parses lines of text; raises ValueError if one of them is in another form."""


class LineFile:
    """One line file.

    Receive times never decrease: where the clock of the collector stepped back, lines have the time
    of the line before until it catches up.
    """

    def __init__(
        self,
        path: str,
        report: Report = lambda _: None,
        *,
        max_bad_lines: int = MAX_BAD_LINES,
    ) -> None:
        self.path = path
        self.stats = ReadStats()
        self.requested: frozenset[str] = frozenset()
        """The streams that its first lines say were subscribed to, once they are read."""
        self._report = report
        self._max_bad_lines = max_bad_lines
        self._stored: StoredText | None = None
        self._parse: _Parse | None = None
        self._line_number = 0
        self._latest_ns = 0
        self._end_reason = ""
        """Why reading ends before the end of the file; empty if it does not."""
        self._bad_lines = 0
        """Consecutive lines in another form, up to the last one read."""
        self._batch = b""

    def place_of(self, raw: bytes) -> Place:
        """Return the place of a message of the last batch."""
        body = raw.partition(b" ")[2] if raw.startswith(b"http") else raw
        line_start = self._batch.rfind(b"\n", 0, max(self._batch.find(b" " + body), 0)) + 1
        ahead = self._batch.count(b"\n", line_start) + (not self._batch.endswith(b"\n"))
        offset_bytes = self.stats.text_bytes - len(self._batch) + line_start
        return Place(self.path, self._line_number - ahead + 1, offset_bytes)

    def has_colons(self) -> bool:
        """Whether its lines have seconds and a colon, as those of cryptofeed."""
        next(self.batches(), None)
        return self._parse is _parse_colon

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines received at `start_ns` or later, in file order.

        A batch is empty only with `pauses`, once for each that is skipped.  Every call reads the
        complete file, because nothing shows where a time is.
        """
        self.stats = ReadStats()
        self._line_number = self._latest_ns = 0
        self._parse, self._end_reason, self._bad_lines = None, "", 0
        try:
            with open_regular(self.path) as file:
                self.stats.size_bytes = file.seek(0, 2)
                file.seek(0)
                self._stored = StoredText(file)
                for batch in self.batches_in(self._stored):
                    self.stats.position_bytes = self._stored.position_bytes
                    if batch[0][0] >= start_ns:
                        yield batch
                    elif batch[-1][0] >= start_ns:
                        yield [line for line in batch if line[0] >= start_ns]
                    elif pauses:
                        yield []
                self.stats.position_bytes = self._stored.position_bytes
        except OSError as error:
            raise RecordingError(self.path, error.strerror or str(error)) from None

    def batches_in(self, texts: Iterable[bytes]) -> Iterator[list[Line]]:
        """Yield the lines in a text, given in parts, in batches; report why it ends early if it does.

        Raises:
            RecordingError: It is not the text of a line file.
        """
        rest = b""
        for lines in self._complete_lines(texts):
            if self._parse is None:
                first = lines.split(b"\n", FORM_LINES)[:FORM_LINES]
                self._parse = _form_of([line.rstrip(b"\r") for line in first], self.path)
            text, rest = self._split_readable(rest + lines)
            if batch := self._read(text):
                yield batch
            if self._end_reason:
                break
        else:
            if batch := self._read(rest):
                yield batch
        if self._line_number == 0:
            reason = self._end_reason or "nothing in it"
            raise RecordingError(self.path, f"{reason}, expected {EXPECTED}")
        if self._end_reason:
            self._report(
                Damage(self.path, self._line_number + 1, self.stats.text_bytes, self._end_reason)
            )

    def _complete_lines(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield texts of complete lines; only the last line of a file may lack its newline."""
        parts: list[bytes] = []
        """The beginning of a line that is not complete yet."""
        part_bytes = 0
        for text in texts:
            complete, newline, after = text.rpartition(b"\n")
            if newline:
                yield b"".join((*parts, complete, newline))
                parts.clear()
                part_bytes = 0
            if after:
                parts.append(after)
                part_bytes += len(after)
            if part_bytes > MAX_LINE_BYTES:
                self._end_reason = f"a line longer than {MAX_LINE_BYTES} bytes"
                return
        self._end_reason = self._stored.damage if self._stored else ""
        if parts and not self._end_reason:
            rest = b"".join(parts)
            self._parse = self._parse or _form_of([rest], self.path)
            if _has_complete_value(rest):
                yield rest
            else:
                self._end_reason = "the last line is cut off"

    def _split_readable(self, text: bytes) -> tuple[bytes, bytes]:
        """Return the lines of `text` that can be read now, and those that wait for their witnesses."""
        if not self._latest_ns and text.count(b"\n") <= WITNESSES:
            return b"", text  # the first line has no witness but those behind it
        last = text.removesuffix(b"\n").rpartition(b"\n")[2]
        latest_ns = self._latest_ns or self._time_ns(text.partition(b"\n")[0])
        if not latest_ns or self._time_ns(last) - latest_ns <= _FAR_NS:
            return text, b""
        at = len(text) - text.endswith(b"\n")
        for _ in range(WITNESSES):
            at = text.rfind(b"\n", 0, at)
            if at < 0:
                return b"", text
        return text[: at + 1], text[at + 1 :]

    def _time_ns(self, text: bytes) -> int:
        """Return the receive time of a line, 0 if it has none."""
        try:
            batch = _check_times(self._parse([text.rstrip(b"\r")])) if self._parse else []
        except ValueError:
            return 0
        return batch[0][0] if batch else 0

    def _read(self, text: bytes) -> list[Line]:
        """Return the batch of complete lines; lines in another form are skipped and counted."""
        if not text:
            return []
        lines = text.split(b"\n")
        if not lines[-1]:
            lines.pop()
        if b"\r" in text:
            lines = [line.rstrip(b"\r") for line in lines]
        assert self._parse is not None  # noqa: S101  # it was chosen by the first text
        if not self._line_number and self._parse is _parse_colon:
            self.requested = _requested_streams(lines)
        count = len(lines)
        try:
            batch = _check_times(self._parse(lines))
            self._bad_lines = 0 if batch else self._bad_lines + count
        except ValueError:
            batch, count, text = self._read_singly(text, self._parse)
        if self._bad_lines >= self._max_bad_lines:
            self._end_reason = f"{self._bad_lines:,} lines in a row are not recording lines"
        self._line_number += count
        self.stats.text_bytes += len(text)
        self.stats.lines += len(batch)
        self._batch = text
        return self._in_order(batch)

    def _read_singly(self, text: bytes, parse: _Parse) -> tuple[list[Line], int, bytes]:
        """Parse line by line, because some line is in another form.

        Returns:
            The batch, how many lines of text were read, and the text of these: all of it, unless
            too many lines in a row are bad.
        """
        batch: list[Line] = []
        count = offset_bytes = 0
        for line in BytesIO(text):
            count += 1
            try:
                batch += _check_times(parse([line.rstrip(b"\r\n")]))
                self._bad_lines = 0
            except ValueError:
                if not self.stats.skipped:
                    reason = (
                        f"{line[:40].rstrip()!r} is skipped, expected `<receive time> <message>`"
                    )
                    place = self._line_number + count, self.stats.text_bytes + offset_bytes
                    self._report(Damage(self.path, *place, reason))
                self.stats.skipped += 1
                self._bad_lines += 1
            offset_bytes += len(line)
            if self._bad_lines >= self._max_bad_lines:
                break
        return batch, count, text[:offset_bytes]

    def _in_order(self, batch: list[Line]) -> list[Line]:
        if not batch:
            return batch
        if batch[0][0] < self._latest_ns or any(map(lt, batch[1:], batch)):
            received, raws = zip(*batch, strict=True)
            times = self._without_leaps(received, raws)
            ordered = list(accumulate((self._latest_ns, *times), max))[1:]
            steps = list(map(sub, ordered, times))
            self.stats.regressions += len(steps) - steps.count(0)
            self.stats.max_regression_ns = max(self.stats.max_regression_ns, *steps)
            batch = list(zip(ordered, raws, strict=True))
        self._latest_ns = batch[-1][0]
        return batch

    def _without_leaps(self, received: Sequence[int], raws: Sequence[bytes]) -> list[int]:
        """Return receive times with damaged ones, far ahead of the others, replaced."""
        times, latest_ns = list(received), self._latest_ns
        for number, time_ns in enumerate(received):
            behind = received[number + 1 : number + 1 + WITNESSES]
            back = sum(time_ns - each > _FAR_NS for each in behind)
            if time_ns - latest_ns > _FAR_NS and back * 2 > len(behind):
                times[number] = latest_ns or min(behind)
                self._report_misdated(raws[number], time_ns)
            latest_ns = max(latest_ns, times[number])
        return times

    def _report_misdated(self, raw: bytes, time_ns: int) -> None:
        self.stats.misdated += 1
        if self.stats.misdated == 1:
            place = self.place_of(raw)
            reason = f"its receive time, {time_ns} ns, is hours ahead of the lines around it"
            self._report(Damage(self.path, place.line, place.offset_bytes, reason))


def _check_times(batch: list[Line]) -> list[Line]:
    """Return `batch`; raise ValueError if a receive time is later than recordings can have.

    All following lines would get that time.
    """
    if batch and (latest_ns := max(batch)[0]) > LATEST_NS:
        raise ValueError(latest_ns)
    return batch


def _has_complete_value(line: bytes) -> bool:
    value = re.search(rb" ([\[{].*)", line)
    if value is None:
        return False
    try:
        msgspec.json.decode(value[1], type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _form_of(lines: list[bytes], path: str) -> _Parse:
    """Return the parser for the form of the first line that has one."""
    for line in lines:
        if _PLAIN_LINE.match(line):
            unit_ns = _unit_ns(lines)
            return _parse_ns if unit_ns == 1 else partial(_parse_units, unit_ns)
        if _COLON_LINE.match(line):
            return _parse_colon
        if _ISO_LINE.match(line):
            return _parse_iso
    shown = lines[0][:40].decode(errors="replace") if lines else ""
    raise RecordingError(path, f"{shown!r} is not a recording line, expected {EXPECTED}", line=1)


def _unit_ns(lines: Iterable[bytes]) -> int:
    """Return the unit of most receive times, in ns; single ones may be damaged."""
    received = (int(plain[1]) for line in lines if (plain := _PLAIN_LINE.match(line)))
    units = Counter(next((ns for end, ns in _UNITS_NS if time < end), 1) for time in received)
    return units.most_common(1)[0][0]


def _requested_streams(lines: Iterable[bytes]) -> frozenset[str]:
    found = (match[1].split(b"/") for line in lines if (match := _CONNECTED.match(line)))
    return frozenset(name.decode(errors="replace") for names in found for name in names)


def _parse_ns(lines: list[bytes]) -> list[Line]:
    cut = list(map(bytes.partition, lines, repeat(b" ")))
    if not cut:
        return []
    # As one list, which is faster than one by one, and takes no `+1` or `1_0`.
    times = _times(b"[%b]" % b",".join(map(_FIRST, cut)))
    if len(times) != len(cut):
        raise ValueError(times)
    return list(zip(times, map(_THIRD, cut), strict=True))


def _parse_units(unit_ns: int, lines: list[bytes]) -> list[Line]:
    return [(time * unit_ns, raw) for time, raw in _parse_ns(lines)]


def _parse_iso(lines: list[bytes]) -> list[Line]:
    parsed = []
    known, known_ns = b"", 0
    for line in lines:
        seconds = line[:_ISO_SECONDS]
        if seconds != known:  # there are many lines a second
            known, known_ns = seconds, _seconds_ns(seconds)
        tail, _, raw = line[_ISO_SECONDS:].partition(b" ")
        digits = tail[1:-1]
        if tail[-1:] == b"Z" and tail[:1] == b"." and digits.isdigit() and len(digits) <= 9:
            parsed.append((known_ns + int(digits) * _SCALES[len(digits)], raw))
        else:
            parsed.append((known_ns + _tail_ns(tail), raw))
    return parsed


def _seconds_ns(seconds: bytes) -> int:
    """Return the whole seconds of an ISO date as ns since the epoch.

    Raises:
        ValueError: There is no such time, or it is earlier than recordings can have.
    """
    if not _ISO_LINE.match(seconds + b" {"):
        raise ValueError(seconds)
    time = datetime.fromisoformat(seconds.decode()).replace(tzinfo=UTC)
    time_ns = int(time.timestamp()) * NS_PER_S
    if time_ns < EARLIEST_NS:
        raise ValueError(seconds)
    return time_ns


def _tail_ns(tail: bytes) -> int:
    """Return what the rest of an ISO date adds to its whole seconds.

    Raises:
        ValueError: It is not a fraction, a time zone, or both.
    """
    match = _ISO_TAIL.fullmatch(tail)
    if match is None:
        raise ValueError(tail)
    fraction, sign, hours, minutes = match.groups(b"0")
    ahead_ns = (int(hours) * 60 + int(minutes)) * 60 * NS_PER_S
    return int(fraction.ljust(9, b"0")) + (ahead_ns if sign == b"-" else -ahead_ns)


def _parse_colon(lines: list[bytes]) -> list[Line]:
    parsed = []
    for line in lines:
        head = _COLON_LINE.match(line)
        if head:
            address, seconds, fraction = head.groups(b"")
            raw = line[head.end() :]
            time_ns = int(seconds + fraction[:9].ljust(9, b"0"))
            parsed.append((time_ns, address + b" " + raw if address else raw))
        elif line and not _REMARK.match(line):
            raise ValueError(line)
    return parsed
