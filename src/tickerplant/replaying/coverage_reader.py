"""Reads in a thread what recordings cover, so that the event loop never waits for files.

The thread works a fifth of the time: looking through a file of lines is Python's work, during which
nothing else of the process runs.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from threading import Event

from tickerplant.control.coverage_state import ReplayCoverage
from tickerplant.errors import RecordingError, RequestError
from tickerplant.recording.opening import recorded_files
from tickerplant.replaying.coverage import CoverageWalk, file_state
from tickerplant.replaying.plan import Plan, Span
from tickerplant.replaying.scan import Scan

ANSWER_S = 0.5
"""Recordings with a manifest are known by then, unless they are very large."""
WORK_S = 0.002
"""How long the thread works between two rests."""
REST_SHARE = 4
"""How long it rests, as a multiple of the time that it worked."""
UNREADABLE_CODE = -1


class _StoppedError(Exception):
    """The reader was closed."""


class CoverageReader:
    """What some recordings cover, read once, and again when a file has changed."""

    def __init__(self, found: Scan, plan: Plan, span: Span, *, answer_s: float = ANSWER_S) -> None:
        self._found = found
        self._plan = plan
        self._span = span
        self._answer_s = answer_s
        self._known: ReplayCoverage | None = None
        """The last result; one on the way while the first reading takes its time."""
        self._files: tuple[tuple[str, int, int], ...] = ()
        """The state of the files that the last complete result is of."""
        self._reading: asyncio.Future[None] | None = None
        self._stopped = Event()

    async def coverage(self) -> ReplayCoverage:
        """Return what the recordings cover, or what is known of it so far."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(None, self._read)
        await asyncio.wait({self._reading}, timeout=self._answer_s)
        if self._reading.done():
            self._reading.result()
        return self._known or CoverageWalk(self._found, self._plan, self._span).known()

    def close(self) -> None:
        """Stop reading; from now on the last result is returned."""
        self._stopped.set()

    def _read(self) -> None:
        """Look through the recordings, unless no file has changed since the last time."""
        paths = [file.path for file in self._found.files]
        walk = CoverageWalk(self._found, self._plan, self._span)
        try:
            files = file_state(recorded_files(paths))
            if files == self._files:
                return
            with suppress(_StoppedError):
                self._look_through(walk)
                self._known, self._files = walk.known(), files
        except RecordingError as error:
            raise RequestError(UNREADABLE_CODE, str(error), 503) from None

    def _look_through(self, walk: CoverageWalk) -> None:
        is_first = not self._files
        began_s = shown_s = time.perf_counter()
        for _ in walk.walk():
            now_s = time.perf_counter()
            if now_s - began_s < WORK_S:
                continue
            if is_first and now_s - shown_s >= self._answer_s / 2:
                shown_s = now_s
                self._known = walk.known()
                now_s = time.perf_counter()
            if self._stopped.wait(REST_SHARE * (now_s - began_s)):
                raise _StoppedError
            began_s = time.perf_counter()
