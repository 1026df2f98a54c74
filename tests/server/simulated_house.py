"""A server of a small simulated market whose clock is paused, with all that a control plane may have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from loopback import START_MS, Loopback, serving

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.plant import Plant
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.truth.truth import Truth


def simulated(
    *symbols: str,
    start_ms: int = START_MS,
    count: int | None = None,
    truth: Truth | None = None,
    **options: Any,
) -> tuple[Plant, SimulatedExchange]:
    """Return a plant in which a simulated exchange has opened, and the exchange."""
    listed = instruments(start_ms, symbols or None, count)
    exchange = SimulatedExchange(listed, 7, start_ms, **options)
    witness = None if truth is None else truth.market.on_event
    plant = Plant(listed, start_ms=start_ms, reserved_snapshot_ids=True, witness=witness)
    open_market(plant, exchange)
    return plant, exchange


@asynccontextmanager
async def simulated_house(duration_ms: int | None = None) -> AsyncIterator[Loopback]:
    """Serve a simulated market of one symbol until the block ends."""
    truth = Truth()
    plant, exchange = simulated("BTCUSDT", truth=truth)
    source = SimulatedSource(exchange, plant, is_paused=True, duration_ms=duration_ms)
    board = FaultBoard(MarketClock(plant.timers), 1)
    async with serving(plant, source, faults=board, steering=source, truth=truth) as house:
        house.server.plane.exchange = exchange
        house.server.plane.scenarios = ScenarioBoard(board.clock, board, exchange)
        yield house
