"""Hosted markets whose server runs in the event loop of the test, in the place of a child process."""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ParamSpec

import memory_loop
import pytest
from loopback import listen, looped

from tickerplant.config.settings import SimulateSettings
from tickerplant.errors import TickerplantError, UpstreamError
from tickerplant.hosted import market
from tickerplant.hosted.child import prepared
from tickerplant.hosted.process import ServerProcess
from tickerplant.hosted.protocol import (
    Request,
    exception_of,
    line_of,
    problem_of,
    read_request,
    state_answer,
)
from tickerplant.protocol.close_reasons import ENDED
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.server.server import Server
from tickerplant.serving.run import fault_board
from tickerplant.serving.scenarios import prepare_scenarios, read_scenarios
from tickerplant.serving.service import Service
from tickerplant.serving.simulate import simulate_service
from tickerplant.startup.lines import Addresses, Ready

P = ParamSpec("P")

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START_MS = 1_795_132_800_000
"""2026-11-20, when the recording begins."""


@asynccontextmanager
async def served(settings: Any, service: Service) -> AsyncIterator[Server]:
    """Serve in memory what a command serves, until the block ends."""
    faults = fault_board(settings, service)
    server = Server(
        service.plant,
        ports=dict.fromkeys(service.plant.venues, 0),
        limits=service.limits,
        faults=faults,
        forwarders=service.forwarders,
        steering=service.steering,
        coverage=service.coverage,
        listen=listen(),
    )
    server.congestion.awaits_returns = True
    for rule in settings.fault_rules:
        faults.add(rule)
    board = ScenarioBoard(faults.clock, faults, service.exchange)
    plane = server.plane
    plane.scenarios, plane.exchange, plane.origin = board, service.exchange, service.origin
    prepare_scenarios(read_scenarios(settings.scenario), board, server.readiness)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class ServerInLoop(ServerProcess):
    """Serves in the running loop what a child process would serve, from `start` to `kill`."""

    def __init__(self, name: str, on_lost: Callable[[TickerplantError], object]) -> None:
        super().__init__(name, on_lost)
        self._serving: asyncio.Task[None] | None = None

    async def start(self, request: Request) -> tuple[str, Ready]:
        """Serve; what cannot be served raises what the process would report."""
        self._served = asyncio.get_running_loop().create_future()
        try:
            venue, settings, service = prepared(read_request(line_of(request)))
        except TickerplantError as error:
            raise exception_of(problem_of(error)) from None
        self._steering = service.steering
        self._serving = asyncio.create_task(self._serve(venue, settings, service))
        started = await asyncio.shield(self._served)
        self.child = self  # type: ignore[assignment]  # what only says that there is one
        return started

    async def send(self, fields: Mapping[str, Any]) -> bytes:
        """Carry out a command of the clock as the process does."""
        if self._serving is None or self._serving.done():
            raise UpstreamError(self.name, "the market is closed")
        assert self._steering is not None
        try:
            state = await self._steering.steer(dict(fields)) if fields else self._steering.state()
        except TickerplantError as error:
            raise exception_of(problem_of(error)) from None
        return bytes(state_answer(0, state).state)

    def kill(self) -> None:
        """End the server."""
        self._is_killed = True
        if self._serving is not None:
            self._serving.cancel()
            self._fail(UpstreamError(self.name, "the market is closed"))

    async def _serve(self, venue: str, settings: Any, service: Service) -> None:
        try:
            async with served(settings, service) as server:
                venues = {
                    name: Addresses(streams=f"ws://{at}", api="", rest=f"http://{at}", symbols=0)
                    for name, at in server.urls.items()
                }
                self._served.set_result((venue, Ready(profile="", venues=venues)))
                await service.drive(server, server.congestion)
                server.end_streams(ENDED)
                await asyncio.Event().wait()
        except TickerplantError as error:
            self._fail(exception_of(problem_of(error)))


def in_one_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test in memory, together with the servers of the markets that it opens."""
    run_looped = looped(test)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(market, "ServerProcess", ServerInLoop)
            run_looped(*args, **kwargs)

    return pytest.mark.looped(run)


@cache
def tape() -> str:
    """Return the folder of a recording of six seconds of two contracts."""
    folder = Path(mkdtemp(prefix="tape"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with ThreadPoolExecutor(1) as thread:  # a loop may run in this one
        thread.submit(memory_loop.run, record(folder)).result()
    return str(folder / "usdm")


async def record(folder: Path) -> None:
    settings = SimulateSettings(
        symbols=SYMBOLS,
        intensity=0.5,
        quoting=0.5,
        start_ms=START_MS,
        duration_ms=6_000,
        speed=0,
        record=str(folder),
    )
    service = simulate_service(settings)
    assert service.record is not None
    async with served(settings, service) as server:
        urls = {name: f"ws://{at}" for name, at in server.urls.items()}
        taps = service.record(urls, server.readiness.warn)
        running = asyncio.create_task(taps.run())
        await service.drive(server, server.congestion)
        running.cancel()
        taps.close("the time is up")
