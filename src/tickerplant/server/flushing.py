"""When the frames that wait in the hubs of a server are written to its sockets.

Usually at the end of the turn of the event loop in which they were made.  When the writes take more than
their share of the core, flushes become rarer: each is followed by a rest, in which messages join those
that wait, so that one write takes several.  The market and the reading of sockets have that time, and a
long flush is done in slices with turns of the loop in between, so neither ever waits for readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tickerplant.hub.hub import Hub
from tickerplant.latency import Histogram
from tickerplant.server.congestion import Congestion

FLUSH_SHARE = 0.7
"""Most of the core that flushes take in the long run."""
REST_PER_FLUSH = (1 - FLUSH_SHARE) / FLUSH_SHARE
"""Rest that is owed for each second of flushing."""
TOLERATED_S = 0.005
"""Rest that may be owed before a flush waits: what bursts of messages and slices take."""
SHORTEST_REST_S, LONGEST_REST_S = 0.001, 0.010
LATE_MS = 20
"""A market that is later than this gets the time of flushes."""
SLICE_S = 0.004
"""How long a flush takes before the event loop has a turn, plus the writes to one audience."""
TIMES_CHECKING = 20
"""Congested connections are held against their bound after a flush, but no sooner than this many times
what the last such check took."""
LOOK_AFTER_WRITES = 64
"""Writes after which the clock is read."""


class FlushPace:
    """The rule by which flushes become rarer; pure, times are in seconds of one clock.

    Flushing owes rest, `REST_PER_FLUSH` of its time, and time without flushing pays it back.  While
    more than `TOLERATED_S` is owed, flushes wait for the difference, within `SHORTEST_REST_S` and
    `LONGEST_REST_S`.
    """

    def __init__(self) -> None:
        self._owed_s = 0.0
        self._ended_s = 0.0

    def note(self, began_s: float, ended_s: float) -> None:
        """Count a flush."""
        owed_s = max(0.0, self._owed_s - (began_s - self._ended_s))
        self._owed_s = owed_s + (ended_s - began_s) * REST_PER_FLUSH
        self._ended_s = ended_s

    @property
    def is_strained(self) -> bool:
        """Whether so much rest was owed after the last flush that another had to wait."""
        return self._owed_s > TOLERATED_S

    def rest_s(self, now_s: float) -> float:
        """Return how long the next flush must wait; 0 if it may follow at once."""
        rest_s = self._owed_s - (now_s - self._ended_s) - TOLERATED_S
        return min(max(rest_s, SHORTEST_REST_S), LONGEST_REST_S) if rest_s > 0 else 0.0


class Flusher:
    """Writes the frames that wait in `hubs`, at the end of a turn of the event loop or after a rest."""

    def __init__(
        self,
        hubs: Iterable[Hub],
        congestion: Congestion,
        time_s: Callable[[], float] | None = None,
    ) -> None:
        self.flushes = 0
        """Flushes so far, each slice of a long one counted."""
        self.continued = 0
        """Flushes that continued one that had taken its slice."""
        self.rested = 0
        """Flushes that waited for a rest, and not only for the end of a turn."""
        self.busy_s = 0.0
        """Time that all flushes took."""
        self.rest_s = 0.0
        """The rest before the last flush; 0 at the end of a turn."""
        self.publish_to_write = Histogram()
        """How long messages waited for their last write, one count for a group of writes."""
        self.is_market_late: Callable[[], bool] = lambda: False
        """Whether the market is late: then flushes rest as long as they may, until it has caught up."""
        self._loop: asyncio.AbstractEventLoop
        self._given_time_s = time_s
        self._time_s: Callable[[], float]
        self._hubs = tuple(hubs)
        self._congestion = congestion
        self._pace = FlushPace()
        self._is_scheduled = False
        self._check_s = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Flush in the turns of `loop` from now on."""
        self._loop = loop
        self._time_s = self._given_time_s or loop.time
        for hub in self._hubs:
            hub.wake = self._schedule
            hub.time_s = self._time_s
            hub.on_written = self.publish_to_write.observe

    def _schedule(self) -> None:
        if self._is_scheduled:
            return
        self._is_scheduled = True
        pace, self.rest_s = self._pace, 0.0
        if self.is_market_late():
            self.rest_s = LONGEST_REST_S
        elif pace.is_strained:
            self.rest_s = pace.rest_s(self._time_s())
        if self.rest_s:
            self.rested += 1
            self._loop.call_later(self.rest_s, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Flush for one slice, and schedule the next if frames still wait."""
        time_s, hubs = self._time_s, self._hubs
        began_s = now_s = time_s()
        waits = True
        while waits and now_s - began_s < SLICE_S:
            waits = False
            for hub in hubs:
                waits |= hub.flush_some(LOOK_AFTER_WRITES)
            now_s = time_s()
        self._pace.note(began_s, now_s)
        self.flushes += 1
        self.busy_s += now_s - began_s
        self._is_scheduled = False
        if waits:
            self.continued += 1
            self._schedule()
        if self._congestion.congested and now_s >= self._check_s:
            self._congestion.close_slow()
            checked_s = time_s()
            self._check_s = checked_s + (checked_s - now_s) * TIMES_CHECKING
