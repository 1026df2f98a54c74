"""Records streams of a server: from its sockets, through a feed, onto the tape.

Between the feed and the tape is no queue.  Where the disk cannot keep up nothing is read from the
connections, so that the server waits, and gives up at worst; the manifest tells that.

What is heard goes three ways: messages are written as they came (`_take`), what is to be known of
streams and connections becomes lines of the manifest (`noting.py`), and what a recording needs
besides, snapshots above all, is asked over REST (`anchors.py`, `asking.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random
from typing import Any, Protocol

from tickerplant.client.backfill import Backfill
from tickerplant.client.rest import RestClient
from tickerplant.client.runner import FeedRunner
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.merged_stream import Keep
from tickerplant.feed.settings import FeedSettings
from tickerplant.logs import Complaints
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Disconnected, Gap, Notice
from tickerplant.messages.readers import payload_reader
from tickerplant.recorder import asking
from tickerplant.recorder.anchors import Anchors, book_of_diffs
from tickerplant.recorder.contracts import Contracts
from tickerplant.recorder.noting import Noting

TURN_S = 0.1
"""How often time passes for the tape, and snapshots that are due are asked for."""
CONTRACTS = "!contractInfo"
"""The stream that tells when the list of contracts changes."""


class Tape(asking.Tape, Protocol):
    """What a recorder writes to (`RecordingWriter`)."""

    def add(self, received_ns: int, stream: str, payload: bytes) -> None:
        """Record a message."""

    def keeper(self, stream: str) -> Keep:
        """Return what records messages of `stream` as they came."""

    def tick(self) -> None:
        """Let time pass."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more should come for a while."""

    @property
    def rotated(self) -> int:
        """Segments that were begun."""

    @property
    def failure(self) -> OSError | None:
        """Why nothing is written any more; None while it is."""


class Recorder:
    """Records streams of one venue, while `run` does.

    Args:
        hosts: Where the venue is served.
        names: The streams.
        tape: Where they are recorded; who made it closes it.
        rest: Who is asked for snapshots and contracts; `run` closes it.
        settings: How the feed behaves.
        snapshots_ms: How long a snapshot of a book is good for; None: none are taken at all.
        levels: Levels of a side in a snapshot.
        profile: The profile of the server; empty if it is to be asked for until it is known.
        told: Is called with everything that is to be known of the streams.
        clock_ns: The time, ns since the epoch.
    """

    def __init__(
        self,
        hosts: Hosts,
        names: Iterable[str],
        tape: Tape,
        rest: RestClient,
        *,
        settings: FeedSettings,
        snapshots_ms: int | None,
        levels: int = SNAPSHOT_LEVELS,
        profile: str = "",
        told: Callable[[Notice], object],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.anchors = Anchors(self.names if snapshots_ms else (), snapshots_ms or 0)
        self.noting = Noting(tape.note, tape.add, clock_ns)
        self.asking = asking.Asking(
            rest,
            self.anchors,
            Contracts(self.names, hosts.venue),
            tape,
            levels=levels,
            clock_ns=clock_ns,
        )
        self.runner = FeedRunner(hosts, settings, payload_reader, Backfill(rest), Random())
        self.runner.feed.observer = self.noting
        self._tape = tape
        self._add = tape.add
        self._rest = rest
        self._profile = profile
        self._told = told
        self._awaited = self.anchors.awaited
        self._sink = self._take
        self._contracts_sink = self._take_contracts
        self._complaints = Complaints()
        self._is_held_up = False
        self._segments = 1

    @property
    def heard(self) -> list[str]:
        """The streams of which anything came."""
        merged_streams = self.runner.feed.merged_streams
        return [
            name for name in self.names if name in merged_streams and merged_streams[name].messages
        ]

    @property
    def messages(self) -> int:
        """Messages that came, each once however many connections told it."""
        return self.counters.messages - self.counters.duplicates

    @property
    def counters(self) -> FeedCounters:
        """What happened on all connections so far."""
        return self.runner.feed.counters

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return sum(connection.is_open for connection in self.runner.feed.connections.values())

    async def run(self, over: asyncio.Event) -> None:
        """Record until `over` is set, or the tape fails; afterwards all connections are closed."""
        self.runner.start()
        self.asking.start(self._profile)
        others = [name for name in self.names if name != CONTRACTS]
        self.runner.attach(others, self._sink, keeper=self._keeper)
        if CONTRACTS in self.names:
            self.runner.attach((CONTRACTS,), self._contracts_sink)
        try:
            while not over.is_set() and self._tape.failure is None:
                self._turn()
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), TURN_S)
        finally:
            await self.asking.stop()
            await self.runner.stop()
            await self._rest.close()
            self.noting.end()

    def _turn(self) -> None:
        """Do what is due."""
        self._tape.tick()
        self.noting.turn()
        self._read_or_not()
        if self._tape.rotated > self._segments:
            self._segments = self._tape.rotated
            self.anchors.begin_anew()
        self.asking.turn(self.runner.feed.now_ms)

    def _read_or_not(self) -> None:
        """Leave with the network what the tape has no room for."""
        is_full = self._tape.is_full
        if is_full == self._is_held_up:
            return
        self._is_held_up = is_full
        for sink in (self._sink, self._contracts_sink):
            if is_full:
                self.runner.hold_up(sink)
            else:
                self.runner.make_room(sink)
        if is_full:
            self._complaints.add("full", "! the disk cannot keep up: the server waits meanwhile")

    # What is heard

    def _keeper(self, stream: str) -> Keep:
        """Return what takes the messages of `stream` that nothing has to be done for."""
        keep, awaited, anchors = self._tape.keeper(stream), self._awaited, self.anchors
        if book_of_diffs(stream) is None:
            return keep

        def keep_update(received_ns: int, raw: bytes, item: Any) -> None:
            keep(received_ns, raw, item)
            if stream in awaited:
                anchors.first(stream, item.first_update_id)

        return keep_update

    def _take(self, item: Message | Notice) -> None:
        if isinstance(item, Notice):
            self._take_notice(item)
            return
        stream = item.stream
        self._add(item.received_ns, stream, item.payload)
        if stream in self._awaited:
            first_update_id: int = item.first_update_id  # type: ignore[attr-defined]
            self.anchors.first(stream, first_update_id)

    def _take_contracts(self, item: Message | Notice) -> None:
        self._take(item)
        if not isinstance(item, Notice):
            self.asking.relist()

    def _take_notice(self, notice: Notice) -> None:
        if isinstance(notice, Disconnected | Gap):
            self.anchors.lost(notice.streams)
        self.noting.take(notice)
        self._told(notice)
