"""When faults happen: connection time as their clock, and between which messages."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import Callback, Timer
from tickerplant.server.endpoint import Endpoint
from tickerplant.server.event_loop import Clock


class _ConnectionTimer:
    """A callback that is due at a time of the connection clock."""

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class ConnectionClock:
    """The clock of faults where no market has a clock of its own, and for answers that come later."""

    is_market = False
    gone_back_ms = 0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, _ConnectionTimer]] = []
        self._set = 0
        self._handle: asyncio.TimerHandle | None = None

    @property
    def now_ms(self) -> int:
        """The connection clock, in milliseconds since 1970."""
        return self._clock()

    def at(self, due_ms: int, callback: Callback) -> _ConnectionTimer:
        """Call `callback(due_ms)` once, in a turn of the event loop when the time has come."""
        timer = _ConnectionTimer(callback)
        self._set += 1
        heappush(self._heap, (due_ms, self._set, timer))
        if self._heap[0][2] is timer:
            self._wake_later()
        return timer

    def after(self, delay_ms: int, callback: Callback) -> _ConnectionTimer:
        """Call `callback(due_ms)` once, so long after now."""
        return self.at(self.now_ms + delay_ms, callback)

    def tick(self) -> None:
        """Call back what is due."""
        heap, now_ms = self._heap, self._clock()
        while heap and (heap[0][0] <= now_ms or heap[0][2].callback is None):
            due_ms, _, timer = heappop(heap)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback(due_ms)

    def end(self) -> None:
        """Forget everything that is due later."""
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake_later(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        delay_ms = max(1, self._heap[0][0] - self._clock())
        self._handle = asyncio.get_running_loop().call_later(delay_ms / 1_000, self._wake)

    def _wake(self) -> None:
        self._handle = None
        self.tick()
        if self._heap and self._handle is None:
            self._wake_later()


class Timing:
    """The clocks of the faults of a server, and what was published before each of them."""

    def __init__(self, board: FaultBoard, clock: Clock, market_ms: Callable[[], int]) -> None:
        self.board = board
        self.market_ms = market_ms
        self.clock = kept = board.clock
        self.delays = kept if isinstance(kept, ConnectionClock) else ConnectionClock(clock)
        """The clock of answers that come later."""
        self._timed: Counter[Endpoint] = Counter()
        """The ports with connections for which it matters when something is written."""
        self._pulse: Timer | None = None
        self._stamp_ms: int | None = None

    def sent_ms(self) -> int:
        """Return when data that is written now was sent, on the clock of faults."""
        return self.clock.now_ms if self._stamp_ms is None else self._stamp_ms

    def begin_timed(self, endpoint: Endpoint) -> None:
        """Write all messages of a port in the millisecond of their market time from now on."""
        endpoint.hub.flush()
        self._timed[endpoint] += 1
        if self.clock.is_market and self._pulse is None:
            self._pulse_later()

    def end_timed(self, endpoint: Endpoint) -> None:
        """Undo one `begin_timed`."""
        self._timed[endpoint] -= 1
        if not +self._timed and self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None

    def _pulse_later(self) -> None:
        self._pulse = self.clock.after(1, self._beat)

    def _beat(self, due_ms: int) -> None:
        """Write what was published in the millisecond that is over."""
        self._stamp_ms = due_ms - 1
        try:
            for endpoint in +self._timed:
                endpoint.hub.flush()
        finally:
            self._stamp_ms = None
        self._pulse_later()
