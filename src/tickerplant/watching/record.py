"""`tickerplant record`: streams of a venue, as they come, into a folder."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from msgspec import Struct, structs

from tickerplant.client.rest import RestClient
from tickerplant.client.server_info import wrong_venue_text
from tickerplant.config.settings import RecordSettings
from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import Hosts, hosts_of
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.logs import logger
from tickerplant.recorder.folder import NOBODY
from tickerplant.recorder.recorder import TICK_S, Recorder
from tickerplant.recorder.rest_jobs import discover_profile, discover_venue
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.manifest_entries import RunOutage
from tickerplant.stdio import FAILED
from tickerplant.venue import VENUES
from tickerplant.watching.interruption import interruption, is_interrupted
from tickerplant.watching.places import (
    check_text,
    venue_named,
    venue_of_streams,
    venue_of_url,
)
from tickerplant.watching.record_progress import RecordProgress, size_text
from tickerplant.watching.stream_lists import streams_of
from tickerplant.watching.telling import count_text, duration_text, names_text

INTERRUPTED = "interrupted"
TIME_IS_UP = "the time is up"


class Wanted(Struct, frozen=True):
    """What is to be recorded, and where."""

    hosts: Hosts
    names: tuple[str, ...]
    folder: str
    settings: RecordSettings


def record(settings: RecordSettings, given: Sequence[str]) -> int:
    """Record streams until interrupted, or until the time is up; return the exit status.

    Raises:
        ConfigError: a name or a setting cannot be used.
        RecordingError: the folder cannot be written to, or is another recording.
    """
    names = streams_of(given)
    if not settings.out:
        raise ConfigError("--out", settings.out, "the folder of the recording")
    check_text("--out", settings.out)
    venue = venue_named(settings.venue) or venue_of_url(settings.url)
    likely = venue or venue_of_streams(names)
    hosts = hosts_of(likely, settings.url, os.environ)
    other = None
    if settings.url is not None and (venue is None or venue_named(settings.venue)):
        unlikely = next(each for each in VENUES if each is not likely)
        other = hosts_of(unlikely, settings.url)
    return asyncio.run(_record(Wanted(hosts, names, settings.out, settings), other))


async def _record(wanted: Wanted, other: Hosts | None) -> int:
    """Record what is wanted; at `other` hosts if it is not sure whose venue is served."""
    settings, interrupted = wanted.settings, interruption()
    progress, started_s = RecordProgress(settings.log_format), time.monotonic()
    if other is not None:
        answering = await discover_venue(wanted.hosts, other)
        if venue_named(settings.venue) is None:
            wanted = structs.replace(wanted, hosts=answering)
        elif answering is other:
            served = wrong_venue_text(wanted.hosts, other.venue)
            logger().warning(f"! {served}: nothing may come of it; see --venue")
    rest = RestClient(wanted.hosts, WeightBudget())
    try:
        profile = await discover_profile(wanted.hosts, rest)
        writer = _writer(wanted, profile)
    except BaseException:
        await rest.close()
        raise
    for repair in writer.repairs:
        logger().warning(f"! {repair}")
    recorder = Recorder(
        wanted.hosts,
        wanted.names,
        writer,
        rest,
        settings=FeedSettings(
            copies=settings.copies, max_connection_age_ms=settings.max_connection_age_ms
        ),
        snapshots_ms=settings.snapshots_ms or None,
        levels=settings.snapshot_levels,
        profile=profile,
        on_notice=progress.notice,
    )
    logger().info(
        f"= recording {_beginning(writer.outage)}",
        venue=wanted.hosts.venue.name,
        streams=len(wanted.names),
        of=wanted.hosts.streams,
        into=wanted.folder,
        profile=profile or "unknown",
    )
    reason = "it failed"
    try:
        over = asyncio.Event()
        waiting = asyncio.create_task(_wait(interrupted, settings.seconds, over))
        showing = asyncio.create_task(_show(progress, recorder, writer))
        await recorder.run(over)
        waiting.cancel()
        showing.cancel()
        reason = _reason(interrupted, writer)
    finally:
        writer.close(reason)
    return _conclude(progress, recorder, writer, time.monotonic() - started_s)


def _beginning(hole: RunOutage | None) -> str:
    """Return how a run begins: what was not recorded before it, if it continues a recording."""
    if hole is None:
        return "begins"
    if not hole.from_ns:
        return "continues, nothing was recorded before"
    lasted = duration_text((hole.time_ns - hole.from_ns) / 1_000_000)
    if hole.reason == NOBODY:
        return f"continues, {NOBODY} for {lasted}"
    return f"continues, {hole.reason}: nothing was recorded for {lasted}"


def _writer(wanted: Wanted, profile: str) -> RecordingWriter:
    settings = wanted.settings
    return RecordingWriter(
        wanted.folder,
        venue=wanted.hosts.venue,
        url=wanted.hosts.streams,
        profile=profile,
        streams=wanted.names,
        settings=WriterSettings(
            segment_ms=settings.segment_ms,
            segment_bytes=settings.segment_bytes,
            level=settings.compression_level,
        ),
    )


async def _wait(interrupted: asyncio.Event, seconds: float | None, over: asyncio.Event) -> None:
    await is_interrupted(interrupted, seconds)
    over.set()


async def _show(progress: RecordProgress, recorder: Recorder, writer: RecordingWriter) -> None:
    while True:
        progress.tell(recorder, writer)
        await asyncio.sleep(TICK_S)


def _reason(interrupted: asyncio.Event, writer: RecordingWriter) -> str:
    return writer.failure_text or (INTERRUPTED if interrupted.is_set() else TIME_IS_UP)


def _conclude(
    progress: RecordProgress, recorder: Recorder, writer: RecordingWriter, seconds: float
) -> int:
    """Tell what was recorded; return the exit status."""
    heard = set(recorder.received)
    if silent := [name for name in recorder.names if name not in heard]:
        logger().warning(f"! nothing was heard of {names_text(silent)}")
    progress.say(_totals_text(recorder, writer, len(heard), seconds))
    if writer.failure_text:
        progress.say(f"tickerplant: the recording stopped: {writer.failure_text}")
        return FAILED
    return 0 if heard else FAILED


def _totals_text(recorder: Recorder, writer: RecordingWriter, heard: int, seconds: float) -> str:
    totals, counters = writer.totals, recorder.counters
    ratio = totals.text_bytes / max(totals.stored_bytes, 1)
    parts = [
        count_text(recorder.manifest.gaps, "gap"),
        count_text(counters.lost, "connection lost", "connections lost"),
        count_text(recorder.rest_jobs.snapshots, "snapshot"),
    ]
    if counters.renewed:
        parts.append(f"{counters.renewed:,} renewed")
    if counters.unreadable:
        parts.append(f"{counters.unreadable:,} unreadable")
    if totals.dropped:
        parts.append(f"{count_text(totals.dropped, 'message')} left out")
    messages = count_text(totals.lines - recorder.rest_jobs.snapshots, "message")
    stored = size_text(totals.stored_bytes)
    if totals.stored_bytes:
        stored += f", {ratio:.1f} times smaller than as text"
    of = f"{heard:,} of {count_text(len(recorder.names), 'stream')}"
    return (
        f"{messages} of {of} in {seconds:.1f} s are recorded in {stored}: {', '.join(parts)}. "
        "The same command continues the recording."
    )
