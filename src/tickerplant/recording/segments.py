"""Segments: the files in the folder that `tickerplant record` writes, read in order.

A segment is a file of blocks (`block.py`); names sort in the order of writing.  Damage costs at most
the block it is in; it is reported, and reading continues behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import accumulate
from operator import itemgetter, sub
from pathlib import Path

from msgspec.json import Decoder as JsonDecoder

from tickerplant.errors import RecordingError
from tickerplant.formatting import iso_text
from tickerplant.recording.block import TIME_DIGITS, Head, Region, Unpacker, walk
from tickerplant.recording.line import Damage, Line, Place, ReadStats, Report
from tickerplant.recording.manifest import Manifest, read_manifest
from tickerplant.recording.manifest_entries import MANIFEST, SegmentSealed
from tickerplant.recording.timestamps import EARLIEST_NS, LATEST_NS
from tickerplant.regular_files import check_regular, open_regular

SUFFIX = ".zst"
NAME = re.compile(r"([0-9]{6,18})-[0-9]{8}T[0-9]{6}Z\.zst")
"""The names of segments: their number, from 1, and when they were started."""

_integers: Callable[[bytes], list[int]] = JsonDecoder(list[int]).decode
_time_of: Callable[[bytes], bytes] = itemgetter(slice(TIME_DIGITS + 1))
"""With the character behind it, which can only be a space if the list of times is valid."""
_message_of: Callable[[bytes], bytes] = itemgetter(slice(TIME_DIGITS + 1, -1))
"""Without the newline."""


def segment_name(number: int, started: str) -> str:
    """Return the name of a segment."""
    return f"{number:06d}-{started}{SUFFIX}"


def segment_paths(folder: str) -> list[Path]:
    """Return the segments in a folder, in the order of writing."""
    found = (path for path in Path(folder).glob(f"*{SUFFIX}") if path.is_file())
    return sorted(found, key=_order)


def _order(path: Path) -> tuple[int, str]:
    """Return the sort key of a segment: numbers of seven digits come after those of six."""
    return len(path.name.partition("-")[0]), path.name


def is_recording(folder: str) -> bool:
    """Whether a folder is a recording, possibly without its manifest."""
    return Path(folder, MANIFEST).is_file() or bool(segment_paths(folder))


class Segments:
    """All segments of a folder, or a single one.

    Receive times never decrease: where the recorder's clock stepped back, lines have the time of the
    line before until it catches up.
    """

    def __init__(self, path: str, report: Report = lambda _: None) -> None:
        self.path = path
        self.stats = ReadStats()
        self._report = report
        self._unpacker = Unpacker()
        self._latest_ns = 0
        self._place = Place(path, 0, 0)

    def files(self) -> list[Path]:
        """Return the segments."""
        return segment_paths(self.path) if Path(self.path).is_dir() else [Path(self.path)]

    def manifest(self) -> Manifest | None:
        """Return the manifest; None if it is missing or unreadable, which is reported."""
        if not Path(self.path).is_dir():
            return None
        try:
            return read_manifest(self.path, self._report)
        except RecordingError as error:
            self._report(Damage(error.path, error.line, error.offset_bytes, error.reason))
            return None

    def place_of(self, raw: bytes) -> Place:
        """Return the place of the block of the last batch, for every message in it."""
        del raw
        return self._place

    def last_ns(self) -> int:
        """Return the latest receive time, by manifest and block heads; 0 if there is no line."""
        manifest = self.manifest()
        sealed = manifest.sealed if manifest else {}
        latest_ns = 0
        for path in self.files():
            if known := sealed.get(path.name):
                latest_ns = max(latest_ns, known.last_ns)
                continue
            with open_regular(path) as file:
                heads = (found.head for found in walk(file, LATEST_NS + 1))
                latest_ns = max([latest_ns, *(head.last_ns for head in heads if head)])
        return latest_ns

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines received at `start_ns` or later, block by block.

        A batch is empty only with `pauses`, once for each block that is skipped.

        Raises:
            RecordingError: There is no segment.
        """
        self.stats = ReadStats()
        self._latest_ns = 0
        files = self.files()
        if not files:
            raise RecordingError(self.path, "no segment in it")
        manifest = self.manifest()
        sealed = manifest.sealed if manifest else {}
        self.report_missing(files, sealed)
        self.stats.size_bytes = sum(_size(path) for path in files)
        for path in files:
            known = sealed.get(path.name)
            if known is not None and known.last_ns < start_ns:
                self.stats.position_bytes += _size(path)
                continue
            for lines in self._read(path, start_ns):
                if lines or pauses:
                    yield lines

    def report_missing(self, files: Sequence[Path], sealed: dict[str, SegmentSealed]) -> None:
        """Report sealed segments that are missing, and files named like segments that are not."""
        present = {path.name for path in files}
        for named in Path(self.path).glob(f"*{SUFFIX}"):
            try:
                check_regular(named)
            except OSError as error:
                self._report(Damage(str(named), 0, 0, error.strerror or str(error)))
        for name, known in sealed.items():
            if name not in present:
                path = str(Path(self.path, name))
                self.stats.skipped += known.lines
                self._report(Damage(path, 0, 0, "the segment is missing", known.lines))

    def _read(self, path: Path, start_ns: int) -> Iterator[list[Line]]:
        """Yield the lines of each block; none for a block that is skipped."""
        before = self.stats.position_bytes
        try:
            with open_regular(path) as file:
                for found in walk(file, start_ns):
                    self.stats.position_bytes = before + found.offset_bytes + found.size_bytes
                    if found.data and (lines := self._lines(path, found, start_ns)):
                        self._place = Place(str(path), 0, found.offset_bytes)
                        yield lines
                    else:
                        if found.reason:
                            self._lose(path, found, found.reason)
                        yield []
        except OSError as error:
            self._report(Damage(str(path), 0, 0, error.strerror or str(error)))

    def _lines(self, path: Path, found: Region, start_ns: int) -> list[Line]:
        head = found.head
        assert head is not None  # noqa: S101  # it has data
        try:
            text = self._unpacker.unpack(found.data, head)
            times_ns, raws = split(text)
        except ValueError as error:
            self._lose(path, found, f"a block is damaged: {error}")
            return []
        if wrong := _contradiction(head, times_ns):
            self._report(Damage(str(path), 0, found.offset_bytes, wrong))
        self.stats.text_bytes += len(text)
        times_ns = self._in_order(times_ns)
        lines = list(zip(times_ns, raws, strict=True))
        if times_ns[0] < start_ns:
            lines = [line for line in lines if line[0] >= start_ns]
        self.stats.lines += len(lines)
        return lines

    def _lose(self, path: Path, found: Region, reason: str) -> None:
        head = found.head
        lost = None if head is None else head.lines
        if head is not None:
            self.stats.skipped += head.lines
            span = f"{iso_text(head.first_ns)} to {iso_text(head.last_ns)}"
            reason = f"{reason}, with {head.lines} messages received from {span}"
        else:
            reason = f"{reason}, {found.size_bytes} bytes"
        self._report(Damage(str(path), 0, found.offset_bytes, reason, lost))

    def _in_order(self, times_ns: list[int]) -> list[int]:
        if times_ns[0] < self._latest_ns or times_ns != sorted(times_ns):
            clamped = list(accumulate((self._latest_ns, *times_ns), max))[1:]
            steps = list(map(sub, clamped, times_ns))
            self.stats.regressions += len(steps) - steps.count(0)
            self.stats.max_regression_ns = max(self.stats.max_regression_ns, *steps)
            times_ns = clamped
        self._latest_ns = times_ns[-1]
        return times_ns


def _contradiction(head: Head, times_ns: list[int]) -> str:
    """Return how the head of a block contradicts its lines; empty if it does not."""
    expected = head.lines, head.first_ns, head.last_ns
    actual = len(times_ns), times_ns[0], times_ns[-1]
    if expected == actual:
        return ""
    names = "the number of its lines", "the time of its first line", "the time of its last line"
    wrong = [
        f"{name} is {is_now}, and its head says {in_head}"
        for name, is_now, in_head in zip(names, actual, expected, strict=True)
        if is_now != in_head
    ]
    return f"a block is not as its head says: {', '.join(wrong)}"


def split(text: bytes) -> tuple[list[int], list[bytes]]:
    """Return the receive times in ns and the messages of the lines of a block.

    The times are decoded as one list: one by one, that would be the larger part of reading.  A file
    in memory finds the ends of lines several times as fast as `bytes.split`.

    Raises:
        ValueError: They are not lines of `<19 digits> <message>`.
    """
    lines = BytesIO(text).readlines()
    times_ns = _integers(b"[%b]" % b",".join(map(_time_of, lines)))
    if len(times_ns) != len(lines):
        raise ValueError(f"{len(times_ns)} receive times in {len(lines)} lines")
    if times_ns[0] < EARLIEST_NS or times_ns[-1] > LATEST_NS:
        raise ValueError(f"receive times from {times_ns[0]} to {times_ns[-1]}")
    return times_ns, list(map(_message_of, lines))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
