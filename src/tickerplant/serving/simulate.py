"""Serves a simulated market: `tickerplant simulate`."""

from __future__ import annotations

import time
from functools import partial

from tickerplant import logs
from tickerplant.config.settings import SimulateSettings
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.server import event_loop
from tickerplant.server.event_loop import connection_clock_ms
from tickerplant.serving.run import Echo, limits_from, plant_of, serve
from tickerplant.serving.service import Record, Service, drive_of
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.startup.process import without_collection
from tickerplant.truth.truth import Truth


def simulate(settings: SimulateSettings, echo: Echo) -> int:
    """Serve a simulated market until interrupted, or until its time is up; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: the recording cannot be written.
    """
    logs.configure(settings.log_format, settings.log_level)
    return event_loop.run(serve(settings, simulate_service(settings), echo))


def simulate_service(settings: SimulateSettings, truth: Truth | None = None) -> Service:
    """Return a service that simulates a market.

    Args:
        settings: The settings of the program.
        truth: Keeps what was; None if nothing does.

    Raises:
        ConfigError: a setting cannot be used.
    """
    limits = limits_from(settings)
    # A market that starts now keeps up with the wall clock, however long it takes to create.
    opened_s = time.monotonic() if settings.start_ms is None and not settings.wait_for else None
    start_ms = connection_clock_ms() if settings.start_ms is None else settings.start_ms
    with without_collection():
        traded = instruments(
            start_ms,
            settings.symbols or None,
            settings.symbol_count,
            PROFILES[settings.profile].underlying_types,
        )
        exchange = SimulatedExchange(
            traded,
            seed=settings.seed,
            start_ms=start_ms,
            intensity=settings.intensity,
            quoting=settings.quoting,
            listings=not settings.symbols and settings.symbol_count is None,
        )
        plant = plant_of(settings, traded, start_ms, reserved_snapshot_ids=True, truth=truth)
        open_market(plant, exchange)
    source = SimulatedSource(
        exchange,
        plant,
        speed=settings.speed,
        duration_ms=settings.duration_ms,
        wait_for=settings.wait_for,
        opened_s=opened_s,
        is_paused=settings.paused,
        waits=settings.slow_readers == "wait",
    )
    return Service(
        plant=plant,
        origin="simulation",
        drive=drive_of(source),
        limits=limits,
        steering=source,
        record=_record(settings, plant),
        exchange=exchange,
        truth=truth,
    )


def _record(settings: SimulateSettings, plant: Plant) -> Record | None:
    """Return what records the market, if it is to be recorded."""
    if not settings.record:
        return None
    from tickerplant.recorder.tap import Taps, TapSettings  # noqa: PLC0415  # takes long to import

    return partial(Taps, TapSettings(folder=settings.record, names=settings.record_streams), plant)
