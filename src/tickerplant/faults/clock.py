"""The clock of faults: market time in a simulation and a replay, connection time elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from tickerplant.market.timers import FAULT_RANK, Timers

Callback: TypeAlias = Callable[[int], object]
"""Called with its own due time in milliseconds."""


class Timer(Protocol):
    """A callback that is due."""

    def cancel(self) -> object:
        """Forget the callback."""


class FaultClock(Protocol):
    """The time by which faults begin and end."""

    @property
    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""

    is_market: bool
    """Whether it is the time of the market."""

    @property
    def gone_back_ms(self) -> int:
        """How far the clock has gone back in all; added to `now_ms`, the time never goes back."""

    def at(self, due_ms: int, callback: Callback) -> Timer:
        """Call `callback(due_ms)` once, when the time has come."""

    def after(self, delay_ms: int, callback: Callback) -> Timer:
        """Call `callback(due_ms)` once, so long after now, however far the clock goes back."""


class _MarketTimer:
    """A callback that is due at a market time."""

    def __init__(
        self, clock: MarketClock, due_ms: int, callback: Callback, *, keeps_left: bool
    ) -> None:
        self._clock = clock
        self.due_ms = due_ms
        self.keeps_left = keeps_left
        """Whether the time that is left stays the same when the clock goes back."""
        self._callback: Callback | None = callback

    def fire(self, _due_ms: int) -> None:
        callback = self._callback
        self.cancel()
        if callback is not None:
            callback(self.due_ms)

    def cancel(self) -> None:
        self._callback = None
        self._clock.pending.pop(self, None)


class MarketClock:
    """The clock of faults in a market whose time is its own: between its events, at the same places.

    What is due at a time happens after the minutes and aggregates that end then, and before the
    events of that time.  It outlives a restart of the market.
    """

    is_market = True

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self.pending: dict[_MarketTimer, None] = {}
        """The callbacks that are due later."""
        self.gone_back_ms = 0
        """How far the market has gone back in all: where a replay was sought back."""
        timers.on_restart.append(self._restart)

    @property
    def now_ms(self) -> int:
        """Market time, in milliseconds since 1970."""
        return self._timers.now_ms

    def at(self, due_ms: int, callback: Callback) -> Timer:
        """Call `callback(due_ms)` once, when market time has come there."""
        return self._set(_MarketTimer(self, due_ms, callback, keeps_left=False))

    def after(self, delay_ms: int, callback: Callback) -> Timer:
        """Call `callback(due_ms)` once, so long after now, however far the market goes back."""
        return self._set(_MarketTimer(self, self.now_ms + delay_ms, callback, keeps_left=True))

    def _set(self, timer: _MarketTimer) -> Timer:
        self.pending[timer] = None
        self._timers.at(timer.due_ms, FAULT_RANK, timer.fire)
        return timer

    def _restart(self, before_ms: int) -> None:
        back_ms = max(0, before_ms - self.now_ms)
        self.gone_back_ms += back_ms
        for timer in self.pending:
            if timer.keeps_left:
                timer.due_ms -= back_ms
            self._timers.at(timer.due_ms, FAULT_RANK, timer.fire)
