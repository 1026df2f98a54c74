"""Serves recordings: `tickerplant replay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO, cast

from msgspec import structs

from tickerplant import logs
from tickerplant.config.settings import ReplaySettings
from tickerplant.errors import ConfigError
from tickerplant.profile import P2026Q1, PROFILES
from tickerplant.progress import StatusLine
from tickerplant.recording.capture import companions_text
from tickerplant.replaying.choice import Choice, chosen
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import Scan, scan
from tickerplant.replaying.source import SLICE_MESSAGES, RecordingSource
from tickerplant.replaying.unavailable import VerbatimForwarder
from tickerplant.server import event_loop
from tickerplant.serving.run import Echo, limits_from, plant_of, serve
from tickerplant.serving.service import Service, drive_of

FAULTY_SLICE_MESSAGES = 16
"""Most messages played without a turn of the event loop where connections may be cut off: those that are
lost before the replay waits for the client."""


def replay(settings: ReplaySettings, paths: Sequence[str], echo: Echo) -> int:
    """Serve recordings until interrupted, or with `exit_at_end` until they end; return the exit status.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: a file cannot be read, or is not a recording.
    """
    if settings.loop and settings.exit_at_end:
        raise ConfigError("--exit-at-end", True, "not to be combined with --loop, which never ends")
    status_line = StatusLine()
    stream = cast("TextIO", status_line) if status_line.is_terminal else None
    logs.configure(settings.log_format, settings.log_level, stream)
    service = replay_service(settings, scanned(paths), status_line)
    return event_loop.run(serve(settings, service, echo))


def scanned(paths: Sequence[str]) -> Scan:
    """Return what the first lines of the recordings say; log what cannot be used of them.

    Raises:
        RecordingError: a file cannot be read, or is not a recording.
    """
    found = scan(paths, warn=lambda text: logs.logger().warning(f"! {text}"))
    for file in found.files:
        if file.companions:
            logs.logger().info(f"= {companions_text(file.path, file.companions)}")
    return found


def replay_service(
    settings: ReplaySettings,
    found: Scan,
    status_line: StatusLine | None = None,
    *,
    shows_snapshots: bool = False,
) -> Service:
    """Return a service that plays the recordings `found`.

    Args:
        settings: The settings.
        found: The scan of the recordings.
        status_line: Where the progress is shown; standard error if missing.
        shows_snapshots: See `Plan`.

    Raises:
        ConfigError: a setting cannot be used.
        RecordingError: a file cannot be read, or is not a recording.
    """
    settings = structs.replace(settings, profile=replayed_profile(settings, found.profile))
    choice = Choice(settings.streams, settings.symbols)
    found = chosen(found, choice)
    plant = plant_of(settings, found.instruments, found.start_ms)
    plan = Plan(
        speed=settings.speed,
        pace=settings.pace,
        begin=settings.begin,
        end=settings.end,
        warm_up_ns=settings.warm_up_ms * 1_000_000,
        loops=settings.loop,
        rebased=settings.rebase == "now",
        choice=choice,
        verbatim=settings.verbatim,
        is_paused=settings.paused,
        waits=settings.slow_readers == "wait",
        shows_snapshots=shows_snapshots,
    )
    is_faulty = bool(settings.fault_rules or settings.scenario)
    source = RecordingSource(
        found,
        plant,
        plan,
        wait_for=settings.wait_for,
        keeps_running=not settings.exit_at_end,
        status_line=status_line,
        slice_messages=FAULTY_SLICE_MESSAGES if is_faulty else SLICE_MESSAGES,
    )
    return Service(
        plant=plant,
        origin="replay",
        drive=drive_of(source),
        limits=limits_from(settings),
        steering=source,
        coverage=source.coverage,
        forwarders=dict.fromkeys(plant.venues, VerbatimForwarder()) if settings.verbatim else None,
    )


def replayed_profile(settings: ReplaySettings, recorded: str) -> str:
    """Return the name of the profile to serve.

    Args:
        settings: The settings of the program.
        recorded: The profile of the recordings; empty if none of them says it.

    Raises:
        ConfigError: the recordings are of a profile that this version does not know.
    """
    if settings.profile != "auto":
        return settings.profile
    if recorded in PROFILES:
        return recorded
    names = ", ".join(PROFILES)
    if recorded:
        expected = f"the name of the profile, {names}, because the recording says {recorded!r}"
        raise ConfigError("--profile", settings.profile, expected)
    logs.logger().warning(
        f"! the recording does not say its profile: {P2026Q1.name} is served; --profile names another "
        f"of {names}"
    )
    return P2026Q1.name
