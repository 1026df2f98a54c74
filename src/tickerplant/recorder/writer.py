"""Writes a recording: messages are on disk about a second after they are received.

The receiving thread only collects messages until they make a block; another thread (`disk.py`)
makes lines of them, compresses and writes.  Between the two is a bounded backlog: when it is full,
the receiving thread waits, or leaves out a block, and the manifest says so.

A killed process loses what was not written yet: the unfinished block, at most `flush_ms` old, and
the backlog.  `folder.py` repairs the rest when the recording is continued.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct, structs

from tickerplant import __version__
from tickerplant.envelope import prefix_of
from tickerplant.errors import RecordingError
from tickerplant.recorder.disk import Disk, RawBlock, Rotation, Tick
from tickerplant.recorder.folder import open_folder
from tickerplant.recording.block import BLOCK_BYTES, LEVEL, TIME_DIGITS
from tickerplant.recording.manifest_entries import Dropped, Entry, RunStarted
from tickerplant.recording.timestamps import EARLIEST_NS
from tickerplant.units import NS_PER_MS
from tickerplant.venue import Venue

OVERRUN = "the disk could not keep up"
LINE_OVERHEAD_BYTES = TIME_DIGITS + 2
"""A line has a time, a space and a line end besides its message."""


class WriterSettings(Struct, frozen=True, kw_only=True):
    """How a recording is written."""

    segment_ms: int = 3_600_000
    """Longest receive time in a segment."""
    segment_bytes: int = 256 << 20
    """Compressed size at which a segment is finished."""
    flush_ms: int = 1_000
    """Age at which an unfinished block is written."""
    level: int = LEVEL
    """Compression level."""
    when_full: Literal["wait", "drop"] = "wait"
    """What the recorder does while the disk cannot keep up: wait, or leave out blocks."""


class Totals(Struct, frozen=True, kw_only=True):
    """Totals of a writer so far."""

    lines: int
    """Messages and REST responses that were written."""
    blocks: int
    text_bytes: int
    """Size of the lines before compression."""
    stored_bytes: int
    """Size of the lines as stored."""
    segments: int
    """Segments that were started."""
    dropped: int
    """Messages and REST responses that were left out."""


class RecordingWriter:
    """Writes into the folder of a recording, which it creates or continues.

    All methods must be called from the same thread.

    Raises:
        RecordingError: The folder cannot be created or written into, another recorder writes into
            it, it is a recording of another venue or of a later version, or it contains something
            else that readers would take for a recording.
    """

    def __init__(
        self,
        folder: str,
        *,
        venue: Venue,
        url: str,
        profile: str,
        streams: Iterable[str],
        settings: WriterSettings = WriterSettings(),  # noqa: B008  # it is frozen
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        software = f"tickerplant {__version__}"
        self.folder = folder
        self._clock_ns = clock_ns
        self._flush_ns = settings.flush_ms * NS_PER_MS
        self._drops = settings.when_full == "drop"
        opened = open_folder(folder, venue, software, clock_ns())
        self.repairs = opened.repairs
        """Damage that was repaired, and damage that remains, in words."""
        self.outage = opened.outage
        """The time before this run that was not recorded; None for the first run."""
        run = RunStarted(
            time_ns=clock_ns(),
            run=opened.run,
            url=url,
            profile=profile,
            streams=tuple(sorted(streams)),
            software=software,
        )
        try:
            opened.manifest_file.add(run)
            if opened.outage is not None:
                opened.manifest_file.add(opened.outage)
            opened.manifest_file.sync()
        except OSError as error:
            opened.manifest_file.close()
            raise RecordingError(str(error.filename), str(error.strerror)) from None
        rotation = Rotation(
            segment_ns=settings.segment_ms * NS_PER_MS, segment_bytes=settings.segment_bytes
        )
        self._disk = Disk(opened, rotation, settings.level, clock_ns)
        self._prefixes: dict[str, bytes] = {}
        """The envelope of each stream, up to the payload."""
        self._times_ns: list[int] = []
        self._messages: list[bytes] = []
        self._streams: list[str] = []
        self._text_bytes = 0
        self._last_ns = max(opened.last_ns, EARLIEST_NS)
        self._unfinished_ns: int | None = None
        """When `tick` first saw the unfinished block; None before."""
        self._dropped = 0
        self._not_noted = 0
        """Dropped lines that the manifest does not mention yet."""
        self._dropped_from_ns = 0
        self._is_closed = False
        self._disk.start()

    # Messages

    def add(self, received_ns: int, stream: str, payload: bytes) -> None:
        """Record a message of `stream` in the usual envelope.

        Args:
            received_ns: Its receive time; raised to that of the message before if it is earlier.
            stream: The name of the stream.
            payload: The message without envelope.
        """
        prefix = self._prefixes.get(stream)
        if prefix is None:
            prefix = self._prefixes[stream] = prefix_of(stream)
        self._streams.append(stream)
        self._add(received_ns, b"%b%b}" % (prefix, payload))

    def keeper(self, stream: str) -> Callable[[int, bytes, object], None]:
        """Return a function that records messages of `stream` in the usual envelope as they came.

        Its arguments are the receive time, as for `add`, and the message; a third one is ignored.
        """
        add_time, add_message = self._times_ns.append, self._messages.append
        add_stream = self._streams.append

        def keep(received_ns: int, message: bytes, _: object = None) -> None:
            if received_ns < self._last_ns:  # noqa: PLR1730  # a call costs more than all of this
                received_ns = self._last_ns
            self._last_ns = received_ns
            add_time(received_ns)
            add_message(message)
            add_stream(stream)
            self._text_bytes += len(message) + LINE_OVERHEAD_BYTES
            if self._text_bytes >= BLOCK_BYTES:
                self._hand_over()

        return keep

    def add_answer(self, received_ns: int, address: str, body: bytes) -> None:
        """Record a REST response."""
        self._add(received_ns, b"%b %b" % (address.encode(), body))

    def _add(self, received_ns: int, message: bytes) -> None:
        self._last_ns = received_ns = max(received_ns, self._last_ns)
        self._times_ns.append(received_ns)
        self._messages.append(message)
        self._text_bytes += len(message) + LINE_OVERHEAD_BYTES
        if self._text_bytes >= BLOCK_BYTES:
            self._hand_over()

    def note(self, entry: Entry) -> None:
        """Add an entry to the manifest; its time is never earlier than that of the last message.

        So an outage is placed between the right messages even if the clock stepped back.
        """
        if self._is_closed:
            return
        if entry.time_ns < self._last_ns:
            entry = structs.replace(entry, time_ns=self._last_ns)
        self._note_dropped()
        self._disk.backlog.put(entry)

    def tick(self) -> None:
        """Write an unfinished block that is old enough, and finish an old segment.

        Call it about every tenth of a second.
        """
        if self._is_closed:
            return
        now_ns = self._clock_ns()
        if self._messages:
            since_ns = self._unfinished_ns
            if since_ns is None or now_ns < since_ns:
                since_ns = self._unfinished_ns = now_ns
            if now_ns - since_ns >= self._flush_ns:
                self._hand_over()
        if self._disk.backlog.is_empty:
            self._disk.backlog.put(Tick(now_ns))

    # State

    @property
    def is_full(self) -> bool:
        """Whether the next block would have to wait, or be left out."""
        return self._disk.backlog.is_full

    @property
    def rotated(self) -> int:
        """Segments that were started: each needs snapshots of all books."""
        return self._disk.segments

    @property
    def failure(self) -> OSError | None:
        """Why nothing is written any more; None while everything is."""
        return self._disk.failure

    @property
    def failure_text(self) -> str:
        """`failure` in words, with file and offset; empty if there is none."""
        failure = self._disk.failure
        return "" if failure is None else f"{failure.filename}: {failure.strerror}"

    @property
    def totals(self) -> Totals:
        """Totals so far."""
        disk = self._disk
        return Totals(
            lines=disk.lines,
            blocks=disk.blocks,
            text_bytes=disk.text_bytes,
            stored_bytes=disk.stored_bytes,
            segments=disk.segments,
            dropped=self._dropped + disk.left_out,
        )

    def close(self, reason: str) -> None:
        """Write everything, seal the segment, and end the run because of `reason`; never raises.

        Afterwards `failure` says whether everything is on disk.  Later messages are dropped.
        """
        if self._is_closed:
            return
        self._drops = False  # there is time now
        self._hand_over()
        self._note_dropped()
        self._is_closed = True
        self._disk.end(reason)

    def _hand_over(self) -> None:
        """Pass the block to the disk thread, or leave it out."""
        parts = self._times_ns, self._messages, self._streams
        block = RawBlock(parts[0].copy(), parts[1].copy(), parts[2].copy())
        for part in parts:  # emptied, not replaced: the functions of `keeper` append to them
            part.clear()
        self._text_bytes = 0
        self._unfinished_ns = None
        count = len(block.messages)
        if not count:
            return
        if self._is_closed:
            self._dropped += count
        elif self._drops and self.is_full:
            self._dropped += count
            self._dropped_from_ns = self._dropped_from_ns or block.times_ns[0]
            self._not_noted += count
        else:
            self._note_dropped()
            self._disk.backlog.put(block)

    def _note_dropped(self) -> None:
        """Note the dropped lines in the manifest, once no more are dropped."""
        if not self._not_noted:
            return
        reason = f"{OVERRUN}, from {self._dropped_from_ns} to {self._last_ns}"
        time_ns = self._clock_ns()
        self._disk.backlog.put(Dropped(time_ns=time_ns, count=self._not_noted, reason=reason))
        self._not_noted = self._dropped_from_ns = 0
