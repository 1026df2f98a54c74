"""Markets with a server of their own: `replay` and `simulate`."""

from __future__ import annotations

import asyncio
from asyncio import sleep
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Literal, TypeAlias
from weakref import finalize

from msgspec import Struct

from tickerplant.client.market import Market
from tickerplant.client.runner import FeedRunner
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.feed.hosts import hosts_of, venue_of_name
from tickerplant.feed.settings import ClientSettings, check_settings
from tickerplant.feed.weight import WeightBudget
from tickerplant.hosted.arguments import (
    duration_ms_of,
    names_of,
    simulation_fields,
    spec_of,
    speed_of,
)
from tickerplant.hosted.clock import MarketClock
from tickerplant.hosted.process import ServerProcess
from tickerplant.hosted.protocol import ReplayRequest, Request, SimulateRequest
from tickerplant.recording.timestamps import Instant
from tickerplant.venue import USDM, VenueName

StrPath: TypeAlias = str | PathLike[str]

POLL_S = 0.002
"""How often it is checked whether the clock is to start, and the position is reached."""
_UNKNOWN = "ws://127.0.0.1:1"
"""The address before the server has one."""


def replay(
    *paths: StrPath,
    venue: VenueName | None = None,
    symbols: Iterable[str] = (),
    streams: Iterable[str] = (),
    start: Instant | None = None,
    end: Instant | None = None,
    speed: float = 1.0,
    paused: bool = False,
    loop: bool = False,
    pace: Literal["receive", "event"] = "receive",
    faults: Mapping[str, str] | None = None,
    scenario: str | Iterable[str] = (),
    settings: ClientSettings | None = None,
) -> ReplayMarket:
    """Return a market that plays recordings.  Use it as one from `connect`.

    It brings its own server, a child process.  The clock starts when the program waits for the first
    message.  While the program handles a message, nothing else is delivered: books and other streams
    are as of that message, at any speed.  After the last message, iterations over subscriptions and
    books end.

        async with tickerplant.replay("tape", speed=10) as market:
            async for trade in market.stream("btcusdt@trade"):
                print(trade)

    Args:
        paths: The folder of a recording, a folder of such folders, a segment, or a file of lines.
        venue: `usdm` or `coinm`.  Only needed if the recordings are of both.
        symbols: Play only streams of these symbols.
        streams: Play only these streams.  What can be derived from them is derived.
        start: A time, or an offset such as `+90s` from the beginning or `-5m` from the end.
        end: A time (exclusive), or an offset such as `+1h` from `start` or `-5m` from the end.
        speed: Recorded seconds per second; 0 is as fast as the program reads.
        paused: Leave the clock to the program: `market.clock.resume()`.
        loop: Start over at the end.
        pace: Pace by receive times or by event times.
        faults: Faults to inject, such as `{"reset": "30s"}`.
        scenario: A scenario that has only faults, which starts with the clock: its name in
            `tickerplant scenarios`, or the path of a TOML file; or several.
        settings: Client settings.

    Raises:
        ConfigError: an argument is invalid.  What depends on the recording is raised when the market
            is opened, as `ConfigError` or `RecordingError`.
    """
    if pace not in {"receive", "event"}:
        raise ConfigError("pace", pace, "receive or event")
    if not paths:
        raise ConfigError("paths", None, "the folder of a recording, or a file")
    fields = {
        "symbols": names_of("symbols", symbols),
        "streams": names_of("streams", streams),
        "begin": spec_of("start", start),
        "end": spec_of("end", end),
        "speed": speed_of(speed),
        "loop": loop,
        "exit_at_end": not loop,
        "pace": pace,
        "faults": dict(faults or {}),
        "scenario": names_of("scenario", scenario),
        "paused": True,
    }
    request = ReplayRequest(
        paths=tuple(fspath(each) for each in paths),
        venue=None if venue is None else venue_of_name(venue).name,
        settings={name: value for name, value in fields.items() if value not in (None, (), {})},
    )
    name = f"replay of {', '.join(request.paths[:3])}"
    return ReplayMarket(Hosting(name, request, paused=paused), checked(settings))


def simulate(
    venue: VenueName = "usdm",
    *,
    seed: int = 1,
    symbols: Iterable[str] = (),
    start: Instant | None = None,
    duration: str | None = None,
    speed: float = 1.0,
    intensity: float = 1.0,
    quoting: float = 1.0,
    paused: bool = False,
    faults: Mapping[str, str] | None = None,
    scenario: str | Iterable[str] = (),
    settings: ClientSettings | None = None,
) -> SimulatedMarket:
    """Return a simulated market.  Use it as one from `connect`.

    It brings its own server, a child process.  The clock starts when the program waits for the first
    message.  While the program handles a message, nothing else is delivered: books and other streams
    are as of that message, at any speed.

        async with tickerplant.simulate(symbols=["BTCUSDT"]) as market:
            async for trade in market.stream("btcusdt@trade"):
                print(trade)

    Args:
        venue: `usdm` or `coinm`.
        seed: Together with `start` it determines the market completely.
        symbols: Simulate only these; fewer symbols start faster.
        start: The time at which the market starts; now if missing.
        duration: Market time after which it is over, such as `10m`; unlimited if missing.
        speed: Market seconds per second; 0 is as fast as the program reads.
        intensity: Multiplier for the order flow.
        quoting: Share of the usual quoting of makers, up to 1; less is faster to simulate.
        paused: Leave the clock to the program: `market.clock.resume()`.
        faults: Faults to inject, such as `{"reset": "30s"}`.
        scenario: A scenario that starts with the clock, such as `flash-crash`: its name in
            `tickerplant scenarios`, or the path of a TOML file; or several.
        settings: Client settings.

    Raises:
        ConfigError: an argument is invalid.  What the server finds is raised when the market is
            opened.
    """
    market = simulation_fields(
        seed=seed, symbols=symbols, start=start, intensity=intensity, quoting=quoting
    )
    fields = market | {
        "duration_ms": duration_ms_of(duration),
        "speed": speed_of(speed),
        "faults": dict(faults or {}),
        "scenario": names_of("scenario", scenario),
        "paused": True,
    }
    request = SimulateRequest(
        venue=venue_of_name(venue).name,
        settings={name: value for name, value in fields.items() if value not in (None, {})},
    )
    return SimulatedMarket(Hosting("simulation", request, paused=paused), checked(settings))


class Hosting(Struct, frozen=True):
    """The server that a market brings."""

    name: str
    """What it serves, for errors."""
    request: Request
    paused: bool
    """Whether the clock is left to the program."""


class HostedMarket(Market):
    """A market with a server of its own, from when it is opened until it is closed."""

    def __init__(self, hosting: Hosting, settings: ClientSettings) -> None:
        venue = USDM if hosting.request.venue is None else venue_of_name(hosting.request.venue)
        super().__init__(hosts_of(venue, _UNKNOWN), settings, WeightBudget())
        self._hosting = hosting
        self._process = ServerProcess(hosting.name, self._lose)
        self._starting: asyncio.Task[None] | None = None
        self.clock = MarketClock(self._process, self._present_runner)
        """Market time: reads, pauses and changes it."""

    @property
    def venue(self) -> VenueName:
        """The venue, `usdm` or `coinm`.

        Raises:
            RuntimeError: it is that of the recordings, and the market was not opened yet.
        """
        if self._hosting.request.venue is None and self._process.child is None:
            raise RuntimeError("the venue is that of the recordings, known once the market is open")
        return super().venue

    def _present_runner(self) -> FeedRunner:
        return self._runner

    async def _open(self) -> None:
        if self._was_opened:
            raise RuntimeError("a market is opened once; make another one")
        self._was_opened = True
        try:
            venue, ready = await self._process.start(self._hosting.request)
            if self._process.child is not None:
                finalize(self, self._process.kill).atexit = False  # the child ends by itself then
            self._use(hosts_of(venue_of_name(venue), ready.venues[venue].streams))
            request = self._hosting.request
            self._runner.keep_in_step(
                shows_snapshots=isinstance(request, ReplayRequest)
                and not {"faults", "scenario"} & request.settings.keys()
            )
            await self._reach_start()
        except BaseException:
            self._process.kill()
            raise
        self._was_opened = False
        self._begin()
        if not self._hosting.paused:
            self._starting = asyncio.create_task(_start_when_read(self._runner, self.clock))

    async def _reach_start(self) -> None:
        while (await self.clock.state()).phase in {"waiting", "warming up"}:  # noqa: ASYNC110
            await sleep(POLL_S)

    async def _shut(self) -> None:
        if self._is_open:
            self._runner.check_loop()
        if self._starting is not None:
            self._starting.cancel()
        try:
            await super()._shut()
        finally:
            self._process.kill()

    def _check_open(self) -> None:
        super()._check_open()
        if self._runner.failure is not None:
            raise self._runner.failure

    def _lose(self, failure: TickerplantError) -> None:
        self._runner.end(failure)


class ReplayMarket(HostedMarket):
    """A market that plays recordings; what `tickerplant.replay` returns.

    It is used as any other market.  Its `clock` pauses, steps and seeks.
    """


class SimulatedMarket(HostedMarket):
    """A simulated market; what `tickerplant.simulate` returns.

    It is used as any other market.  Its `clock` pauses, steps and changes the speed.
    """


async def _start_when_read(runner: FeedRunner, clock: MarketClock) -> None:
    """Start the clock when something waits for messages; it waits for the acknowledgements itself."""
    while not (runner.is_awaited and runner.feed.merged_streams):
        await sleep(POLL_S)
        if clock.is_started:
            return
    await clock.resume()


def checked(settings: ClientSettings | None) -> ClientSettings:
    """Return the settings of a client.

    Raises:
        ConfigError: they are invalid.
    """
    settings = ClientSettings() if settings is None else settings
    check_settings(settings)
    return settings
