"""The synchronous `replay` and `simulate`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from tickerplant.client.blocking import Market
from tickerplant.client.event_loop import check_timeout, within
from tickerplant.client.loop_thread import LoopThread, as_of
from tickerplant.hosted import clock, market
from tickerplant.hosted.clock import ClockState


@as_of(market.replay)
def replay(hosted: market.ReplayMarket) -> ReplayMarket:
    """Return a synchronous market that plays recordings.  Use it with `with`, or call `close`.

    The server starts on first use.  The arguments are those of `tickerplant.replay`.

        with tickerplant.blocking.replay("tape", speed=10) as market:
            for trade in market.stream("btcusdt@trade"):
                print(trade)

    Raises:
        ConfigError: an argument is invalid.  What depends on the recording is raised when the market
            is opened, as `ConfigError` or `RecordingError`.
    """
    return ReplayMarket(hosted)


@as_of(market.simulate)
def simulate(hosted: market.SimulatedMarket) -> SimulatedMarket:
    """Return a synchronous simulated market.  Use it with `with`, or call `close`.

    The server starts on first use.  The arguments are those of `tickerplant.simulate`.

        with tickerplant.blocking.simulate(symbols=["BTCUSDT"]) as market:
            for trade in market.stream("btcusdt@trade"):
                print(trade)

    Raises:
        ConfigError: an argument is invalid.  What the server finds is raised when the market is
            opened.
    """
    return SimulatedMarket(hosted)


class HostedMarket(Market):
    """A synchronous market with a server of its own."""

    def __init__(self, hosted: market.HostedMarket) -> None:
        super().__init__(hosted)
        self.clock = MarketClock(self._thread, hosted.clock)
        """Market time: reads, pauses and changes it."""


class ReplayMarket(HostedMarket):
    """A synchronous `tickerplant.ReplayMarket`.  Thread-safe."""


class SimulatedMarket(HostedMarket):
    """A synchronous `tickerplant.SimulatedMarket`.  Thread-safe."""


class MarketClock:
    """A synchronous `tickerplant.MarketClock`.

    Each method raises `TimeoutError` if the answer does not come within `timeout_s`.

    Args:
        thread: Runs the client.
        inner: The clock.
    """

    def __init__(self, thread: LoopThread, inner: clock.MarketClock) -> None:
        self._thread = thread
        self._clock = inner

    def state(self, *, timeout_s: float | None = None) -> ClockState:
        """Return market time, speed, and whether it is paused; see `tickerplant.MarketClock`."""
        return self._wait("state", self._clock.state, timeout_s)

    def pause(self, *, timeout_s: float | None = None) -> ClockState:
        """Stop market time; return the state."""
        return self._wait("pause", self._clock.pause, timeout_s)

    def resume(self, *, timeout_s: float | None = None) -> ClockState:
        """Let market time continue; return the state."""
        return self._wait("resume", self._clock.resume, timeout_s)

    def set_speed(self, speed: float, *, timeout_s: float | None = None) -> ClockState:
        """Change the speed; return the state."""
        return self._wait("set_speed", lambda: self._clock.set_speed(speed), timeout_s)

    def seek(self, to: str | int | datetime, *, timeout_s: float | None = None) -> ClockState:
        """Continue from another position of a replay; return the state when it is reached."""
        return self._wait("seek", lambda: self._clock.seek(to), timeout_s)

    def step(self, by: int | str | timedelta = 1, *, timeout_s: float | None = None) -> ClockState:
        """Advance a paused market; return the state when everything in between was received."""
        return self._wait("step", lambda: self._clock.step(by), timeout_s)

    def _wait(
        self,
        what: str,
        ask: Callable[[], Coroutine[Any, Any, ClockState]],
        timeout_s: float | None,
    ) -> ClockState:
        check_timeout(timeout_s)
        return self._thread.wait(within(timeout_s, ask, lambda: f"{what}: no answer"))
