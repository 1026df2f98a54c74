"""`tickerplant record`: streams of a venue to a folder."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import TextIO, cast

from msgspec import Struct, structs

from tickerplant import logs
from tickerplant.client.rest import RestClient
from tickerplant.client.server_info import AUTO, wrong_venue_text
from tickerplant.config.settings import RecordSettings, is_quiet
from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.settings import ClientSettings, ConnectionSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.formatting import duration_text, names_text, printable, size_text
from tickerplant.logs import logger
from tickerplant.notices import Notice, Recovered, UnknownStream
from tickerplant.output import print_json
from tickerplant.progress import Progress, StatusLine
from tickerplant.protocol.rate_limiter import TokenBucket
from tickerplant.recorder.folder import NOBODY
from tickerplant.recorder.recorder import TICK_S, Recorder
from tickerplant.recorder.rest_jobs import discover_profile, discover_venue
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.manifest_entries import RunOutage
from tickerplant.stdio import FAILED
from tickerplant.venue import VENUES
from tickerplant.watching.arguments import (
    check_text,
    hosts_given,
    streams_of,
    venue_named,
    venue_of_settings,
    venue_of_streams,
)
from tickerplant.watching.record_report import RecordReport, report_of, report_text
from tickerplant.watching.run import interruption, is_interrupted

INTERRUPTED = "interrupted"
TIME_IS_UP = "the time is up"
TERMINAL_EVERY_S = 0.5
LOG_EVERY_S = 60.0
EVER_SHOWN = {"streams", "stored", "gaps", "connections"}
"""What the progress shows even if it is 0."""
NOTICES_PER_S, NOTICE_BURST = 1, 20
"""Sustained rate and burst of log lines for notices; the manifest has all of them."""


class RecordRun(Struct, frozen=True):
    """What to record, and where."""

    hosts: Hosts
    names: tuple[str, ...]
    folder: str
    settings: RecordSettings


def record(settings: RecordSettings, given: Sequence[str]) -> int:
    """Record streams until interrupted, or until the time is up; return the exit status.

    Raises:
        ConfigError: a name or a setting is invalid.
        RecordingError: the folder cannot be written, or holds another recording.
    """
    names = streams_of(given)
    if not settings.out:
        raise ConfigError("--out", settings.out, "the folder to record to")
    check_text("--out", settings.out)
    venue = venue_of_settings(settings)
    likely = venue or venue_of_streams(names)
    hosts = hosts_given(likely, settings, os.environ)
    other = None
    if settings.url is not None and (venue is None or venue_named(settings.venue)):
        unlikely = next(each for each in VENUES if each is not likely)
        other = hosts_given(unlikely, settings)
    return asyncio.run(_record(RecordRun(hosts, names, settings.out, settings), other))


async def _record(run: RecordRun, other: Hosts | None) -> int:
    """Record; at the `other` hosts if they turn out to serve the URL, unless the venue was given."""
    settings, interrupted = run.settings, interruption()
    status_line, started_s = StatusLine(is_quiet=is_quiet(settings.log_level)), time.monotonic()
    logs.configure(settings.log_format, settings.log_level, stream=cast("TextIO", status_line))
    if other is not None:
        answering = await discover_venue(run.hosts, other)
        if venue_named(settings.venue) is None:
            run = structs.replace(run, hosts=answering)
        elif answering is other:
            served = wrong_venue_text(run.hosts, other.venue)
            logger().warning(f"! {served}: there may be nothing to record; see --venue")
    rest = RestClient(run.hosts, WeightBudget())
    try:
        profile = settings.profile
        if profile == AUTO:
            profile = await discover_profile(rest)
        writer = RecordingWriter(
            run.folder,
            venue=run.hosts.venue,
            url=run.hosts.streams,
            profile=profile,
            streams=run.names,
            settings=WriterSettings(
                segment_ms=settings.segment_ms,
                segment_bytes=settings.segment_bytes,
                level=settings.compression_level,
            ),
        )
    except BaseException:
        await rest.close()
        raise
    for repair in writer.repairs:
        logger().warning(f"! {repair}")
    recorder = Recorder(
        run.hosts,
        run.names,
        writer,
        rest,
        settings=ClientSettings(
            connections=ConnectionSettings(
                copies=settings.copies, max_connection_age_ms=settings.max_connection_age_ms
            )
        ),
        snapshots_ms=settings.snapshots_ms or None,
        levels=settings.snapshot_levels,
        profile=profile,
        on_notice=_Notices(settings.log_level).log,
    )
    logger().info(
        f"= recording {_start_text(writer.outage)}",
        venue=run.hosts.venue.name,
        streams=len(run.names),
        of=run.hosts.streams,
        into=run.folder,
        profile=profile or "unknown",
    )
    reason = "failed"
    try:
        over = asyncio.Event()
        waiting = asyncio.create_task(is_interrupted(interrupted, settings.duration_ms))
        waiting.add_done_callback(lambda _: over.set())
        showing = asyncio.create_task(_show(status_line, recorder, writer))
        await recorder.run(over)
        waiting.cancel()
        showing.cancel()
        reason = writer.failure_text or (INTERRUPTED if interrupted.is_set() else TIME_IS_UP)
    finally:
        writer.close(reason)
    report = report_of(
        recorder,
        writer,
        folder=run.folder,
        venue=run.hosts.venue.name,
        ended=reason,
        seconds=time.monotonic() - started_s,
    )
    return _finish(status_line, report, settings, writer.failure_text)


def _start_text(outage: RunOutage | None) -> str:
    """Return how a run starts: from the beginning, or after which outage."""
    if outage is None:
        return "begins"
    if not outage.from_ns:
        return "continues, nothing was recorded before"
    lasted = duration_text((outage.time_ns - outage.from_ns) / 1_000_000)
    if outage.reason == NOBODY:
        return f"continues, {NOBODY} for {lasted}"
    return f"continues, {outage.reason}: nothing was recorded for {lasted}"


async def _show(status_line: StatusLine, recorder: Recorder, writer: RecordingWriter) -> None:
    progress = Progress(
        "record" if status_line.is_terminal else "recording",
        None,
        status_line=status_line,
        state=lambda: [
            f"{value} {name.replace('_', ' ')}" for name, value in _state(recorder, writer).items()
        ],
        fields=lambda: _state(recorder, writer),
        every_s=TERMINAL_EVERY_S if status_line.is_terminal else LOG_EVERY_S,
    )
    while True:
        progress.report(recorder.messages)
        await asyncio.sleep(TICK_S)


def _finish(
    status_line: StatusLine, report: RecordReport, settings: RecordSettings, failure: str
) -> int:
    """Print what was recorded; return the exit status."""
    if report.silent_streams:
        logger().warning(f"! nothing was received for {names_text(report.silent_streams)}")
    status_line.clear()
    if settings.json:
        print_json(report, is_compact=True)
    elif not is_quiet(settings.log_level):
        status_line.end_with(printable(report_text(report)))
    if failure:
        status_line.end_with(printable(f"tickerplant: the recording stopped: {failure}"))
        return FAILED
    return 0 if len(report.silent_streams) < report.streams else FAILED


class _Notices:
    """Logs notices, at most so many; the manifest has all of them."""

    def __init__(self, log_level: str) -> None:
        self._logs_all = log_level == "debug"
        self._bucket = TokenBucket(NOTICES_PER_S, NOTICE_BURST, _now_ms())
        self._not_logged = 0

    def log(self, notice: Notice) -> None:
        """Log a notice, unless there are too many of them."""
        if not self._logs_all and not self._bucket.take(_now_ms()):
            self._not_logged += 1
            return
        more = {"more_not_logged": self._not_logged} if self._not_logged else {}
        self._not_logged = 0
        if isinstance(notice, Recovered):
            logger().info(f"= {notice.text}", **more)
        else:
            hint = "; it is recorded anyway" if isinstance(notice, UnknownStream) else ""
            logger().warning(f"! {notice.text}{hint}", **more)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _state(recorder: Recorder, writer: RecordingWriter) -> dict[str, object]:
    """Return what a recording has so far."""
    schedule = recorder.schedule
    state: dict[str, object] = {
        "streams": f"{len(recorder.received)}/{len(recorder.names)}",
        "stored": size_text(writer.totals.stored_bytes),
        "gaps": recorder.manifest.gaps,
        "connections": recorder.connections,
        "books_without_snapshot": schedule.waiting,
        "snapshots_late": schedule.short_of_weight,
    }
    return {name: value for name, value in state.items() if value or name in EVER_SHOWN}
