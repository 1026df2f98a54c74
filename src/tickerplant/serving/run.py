"""Puts a plant, its source and a server together, and runs them until one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tickerplant.cluster.options import uses_bus
from tickerplant.config.settings import ServeSettings
from tickerplant.errors import HIDDEN, ConfigError, TickerplantError
from tickerplant.faults.board import FaultBoard, FaultOn, faults_text, passed_on
from tickerplant.faults.clock import MarketClock
from tickerplant.instrument import Instrument
from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.protocol.close_reasons import ENDED
from tickerplant.protocol.limits import LIMIT_ROWS, LIMITS, Limits
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.scenarios.scenario import Scenario
from tickerplant.server import event_loop
from tickerplant.server.event_loop import connection_clock_ms
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.proxies import is_loopback
from tickerplant.server.server import Server
from tickerplant.server.token import SHORTEST
from tickerplant.server.welcome import LIMITS_OFF, ONLY_HERE, is_reached_from_elsewhere
from tickerplant.server.window import window
from tickerplant.serving.scenarios import log_scenario, prepare_scenarios, read_scenarios
from tickerplant.serving.service import Service
from tickerplant.startup.process import (
    allow_many_connections,
    end_with_input,
    freeze_objects,
    interruption,
)
from tickerplant.startup.ready import (
    Offer,
    announce,
    examples_of,
    symbol_counts_of,
    totals_lines,
)
from tickerplant.startup.tls import follow_hangups, tls_of
from tickerplant.suggestions import one_of
from tickerplant.truth.truth import Truth
from tickerplant.venue import COINM, USDM, VENUES

if TYPE_CHECKING:  # import what only a bus or TLS needs
    from tickerplant.cluster.program import Cluster
    from tickerplant.server.certificate import ServedCertificate

TIMES_OF_WORKERS = (
    "Workers and edges have no market time: faults that happen by time differ between runs."
)
FAILED = 1
"""Exit status when not everything was recorded, or serving ended by an unexpected error."""
Echo: TypeAlias = Callable[[str], object]
"""Prints lines for the user: the addresses when ready, the totals at the end."""


def limits_of(changes: Mapping[str, int], *, enforced: bool = True) -> Limits:
    """Return the limits of the protocol with some of the numbers changed.

    Args:
        changes: The numbers, by the name of the limit.
        enforced: Whether the limits of the exchange are enforced, or only counted.

    Raises:
        ConfigError: there is no such limit, or a number cannot be used.
    """
    known = {row.name: row for row in LIMIT_ROWS}
    for name, number in changes.items():
        if name not in known:
            raise ConfigError("--limit", name, one_of(name, known))
        if isinstance(known[name].default, bool) and number not in {0, 1}:
            raise ConfigError(name, number, "0 or 1")
    changed = {name: type(known[name].default)(number) for name, number in changes.items()}
    # `msgspec.convert` would turn a ConfigError into an error of its own.
    return Limits(**msgspec.structs.asdict(LIMITS) | changed | {"enforced": enforced})


def limits_from(settings: ServeSettings) -> Limits:
    """Return the limits of a server.

    Raises:
        ConfigError: there is no such limit, or a number cannot be used.
    """
    return limits_of(settings.limit_numbers, enforced=settings.limits == "exchange")


def plant_of(
    settings: ServeSettings,
    traded: Iterable[Instrument],
    start_ms: int,
    *,
    reserved_snapshot_ids: bool = False,
    truth: Truth | None = None,
) -> Plant:
    """Return a plant of the contracts `traded`, whose market time begins at `start_ms`.

    Args:
        settings: The settings of its protocol.
        traded: The contracts.
        start_ms: Market time at the start.
        reserved_snapshot_ids: See `Plant`.
        truth: Takes what happens in its markets.
    """
    plant = Plant(
        traded,
        start_ms=start_ms,
        profile=PROFILES[settings.profile],
        strict_routing=settings.routing == "strict",
        reserved_snapshot_ids=reserved_snapshot_ids,
        witness=None if truth is None else truth.market.on_event,
    )
    if truth is not None:
        truth.sent.now_ms = lambda: plant.now_ms
    return plant


def fault_board(settings: ServeSettings, service: Service) -> FaultBoard:
    """Return a board without rules: in market time if the market has a time of its own."""
    is_relay = service.origin == "relay"
    clock = ConnectionClock(connection_clock_ms) if is_relay else MarketClock(service.plant.timers)
    return FaultBoard(clock, settings.fault_seed)


async def serve(
    settings: ServeSettings,
    service: Service,
    echo: Echo,
    interrupted: asyncio.Future[None] | None = None,
    scenarios: Sequence[Scenario] | None = None,
) -> int:
    """Serve until interrupted, or until the source ends.

    Args:
        settings: Where to listen.
        service: What to serve.
        echo: Prints the lines for the user.
        interrupted: Is done at the first Ctrl-C or SIGTERM; made here if missing.
        scenarios: What starts together with the source; those of the settings if missing.

    Returns:
        The exit status: 0, or 1 if not everything was recorded, or by an unexpected error.

    Raises:
        ConfigError: an address, a port or a stream to record cannot be used.
        RecordingError: the recording cannot be written.
        TickerplantError: the source failed.
    """
    refuse_guessable(settings)
    started_s = time.monotonic()
    plant, origins = service.plant, service.origins
    allow_many_connections()
    tls = tls_of(settings)
    faults = fault_board(settings, service)
    server = Server(
        plant,
        host=settings.host,
        tls=tls,
        trusted_proxies=settings.trusted_proxy,
        public_names=settings.public_name,
        ports={USDM.name: settings.usdm_port, COINM.name: settings.coinm_port},
        venues=VENUES if origins is None else tuple(origins),
        limits=service.limits,
        faults=faults,
        forwarders=service.forwarders,
        steering=service.steering,
        coverage=service.coverage,
        policy=settings.delivery,
        listens=not settings.workers,
        truth=service.truth,
        follows_market=service.follows_market,
        control_token=service.control_token or settings.control_token or "",
        compresses=settings.rest_compression == "gzip",
    )
    server.congestion.awaits_returns = service.awaits_clients
    for rule in settings.fault_rules:
        faults.add(rule)
    board = ScenarioBoard(faults.clock, faults, service.exchange, log_scenario)
    sources = {venue.name: words.strip() for venue, words in (origins or {}).items()}
    plane = server.plane
    plane.scenarios, plane.exchange = board, service.exchange
    plane.origin, plane.sources = service.origin, sources
    wanted = read_scenarios(settings.scenario) if scenarios is None else scenarios
    prepare_scenarios(wanted, board, server.readiness)
    event_loop.report_faults(server.complaints)
    cluster = _cluster(settings, service, server, tls)
    serves: Server | Cluster = cluster or server
    await serves.start()
    try:
        urls = {name: f"{server.schemes[0]}://{at}" for name, at in server.urls.items()}
        taps = service.record(urls, server.readiness.warn) if service.record else None
    except BaseException:
        await serves.stop()
        raise
    recording, ended = asyncio.create_task(taps.run()) if taps else None, ""
    try:
        service.on_ready()
        # Whoever reads the addresses may end it at once.
        interrupted = interrupted or interruption()
        announce(_offer(settings, server, service, tls), echo, as_json=settings.json)
        ended = "it failed"
        ended = await _drive(settings, service, server, cluster, tls, interrupted)
    except Exception as error:
        if not ended or isinstance(error, TickerplantError):
            raise
        logger().exception("! serving failed")
        return FAILED
    finally:
        if recording is not None:
            recording.cancel()
        recorded = taps.close(ended or "it did not start") if taps else ()
        await serves.stop()
        seconds, events = time.monotonic() - started_s, plant.published.total()
        for line in totals_lines(
            server.totals, events, seconds, ended, recorded, as_json=settings.json
        ):
            if ended:
                echo(line)
    return FAILED if taps and taps.has_failed else 0


async def _drive(
    settings: ServeSettings,
    service: Service,
    server: Server,
    cluster: Cluster | None,
    tls: ServedCertificate | None,
    interrupted: asyncio.Future[None],
) -> str:
    """Drive the plant until something ends it, and return what that was."""
    freeze_objects()
    if service.ends_with_input:
        end_with_input(interrupted)
    follow_hangups(tls, settings)
    readers = cluster.readers if cluster else server.congestion
    source = asyncio.create_task(service.drive(server, readers))
    failure = {cluster.failure} if cluster else set()
    await asyncio.wait({source, interrupted, *failure}, return_when=asyncio.FIRST_COMPLETED)
    if source.done():
        source.result()
        server.end_streams(ENDED)
        if service.lingers:
            await interrupted
    source.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await source
    for each in failure:
        if each.done():
            each.result()
    return "interrupted" if interrupted.done() else "the time is up"


def refuse_guessable(settings: ServeSettings) -> None:
    """Do nothing if nobody can guess the token of the control plane.

    Raises:
        ConfigError: others reach the server, and it is short.
    """
    is_here = all(host == "localhost" or is_loopback(host) for host in settings.host)
    is_reached = not is_here or settings.trusted_proxy or settings.public_name or settings.bus
    if is_reached and 0 < len(settings.control_token or "") < SHORTEST:
        expected = f"at least {SHORTEST} characters, because others reach the server and may guess"
        raise ConfigError("--control-token", HIDDEN, expected)


def has_times(faults: Iterable[FaultOn]) -> bool:
    """Return whether any of the faults that happen at connections happens by time."""
    return any(
        on.rule.fault.acts_on != "rest" and getattr(on.rule.fault, name, None) is not None
        for on in faults
        for name in ("mean", "time")
    )


def _offer(
    settings: ServeSettings, server: Server, service: Service, tls: ServedCertificate | None
) -> Offer:
    """Return what is served, and where."""
    notes = [] if server.limits.enforced else [LIMITS_OFF]
    if not server.plane.token.is_needed and is_reached_from_elsewhere(server.urls):
        notes.append(ONLY_HERE)
    if len(server.faults):
        notes.append(faults_text(server.faults))
    if (
        (settings.workers or settings.bus)
        and service.origin != "relay"
        and has_times(server.faults)
    ):
        notes.append(TIMES_OF_WORKERS)
    return Offer(
        urls=server.urls,
        hosts=settings.host,
        schemes=server.schemes,
        profile=service.plant.profile.name,
        symbol_counts=symbol_counts_of(service.plant),
        examples=examples_of(service.plant),
        origins={venue.name: words for venue, words in (service.origins or {}).items()},
        notes=notes,
        authority=tls.authority if tls else "",
        token=service.control_token,
        has_window=bool(window().files),
        stands_still=bool(getattr(service.steering and service.steering.state(), "paused", False)),
    )


def _cluster(
    settings: ServeSettings, service: Service, server: Server, tls: ServedCertificate | None
) -> Cluster | None:
    """Return what serves the plant in several processes; None if this process does it alone.

    Raises:
        ConfigError: a setting of the bus cannot be used.
        MissingLibraryError: the libraries of the bus are not installed.
    """
    if not uses_bus(settings):
        return None
    # These import what only a bus needs.
    from tickerplant.cluster.messages import PlantDescription  # noqa: PLC0415
    from tickerplant.cluster.program import Cluster  # noqa: PLC0415

    plant = service.plant
    description = PlantDescription(
        name=settings.plant,
        started_ns=time.time_ns(),
        profile=plant.profile.name,
        strict_routing=settings.routing == "strict",
        accepts_unknown=service.origin == "relay",
        limits=msgspec.structs.asdict(server.limits),
        venues=tuple(endpoint.venue.name for endpoint in server.endpoints),
        faults=passed_on(server.faults),
        fault_seed=settings.fault_seed,
        has_clock=service.steering is not None,
        has_token=server.plane.token.is_needed,
        delivery=settings.delivery,
        host=socket.gethostname(),
        symbol_counts=symbol_counts_of(plant),
        examples=examples_of(plant),
    )
    return Cluster(settings, plant, description, server, tls)
