"""Segments on disk: written block by block and sealed, or repaired after a crash."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tickerplant.envelope import HEAD, NAME_AT, NECK
from tickerplant.recorder.append_file import AppendFile
from tickerplant.recording.block import TIME_DIGITS, Head, Region, Unpacker, walk
from tickerplant.recording.manifest_entries import SegmentSealed
from tickerplant.recording.segments import segment_name
from tickerplant.units import NS_PER_S


class SegmentFile:
    """A segment that is being written."""

    def __init__(self, folder: Path, number: int, start_ns: int) -> None:
        start = datetime.fromtimestamp(start_ns // NS_PER_S, UTC)
        self.name = segment_name(number, f"{start:%Y%m%dT%H%M%SZ}")
        self.file = AppendFile(folder / self.name)
        self.first_ns = self.last_ns = start_ns
        self._sum = hashlib.sha256()
        self._lines = self._blocks = self._text_bytes = 0
        self._streams: Counter[str] = Counter()

    def append(self, block: bytes, head: Head, streams: Iterable[str]) -> None:
        """Append a block; `streams` contains a name for every message in it.

        Raises:
            OSError: The block could not be written; no part of it remains in the file.
        """
        self.file.append(block)
        self._sum.update(block)
        self._blocks += 1
        self._lines += head.lines
        self._text_bytes += head.text_bytes
        self.last_ns = head.last_ns
        self._streams.update(streams)

    def sealed(self, time_ns: int) -> SegmentSealed:
        """Return the entry for the manifest."""
        return SegmentSealed(
            time_ns=time_ns,
            name=self.name,
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            lines=self._lines,
            blocks=self._blocks,
            text_bytes=self._text_bytes,
            size_bytes=self.file.size_bytes,
            sha256=self._sum.hexdigest(),
            streams=dict(self._streams),
        )


class RepairedSegment:
    """A segment that was not sealed: its incomplete end is truncated, complete blocks are counted.

    Damage with complete blocks after it remains: it may still be of use, and readers skip it.
    """

    def __init__(self, path: Path, time_ns: int, last_ns: int) -> None:
        self.repairs: list[str] = []
        """What was repaired, and what damage remains."""
        self._streams: Counter[str] = Counter()
        self._heads: list[Head] = []
        self._unpacker = Unpacker()
        file = AppendFile(path, os.O_RDWR)
        reading = os.fdopen(file.descriptor, "rb", closefd=False)
        try:
            torn = [found for found in walk(reading) if not self._keep(path, found)]
            size_bytes, cut_bytes = file.size_bytes, 0
            if torn and torn[-1].offset_bytes + torn[-1].size_bytes == size_bytes:
                cut_bytes = size_bytes - torn[-1].offset_bytes
                torn.pop()
                file.cut(size_bytes - cut_bytes)
                self.repairs.append(
                    f"{path}, byte {file.size_bytes}: the incomplete end of {cut_bytes} bytes is truncated"
                )
            self.repairs += [
                f"{path}, byte {found.offset_bytes}: {found.reason}, {found.size_bytes} bytes; "
                "it remains, and readers skip it"
                for found in torn
            ]
            file.sync()
            reading.seek(0)
            digest = hashlib.file_digest(reading, hashlib.sha256).hexdigest()
        finally:
            file.close()
        heads = self._heads
        self.repairs.append(
            f"{path}: was not sealed, and is now; complete blocks in it: {len(heads)}"
        )
        self.sealed = SegmentSealed(
            time_ns=time_ns,
            name=path.name,
            first_ns=heads[0].first_ns if heads else last_ns,
            last_ns=max((head.last_ns for head in heads), default=last_ns),
            lines=sum(head.lines for head in heads),
            blocks=len(heads),
            text_bytes=sum(head.text_bytes for head in heads),
            size_bytes=file.size_bytes,
            sha256=digest,
            streams=dict(self._streams),
            cut_bytes=cut_bytes,
        )

    def _keep(self, path: Path, found: Region) -> bool:
        """Count a block; return whether these bytes remain without a remark."""
        head = found.head
        if head is None:
            return False
        try:
            if not found.reason:
                self._streams.update(_streams(self._unpacker.unpack(found.data, head)))
                self._heads.append(head)
                return True
            reason = found.reason
        except ValueError as error:
            reason = f"a block is damaged ({error})"
        self.repairs.append(
            f"{path}, byte {found.offset_bytes}: {reason}; it remains, and readers skip it; "
            f"messages in it: {head.lines}"
        )
        return True


def _streams(text: bytes) -> Iterable[str]:
    """Yield the stream of every message in a block; REST responses have none."""
    begins = TIME_DIGITS + 1
    for line in text.split(b"\n"):
        if line.startswith(HEAD, begins):
            name = line[begins + NAME_AT : line.find(NECK, begins)]
            try:
                yield msgspec.json.decode(b'"%b"' % name, type=str)
            except msgspec.DecodeError:
                continue  # not written here
