"""The clock of a market that brings its own server."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from weakref import WeakMethod

import msgspec
from msgspec import Struct

from tickerplant.client.runner import FeedRunner
from tickerplant.hosted.process import ServerProcess

POLL_S = 0.02
"""How often the state is read while something takes long."""
SETTLE_POLL_S = 0.002
"""How often it is checked whether everything is acknowledged."""
SETTLED_S = 10.0
"""The longest wait for acknowledgements and snapshots, for example while faults are injected."""
CAUGHT_UP_S = 1.0
"""The longest wait for what a step sent, for example while a queue is full."""


class ClockState(Struct, frozen=True, kw_only=True):
    """The position of a replay or a simulation, and how it continues."""

    time_ms: int
    """Market time, ms since 1970."""
    speed: float
    """Market seconds per second; 0 is as fast as possible."""
    is_paused: bool = msgspec.field(name="paused")
    """Whether it is paused."""
    phase: Literal["waiting", "warming up", "playing", "paused", "over"] = msgspec.field(
        name="state"
    )
    """`warming up` silently before a position, `playing`, `paused` or `over`."""
    messages: int
    """Recorded messages that were played, or simulated events, so far."""
    received_ns: int | None = None
    """Position in the recordings, in ns since 1970; None for a simulation."""
    start_ns: int | None = msgspec.field(name="from_ns", default=None)
    """Where the replay begins; None for a simulation."""
    end_ns: int | None = msgspec.field(name="to_ns", default=None)
    """Where it ends; None if that is not known."""
    pending: bool = False
    """Whether a seek or a step is not done yet."""

    @property
    def time(self) -> datetime:
        """Market time, as a date in UTC."""
        return datetime.fromtimestamp(self.time_ms / 1_000, UTC)


_read_state = msgspec.json.Decoder(ClockState).decode


class MarketClock:
    """Reads and sets the clock of a replay or a simulation.

    The clock starts by itself when the program waits for the first message, and everything it has
    subscribed to by then is acknowledged; unless the market was opened with `paused=True`, or
    `pause`, `resume` or `step` was called before.
    """

    def __init__(self, process: ServerProcess, runner: Callable[[], FeedRunner]) -> None:
        self.is_started = False
        """Whether it was started, or is left to the program."""
        self._process = process
        # The market has its clock; a reference back would keep it, and its server, after its last use.
        self._runner_of = WeakMethod(runner)

    async def state(self) -> ClockState:
        """Return market time, speed, and whether it is paused.

        Raises:
            UpstreamError: the server has ended.
        """
        return await self._send({})

    async def pause(self) -> ClockState:
        """Stop market time; return the state.

        Raises:
            RequestError: the market is over.
            UpstreamError: the server has ended.
        """
        self.is_started = True
        return await self._send({"paused": True})

    async def resume(self) -> ClockState:
        """Let market time continue, once what was subscribed to is acknowledged; return the state.

        Raises:
            RequestError: the market is over.
            UpstreamError: the server has ended.
        """
        self.is_started = True
        await self._settle()
        return await self._send({"paused": False})

    async def set_speed(self, speed: float) -> ClockState:
        """Change the speed; return the state.

        Args:
            speed: Market seconds per second; 0 is as fast as possible.

        Raises:
            ConfigError: it is out of bounds.
            RequestError: the market is over.
            UpstreamError: the server has ended.
        """
        return await self._send({"speed": speed})

    async def seek(self, to: str | int | datetime) -> ClockState:
        """Continue from another position of a replay; return the state when it is reached.

        Before a position in the middle, earlier messages are played silently, so that REST, candles
        and books are as they were then.  Local books resynchronise.

            await market.clock.seek("+10m")

        Args:
            to: A time in the recording, or an offset from the current position such as `+90s`.

        Raises:
            ConfigError: `to` is invalid.
            RequestError: it is not in the recording, the market is a simulation, or is over.
            UpstreamError: the server has ended.
        """
        state = await self._complete({"seek": _text_of(to)})
        if runner := self._runner:
            runner.jumped()
        return state

    async def step(self, by: int | str | timedelta = 1) -> ClockState:
        """Advance a paused market; return the state when everything in between was received.

        It begins once what was subscribed to is acknowledged.  A step that fills a queue goes on when
        another task reads it.

            await market.clock.pause()
            await market.clock.step("100ms")

        Args:
            by: Market time, such as `100ms` or a timedelta; or, in a replay, a number of messages.

        Raises:
            ConfigError: `by` is invalid.
            RequestError: the market is not paused, or is over.
            UpstreamError: the server has ended.
        """
        self.is_started = True
        await self._settle()
        return await self._complete({"step": _text_of(by)})

    @property
    def _runner(self) -> FeedRunner | None:
        """The runner of the market; None after its last use."""
        found = self._runner_of()
        return found() if found else None

    async def _settle(self) -> None:
        """Return when what was subscribed to is acknowledged, and every book had its first snapshot.

        Return after a while in any case.
        """
        runner = self._runner
        if runner is None:
            return
        with runner.waiting():
            loop = asyncio.get_running_loop()
            until_s = loop.time() + SETTLED_S
            while not runner.is_prepared and loop.time() < until_s:  # noqa: ASYNC110
                await sleep(SETTLE_POLL_S)

    async def _complete(self, fields: dict[str, Any]) -> ClockState:
        runner = self._runner
        with nullcontext() if runner is None else runner.waiting():
            state = await self._send(fields)
            while state.pending:
                await sleep(POLL_S)
                state = await self._send({})
            if runner is not None:
                await runner.catch_up(CAUGHT_UP_S)
            return state

    async def _send(self, fields: dict[str, Any]) -> ClockState:
        return _read_state(await self._process.send(fields))


def _text_of(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value // timedelta(microseconds=1) / 1_000:f}ms"
    return value
