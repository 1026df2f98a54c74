"""Records streams of a server, from its sockets through a feed into a recording.

There is no queue between the feed and the writer.  If the disk cannot keep up, the connections are not
read, so that the server waits or, in the end, disconnects; the manifest says so.

Messages are recorded as they came (`_take`), events of streams and connections become entries of
the manifest (`manifest_writer.py`), and snapshots and contracts are requested over REST
(`snapshot_schedule.py`, `rest_jobs.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random
from typing import Any

from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.envelope import prefix_of
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.merged_stream import Keep
from tickerplant.feed.settings import ClientSettings
from tickerplant.logs import Complaints
from tickerplant.messages.message import Message
from tickerplant.messages.readers import payload_reader
from tickerplant.notices import Disconnected, Gap, Notice
from tickerplant.recorder.contracts import Contracts
from tickerplant.recorder.known_books import KnownBooks
from tickerplant.recorder.manifest_writer import ManifestWriter
from tickerplant.recorder.rest_jobs import FIRST_PAUSE_S, RestJobs
from tickerplant.recorder.snapshot_schedule import SnapshotSchedule
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.stream_name import book_of_diffs

TICK_S = 0.1
SNAPSHOT_LEVELS = 1000
CONTRACTS = "!contractInfo"
"""The stream that says when the list of contracts changes."""


class Recorder:
    """Records streams of one venue, as long as `run` runs.

    Args:
        names: The streams.
        writer: Records them; the caller closes it.
        rest: Requests snapshots and contracts; `run` closes it.
        snapshots_ms: Interval between snapshots of a book; None to take no snapshots.
        levels: Levels of each side in a snapshot.
        profile: The profile of the server; if empty, it is requested until it is known.
        retry_pause_s: Pause after a failed REST request; each further failure doubles it.
    """

    def __init__(
        self,
        hosts: Hosts,
        names: Iterable[str],
        writer: RecordingWriter,
        rest: RestClient,
        *,
        settings: ClientSettings,
        snapshots_ms: int | None,
        levels: int = SNAPSHOT_LEVELS,
        profile: str = "",
        on_notice: Callable[[Notice], object],
        clock_ns: Callable[[], int] = time.time_ns,
        retry_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.schedule = SnapshotSchedule(self.names if snapshots_ms else (), snapshots_ms or 0)
        self.books = KnownBooks(levels)
        for name in self.names if snapshots_ms else ():
            self.books.add(name)
        self.manifest = ManifestWriter(writer.note, writer.add, clock_ns)
        self.rest_jobs = RestJobs(
            rest,
            self.schedule,
            self.books,
            Contracts(self.names, hosts.venue),
            writer,
            clock_ns=clock_ns,
            first_pause_s=retry_pause_s,
        )
        self.runner = FeedRunner(hosts, settings, payload_reader, rest, Random())
        self.runner.feed.context.observer = self.manifest
        self._writer = writer
        self._add = writer.add
        self._rest = rest
        self._profile = profile
        self._on_notice = on_notice
        self._awaited = self.schedule.awaited
        self._sink = self._take
        self._contracts_sink = self._take_contracts
        self._complaints = Complaints()
        self._is_paused = False
        self._segments = 1

    @property
    def received(self) -> list[str]:
        """The streams that sent at least one message."""
        merged_streams = self.runner.feed.merged_streams
        return [
            name for name in self.names if name in merged_streams and merged_streams[name].messages
        ]

    @property
    def messages(self) -> int:
        """Messages so far, each counted once however many connections delivered it."""
        return self.counters.messages - self.counters.duplicates

    @property
    def counters(self) -> FeedCounters:
        """Counters of all connections so far."""
        return self.runner.feed.counters

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return sum(connection.is_open for connection in self.runner.feed.connections.values())

    async def run(self, over: asyncio.Event) -> None:
        """Record until `over` is set or the writer fails; then close all connections."""
        self.runner.start()
        self.rest_jobs.start(self._profile)
        others = [name for name in self.names if name != CONTRACTS]
        self.runner.attach(others, self._sink, keeper=self._keeper)
        if CONTRACTS in self.names:
            self.runner.attach((CONTRACTS,), self._contracts_sink)
        try:
            while not over.is_set() and self._writer.failure is None:
                self._tick()
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), TICK_S)
        finally:
            await self.rest_jobs.stop()
            await self.runner.stop()
            await self._rest.close()
            self.manifest.end()

    def _tick(self) -> None:
        self._writer.tick()
        self.manifest.tick()
        self._pause_or_resume()
        if self._writer.rotated > self._segments:
            self._segments = self._writer.rotated
            self.schedule.renew_all()
        self.rest_jobs.tick(self.runner.feed.context.now_ms)

    def _pause_or_resume(self) -> None:
        is_full = self._writer.is_full
        if is_full == self._is_paused:
            return
        self._is_paused = is_full
        for sink in (self._sink, self._contracts_sink):
            if is_full:
                self.runner.pause_for(sink)
            else:
                self.runner.resume_for(sink)
        if is_full:
            self._complaints.add(
                "full", "! the disk cannot keep up; reading from the server is paused"
            )

    # Messages and notices

    def _keeper(self, stream: str) -> Keep:
        """Return a function that records messages of `stream` which are complete and in sequence."""
        keep, take_update = self._writer.keeper(stream), self._take_update
        if book_of_diffs(stream) is None:
            return keep
        start = len(prefix_of(stream))

        def keep_update(received_ns: int, raw: bytes, item: Any) -> None:
            keep(received_ns, raw, item)
            take_update(stream, item, raw[start:-1])

        return keep_update

    def _take(self, item: Message | Notice) -> None:
        if isinstance(item, Notice):
            self._take_notice(item)
            return
        stream = item.stream
        self._add(item.received_ns, stream, item.payload)
        if stream in self._awaited or stream in self.books:
            self._take_update(stream, item, item.payload)

    def _take_update(self, stream: str, update: Any, payload: bytes) -> None:
        """Request a snapshot if this update, which is recorded, shows that the book needs one."""
        if stream in self._awaited:
            self.schedule.on_first_update(stream, update.first_update_id)
        if stream in self.books and self.books.offer(
            stream, payload, self.runner.feed.context.now_ms
        ):
            self.schedule.on_wanted(stream)

    def _take_contracts(self, item: Message | Notice) -> None:
        self._take(item)
        if not isinstance(item, Notice):
            self.rest_jobs.relist()

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, Disconnected | Gap):
            self.schedule.on_lost(notice.streams)
        self.manifest.take(notice)
        self._on_notice(notice)
