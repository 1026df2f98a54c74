"""Puts a plant, its source and a server together, and runs them until one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import resource
import shlex
import signal
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeAlias, cast

import msgspec
from msgspec import Struct, structs

from tickerplant import logs
from tickerplant.config.settings import (
    RelaySettings,
    ReplaySettings,
    ServeSettings,
    SimulateSettings,
)
from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.settings import FeedSettings
from tickerplant.formatting import count_text
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, PROFILES
from tickerplant.progress import StatusLine
from tickerplant.protocol.limits import LIMIT_ROWS, LIMITS, Limits
from tickerplant.recorder.tap import NO_TAPS, Taps, TapSettings
from tickerplant.recording.capture import companions_text
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan
from tickerplant.replaying.source import RecordingSource
from tickerplant.replaying.unavailable import VerbatimForwarder
from tickerplant.server import event_loop
from tickerplant.server.event_loop import connection_clock_ms
from tickerplant.server.fault_injector import FaultInjector
from tickerplant.server.faults import faults_text
from tickerplant.server.forwarding import CachingForwarder
from tickerplant.server.pages import Steering
from tickerplant.server.query_service import Forwarder
from tickerplant.server.server import LIMITS_OFF, Server
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.discovery import Discovered, discover
from tickerplant.sources.relay import RelaySource
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.sources.upstream import Upstream
from tickerplant.suggestions import one_of
from tickerplant.venue import COINM, USDM, VENUES, Venue

YOUNG_OBJECTS = 50_000
"""New objects before the garbage collector runs.  Nearly all are events and frames, which have no
cycles and are gone by then."""

FAILED = 1
"""Exit status when everything was served but not everything was recorded."""
_SHELL_SAFE = re.compile(r"\w+")
"""A symbol that needs no quoting in a shell or in a URL."""

Echo: TypeAlias = Callable[[str], object]
"""Prints lines for the user: the addresses when ready, the totals at the end."""
Drive: TypeAlias = Callable[[Server], Coroutine[None, None, None]]
"""Drives the plant of a server until the source ends."""


class Tls(Struct, frozen=True):
    """The certificate of a server."""

    context: ssl.SSLContext
    authority: str = ""
    """The file that clients must trust, if the certificate is our own."""


class Service(Struct, frozen=True, kw_only=True):
    """What is served."""

    plant: Plant
    drive: Drive
    """The source."""
    limits: Limits
    steering: Steering | None = None
    """The source, if its clock can be set."""
    taps: TapSettings = NO_TAPS
    """What is recorded."""
    origins: Mapping[Venue, str] | None = None
    """The venues that are served, each with words about the origin of its market; None means all."""
    forwarders: Mapping[str, Forwarder] | None = None
    """What answers the requests that the plant cannot, by venue name."""


def simulate(settings: SimulateSettings, echo: Echo) -> int:
    """Serve a simulated market until interrupted, or until its time is up; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: the recording cannot be written.
    """
    logs.configure(settings.log_format, settings.log_level)
    # A market that starts now keeps up with the wall clock, however long it takes to create.
    opened_s = time.monotonic() if settings.start_ms is None and not settings.wait_for else None
    start_ms = connection_clock_ms() if settings.start_ms is None else settings.start_ms
    traded = instruments(start_ms, settings.symbols or None, settings.symbol_count)
    exchange = SimulatedExchange(
        traded,
        seed=settings.seed,
        start_ms=start_ms,
        intensity=settings.intensity,
        listings=not settings.symbols and settings.symbol_count is None,
    )
    plant = _plant(settings, traded, start_ms, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    source = SimulatedSource(
        exchange,
        plant,
        speed=settings.speed,
        duration_ms=settings.duration_ms,
        wait_for=settings.wait_for,
        opened_s=opened_s,
    )
    service = Service(
        plant=plant,
        drive=_drive(source),
        limits=_limits(settings),
        taps=TapSettings(folder=settings.record or "", names=settings.record_streams),
    )
    return event_loop.run(serve(settings, service, echo))


def replay(settings: ReplaySettings, paths: Sequence[str], echo: Echo) -> None:
    """Serve recordings until interrupted, or with `exit_at_end` until they end.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: a file cannot be read, or is not a recording.
    """
    status_line = StatusLine()
    stream = cast("TextIO", status_line) if status_line.is_terminal else None
    logs.configure(settings.log_format, settings.log_level, stream)
    if settings.loop and settings.exit_at_end:
        raise ConfigError("--exit-at-end", True, "not to be combined with --loop, which never ends")
    found = scan(paths, warn=lambda text: logs.logger().warning(f"! {text}"))
    for file in found.files:
        if file.companions:
            logs.logger().info(f"= {companions_text(file.path, file.companions)}")
    settings = structs.replace(settings, profile=replayed_profile(settings, found.profile))
    plant = _plant(settings, found.instruments, found.start_ms)
    plan = Plan(
        speed=settings.speed,
        pace=settings.pace,
        begin=settings.begin,
        end=settings.end,
        warm_up_ns=settings.warm_up_ms * 1_000_000,
        loops=settings.loop,
        rebased=settings.rebase == "now",
        verbatim=settings.verbatim,
    )
    source = RecordingSource(
        found,
        plant,
        plan,
        wait_for=settings.wait_for,
        keeps_running=not settings.exit_at_end,
        status_line=status_line,
    )
    service = Service(
        plant=plant,
        drive=_drive(source),
        limits=_limits(settings),
        steering=source,
        forwarders=dict.fromkeys(plant.venues, VerbatimForwarder()) if settings.verbatim else None,
    )
    event_loop.run(serve(settings, service, echo))


def replayed_profile(settings: ReplaySettings, recorded: str) -> str:
    """Return the name of the profile to serve, given that of the recordings; empty if unknown."""
    if settings.profile != "auto":
        return settings.profile
    if recorded and recorded not in PROFILES:
        logs.logger().warning(f"! the recording is of an unknown profile, {recorded}")
    return recorded if recorded in PROFILES else P2026Q1.name


def relay(settings: RelaySettings, echo: Echo) -> int:
    """Serve a live upstream until interrupted; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: the recording cannot be written.
    """
    logs.configure(settings.log_format, settings.log_level)
    return event_loop.run(_relay(settings, echo))


async def _relay(settings: RelaySettings, echo: Echo) -> int:
    limits = _limits(settings)
    upstreams = _upstreams(settings)
    interrupted = _interruption()
    try:
        found = await _discovered(upstreams, settings.profile, interrupted)
        if found is None:
            echo("Nothing was served: the upstream did not respond.")
            return 0
        plant = Plant(
            found.instruments,
            start_ms=found.time_ms,
            profile=PROFILES[found.profile],
            strict_routing=settings.routing == "strict",
        )

        def drive(server: Server) -> Coroutine[None, None, None]:
            source = RelaySource(plant, upstreams, server, grace_ms=settings.grace_ms)
            return source.run(server.congestion, server.readiness)

        taps = TapSettings(
            folder=settings.record or "",
            names=settings.record_streams,
            upstreams={each.venue.name: each for each in upstreams},
        )
        service = Service(
            plant=plant,
            drive=drive,
            limits=limits,
            taps=taps,
            origins={each.venue: f"  relays {each.hosts.streams}" for each in upstreams},
            forwarders={
                each.venue.name: CachingForwarder(each.fetch, each.forwards) for each in upstreams
            },
        )
        return await serve(settings, service, echo, interrupted)
    finally:
        await asyncio.gather(*(upstream.close() for upstream in upstreams))


async def _discovered(
    upstreams: Sequence[Upstream], profile: str, interrupted: asyncio.Future[None]
) -> Discovered | None:
    """Return what there is to relay; None if interrupted before that is known."""
    discovery = asyncio.create_task(discover(upstreams, profile))
    either: list[asyncio.Future[Any]] = [discovery, interrupted]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not interrupted.done():
        return discovery.result()
    discovery.cancel()
    await asyncio.wait({discovery})
    return None


def _upstreams(settings: RelaySettings) -> list[Upstream]:
    """Return the venues to relay: those with a URL, or all of the exchange if none has one."""
    urls = {USDM: settings.usdm_url, COINM: settings.coinm_url}
    given = {venue: url for venue, url in urls.items() if url is not None} or urls
    feed = FeedSettings(copies=settings.copies)
    return [
        Upstream(hosts_of(venue, url), feed, linger_ms=settings.linger_ms)
        for venue, url in given.items()
    ]


def _drive(source: SimulatedSource | RecordingSource) -> Drive:
    return lambda server: source.run(server.congestion, server.readiness)


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
    numbers = msgspec.structs.asdict(LIMITS) | dict(changes) | {"enforced": enforced}
    return msgspec.convert(numbers, Limits, strict=False)


def _limits(settings: ServeSettings) -> Limits:
    return limits_of(settings.limit_numbers, enforced=settings.limits == "exchange")


def _plant(
    settings: ServeSettings,
    traded: Iterable[Instrument],
    start_ms: int,
    *,
    reserved_snapshot_ids: bool = False,
) -> Plant:
    return Plant(
        traded,
        start_ms=start_ms,
        profile=PROFILES[settings.profile],
        strict_routing=settings.routing == "strict",
        reserved_snapshot_ids=reserved_snapshot_ids,
    )


async def serve(
    settings: ServeSettings,
    service: Service,
    echo: Echo,
    interrupted: asyncio.Future[None] | None = None,
) -> int:
    """Serve until interrupted, or until the source ends.

    Args:
        settings: Where to listen.
        service: What to serve.
        echo: Prints the lines for the user.
        interrupted: Is done at the first Ctrl-C or SIGTERM; made here if missing.

    Returns:
        The exit status: 0, or 1 if not everything was recorded.

    Raises:
        ConfigError: an address, a port or a stream to record cannot be used.
        RecordingError: the recording cannot be written.
        TickerplantError: the source failed.
    """
    started_s = time.monotonic()
    plant, origins = service.plant, service.origins
    _allow_many_connections()
    tls = tls_of(settings)
    server = Server(
        plant,
        host=settings.host,
        tls=tls.context if tls else None,
        ports={USDM.name: settings.usdm_port, COINM.name: settings.coinm_port},
        venues=VENUES if origins is None else tuple(origins),
        limits=service.limits,
        faults=FaultInjector(settings.fault_values, settings.fault_seed),
        forwarders=service.forwarders,
        steering=service.steering,
    )
    event_loop.report_faults(server.complaints)
    await server.start()
    try:
        urls = {name: f"{server.schemes[0]}://{at}" for name, at in server.urls.items()}
        taps = Taps(service.taps, plant, urls, server.readiness.warn)
    except BaseException:
        await server.stop()
        raise
    recording, ended = asyncio.create_task(taps.run()), "it failed"
    try:
        echo(ready_text(server, plant, origins or {}, tls.authority if tls else ""))
        _freeze_objects()
        interrupted = interrupted or _interruption()
        source = asyncio.create_task(service.drive(server))
        await asyncio.wait({source, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        if source.done():
            source.result()
        source.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await source
        ended = "interrupted" if interrupted.done() else "the time is up"
    finally:
        recording.cancel()
        recorded = taps.close(ended)
        await server.stop()
        echo(_totals_text(server, plant, time.monotonic() - started_s))
        for line in recorded:
            echo(line)
    return FAILED if taps.has_failed else 0


def _freeze_objects() -> None:
    """Exempt the objects that exist now from garbage collection: they stay until the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _allow_many_connections() -> None:
    """Raise the limit on open files as far as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems do not grant their own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _interruption() -> asyncio.Future[None]:
    """Return a future that is done at the first Ctrl-C or SIGTERM, or when the terminal closes."""
    loop = asyncio.get_running_loop()
    interrupted: asyncio.Future[None] = loop.create_future()

    def interrupt() -> None:
        if not interrupted.done():
            interrupted.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) == signal.SIG_DFL:  # no `nohup`
            loop.add_signal_handler(number, interrupt)
    return interrupted


def tls_of(settings: ServeSettings) -> Tls | None:
    """Return the certificate to serve with; None to serve without TLS.

    Raises:
        ConfigError: a certificate or a key cannot be used.
    """
    cert, key, wants_own = settings.tls_cert, settings.tls_key, settings.tls == "self"
    if cert is None and not wants_own:
        if key is not None:
            raise ConfigError("--tls-cert", None, "the certificate of the key in --tls-key")
        return None
    if wants_own and (cert or key):
        raise ConfigError("--tls", "self", "not to be combined with --tls-cert and --tls-key")
    from tickerplant.server import certificate  # noqa: PLC0415  # loads cryptography, only when needed

    if cert is not None:
        return Tls(certificate.context_of(cert, key))
    own = certificate.own_certificate(certificate.own_folder(), [settings.host])
    return Tls(certificate.context_of(str(own.server)), str(own.authority))


def ready_text(
    server: Server, plant: Plant, origins: Mapping[Venue, str], authority: str = ""
) -> str:
    """Return the addresses, one per line with the origin of the market, and commands to paste.

    Args:
        server: The server, started.
        plant: What it serves.
        origins: Words about the origin of each market.
        authority: The file that clients must trust; the text explains how, if there is one.
    """
    lines = []
    ws, http = server.schemes
    trust = shlex.quote(authority)
    curl = f"curl --cacert {trust}" if authority else "curl"
    python = f"SSL_CERT_FILE={trust} {_python()}" if authority else _python()
    served = [venue for venue in VENUES if venue.name in server.urls]
    for venue in served:
        address = server.urls[venue.name]
        lines.append(
            f"{venue.title:8} {ws}://{address}  {http}://{address}{origins.get(venue, '')}"
        )
    venue = next((each for each in served if len(plant.venues[each.name])), served[0])
    symbols = plant.venues[venue.name].by_symbol
    # An upstream chooses the symbols, and users paste these commands into a shell.
    symbol = next((each for each in symbols if _SHELL_SAFE.fullmatch(each)), "")
    address = server.urls[venue.name]
    route = "/market" if plant.profile.splits_routes(venue) else ""
    if not symbol and symbols:
        lines += ["Try:", f"  {curl} '{http}://{address}{venue.rest_prefix}/v1/exchangeInfo'"]
    elif symbol:
        lines += [
            "Try:",
            f"  {curl} '{http}://{address}{venue.rest_prefix}/v1/ticker/bookTicker?symbol={symbol}'",
            f"  {python} -m websockets {ws}://{address}{route}/ws/{symbol.lower()}@miniTicker",
        ]
    if authority:
        lines += [
            f"The certificate is of this machine's own authority, {authority}. Programs trust it with",
            f"  SSL_CERT_FILE={trust}  (Python, Go)   NODE_EXTRA_CA_CERTS={trust}  (Node)",
        ]
    if not server.limits.enforced:
        lines.append(LIMITS_OFF)
    if server.faults.is_on:
        lines.append(faults_text(server.faults.values))
    return "\n".join(lines)


def _python() -> str:
    """Return the path of this Python, which has the library that the example needs."""
    python = Path(sys.executable)
    here = Path.cwd()
    return str(python.relative_to(here) if python.is_relative_to(here) else python)


def _totals_text(server: Server, plant: Plant, seconds: float) -> str:
    """Return the last line: what was served, and for how long."""
    totals = server.totals
    served = f"{count_text(totals.messages, 'message')}, {count_text(totals.sent_bytes, 'byte')}"
    events = count_text(plant.published.total(), "event")
    clients = count_text(totals.connections, "connection")
    return f"Served {served}, to {clients} from {events} in {seconds:.1f} s."
