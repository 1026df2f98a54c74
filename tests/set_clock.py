"""A clock of faults that a test sets."""

from __future__ import annotations

from heapq import heappop, heappush

from tickerplant.faults.clock import Callback

START_MS = 1_767_225_600_000


class SetTimer:
    def __init__(self, due_ms: int, callback: Callback) -> None:
        self.due_ms = due_ms
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class SetClock:
    """Time goes on when `go_on` is called, and what is due happens in its order."""

    is_market = True
    gone_back_ms = 0

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._heap: list[tuple[int, int, SetTimer]] = []
        self._set = 0

    def at(self, due_ms: int, callback: Callback) -> SetTimer:
        timer = SetTimer(due_ms, callback)
        self._set += 1
        heappush(self._heap, (due_ms, self._set, timer))
        return timer

    def after(self, delay_ms: int, callback: Callback) -> SetTimer:
        return self.at(self.now_ms + delay_ms, callback)

    def go_on(self, by_ms: int) -> None:
        until_ms = self.now_ms + by_ms
        while self._heap and self._heap[0][0] <= until_ms:
            due_ms, _, timer = heappop(self._heap)
            self.now_ms = max(self.now_ms, due_ms)
            if timer.callback is not None:
                timer.callback(due_ms)
        self.now_ms = until_ms
