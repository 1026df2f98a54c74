"""The simulated exchange as a source: in step with the clock, or as fast as possible."""

from __future__ import annotations

import asyncio

from tickerplant.plant import Plant
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.sources.source import Readers, Status, wait_for_subscribers

SLICE_S = 0.005
"""How long events are generated, and frames wait, without a turn of the event loop."""
MAX_SLEEP_S = 0.01
"""Longest sleep of the source: what is due without an event is sent within it."""


def open_market(plant: Plant, exchange: SimulatedExchange) -> None:
    """Give every market of `plant` its history and its opening events."""
    for instrument in exchange.instruments:
        symbol = instrument.symbol
        plant.markets[symbol].load_history(exchange.history(symbol))
        for event in exchange.opening(symbol):
            plant.publish(event)
    for event in exchange.opening_of_venues():
        plant.publish(event)


class SimulatedSource:
    """Drives a plant with a simulated exchange.

    Args:
        exchange: The source of the events.
        plant: Receives them.
        speed: Market seconds per second; 0 is as fast as the machine and the subscribers allow.
        duration_ms: Market time after which it ends; None is never.
        wait_for: Connections that must subscribe before the clock starts.
        opened_s: When the market opened, on the clock of the event loop; it catches up from there.
            None: it opens when `run` starts.
    """

    def __init__(
        self,
        exchange: SimulatedExchange,
        plant: Plant,
        *,
        speed: float = 1.0,
        duration_ms: int | None = None,
        wait_for: int = 0,
        opened_s: float | None = None,
    ) -> None:
        self._exchange = exchange
        self._plant = plant
        self._speed = speed
        self._wait_for = wait_for
        self._opened_s = opened_s
        self._start_ms = plant.now_ms
        self._end_ms = None if duration_ms is None else plant.now_ms + duration_ms

    async def run(self, readers: Readers, status: Status) -> None:
        """Run until the market time is up, or until cancelled.

        When it returns, market time is exactly the end, everything due by then has been sent, and no
        subscriber is congested.
        """
        await wait_for_subscribers(self._wait_for, readers, status)
        if self._speed:
            await self._run_in_step(status)
        else:
            await self._run_freely(readers)
        if self._end_ms is not None:
            self._plant.advance(self._end_ms)  # what is due at the end follows its last event
        await readers.wait_clear()
        status.ready(False, "the simulation is over")

    async def _run_in_step(self, status: Status) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock() if self._opened_s is None else self._opened_s
        while not self._over():
            wanted_ms = self._start_ms + int((clock() - began_s) * 1000 * self._speed)
            if self._end_ms is not None:
                wanted_ms = min(wanted_ms, self._end_ms)
            if self._play(wanted_ms):
                self._plant.advance(wanted_ms)
                wait_s = (self._exchange.next_time_ms - wanted_ms) / 1000 / self._speed
                await asyncio.sleep(min(max(wait_s, 0.001), MAX_SLEEP_S))
            else:
                await asyncio.sleep(0)
            status.lag_ms = max(0, wanted_ms - self._plant.now_ms)

    async def _run_freely(self, readers: Readers) -> None:
        while not self._play(self._end_ms):
            await asyncio.sleep(0)
            if readers.congested:
                await readers.wait_clear()

    def _over(self) -> bool:
        end_ms = self._end_ms
        if end_ms is None:
            return False
        return self._plant.now_ms >= end_ms and self._exchange.next_time_ms > end_ms

    def _play(self, until_ms: int | None) -> bool:
        """Play events up to `until_ms` for at most one slice; return whether all were played."""
        exchange, plant = self._exchange, self._plant
        clock = asyncio.get_running_loop().time
        stop_s = clock() + SLICE_S
        while until_ms is None or exchange.next_time_ms <= until_ms:
            time_ms, events = exchange.step()
            plant.advance_before(time_ms)
            for event in events:
                plant.publish(event)
            if clock() > stop_s:
                return False
        return True
