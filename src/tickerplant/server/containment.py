"""The wall around each connection: an error of one loses that connection, wherever it happens.

Market timers, flushes, checks and operations act on many connections in one loop, and an error that
left one of them would end the loop, and with it the market.  So whatever such a loop calls of a
connection is `contained`, and the timers that a connection sets are set on a `ContainedClock`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from tickerplant.faults.clock import Callback, FaultClock, Timer

P = ParamSpec("P")


class Abandonable(Protocol):
    """What belongs to one connection."""

    def abandon(self, error: Exception) -> object:
        """Count and log an error, and cut the connection; never raises."""


A = TypeVar("A", bound=Abandonable)


def contained(
    method: Callable[Concatenate[A, P], object],
) -> Callable[Concatenate[A, P], None]:
    """Return a method whose errors abandon the connection and do not reach the caller."""

    @wraps(method)
    def call(self: A, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns nobody else
            self.abandon(error)

    return call


class ContainedClock:
    """A clock of faults for the timers of one connection, whose errors abandon it."""

    def __init__(self, clock: FaultClock, owner: Abandonable) -> None:
        self.is_market = clock.is_market
        self._clock = clock
        self._owner = owner

    @property
    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""
        return self._clock.now_ms

    @property
    def gone_back_ms(self) -> int:
        """How far the clock has gone back in all."""
        return self._clock.gone_back_ms

    def at(self, due_ms: int, callback: Callback) -> Timer:
        """Call `callback(due_ms)` once, when the time has come."""
        return self._clock.at(due_ms, self._contained(callback))

    def after(self, delay_ms: int, callback: Callback) -> Timer:
        """Call `callback(due_ms)` once, so long after now, however far the clock goes back."""
        return self._clock.after(delay_ms, self._contained(callback))

    def _contained(self, callback: Callback) -> Callback:
        def call(due_ms: int) -> None:
            try:
                callback(due_ms)
            except Exception as error:  # noqa: BLE001  # whatever it is, it concerns nobody else
                self._owner.abandon(error)

        return call
