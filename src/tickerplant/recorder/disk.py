"""The thread that compresses and writes, so that whoever records need not wait for a disk.

It takes blocks, lines of the manifest and the passing of time from a backlog, in their order, and
is the only one that touches the files.  The first thing that cannot be written ends the writing:
what was written of it is cut off, and everything after it is left out and counted, so that a
recording never has a hole in its middle that nobody knows of.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from errno import EIO
from threading import Thread

from msgspec import Struct

from tickerplant.recorder.backlog import Backlog, End, Item, Look, RawBlock
from tickerplant.recorder.folder import Folder
from tickerplant.recorder.segment_file import SegmentFile
from tickerplant.recording.block import HEAD_BYTES, Packer, read_head
from tickerplant.recording.manifest_entries import Dropped, RunEnded

SYNC_S = 5.0
"""If the machine stops, so much is lost at most, besides what waits: the files are synced so often.
So often it is also looked whether they are still there."""

HASTY_LEVEL = 1
"""Of compression while more than half the backlog waits: four times as fast as the usual one, and
about as small as gzip."""


class Rotation(Struct, frozen=True, kw_only=True):
    """When a segment is finished and another begun."""

    segment_ns: int
    """After so much receive time."""
    segment_bytes: int
    """At so many bytes, as stored."""


class Disk:
    """Writes into a folder, in a thread of its own.

    Args:
        folder: Where to.
        rotation: When a segment is finished.
        level: Of compression.
        clock_ns: What time it is, ns since the epoch.
    """

    def __init__(
        self, folder: Folder, rotation: Rotation, level: int, clock_ns: Callable[[], int]
    ) -> None:
        self.backlog = Backlog()
        self.failure: OSError | None = None
        """Why nothing is written any more, with file and offset."""
        self.lines = self.blocks = self.text_bytes = self.stored_bytes = 0
        """What was written."""
        self.segments = 0
        """Segments that were begun."""
        self.left_out = 0
        """Lines that came after the failure."""
        self._folder = folder
        self._rotation = rotation
        self._pack = Packer(level).pack
        self._pack_hastily = Packer(min(level, HASTY_LEVEL)).pack
        self._clock_ns = clock_ns
        self._number = folder.last_number
        self._segment: SegmentFile | None = None
        self._synced_s = time.monotonic()
        self._thread = Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to take what is in the backlog."""
        self._thread.start()

    def end(self, reason: str) -> None:
        """Return when all that came before is written, and the files are closed."""
        self.backlog.put(End(reason))
        self._thread.join()

    def _run(self) -> None:
        item: Item = Look(0)
        while not isinstance(item, End):
            item, blocks = self.backlog.take(), self.blocks
            try:
                self._do(item)
            except OSError as error:
                self._fail(error)
            except Exception as fault:  # noqa: BLE001  # whoever waits for this thread must not hang
                self._fail(OSError(EIO, f"{type(fault).__name__}: {fault}", str(self._folder.path)))
            if isinstance(item, RawBlock) and self.blocks == blocks:
                self.left_out += len(item.messages)
        self._folder.journal.close()

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error

    def _do(self, item: Item) -> None:
        if isinstance(item, End):
            self._end(item.reason)
        elif self.failure is not None:
            return
        elif isinstance(item, RawBlock):
            self._write(item)
        elif isinstance(item, Look):
            self._look(item.now_ns)
        else:
            self._folder.journal.add(item)
        if self.failure is None and self.backlog.is_empty:
            self._folder.journal.sync()

    def _write(self, block: RawBlock) -> None:
        first_ns, last_ns = block.times_ns[0], block.times_ns[-1]
        self._rotate(first_ns)
        segment = self._segment or self._begin(first_ns)
        pack = self._pack_hastily if self.backlog.is_half_full else self._pack
        packed = pack(block.text, len(block.messages), first_ns, last_ns)
        head = read_head(packed[:HEAD_BYTES])
        assert head is not None  # noqa: S101  # it was just made
        segment.append(packed, head, block.streams)
        self.lines += head.lines
        self.blocks += 1
        self.text_bytes += head.text_bytes
        self.stored_bytes += len(packed)
        self._sync_sometimes()

    def _look(self, now_ns: int) -> None:
        self._rotate(now_ns)
        self._sync_sometimes()

    def _sync_sometimes(self) -> None:
        now_s = time.monotonic()
        if now_s - self._synced_s < SYNC_S:
            return
        self._synced_s = now_s
        self._check()
        self._folder.journal.sync()
        if self._segment is not None:
            self._segment.file.sync()

    def _check(self) -> None:
        """Make sure that what is written can be found: the system would write on for ever."""
        self._folder.journal.check()
        if self._segment is not None:
            self._segment.file.check()

    def _rotate(self, now_ns: int) -> None:
        """Seal the segment if it is old or large enough."""
        segment = self._segment
        if segment is None:
            return
        is_old = now_ns - segment.first_ns >= self._rotation.segment_ns
        if is_old or segment.file.size_bytes >= self._rotation.segment_bytes:
            self._seal(segment)

    def _begin(self, began_ns: int) -> SegmentFile:
        self._number += 1
        self._segment = SegmentFile(self._folder.path, self._number, began_ns)
        self.segments += 1
        return self._segment

    def _seal(self, segment: SegmentFile) -> None:
        self._segment = None
        try:
            segment.file.sync()
        finally:
            segment.file.close()
        self._folder.journal.add(segment.sealed(self._clock_ns()))
        self._folder.journal.sync()

    def _finish(self) -> None:
        if self._segment is not None:
            self._seal(self._segment)

    def _end(self, reason: str) -> None:
        """Write what ends a run, as far as the disk takes it."""
        journal = self._folder.journal
        for do in (self._check, self._finish):
            try:
                do()
            except OSError as error:
                self._fail(error)
        failure = self.failure
        if failure is not None:
            reason = f"{failure.filename}: {failure.strerror}"
        if self.left_out:
            journal.add(Dropped(time_ns=self._clock_ns(), count=self.left_out, reason=reason))
        journal.add(RunEnded(time_ns=self._clock_ns(), reason=reason))
        journal.sync()
