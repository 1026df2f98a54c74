"""What a recorder asks over REST meanwhile: snapshots of books, the contracts, and the profile.

Nothing of it is needed for messages to be recorded: what fails is noted, and asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from msgspec.json import Decoder

from tickerplant.client.rest import RestClient
from tickerplant.client.upstream_profile import upstream_profile
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.weight import REFUSALS
from tickerplant.formatting import printable
from tickerplant.logs import logger
from tickerplant.messages.readers import UNREADABLE
from tickerplant.messages.sequenced import SequencedSnapshot
from tickerplant.queries.depth import RPI_LIMIT
from tickerplant.recorder.anchors import LONGEST_PAUSE_MS, Anchors, Book
from tickerplant.recorder.contracts import Contracts
from tickerplant.recording import manifest_entries

AT_ONCE = 4
"""Snapshots that are on their way at the same time; the request weight paces them further."""
LIST_EVERY_S = 3_600.0
"""The contracts are asked for so often, even if nothing says that they changed."""
LIST_LATEST_S = 2.0
"""After a message about contracts others may follow for so long."""
LIST_LEAST_S = 10.0
"""Whatever messages say, they are asked for no more often."""
MOST_UNLISTED = 20
"""Symbols that are not listed are told one by one up to so many; of more there is the number."""
FIRST_PAUSE_S = 5.0
"""After a question that failed; each further failure doubles it."""
LONGEST_PAUSE_S = 300.0


class Tape(Protocol):
    """Where answers and notes are written."""

    def add_answer(self, received_ns: int, address: str, body: bytes) -> None:
        """Record an answer."""

    def note(self, entry: manifest_entries.Entry) -> None:
        """Add a line to the manifest."""


_snapshot = Decoder(SequencedSnapshot).decode
Failure = (RequestError, UpstreamError, *UNREADABLE)


class Asking:
    """Asks for what a recording needs besides messages, from `start` to `stop`.

    Args:
        rest: Who is asked.
        anchors: The books that want snapshots.
        contracts: Finds what is new in the list of contracts.
        tape: Where the answers go.
        levels: Levels of a side in a snapshot.
        clock_ns: The time, ns since the epoch.
    """

    def __init__(
        self,
        rest: RestClient,
        anchors: Anchors,
        contracts: Contracts,
        tape: Tape,
        *,
        levels: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self.snapshots = 0
        """Snapshots that were recorded."""
        self._rest = rest
        self._anchors = anchors
        self._contracts = contracts
        self._tape = tape
        self._levels = levels
        self._clock_ns = clock_ns
        self._now_ms = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._lasting: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def start(self, profile: str) -> None:
        """Begin with the list of contracts, and the profile if it is not known yet."""
        self._lasting.add(asyncio.create_task(self._keep_list()))
        if not profile:
            self._lasting.add(asyncio.create_task(self._find_profile()))

    async def stop(self) -> None:
        """Ask nothing any more."""
        tasks = self._asking | self._lasting
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def turn(self, now_ms: int) -> None:
        """Ask for the snapshots that are due; `now_ms` is of a clock that only goes forward."""
        self._now_ms = now_ms
        while len(self._asking) < AT_ONCE and (book := self._anchors.next(now_ms)) is not None:
            task = asyncio.create_task(self._anchor(book))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def relist(self) -> None:
        """Ask for the contracts soon: they are said to have changed."""
        self._changed.set()

    # Snapshots

    async def _anchor(self, book: Book) -> None:
        symbol, question = book.key
        limit = self._levels if question == "depth" else RPI_LIMIT
        address = self._rest.address_of(question, symbol=symbol, limit=str(limit))
        try:
            body = await self._rest.get(question, symbol=symbol, limit=limit)
            last_update_id = _snapshot(body).last_update_id
        except Failure as failure:
            self._fail(book, failure)
            return
        received_ns = self._clock_ns()
        if self._anchors.answered(book, last_update_id, self._now_ms):
            self.snapshots += 1
            self._tape.add_answer(received_ns, address, body)
            self._tape.note(
                manifest_entries.SnapshotRecorded(
                    time_ns=received_ns,
                    symbol=symbol,
                    question=question,
                    last_update_id=last_update_id,
                    levels=limit,
                )
            )

    def _fail(self, book: Book, failure: Exception) -> None:
        if self._anchors.failed(book, self._now_ms, LONGEST_PAUSE_MS * _is_final(failure)):
            reason = _reason(failure)
            self._tape.note(
                manifest_entries.SnapshotFailed(
                    time_ns=self._clock_ns(), symbol=book.symbol, reason=reason
                )
            )
            logger().warning("! no snapshot of a book", symbol=book.symbol, reason=reason)

    # Contracts

    async def _keep_list(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            self._changed.clear()
            try:
                news = self._contracts.news(await self._rest.get("exchangeInfo"))
            except Failure as failure:
                wait_s, pause_s = pause_s, min(pause_s * 2, LONGEST_PAUSE_S)
                logger().warning(
                    "! the contracts are not known", reason=_reason(failure), again_in_s=wait_s
                )
                await asyncio.sleep(wait_s)
                continue
            pause_s = FIRST_PAUSE_S
            if news:
                self._tape.note(
                    manifest_entries.InstrumentsListed(time_ns=self._clock_ns(), symbols=news)
                )
            _warn_unlisted(self._contracts.unlisted())
            await asyncio.sleep(LIST_LEAST_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LIST_EVERY_S)
                await asyncio.sleep(LIST_LATEST_S)

    # The profile

    async def _find_profile(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                profile = await upstream_profile(self._rest)
            except (RequestError, UpstreamError):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                self._tape.note(
                    manifest_entries.ProfileReported(time_ns=self._clock_ns(), profile=profile)
                )
                return


def _warn_unlisted(symbols: Sequence[str]) -> None:
    for symbol in symbols[:MOST_UNLISTED]:
        logger().warning(f"! {printable(symbol)} is not listed; it is recorded if it comes")
    if more := len(symbols[MOST_UNLISTED:]):
        logger().warning(f"! {more:,} more symbols are not listed; they are recorded if they come")


def _is_final(failure: Exception) -> bool:
    """Whether the server said that it has none, as of a symbol that it does not know."""
    return isinstance(failure, RequestError) and failure.status not in REFUSALS


def _reason(failure: Exception) -> str:
    if isinstance(failure, UNREADABLE):
        return f"the answer cannot be read: {failure}"
    return str(failure)
