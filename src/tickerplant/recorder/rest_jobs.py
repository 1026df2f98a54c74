"""What a recorder requests over REST: snapshots of books, the contracts, the profile, the venue.

Messages are recorded without any of it: a request that fails is noted and repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct, field
from msgspec.json import Decoder

from tickerplant.client.rest import RestClient
from tickerplant.client.server_info import upstream_profile
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.weight import REFUSALS, WeightBudget
from tickerplant.formatting import printable
from tickerplant.logs import Complaints, logger
from tickerplant.messages.readers import UNREADABLE
from tickerplant.recorder.contracts import Contracts
from tickerplant.recorder.known_books import KnownBooks
from tickerplant.recorder.snapshot_schedule import LONGEST_PAUSE_MS, Book, SnapshotSchedule
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.recording import manifest_entries

DISCOVERY_TIMEOUT_S = 2.0
"""How long a recording waits for each response before it starts."""
MAX_SNAPSHOT_REQUESTS = 4
"""Snapshot requests in flight; the request weight limits them further."""
LIST_EVERY_S = 3_600.0
"""The contracts are requested this often, even if no message says that they changed."""
LIST_DELAY_S = 2.0
"""After a message about contracts, others may follow for this long."""
LIST_MIN_INTERVAL_S = 10.0
MAX_UNLISTED_WARNINGS = 20
"""Symbols that are not listed get a warning each, up to this number; the rest are counted."""
FIRST_PAUSE_S = 5.0
"""Pause after a failed request, by default; each further failure doubles it."""
LONGEST_PAUSE_S = 300.0


class _Snapshot(Struct):
    last_update_id: int = field(name="lastUpdateId")


_snapshot = Decoder(_Snapshot).decode
Failure = (RequestError, UpstreamError, *UNREADABLE)


async def discover_venue(likely: Hosts, unlikely: Hosts) -> Hosts:
    """Return the hosts whose venue answers: `unlikely` if only they do.  Takes seconds at most.

    A recording names its venue forever, and at one address there is often only one venue.
    """
    for hosts in (likely, unlikely):
        rest = RestClient(hosts, WeightBudget())
        try:
            async with asyncio.timeout(DISCOVERY_TIMEOUT_S):
                await rest.get("ping")
        except RequestError:
            continue
        except (TimeoutError, UpstreamError):
            return likely
        else:
            return hosts
        finally:
            await rest.close()
    return likely


async def discover_profile(rest: RestClient) -> str:
    """Return the profile of a server; empty if it does not answer within seconds.

    Raises:
        ConfigError: it answers, and does not say its profile.
    """
    try:
        async with asyncio.timeout(DISCOVERY_TIMEOUT_S):
            return await upstream_profile(rest)
    except (TimeoutError, RequestError, UpstreamError):
        return ""


class RestJobs:
    """Requests what a recording needs besides messages, from `start` to `stop`."""

    def __init__(
        self,
        rest: RestClient,
        schedule: SnapshotSchedule,
        books: KnownBooks,
        contracts: Contracts,
        writer: RecordingWriter,
        *,
        clock_ns: Callable[[], int],
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.snapshots = 0
        self._rest = rest
        self._schedule = schedule
        self._books = books
        self._contracts = contracts
        self._writer = writer
        self._clock_ns = clock_ns
        self._first_pause_s = first_pause_s
        self._complaints = Complaints()
        self._now_ms = 0
        self._snapshot_tasks: set[asyncio.Task[None]] = set()
        self._long_tasks: set[asyncio.Task[None]] = set()
        self._contracts_changed = asyncio.Event()

    def start(self, profile: str) -> None:
        """Request the list of contracts, and the profile if `profile` is empty."""
        self._long_tasks.add(asyncio.create_task(self._keep_list()))
        if not profile:
            self._long_tasks.add(asyncio.create_task(self._find_profile()))

    async def stop(self) -> None:
        """Cancel all requests."""
        tasks = self._snapshot_tasks | self._long_tasks
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def tick(self, now_ms: int) -> None:
        """Request the snapshots that are due; `now_ms` is the time of a monotonic clock."""
        self._now_ms = now_ms
        if self._rest.wait_ms("depth", limit=self._books.levels):
            if self._schedule.delay(now_ms):
                self._complaints.add("weight", "! snapshots of books wait for request weight")
            return
        while (
            len(self._snapshot_tasks) < MAX_SNAPSHOT_REQUESTS
            and (book := self._schedule.next_due(now_ms)) is not None
        ):
            self._books.requested(book.key, now_ms)
            task = asyncio.create_task(self._get_snapshot(book))
            self._snapshot_tasks.add(task)
            task.add_done_callback(self._snapshot_tasks.discard)

    def relist(self) -> None:
        """Request the contracts soon: a message says that they changed."""
        self._contracts_changed.set()

    # Snapshots

    async def _get_snapshot(self, book: Book) -> None:
        symbol, endpoint = book.key
        limit = self._books.limit_of(book.key)
        address = self._rest.address_of(endpoint, symbol=symbol, limit=str(limit))
        try:
            body = await self._rest.get(endpoint, symbol=symbol, limit=limit)
            last_update_id = _snapshot(body).last_update_id
        except Failure as failure:
            self._note_failure(book, failure)
            return
        received_ns = self._clock_ns()
        if not self._schedule.on_snapshot(book, last_update_id, self._now_ms):
            self._books.failed(book.key, self._now_ms)
            return
        self.snapshots += 1
        self._writer.add_answer(received_ns, address, body)
        self._writer.note(
            manifest_entries.SnapshotRecorded(
                time_ns=received_ns,
                symbol=symbol,
                question=endpoint,
                last_update_id=last_update_id,
                levels=limit,
            )
        )
        self._books.load(book.key, body, self._now_ms)

    def _note_failure(self, book: Book, failure: Exception) -> None:
        self._books.failed(book.key, self._now_ms)
        if self._schedule.on_failure(book, self._now_ms, LONGEST_PAUSE_MS * _is_final(failure)):
            reason = _reason(failure)
            self._writer.note(
                manifest_entries.SnapshotFailed(
                    time_ns=self._clock_ns(), symbol=book.symbol, reason=reason
                )
            )
            logger().warning("! no snapshot of a book", symbol=book.symbol, reason=reason)

    # Contracts

    async def _keep_list(self) -> None:
        pause_s = self._first_pause_s
        while True:
            self._contracts_changed.clear()
            try:
                news = self._contracts.news(await self._rest.get("exchangeInfo"))
            except Failure as failure:
                wait_s, pause_s = pause_s, min(pause_s * 2, LONGEST_PAUSE_S)
                logger().warning(
                    "! the contracts are unknown", reason=_reason(failure), again_in_s=wait_s
                )
                await asyncio.sleep(wait_s)
                continue
            pause_s = self._first_pause_s
            if news:
                self._writer.note(
                    manifest_entries.InstrumentsListed(time_ns=self._clock_ns(), symbols=news)
                )
            _warn_unlisted(self._contracts.unlisted())
            await asyncio.sleep(LIST_MIN_INTERVAL_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._contracts_changed.wait(), LIST_EVERY_S)
                await asyncio.sleep(LIST_DELAY_S)

    # The profile

    async def _find_profile(self) -> None:
        pause_s = self._first_pause_s
        while True:
            try:
                profile = await upstream_profile(self._rest)
            except (RequestError, UpstreamError):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            except ConfigError as error:
                logger().error(f"! the recording does not say its profile: {error}")
                return
            else:
                self._writer.note(
                    manifest_entries.ProfileReported(time_ns=self._clock_ns(), profile=profile)
                )
                return


def _warn_unlisted(symbols: Sequence[str]) -> None:
    for symbol in symbols[:MAX_UNLISTED_WARNINGS]:
        logger().warning(f"! {printable(symbol)} is not listed; it is recorded if it comes")
    if more := len(symbols[MAX_UNLISTED_WARNINGS:]):
        logger().warning(f"! {more:,} more symbols are not listed; they are recorded if they come")


def _is_final(failure: Exception) -> bool:
    """Return whether the server has no such snapshot, for example of an unknown symbol."""
    return isinstance(failure, RequestError) and failure.status not in REFUSALS


def _reason(failure: Exception) -> str:
    if isinstance(failure, UNREADABLE):
        return f"the response cannot be read: {failure}"
    return str(failure)
