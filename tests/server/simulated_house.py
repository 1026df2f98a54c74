"""A server of a small simulated market whose clock is paused, with all that a control plane may have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from loopback import START_MS, TICK_MS, Clock, Loopback, listen

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.plant import Plant
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.server.server import Server
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.truth.truth import Truth
from tickerplant.venue import COINM, USDM


@asynccontextmanager
async def simulated_house(duration_ms: int | None = None) -> AsyncIterator[Loopback]:
    """Serve a simulated market of one symbol until the block ends."""
    traded = instruments(START_MS, ("BTCUSDT",))
    exchange = SimulatedExchange(traded, seed=7, start_ms=START_MS)
    truth = Truth()
    plant = Plant(
        traded, start_ms=START_MS, reserved_snapshot_ids=True, witness=truth.market.on_event
    )
    open_market(plant, exchange)
    source = SimulatedSource(exchange, plant, is_paused=True, duration_ms=duration_ms)
    clock, board = Clock(), FaultBoard(MarketClock(plant.timers), 1)
    server = Server(
        plant,
        ports={USDM.name: 0, COINM.name: 0},
        faults=board,
        steering=source,
        clock=clock,
        tick_ms=TICK_MS,
        truth=truth,
        listen=listen(),
    )
    server.plane.exchange = exchange
    server.plane.scenarios = ScenarioBoard(board.clock, board, exchange)
    await server.start()
    running = asyncio.create_task(source.run(server.congestion, server.readiness))
    try:
        yield Loopback(plant, server, clock)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await server.stop()
