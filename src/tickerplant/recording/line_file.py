"""The line form of a recording: lines of `<receive time> <message as received>`, read in time order.

A recording is what a collector wrote while it listened: one line per message, in arrival order.

    1723161255088169167 {"stream":"btcusdt@bookTicker","data":{…}}

The receive time counts from the epoch in ns, µs, ms or s, told apart by its size.  A second form
is read too, with seconds and a colon, and REST answers beside the address they were asked at:

    1626916403.8469708: {"stream":…}
    https://…/depth?symbol=BATUSDT&limit=1000 -> 1617647797.907: {"lastUpdateId":…}

In a third it is an ISO date, of UTC unless it says otherwise, with up to nine digits of a second:

    2024-08-08T23:54:15.088169167Z {"stream":…}

The message of a REST answer is `<address> <body>`, and the other forms may have that too: it is
what `zstdcat` prints of a segment.  Files are plain, gzip or zstd, told apart by
their first bytes.  Reading works on whole chunks, because a day of one symbol is millions of lines.

A flaw never ends in an exception once a line was read: everything readable is read, and each kind
of flaw is reported once per file with its line and byte.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from itertools import accumulate, repeat
from operator import itemgetter, lt, sub
from typing import Annotated, BinaryIO, TypeAlias, cast

import msgspec
import zstandard
from isal import isal_zlib
from msgspec import Meta
from msgspec.json import Decoder as JsonDecoder

from tickerplant.errors import RecordingError
from tickerplant.raw_events import FAR_MS
from tickerplant.recording.block import EARLIEST_NS, LATEST_NS
from tickerplant.recording.line import Damage, Line, Place, Report
from tickerplant.recording.zstd_text import MAGIC as _ZSTD
from tickerplant.recording.zstd_text import ZstdText
from tickerplant.regular_files import open_regular

CHUNK_BYTES = 1 << 14
"""Bytes read from a file at once.  Compressed text grows about tenfold, and the lines of a chunk
should still be in the processor's cache when they are played."""

TEXT_BYTES = 1 << 18
"""Text that is decompressed at once, at most: a chunk may hold a thousand times its size."""

SALVAGE_BYTES = 64
"""Bytes read at once of a damaged gzip file, up to the chunk with the damage."""

MAX_LINE_BYTES = 16 << 20
"""Longest line that is held; a file with a longer one is no recording from there on."""

MAX_BAD_LINES = 100_000
"""So many lines in a row that have not the form of one end a file: no damage leaves as many, and a
few stored bytes can hold any number."""

LINES_TO_JUDGE = 100
"""A file is a recording if one of its first lines, so many, has the form of one; most of them say
in which unit receive times are."""

WITNESSES = 8
"""Lines behind a receive time that is far ahead of the one before: where most of them go back, it
is damaged, and the time of no other line follows it."""
_FAR_NS = FAR_MS * 1_000_000

EXPECTED = "lines of `<receive time> <message>`, plain, gzip or zstd"

_IsalError = cast("type[Exception]", isal_zlib.error)  # its stub says an instance

_GZIP = b"\x1f\x8b"
_UNITS_NS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""A receive time below the first number counts in so many nanoseconds; above all, in one."""

_PLAIN_LINE = re.compile(rb"(\d{9,19}) (?:[\[{]|https?://\S+ [\[{])")
_ISO_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{0,9})?(?:Z|[+-]\d\d:?\d\d)?"
_ISO_LINE = re.compile(rf"({_ISO_TIME}) (?:[\[{{]|https?://\S+ [\[{{])".encode())
_ISO_TAIL = re.compile(rb"(?:\.(\d{0,9}))?(?:Z|(?:([+-])(\d\d):?(\d\d))?)")
"""What may follow the whole seconds of an ISO date."""
_ISO_SECONDS = len("2024-08-08T23:54:15")
_COLON_LINE = re.compile(rb"(?:(https?://\S+) -> )?(\d{9,11})(?:\.(\d+))?: (?=[\[{])")
_REMARK = re.compile(rb"configuration: |wss?://\S+ <-> ")
_CONNECTED = re.compile(rb"wss?://[^\s?]*(?:\?streams=|/ws/)([^\s&?]+)\S* <-> ")
"""Which streams were asked for with the address of a connection."""


_SCALES = tuple(int(10 ** (9 - digits)) for digits in range(10))
"""What a fraction of so many digits is multiplied with to be ns."""
_FIRST, _THIRD = itemgetter(0), itemgetter(2)
_times: Callable[[bytes], list[int]] = JsonDecoder(list[Annotated[int, Meta(ge=0)]]).decode

_Parse: TypeAlias = Callable[[list[bytes]], list[Line]]
"""Lines of text to lines of a recording; raises ValueError if one of them is not."""


class LineFile:
    """One recorded file: iterate `batches()` for its lines, a chunk at a time.

    `lines` and `skipped` count what was read and what had to be left out.  Receive times never go
    back: where the recorder's clock stepped back, the time stands still until it catches up.
    """

    def __init__(self, path: str, report: Report = lambda _: None) -> None:
        self.path = path
        self.lines = 0
        self.skipped = 0
        self.size_bytes = 0
        """Size of the file as stored, once it is open."""
        self.position_bytes = 0
        """How much of the file as stored has been read."""
        self.requested: frozenset[str] = frozenset()
        """The streams that its first lines say were asked for, once it is read."""
        self._report = report
        self._parse: _Parse | None = None
        self._line_number = 0
        self.text_bytes = 0
        """How much (decompressed) text has been read."""
        self.late = 0
        self.late_ns = 0
        self.misdated = 0
        """Lines whose receive time was not believed; they have that of the line before."""
        self._latest_ns = 0
        self._torn = ""
        """Why nothing is read any more."""
        self._bad_lines = 0
        """Lines in a row that were none, up to the last."""
        self._batch = b""
        """The text of the last batch."""
        self._batch_lines = 0

    def place_of(self, number: int) -> Place:
        """Return where a line of the last batch stands.

        Args:
            number: Which it is of all lines that were read, from 0.
        """
        texts = self._batch.removesuffix(b"\n").split(b"\n")
        offset_bytes = self.text_bytes - len(self._batch)
        ahead = number - self.lines + self._batch_lines
        line_number = self._line_number - len(texts)
        for text in texts:
            line_number += 1
            ahead -= self._holds_line(text)
            if ahead < 0:
                break
            offset_bytes += len(text) + 1
        return Place(self.path, line_number, offset_bytes)

    def place_of_message(self, raw: bytes) -> Place:
        """Return where a message of the last batch stands."""
        body = raw.partition(b" ")[2] if raw.startswith(b"http") else raw
        line_start = self._batch.rfind(b"\n", 0, max(self._batch.find(body), 0)) + 1
        ahead = self._batch.count(b"\n", line_start) + (not self._batch.endswith(b"\n"))
        offset_bytes = self.text_bytes - len(self._batch) + line_start
        return Place(self.path, self._line_number - ahead + 1, offset_bytes)

    def has_colons(self) -> bool:
        """Whether its lines have seconds and a colon, as those of cryptofeed.

        Raises:
            RecordingError: the file cannot be opened, or is no recording.
        """
        next(self.batches(), None)
        return self._parse is _parse_colon

    def _holds_line(self, text: bytes) -> bool:
        """Whether a line of text is one of the recording, and not left out."""
        try:
            return bool(self._parse and self._parse([text.rstrip(b"\r")]))
        except ValueError:
            return False

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines that were received at `start_ns` or later, in file order.

        No batch is empty, but with `pauses` for each that is passed over.  Called again it begins
        anew; all is read in any case, as nothing tells where a time is.

        Raises:
            RecordingError: the file cannot be opened, or is no recording.
        """
        self.lines = self.skipped = self.text_bytes = self.position_bytes = 0
        self._line_number = self._latest_ns = self.late = self.late_ns = self.misdated = 0
        self._parse, self._torn, self._bad_lines = None, "", 0
        try:
            with open_regular(self.path) as file:
                self.size_bytes = file.seek(0, 2)
                file.seek(0)
                for batch in self._batches(self._texts(file)):
                    if batch[0][0] >= start_ns:
                        yield batch
                    elif batch[-1][0] >= start_ns:
                        yield [line for line in batch if line[0] >= start_ns]
                    elif pauses:
                        yield []
        except OSError as error:
            raise RecordingError(self.path, error.strerror or str(error)) from None

    def _batches(self, texts: Iterable[bytes]) -> Iterator[list[Line]]:
        """Read text, and end with whatever is left at a torn end."""
        held = b""
        for whole in self._cut(texts):
            self._parse = self._parse or _form_of(_first_lines(whole), self.path)
            text, held = self._hold(held + whole)
            if batch := self._read(text):
                yield batch
            if self._torn:
                break
        else:
            if batch := self._read(held):
                yield batch
        if self._line_number == 0:
            reason = self._torn or "nothing in it"
            raise RecordingError(self.path, f"{reason}, expected {EXPECTED}")
        if self._torn:
            self._report(Damage(self.path, self._line_number + 1, self.text_bytes, self._torn))

    def _cut(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield whole lines, of each text those that end in it; the last one may lack its end."""
        parts: list[bytes] = []
        """What there is of a line whose end is still to come."""
        part_bytes = 0
        for text in texts:
            whole, newline, after = text.rpartition(b"\n")
            if newline:
                yield b"".join((*parts, whole, newline))
                parts.clear()
                part_bytes = 0
            if after:
                parts.append(after)
                part_bytes += len(after)
            if part_bytes > MAX_LINE_BYTES:
                self._torn = f"a line longer than {MAX_LINE_BYTES} bytes"
                return
        if parts and not self._torn:
            rest = b"".join(parts)
            self._parse = self._parse or _form_of([rest], self.path)
            if _is_whole(rest):
                yield rest
            else:
                self._torn = "the last line is cut off"

    def _hold(self, text: bytes) -> tuple[bytes, bytes]:
        """Return what of `text` is read now, and its last lines if these wait for their witnesses."""
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
            batch = _timely(self._parse([text.rstrip(b"\r")])) if self._parse else []
        except ValueError:
            return 0
        return batch[0][0] if batch else 0

    def _read(self, text: bytes) -> list[Line]:
        """Turn whole lines into a batch; the lines that are none are skipped and counted."""
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
            batch = _timely(self._parse(lines))
            self._bad_lines = 0 if batch else self._bad_lines + count
        except ValueError:
            batch, count, text = self._read_singly(text, self._parse)
        if self._bad_lines >= MAX_BAD_LINES:
            self._torn = f"{self._bad_lines:,} lines in a row are none of a recording"
        self._line_number += count
        self.text_bytes += len(text)
        self.lines += len(batch)
        self._batch, self._batch_lines = text, len(batch)
        return self._in_time(batch)

    def _read_singly(self, text: bytes, parse: _Parse) -> tuple[list[Line], int, bytes]:
        """Parse line by line, because some line is bad.

        Returns:
            The lines of the recording, how many lines of text were read, and the text of these:
            all of it, unless too many lines in a row are bad.
        """
        batch: list[Line] = []
        count = offset_bytes = 0
        for line in BytesIO(text):
            count += 1
            try:
                batch += _timely(parse([line.rstrip(b"\r\n")]))
                self._bad_lines = 0
            except ValueError:
                if not self.skipped:
                    reason = (
                        f"{line[:40].rstrip()!r} is skipped, expected `<receive time> <message>`"
                    )
                    place = self._line_number + count, self.text_bytes + offset_bytes
                    self._report(Damage(self.path, *place, reason))
                self.skipped += 1
                self._bad_lines += 1
            offset_bytes += len(line)
            if self._bad_lines >= MAX_BAD_LINES:
                break
        return batch, count, text[:offset_bytes]

    def _in_time(self, batch: list[Line]) -> list[Line]:
        """Return `batch` with receive times that never go back."""
        if not batch:
            return batch
        if batch[0][0] < self._latest_ns or any(map(lt, batch[1:], batch)):
            received, raws = zip(*batch, strict=True)
            times = self._without_leaps(received)
            shown = list(accumulate((self._latest_ns, *times), max))[1:]
            steps = list(map(sub, shown, times))
            self.late += len(steps) - steps.count(0)
            self.late_ns = max(self.late_ns, *steps)
            batch = list(zip(shown, raws, strict=True))
        self._latest_ns = batch[-1][0]
        return batch

    def _without_leaps(self, received: Sequence[int]) -> list[int]:
        """Return receive times of which none that is damaged is far ahead of the others."""
        times, latest_ns = list(received), self._latest_ns
        for number, time_ns in enumerate(received):
            behind = received[number + 1 : number + 1 + WITNESSES]
            back = sum(time_ns - each > _FAR_NS for each in behind)
            if time_ns - latest_ns > _FAR_NS and back * 2 > len(behind):
                times[number] = latest_ns or min(behind)
                self._doubt(number, time_ns)
            latest_ns = max(latest_ns, times[number])
        return times

    def _doubt(self, number: int, time_ns: int) -> None:
        """Report the first receive time that is not believed, of a line of the last batch."""
        self.misdated += 1
        if self.misdated == 1:
            place = self.place_of(self.lines - self._batch_lines + number)
            reason = f"its receive time, {time_ns} ns, is hours ahead of the lines around it"
            self._report(Damage(self.path, place.line, place.offset_bytes, reason))

    def _texts(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield decompressed text up to the end or the tear, which `_torn` then names."""
        magic = file.read(4)
        file.seek(0)
        chunks = self._counted(iter(lambda: file.read(CHUNK_BYTES), b""))
        if magic.startswith(_GZIP):
            return self._inflated(chunks)
        if magic.startswith(_ZSTD):
            return self._expanded(ZstdText(chunks))
        return chunks

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks`, and count what was taken of them before the last."""
        for chunk in chunks:
            yield chunk
            self.position_bytes += len(chunk)

    def _expanded(self, texts: ZstdText) -> Iterator[bytes]:
        try:
            yield from texts
        except zstandard.ZstdError:
            self._torn = f"zstd data is damaged near byte {self.position_bytes}"
            return
        if texts.is_torn:
            self._torn = f"zstd data ends early, at byte {self.position_bytes}"

    def _inflated(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Decompress one member after the other, as `cat a.gz b.gz` makes them."""
        inflater, begun = isal_zlib.decompressobj(31), False
        yielded_bytes = 0
        for chunk in chunks:
            data, text = chunk, b""
            while data or len(text) == TEXT_BYTES:
                if not begun and not (data := data.lstrip(b"\0")):
                    break  # some programs fill up with zeros
                try:
                    text = inflater.decompress(data, TEXT_BYTES)
                except _IsalError:
                    yield from self._salvaged(yielded_bytes)
                    self._torn = f"gzip data is damaged near byte {self.position_bytes}"
                    return
                yield text
                yielded_bytes += len(text)
                begun, data = True, inflater.unconsumed_tail
                if inflater.eof:
                    data = inflater.unused_data
                    inflater, begun, text = isal_zlib.decompressobj(31), False, b""
        if begun:
            self._torn = f"gzip data ends early, at byte {self.position_bytes}"

    def _salvaged(self, known_bytes: int) -> Iterator[bytes]:
        """Yield what stands between the text known so far and the damage of a gzip file.

        The fast decompressor loses a whole chunk to its damage, so the file is read once more, and
        byte by byte from where the text is new.
        """
        inflater = zlib.decompressobj(31)
        with open_regular(self.path) as file:
            try:
                while data := file.read(1 if known_bytes <= 0 else SALVAGE_BYTES):
                    while data:
                        text = inflater.decompress(data)
                        if new := text[max(known_bytes, 0) :]:
                            yield new
                        known_bytes -= len(text)
                        data = inflater.unused_data.lstrip(b"\0") if inflater.eof else b""
                        inflater = zlib.decompressobj(31) if inflater.eof else inflater
            except zlib.error:
                pass


def _timely(batch: list[Line]) -> list[Line]:
    """Return `batch`.

    Raises:
        ValueError: a receive time in it is later than any: all after it would be taken for as late.
    """
    if batch and (latest_ns := max(batch)[0]) > LATEST_NS:
        raise ValueError(latest_ns)
    return batch


def _is_whole(line: bytes) -> bool:
    """Whether a line without a line end carries a complete JSON value all the same."""
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
    raise RecordingError(path, f"{shown!r} is no line of a recording, expected {EXPECTED}", line=1)


def _first_lines(text: bytes) -> list[bytes]:
    """Return the lines by which a file is judged."""
    return [line.rstrip(b"\r") for line in text.split(b"\n", LINES_TO_JUDGE)[:LINES_TO_JUDGE]]


def _unit_ns(lines: Iterable[bytes]) -> int:
    """Return the unit in which most receive times are: a damaged one must not speak for all."""
    received = (int(plain[1]) for line in lines if (plain := _PLAIN_LINE.match(line)))
    units = Counter(next((ns for end, ns in _UNITS_NS if time < end), 1) for time in received)
    return units.most_common(1)[0][0]


def _requested_streams(lines: Iterable[bytes]) -> frozenset[str]:
    """Return the streams in the addresses of connections."""
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
        ValueError: there is no such time, or it is earlier than everything that is recorded.
    """
    if not _ISO_LINE.match(seconds + b" {"):
        raise ValueError(seconds)
    moment = datetime.fromisoformat(seconds.decode()).replace(tzinfo=UTC)
    time_ns = int(moment.timestamp()) * 10**9
    if time_ns < EARLIEST_NS:
        raise ValueError(seconds)
    return time_ns


def _tail_ns(tail: bytes) -> int:
    """Return what the rest of an ISO date adds to its whole seconds.

    Raises:
        ValueError: it is no fraction, time zone, or both.
    """
    match = _ISO_TAIL.fullmatch(tail)
    if match is None:
        raise ValueError(tail)
    fraction, sign, hours, minutes = match.groups(b"0")
    ahead_ns = (int(hours) * 60 + int(minutes)) * 60 * 10**9
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
