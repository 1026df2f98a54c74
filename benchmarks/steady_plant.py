"""A plant with a steady market: `python -m benchmarks.steady_plant --events 1000 --streams 100`.

Its events are best prices, one a turn of the event loop, of the symbols in turn.  The id of an event is
the wall clock when it was made, in nanoseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

import click

from tickerplant import logs
from tickerplant.config.settings import SimulateSettings
from tickerplant.events import BookTicker
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.readiness import Readiness
from tickerplant.server import event_loop
from tickerplant.serving.run import limits_from, serve
from tickerplant.serving.service import Service, drive_of
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.source import Readers
from tickerplant.venue import USDM


class SteadySource:
    """Publishes `events_per_s` best prices a second, each on time or at once."""

    def __init__(self, plant: Plant, traded: list[Instrument], events_per_s: float) -> None:
        self._plant = plant
        self._traded = traded
        self._events_per_s = events_per_s

    async def run(self, _readers: Readers, status: Readiness) -> None:
        """Publish until cancelled."""
        status.ready(True)
        plant, loop = self._plant, asyncio.get_running_loop()
        middles = {each.symbol: each.max_price // 60 for each in self._traded}
        began_s = loop.time()
        for number, symbol in enumerate(itertools.cycle(middles)):
            wait_s = began_s + number / self._events_per_s - loop.time()
            await asyncio.sleep(max(0, wait_s))
            now_ns = time.time_ns()
            now_ms = max(plant.now_ms, now_ns // 1_000_000)
            plant.advance(now_ms)
            middle = middles[symbol]
            plant.publish(BookTicker(symbol, now_ns, middle, 1_000, middle + 1, 2_000, now_ms))


def listed(streams: int, now_ms: int) -> list[Instrument]:
    """Return the contracts of a market with so many symbols."""
    found = instruments(now_ms, symbol_count=4 * streams + 20)
    return [each for each in found if each.venue is USDM and each.perpetual][:streams]


@click.command()
@click.option("--events", type=float, required=True, help="Events a second.")
@click.option("--streams", type=int, required=True, help="Symbols.")
@click.option("--bus", default="", help="URL of a NATS server.")
@click.option("--usdm-port", type=int, default=0)
@click.option("--coinm-port", type=int, default=0)
@click.option("--log-level", default="warning")
def main(
    *, events: float, streams: int, bus: str, usdm_port: int, coinm_port: int, log_level: str
) -> None:
    """Serve until interrupted."""
    settings = SimulateSettings(
        usdm_port=usdm_port, coinm_port=coinm_port, limits="off", bus=(bus,) if bus else ()
    )
    logs.configure(settings.log_format, log_level)
    now_ms = event_loop.connection_clock_ms()
    traded = listed(streams, now_ms)
    plant = Plant(traded, start_ms=now_ms)
    service = Service(
        plant=plant,
        origin="simulation",
        drive=drive_of(SteadySource(plant, traded, events)),
        limits=limits_from(settings),
    )
    sys.exit(event_loop.run(serve(settings, service, click.echo)))


if __name__ == "__main__":
    main()
