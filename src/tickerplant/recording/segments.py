"""A recording in segments: the folder that `tickerplant record` writes, read in order.

A folder holds `manifest.jsonl` (`manifest_entries.py`) and segments, which are files of blocks (`block.py`)
whose names sort in the order in which they were written.  Whatever is damaged costs the block it
is in, at most; it is reported, and the reading goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from itertools import accumulate
from operator import itemgetter, sub
from pathlib import Path

from msgspec.json import Decoder as JsonDecoder

from tickerplant.errors import RecordingError
from tickerplant.recording.block import (
    EARLIEST_NS,
    LATEST_NS,
    TIME_DIGITS,
    Found,
    Head,
    Unpacker,
    walk,
)
from tickerplant.recording.line import Damage, Line, Place, Report
from tickerplant.recording.manifest import Manifest, read_manifest
from tickerplant.recording.manifest_entries import MANIFEST, SegmentSealed
from tickerplant.regular_files import check_regular, open_regular

SUFFIX = ".zst"
"""How the names of segments end."""
NAME = re.compile(r"([0-9]{6,18})-[0-9]{8}T[0-9]{6}Z\.zst")
"""How recorders name segments: by their number, from 1, and when they were begun."""

_integers: Callable[[bytes], list[int]] = JsonDecoder(list[int]).decode
_time_of: Callable[[bytes], bytes] = itemgetter(slice(TIME_DIGITS + 1))
"""With what follows it, which no number may hold: so it is a space."""
_message_of: Callable[[bytes], bytes] = itemgetter(slice(TIME_DIGITS + 1, -1))
"""Up to the end of its line."""


def segment_name(number: int, began: str) -> str:
    """Return the name of a segment.

    Args:
        number: Counted from 1 through all of a recording.
        began: When it was begun, such as `20261121T181900Z`.
    """
    return f"{number:06d}-{began}{SUFFIX}"


def segment_paths(folder: str) -> list[Path]:
    """Return the segments in a folder, in the order in which they were written."""
    found = (path for path in Path(folder).glob(f"*{SUFFIX}") if path.is_file())
    return sorted(found, key=_order)


def _order(path: Path) -> tuple[int, str]:
    """Return where a segment stands among others: numbers of seven digits come after those of six."""
    return len(path.name.partition("-")[0]), path.name


def is_recording(folder: str) -> bool:
    """Whether a folder is a recording, even one that has lost its manifest."""
    return Path(folder, MANIFEST).is_file() or bool(segment_paths(folder))


class Segments:
    """Segments that follow each other: all of a folder, or those that are named.

    Receive times never go back: where the recorder's clock stepped back, the time stands still
    until it catches up.

    Args:
        path: The folder, or a segment.
        report: Takes what is damaged, at every reading anew.
    """

    def __init__(self, path: str, report: Report = lambda _: None) -> None:
        self.path = path
        self.lines = 0
        self.skipped = 0
        self.size_bytes = 0
        self.position_bytes = 0
        self.text_bytes = 0
        self.late = 0
        self.late_ns = 0
        self._report = report
        self._unpacker = Unpacker()
        self._latest_ns = 0
        self._place = Place(path, 0, 0)

    def files(self) -> list[Path]:
        """Return the segments."""
        return segment_paths(self.path) if Path(self.path).is_dir() else [Path(self.path)]

    def manifest(self) -> Manifest | None:
        """Return the manifest; None if there is none that can be read, which is reported."""
        if not Path(self.path).is_dir():
            return None
        try:
            return read_manifest(self.path, self._report)
        except RecordingError as error:
            self._report(Damage(error.path, error.line, error.offset_bytes, error.reason))
            return None

    def place_of(self, number: int) -> Place:
        """Return where the block of the last batch stands, whatever the number of a line in it."""
        del number
        return self._place

    def place_of_message(self, raw: bytes) -> Place:
        """Return where the block of the last batch stands, whatever the message in it."""
        del raw
        return self._place

    def last_ns(self) -> int:
        """Return the latest receive time, as manifest and heads tell it; 0 if nothing is there."""
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
        """Yield the lines that were received at `start_ns` or later, block by block.

        No batch is empty, but with `pauses` for each block that is passed over.

        Raises:
            RecordingError: there is nothing that could be read.
        """
        self.lines = self.skipped = self.text_bytes = self.position_bytes = self._latest_ns = 0
        self.late = self.late_ns = 0
        files = self.files()
        if not files:
            raise RecordingError(self.path, "no segment in it")
        manifest = self.manifest()
        sealed = manifest.sealed if manifest else {}
        self._miss(files, sealed)
        self.size_bytes = sum(_size(path) for path in files)
        for path in files:
            known = sealed.get(path.name)
            if known is not None and known.last_ns < start_ns:
                self.position_bytes += _size(path)
                continue
            for lines in self._read(path, start_ns):
                if lines or pauses:
                    yield lines

    def _miss(self, files: Sequence[Path], sealed: dict[str, SegmentSealed]) -> None:
        """Report the segments that are not there any more, and what has the name of one."""
        present = {path.name for path in files}
        for named in Path(self.path).glob(f"*{SUFFIX}"):
            try:
                check_regular(named)
            except OSError as error:
                self._report(Damage(str(named), 0, 0, error.strerror or str(error)))
        for name, known in sealed.items():
            if name not in present:
                path = str(Path(self.path, name))
                self.skipped += known.lines
                self._report(Damage(path, 0, 0, "the segment is missing", known.lines))

    def _read(self, path: Path, start_ns: int) -> Iterator[list[Line]]:
        """Yield the lines of each block; none for those that are passed over."""
        before = self.position_bytes
        try:
            with open_regular(path) as file:
                for found in walk(file, start_ns):
                    self.position_bytes = before + found.offset_bytes + found.size_bytes
                    if found.data and (lines := self._lines(path, found, start_ns)):
                        self._place = Place(str(path), 0, found.offset_bytes)
                        yield lines
                    else:
                        if found.reason:
                            self._lose(path, found, found.reason)
                        yield []
        except OSError as error:
            self._report(Damage(str(path), 0, 0, error.strerror or str(error)))

    def _lines(self, path: Path, found: Found, start_ns: int) -> list[Line]:
        """Return the lines of a block."""
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
        self.text_bytes += len(text)
        times_ns = self._in_time(times_ns)
        lines = list(zip(times_ns, raws, strict=True))
        if times_ns[0] < start_ns:
            lines = [line for line in lines if line[0] >= start_ns]
        self.lines += len(lines)
        return lines

    def _lose(self, path: Path, found: Found, reason: str) -> None:
        """Report what is lost with a block."""
        head = found.head
        lost = None if head is None else head.lines
        if head is not None:
            self.skipped += head.lines
            span = f"{_utc(head.first_ns)} to {_utc(head.last_ns)} UTC"
            reason = f"{reason}, with {head.lines} messages received from {span}"
        else:
            reason = f"{reason}, {found.size_bytes} bytes"
        self._report(Damage(str(path), 0, found.offset_bytes, reason, lost))

    def _in_time(self, times_ns: list[int]) -> list[int]:
        """Return `times_ns` so that they never go back."""
        if times_ns[0] < self._latest_ns or times_ns != sorted(times_ns):
            clamped = list(accumulate((self._latest_ns, *times_ns), max))[1:]
            steps = list(map(sub, clamped, times_ns))
            self.late += len(steps) - steps.count(0)
            self.late_ns = max(self.late_ns, *steps)
            times_ns = clamped
        self._latest_ns = times_ns[-1]
        return times_ns


def _contradiction(head: Head, times_ns: list[int]) -> str:
    """Return what a head says of a whole block that is not so; empty if all is."""
    said = head.lines, head.first_ns, head.last_ns
    there = len(times_ns), times_ns[0], times_ns[-1]
    if said == there:
        return ""
    names = "the number of its lines", "the time of its first line", "the time of its last line"
    wrong = [
        f"{name} is {is_so}, and its head says {told}"
        for name, is_so, told in zip(names, there, said, strict=True)
        if is_so != told
    ]
    return f"a block is not as its head says: {', '.join(wrong)}"


def split(text: bytes) -> tuple[list[int], list[bytes]]:
    """Return the receive times (ns) and the messages in the lines of a block, all of them whole.

    The times are read as one list: one by one, that would be the larger part of reading.  A file
    in memory finds the ends of lines several times as fast as `bytes.split`.

    Raises:
        ValueError: they are not lines of `<19 digits> <message>`.
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


def _utc(time_ns: int) -> str:
    """Return a receive time as people read it."""
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest_ns // 1_000_000:03d}"
