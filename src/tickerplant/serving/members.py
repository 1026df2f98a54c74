"""How the processes that serve one plant reach each other: the bus, and the workers of a program."""

from __future__ import annotations

from collections.abc import Iterable

from tickerplant.cluster.connection import BusSettings
from tickerplant.config.settings import ListenSettings
from tickerplant.serving.launch import command_of
from tickerplant.serving.shared_ports import SharedPorts
from tickerplant.serving.tls import Tls
from tickerplant.serving.workers import Workers
from tickerplant.venue import COINM, USDM, Venue

WORKER = "tickerplant.serving.worker"
"""The program of a worker."""
STOP_MARGIN_S = 3.0
"""How much longer than the grace of its connections a worker may take to end."""


def bus_settings(settings: ListenSettings) -> BusSettings:
    """Return how to reach the bus that is given."""
    return BusSettings(
        servers=settings.bus,
        prefix=settings.bus_prefix,
        user=settings.bus_user or "",
        password=settings.bus_password or "",
        token=settings.bus_token or "",
        credentials=settings.bus_credentials or "",
        ca=settings.bus_ca or "",
        certificate=settings.bus_cert or "",
        key=settings.bus_key or "",
    )


def workers_of(
    settings: ListenSettings,
    bus: BusSettings,
    venues: Iterable[Venue],
    tls: Tls | None,
    close_grace_ms: int,
    name: str,
) -> Workers:
    """Return the workers of a program, which are not started.

    Args:
        settings: The settings of the program.
        bus: How the workers reach the plant.
        venues: The venues that are served.
        tls: The certificate of the ports.
        close_grace_ms: How long a connection may take to close.
        name: What the workers are called, followed by their numbers; empty: the numbers alone.
    """
    numbers = {USDM.name: settings.usdm_port, COINM.name: settings.coinm_port}
    fields = {
        "host": settings.host,
        "tls_cert": tls.path if tls else None,
        "tls_key": tls.key if tls else None,
        "trusted_proxy": settings.trusted_proxy,
        "public_name": settings.public_name,
        "plant": settings.plant,
        "bus_grace_ms": settings.bus_grace_ms,
        "log_format": settings.log_format,
        "log_level": settings.log_level,
    }
    return Workers(
        command_of(WORKER, "worker", settings.plant),
        fields,
        bus,
        name,
        SharedPorts(settings.host, numbers, tuple(venues)),
        settings.workers,
        are_beside_plant=not settings.bus,  # the bus is the program's own, so the plant is too
        stop_timeout_s=close_grace_ms / 1_000 + STOP_MARGIN_S,
    )
