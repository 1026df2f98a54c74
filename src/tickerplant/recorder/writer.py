"""Writes a recording: what is received comes in here, and is on disk about a second later.

The thread that receives only collects messages until they make a block; a thread of its own
(`disk.py`) makes lines of them, compresses and writes.  Between them is a backlog with a bound: when
it is full, whoever records waits, or leaves out a block, which the manifest tells.

A killed process costs what was not written yet: the unfinished block, at most `flush_ms` old, and
the backlog.  `folder.py` puts the rest right when the recording is continued.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, structs

from tickerplant.errors import RecordingError
from tickerplant.feed.merged_stream import Keep
from tickerplant.recorder.disk import Disk, RawBlock, Rotation, Tick
from tickerplant.recorder.folder import open_folder
from tickerplant.recording.block import BLOCK_BYTES, EARLIEST_NS, LEVEL, TIME_DIGITS
from tickerplant.recording.manifest_entries import Dropped, Entry, RunStarted
from tickerplant.units import NS_PER_MS
from tickerplant.venue import Venue

OVERRUN = "the disk could not keep up"
FRAME_BYTES = TIME_DIGITS + 2
"""What a line is longer than its message: a time, a space and the end."""


class WriterSettings(Struct, frozen=True, kw_only=True):
    """How a recording is written."""

    segment_ms: int = 3_600_000
    """A segment is finished after so long."""
    segment_bytes: int = 256 << 20
    """It is finished at so many bytes, as stored."""
    flush_ms: int = 1_000
    """A block that is not full is written at this age."""
    level: int = LEVEL
    """Of compression."""
    when_full: Literal["wait", "drop"] = "wait"
    """What whoever records does while the disk cannot keep up: wait, or leave out blocks."""


class Tape(Protocol):
    """What a recorder writes to: a `RecordingWriter`."""

    def add(self, received_ns: int, stream: str, payload: bytes) -> None:
        """Record a message."""

    def keeper(self, stream: str) -> Keep:
        """Return a function that records complete messages of `stream`."""

    def add_answer(self, received_ns: int, address: str, body: bytes) -> None:
        """Record a REST response."""

    def note(self, entry: Entry) -> None:
        """Add an entry to the manifest."""

    def tick(self) -> None:
        """Do what is due."""

    @property
    def is_full(self) -> bool:
        """Whether the next block would have to wait."""

    @property
    def rotated(self) -> int:
        """Segments that were started."""

    @property
    def failure(self) -> OSError | None:
        """Why nothing is written any more; None while everything is."""


class Totals(Struct, frozen=True, kw_only=True):
    """What a writer has done so far."""

    lines: int
    """Messages and answers that were written."""
    blocks: int
    text_bytes: int
    """What was written, before compression."""
    stored_bytes: int
    """The same as it is stored."""
    segments: int
    """Segments that were begun."""
    dropped: int
    """Messages and answers that were left out."""


class RecordingWriter:
    """Writes into the folder of a recording, which it makes or continues.

    All methods are for one thread.

    Args:
        folder: The folder.
        venue: Whose streams these are.
        url: What is recorded.
        profile: The period of the protocol; empty if it is not known.
        streams: What is asked for.
        settings: How it is written.
        clock_ns: What time it is, ns since the epoch.

    Raises:
        RecordingError: the folder cannot be made or written into, another recorder writes into it,
            it is a recording of another venue or of a later version, or it holds something else
            that readers would take for a recording.
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
        software = f"tickerplant {version('tickerplant')}"
        self.folder = folder
        self._clock_ns = clock_ns
        self._flush_ns = settings.flush_ms * NS_PER_MS
        self._drops = settings.when_full == "drop"
        opened = open_folder(folder, venue, software, clock_ns())
        self.repairs = opened.repairs
        """What had to be put right, in words, and what is wrong that cannot be."""
        self.hole = opened.hole
        """What was not recorded before this run; None if it is the first."""
        run = RunStarted(
            time_ns=clock_ns(),
            run=opened.run,
            url=url,
            profile=profile,
            streams=tuple(sorted(streams)),
            software=software,
        )
        try:
            opened.journal.add(run)
            if opened.hole is not None:
                opened.journal.add(opened.hole)
            opened.journal.sync()
        except OSError as error:
            opened.journal.close()
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
        """When the unfinished block was first seen; None if it was not."""
        self._dropped = 0
        self._untold = 0
        """Of those, what the manifest does not tell yet."""
        self._untold_from_ns = 0
        self._is_closed = False
        self._disk.start()

    # What is recorded

    def add(self, received_ns: int, stream: str, payload: bytes) -> None:
        """Record a message of `stream` in the usual envelope.

        Args:
            received_ns: When it was received; never before the last one, or it is taken for that.
            stream: Its name.
            payload: The message without envelope.
        """
        prefix = self._prefixes.get(stream)
        if prefix is None:
            prefix = self._prefixes[stream] = b'{"stream":%b,"data":' % msgspec.json.encode(stream)
        self._streams.append(stream)
        self._add(received_ns, b"%b%b}" % (prefix, payload))

    def keeper(self, stream: str) -> Callable[[int, bytes, object], None]:
        """Return what records whole messages of `stream`, which are in the usual envelope.

        It takes when one was received, as `add` does, and the message as it came; what else it is
        given is nothing to it.
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
            self._text_bytes += len(message) + FRAME_BYTES
            if self._text_bytes >= BLOCK_BYTES:
                self._hand_over()

        return keep

    def add_answer(self, received_ns: int, address: str, body: bytes) -> None:
        """Record an answer of REST.

        Args:
            received_ns: As for a message.
            address: What was asked, such as `http://127.0.0.1:9001/fapi/v1/depth?symbol=BTCUSDT`.
            body: The answer.
        """
        self._add(received_ns, b"%b %b" % (address.encode(), body))

    def _add(self, received_ns: int, message: bytes) -> None:
        """Add what is to stand behind its time."""
        self._last_ns = received_ns = max(received_ns, self._last_ns)
        self._times_ns.append(received_ns)
        self._messages.append(message)
        self._text_bytes += len(message) + FRAME_BYTES
        if self._text_bytes >= BLOCK_BYTES:
            self._hand_over()

    def note(self, entry: Entry) -> None:
        """Add a line to the manifest, with a time no earlier than that of the last message.

        What was lost is found between messages by its time, also if the clock stepped back.
        """
        if self._is_closed:
            return
        if entry.time_ns < self._last_ns:
            entry = structs.replace(entry, time_ns=self._last_ns)
        self._tell_dropped()
        self._disk.backlog.put(entry)

    def tick(self) -> None:
        """Write an unfinished block that is old enough, and finish an old segment.

        To be called about every tenth of a second.
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

    # How it goes

    @property
    def is_full(self) -> bool:
        """Whether the next block would have to wait, or be left out."""
        return self._disk.backlog.is_full

    @property
    def rotated(self) -> int:
        """Segments that were begun: books are to be anchored anew in each."""
        return self._disk.segments

    @property
    def failure(self) -> OSError | None:
        """Why nothing is written any more; None while it is."""
        return self._disk.failure

    @property
    def failure_text(self) -> str:
        """The same for people, with file and offset; empty while all is well."""
        failure = self._disk.failure
        return "" if failure is None else f"{failure.filename}: {failure.strerror}"

    @property
    def totals(self) -> Totals:
        """What was done so far."""
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

        Afterwards `failure` tells whether all of it is on disk.  What is added later is left out.
        """
        if self._is_closed:
            return
        self._drops = False  # there is time now
        self._hand_over()
        self._tell_dropped()
        self._is_closed = True
        self._disk.end(reason)

    def _hand_over(self) -> None:
        """Let the block be written, or leave it out."""
        parts = self._times_ns, self._messages, self._streams
        block = RawBlock(parts[0].copy(), parts[1].copy(), parts[2].copy())
        for part in parts:  # they are emptied, not replaced: keepers add to them
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
            self._untold_from_ns = self._untold_from_ns or block.times_ns[0]
            self._untold += count
        else:
            self._tell_dropped()
            self._disk.backlog.put(block)

    def _tell_dropped(self) -> None:
        """Let the manifest tell what was left out, once it is over."""
        if not self._untold:
            return
        reason = f"{OVERRUN}, from {self._untold_from_ns} to {self._last_ns}"
        time_ns = self._clock_ns()
        self._disk.backlog.put(Dropped(time_ns=time_ns, count=self._untold, reason=reason))
        self._untold = self._untold_from_ns = 0
