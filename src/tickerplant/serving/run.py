"""Puts a plant, its source and a server together, and runs them until one of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from tickerplant.config.settings import ServeSettings
from tickerplant.errors import ConfigError
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.profile import PROFILES
from tickerplant.protocol.close_reasons import ENDED
from tickerplant.protocol.limits import LIMIT_ROWS, LIMITS, Limits
from tickerplant.server import event_loop
from tickerplant.server.fault_injector import FaultInjector
from tickerplant.server.pages import Steering
from tickerplant.server.query_service import Forwarder
from tickerplant.server.server import Server
from tickerplant.serving.ready import ready_json, ready_text, totals_json, totals_text
from tickerplant.sources.source import Readers, Status
from tickerplant.suggestions import one_of
from tickerplant.venue import COINM, USDM, VENUES, Venue

if TYPE_CHECKING:  # a server that records nothing starts without it
    from tickerplant.recorder.tap import Taps

YOUNG_OBJECTS = 50_000
"""New objects before the garbage collector runs.  Nearly all are events and frames, which have no
cycles and are gone by then."""

FAILED = 1
"""Exit status when everything was served but not everything was recorded."""
Echo: TypeAlias = Callable[[str], object]
"""Prints lines for the user: the addresses when ready, the totals at the end."""
Record: TypeAlias = Callable[[Mapping[str, str], Callable[[str, str], bool]], "Taps"]
"""Records what is sent from now on.  Takes the address of each venue, and what takes warnings."""
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
    record: Record | None = None
    """Begins to record what is sent; None if nothing is recorded."""
    origins: Mapping[Venue, str] | None = None
    """The venues that are served, each with words about the origin of its market; None means all."""
    forwarders: Mapping[str, Forwarder] | None = None
    """What answers the requests that the plant cannot, by venue name."""
    lingers: bool = False
    """Whether requests are still answered when the source has ended, until interrupted."""
    on_ready: Callable[[], object] = lambda: None
    """Called in the event loop before the addresses are printed."""


class Source(Protocol):
    """What drives a plant."""

    async def run(self, readers: Readers, status: Status) -> None:
        """Run until it ends, or until cancelled."""
        ...


def drive_of(source: Source) -> Drive:
    """Return what drives a plant with `source`."""
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
) -> Plant:
    """Return a plant of the contracts `traded`, whose market time begins at `start_ms`."""
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
        policy=settings.delivery,
    )
    event_loop.report_faults(server.complaints)
    await server.start()
    try:
        urls = {name: f"{server.schemes[0]}://{at}" for name, at in server.urls.items()}
        taps = service.record(urls, server.readiness.warn) if service.record else None
    except BaseException:
        await server.stop()
        raise
    recording, ended = asyncio.create_task(taps.run()) if taps else None, "it failed"
    try:
        service.on_ready()
        ready = ready_json if settings.json else ready_text
        echo(ready(server, plant, origins or {}, tls.authority if tls else ""))
        _freeze_objects()
        interrupted = interrupted or interruption()
        source = asyncio.create_task(service.drive(server))
        await asyncio.wait({source, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        if source.done():
            source.result()
            server.end_streams(ENDED)
            if service.lingers:
                await interrupted
        source.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await source
        ended = "interrupted" if interrupted.done() else "the time is up"
    finally:
        if recording is not None:
            recording.cancel()
        recorded = taps.close(ended) if taps else ()
        await server.stop()
        seconds = time.monotonic() - started_s
        if settings.json:
            echo(totals_json(server, plant, seconds, ended, recorded))
        else:
            for line in (totals_text(server, plant, seconds), *recorded):
                echo(line)
    return FAILED if taps and taps.has_failed else 0


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


def interruption() -> asyncio.Future[None]:
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
