"""Connection time as the clock of faults: in a relay, at edges, and for answers that come later."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush

from tickerplant.faults.clock import Callback
from tickerplant.server.event_loop import Clock


class _ConnectionTimer:
    """A callback that is due at a time of the connection clock."""

    def __init__(self, due_ms: int, callback: Callback) -> None:
        self.due_ms = due_ms
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Forget the callback."""
        self.callback = None


class ConnectionClock:
    """The clock of faults where no market has a clock of its own."""

    is_market = False
    gone_back_ms = 0
    """It never goes back."""

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
        timer = _ConnectionTimer(due_ms, callback)
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
