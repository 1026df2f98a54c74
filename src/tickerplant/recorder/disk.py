"""The thread that compresses and writes, so that the recording thread does not wait for a disk.

It takes blocks, entries of the manifest and ticks from a backlog, in order, and is the only thread
that touches the files.  The first write that fails ends the writing: the incomplete part is
truncated, and everything after it is left out and counted, so that a recording never has an unknown
gap in its middle.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from errno import EIO
from threading import Condition, Thread
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from tickerplant.recorder.folder import Folder
from tickerplant.recorder.segment_file import SegmentFile
from tickerplant.recording.block import HEAD_BYTES, Packer, read_head
from tickerplant.recording.manifest_entries import Dropped, Entry, RunEnded

MAX_BLOCKS = 64
"""Blocks in the backlog, each of a quarter of a megabyte: about a second of 60,000 messages."""
MAX_OTHER_ITEMS = 10_000
"""Other items in the backlog; a thread that adds more always waits."""
SYNC_S = 5.0
"""How often files are synced and checked to be still there.  If the machine stops, the recording
loses at most this much besides the backlog."""
FAST_LEVEL = 1
"""Compression level while more than half the backlog waits: four times as fast as the usual one, and
about as small as gzip."""


class RawBlock(NamedTuple):
    """Lines that make one block, as they were received."""

    times_ns: list[int]
    """Receive times, in order."""
    messages: list[bytes]
    """Messages and REST responses, each as it appears after its time."""
    streams: list[str]
    """A name for every message, none for REST responses."""

    @property
    def text(self) -> bytes:
        """The lines."""
        messages = self.messages
        if b"\n" in b"".join(messages):
            messages = [each.replace(b"\n", b" ") for each in messages]
        parts: list[int | bytes] = [0] * (2 * len(messages))
        parts[::2], parts[1::2] = self.times_ns, messages
        return b"%d %b\n" * len(messages) % tuple(parts)


class Tick(NamedTuple):
    """Do what is due at `now_ns`."""

    now_ns: int


class End(NamedTuple):
    """Nothing follows."""

    reason: str


Item: TypeAlias = RawBlock | Entry | Tick | End


class Backlog:
    """A bounded queue between two threads."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._blocks = 0
        self._changed = Condition()

    @property
    def is_full(self) -> bool:
        """Whether the next block would have to wait."""
        return self._blocks >= MAX_BLOCKS

    @property
    def is_half_full(self) -> bool:
        """Whether at least half of the blocks wait."""
        return self._blocks >= MAX_BLOCKS // 2

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._items

    def put(self, item: Item) -> None:
        """Add `item`; wait while there is no room."""
        with self._changed:
            if isinstance(item, RawBlock):
                self._changed.wait_for(lambda: self._blocks < MAX_BLOCKS)
                self._blocks += 1
            else:
                self._changed.wait_for(lambda: len(self._items) - self._blocks < MAX_OTHER_ITEMS)
            self._items.append(item)
            self._changed.notify_all()

    def take(self) -> Item:
        """Take the oldest item; wait while there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._items)
            item = self._items.popleft()
            self._blocks -= isinstance(item, RawBlock)
            self._changed.notify_all()
            return item


class Rotation(Struct, frozen=True, kw_only=True):
    """When a segment is finished and another started."""

    segment_ns: int
    """Longest receive time in a segment."""
    segment_bytes: int
    """Compressed size at which a segment is finished."""


class Disk:
    """Writes into a folder, in its own thread."""

    def __init__(
        self, folder: Folder, rotation: Rotation, level: int, clock_ns: Callable[[], int]
    ) -> None:
        self.backlog = Backlog()
        self.failure: OSError | None = None
        """Why nothing is written any more, with file and offset."""
        self.lines = self.blocks = self.text_bytes = self.stored_bytes = 0
        """Totals of what was written."""
        self.segments = 0
        self.left_out = 0
        """Lines that were not written after the failure."""
        self._folder = folder
        self._rotation = rotation
        self._pack = Packer(level).pack
        self._pack_fast = Packer(min(level, FAST_LEVEL)).pack
        self._clock_ns = clock_ns
        self._number = folder.last_number
        self._segment: SegmentFile | None = None
        self._synced_s = time.monotonic()
        self._thread = Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Start to write the items of the backlog."""
        self._thread.start()

    def end(self, reason: str) -> None:
        """Write everything in the backlog, then close the files."""
        self.backlog.put(End(reason))
        self._thread.join()

    def _run(self) -> None:
        item: Item = Tick(0)
        while not isinstance(item, End):
            item, blocks = self.backlog.take(), self.blocks
            try:
                self._do(item)
            except OSError as error:
                self._fail(error)
            except Exception as fault:  # noqa: BLE001  # a thread that joins this one must not hang
                self._fail(OSError(EIO, f"{type(fault).__name__}: {fault}", str(self._folder.path)))
            if isinstance(item, RawBlock) and self.blocks == blocks:
                self.left_out += len(item.messages)
        self._folder.manifest_file.close()

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error

    def _do(self, item: Item) -> None:
        if isinstance(item, End):
            self._end(item.reason)
        elif self.failure is not None:
            return
        elif isinstance(item, RawBlock):
            self._write(item)
        elif isinstance(item, Tick):
            self._tick(item.now_ns)
        else:
            self._folder.manifest_file.add(item)
        if self.failure is None and self.backlog.is_empty:
            self._folder.manifest_file.sync()

    def _write(self, block: RawBlock) -> None:
        first_ns, last_ns = block.times_ns[0], block.times_ns[-1]
        self._rotate(first_ns)
        segment = self._segment or self._start_segment(first_ns)
        pack = self._pack_fast if self.backlog.is_half_full else self._pack
        packed = pack(block.text, len(block.messages), first_ns, last_ns)
        head = read_head(packed[:HEAD_BYTES])
        assert head is not None  # noqa: S101  # it was just made
        segment.append(packed, head, block.streams)
        self.lines += head.lines
        self.blocks += 1
        self.text_bytes += head.text_bytes
        self.stored_bytes += len(packed)
        self._sync_if_due()

    def _tick(self, now_ns: int) -> None:
        self._rotate(now_ns)
        self._sync_if_due()

    def _sync_if_due(self) -> None:
        now_s = time.monotonic()
        if now_s - self._synced_s < SYNC_S:
            return
        self._synced_s = now_s
        self._check()
        self._folder.manifest_file.sync()
        if self._segment is not None:
            self._segment.file.sync()

    def _check(self) -> None:
        """Check that the files are still there: writing to a deleted file does not fail."""
        self._folder.manifest_file.check()
        if self._segment is not None:
            self._segment.file.check()

    def _rotate(self, now_ns: int) -> None:
        segment = self._segment
        if segment is None:
            return
        is_old = now_ns - segment.first_ns >= self._rotation.segment_ns
        if is_old or segment.file.size_bytes >= self._rotation.segment_bytes:
            self._seal(segment)

    def _start_segment(self, start_ns: int) -> SegmentFile:
        self._number += 1
        self._segment = SegmentFile(self._folder.path, self._number, start_ns)
        self.segments += 1
        return self._segment

    def _seal(self, segment: SegmentFile) -> None:
        self._segment = None
        try:
            segment.file.sync()
        finally:
            segment.file.close()
        self._folder.manifest_file.add(segment.sealed(self._clock_ns()))
        self._folder.manifest_file.sync()

    def _finish(self) -> None:
        if self._segment is not None:
            self._seal(self._segment)

    def _end(self, reason: str) -> None:
        manifest_file = self._folder.manifest_file
        for do in (self._check, self._finish):
            try:
                do()
            except OSError as error:
                self._fail(error)
        failure = self.failure
        if failure is not None:
            reason = f"{failure.filename}: {failure.strerror}"
        if self.left_out:
            manifest_file.add(Dropped(time_ns=self._clock_ns(), count=self.left_out, reason=reason))
        manifest_file.add(RunEnded(time_ns=self._clock_ns(), reason=reason))
        manifest_file.sync()
