"""The client under test: it writes down all it gets and is told.

    python -m benchmarks.endurance_client ORDER

ORDER is an `Order` as JSON.  A line on the input ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO

import msgspec
from msgspec import Struct, field

import tickerplant
from benchmarks.endurance_ledger import Kind, Records, digest_of
from benchmarks.endurance_server import commands_of, next_command, say
from benchmarks.machine import RECEIVER_CORE, pin
from tickerplant.client.books import Books
from tickerplant.client.market import Market
from tickerplant.errors import RequestError, UpstreamError
from tickerplant.feed.audit import AuditResult
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.settings import ClientSettings
from tickerplant.messages.kline import CandleMessage
from tickerplant.messages.message import Message
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.notices import (
    BookResyncing,
    BookSynced,
    DecodeFailed,
    Disconnected,
    Dropped,
    Gap,
    Notice,
    Recovered,
    Stale,
)
from tickerplant.venue import VenueName

STATE_S = 1.0
PAGE_BYTES = 4096

MARKS: dict[type[Notice], Kind] = {
    Disconnected: Kind.DISCONNECTED,
    Recovered: Kind.RECOVERED,
    Stale: Kind.STALE,
    Gap: Kind.GAP,
    Dropped: Kind.DROPPED,
}


class Order(Struct, frozen=True, kw_only=True):
    """What is to be heard, and where."""

    urls: dict[VenueName, str]
    names: dict[str, list[str]]
    """The streams of each venue; their numbers go on from venue to venue."""
    books: dict[str, list[str]]
    audit_every_s: float
    records: str
    log: str
    origin_ms: int
    settings: ClientSettings


class BookTotals(Struct):
    """How the books of a client were."""

    books: int = 0
    live: int = 0
    all_live_s: float = 0.0
    """How long it took until all of them were live; 0 while they are not."""
    least_live: int = 0
    """The fewest that were live at once after that."""
    audits: int = 0
    """Audits that compared something."""
    levels: int = 0
    """Levels that were compared."""
    score_sum: float = 0.0
    least_score: float = 1.0
    skipped_audits: dict[str, int] = field(default_factory=Counter)
    """Audits that compared nothing, by reason."""
    resyncs: dict[str, int] = field(default_factory=Counter)
    """Times a book began anew, by reason."""
    weight: int = 0
    """Request weight that was spent."""
    waited_s: float = 0.0
    """Time that questions waited for weight."""


class Taken(Struct):
    """How a client is doing."""

    messages: int = 0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    counters: dict[str, FeedCounters] = field(default_factory=dict)
    """By venue."""
    notices: dict[str, int] = field(default_factory=Counter)
    """By kind, one for each stream that they are about."""
    events: dict[str, int] = field(default_factory=Counter)
    """Connections that were lost or refused, by reason."""
    books: BookTotals = field(default_factory=BookTotals)
    failures: list[str] = field(default_factory=list)
    """What the client raised."""


class Diary:
    """Writes down what a client gets: messages and notices as records, events in words."""

    def __init__(self, order: Order, log: TextIO) -> None:
        self.taken = Taken()
        self.records = Records(order.records, order.origin_ms)
        self._origin_ms = order.origin_ms
        self._log = log

    def sink_of(self, numbers: dict[str, int]) -> Callable[[Message | Notice], None]:
        """Return what takes the items of one venue."""
        last: dict[int, bytes] = {}
        note = self.records.note

        def take(item: Message | Notice) -> None:
            if isinstance(item, Notice):
                self._take_notice(item, numbers)
                return
            number = numbers[item.stream]
            if item.backfilled:
                note(Kind.ROW, number, 0, _row_id_of(item))
            elif last.get(number) is not item.payload:  # else of the same array
                last[number] = item.payload
                note(Kind.MESSAGE, number, digest_of(item.payload))

        return take

    def _take_notice(self, notice: Notice, numbers: dict[str, int]) -> None:
        name = type(notice).__name__
        self.taken.notices[name] += len(notice.streams)
        mark = MARKS.get(type(notice))
        if mark is not None:
            for stream in notice.streams:
                self.records.note(mark, numbers[stream])
        more = msgspec.to_builtins(notice)
        if isinstance(notice, DecodeFailed):
            more["streams"] = more["streams"][:1]
        self.tell(name, **more)

    def tell(self, what: str, **more: Any) -> None:
        """Write an event down in words."""
        ms = time.monotonic_ns() // 1_000_000 - self._origin_ms
        self._log.write(json.dumps({"ms": ms, "what": what, **more}, default=str) + "\n")

    def fail(self, error: BaseException) -> None:
        """Take note of what the client raised."""
        self.taken.failures.append(repr(error))
        self.tell("failure", error=repr(error))

    def watch(self, venue: str, market: Market) -> None:
        """Write down what happens to the connections of `market`."""
        feed = market._runner.feed  # noqa: SLF001  # the client tells of streams, not of connections

        def watched(what: str) -> Callable[..., None]:
            told = getattr(feed, what)

            def tell(number: int, *arguments: Any) -> None:
                connection = feed.connections.get(number)
                if what != "opened" and connection is not None:
                    self.taken.events[f"{what}: {arguments[0] if arguments else ''}"] += 1
                self.tell(
                    what,
                    venue=venue,
                    connection=number,
                    state=repr(connection),
                    arguments=arguments,
                )
                told(number, *arguments)

            return tell

        for what in ("opened", "refused", "lost"):
            setattr(feed, what, watched(what))


def _row_id_of(message: Message) -> int:
    match message:
        case Trade():
            return message.trade_id
        case AggregateTrade():
            return message.aggregate_id
        case CandleMessage():
            return message.open_time_ms
        case _:
            return 0


class Auditor:
    """Audits the books of one venue, one after the other, again and again."""

    def __init__(self, books: Books, totals: BookTotals, diary: Diary) -> None:
        self._books = books
        self._totals = totals
        self._diary = diary

    async def run(self, every_s: float) -> None:
        """Audit until cancelled."""
        for symbol in cycle(self._books):
            pause = asyncio.create_task(asyncio.sleep(every_s))
            try:
                self._take(await self._books.audit(symbol))
            except (RequestError, UpstreamError) as error:
                self._totals.skipped_audits["no snapshot"] += 1
                self._diary.tell("no snapshot", symbol=symbol, error=str(error))
            await pause

    def _take(self, result: AuditResult) -> None:
        totals, score = self._totals, result.score
        if score is None:
            reason = " ".join(word for word in result.skipped_reason.split() if word.isalpha())
            totals.skipped_audits[reason[:60]] += 1
        else:
            totals.audits += 1
            totals.levels += result.compared
            totals.score_sum += score
            totals.least_score = min(totals.least_score, score)
        if score is None or score < 1:
            self._diary.tell("audit", **msgspec.to_builtins(result))


async def _read(market: Market, names: list[str], take: Callable[[Any], None]) -> None:
    async for item in market.stream(*names, backfill=True):
        take(item)


async def _take_part(order: Order, log: TextIO) -> None:
    diary = Diary(order, log)
    taken, began_s = diary.taken, time.monotonic()
    commands = await commands_of()
    ended = asyncio.create_task(next_command(commands))
    kept: list[Books] = []
    markets: dict[str, Market] = {}
    tasks: list[asyncio.Task[None]] = [asyncio.create_task(_flush(diary.records))]
    async with AsyncExitStack() as stack:
        numbers = iter(range(1 << 16))
        for venue, url in order.urls.items():
            names = order.names.get(venue, [])
            market = tickerplant.connect(venue, base_url=url, settings=order.settings)
            markets[venue] = await stack.enter_async_context(market)
            diary.watch(venue, market)
            if names:
                take = diary.sink_of(dict(zip(names, numbers, strict=False)))
                if len(markets) == 1:  # one venue by iteration, the other by callback
                    tasks.append(asyncio.create_task(_read(market, names, take)))
                else:
                    market.on(*names, callback=take, backfill=True)
            if symbols := order.books.get(venue):
                books = market.books(*symbols, on_update=_counting(taken.books, diary))
                kept.append(await stack.enter_async_context(books))
                auditor = Auditor(books, taken.books, diary)
                tasks.append(asyncio.create_task(auditor.run(order.audit_every_s)))
        while not ended.done():
            await asyncio.wait({ended}, timeout=STATE_S)
            for task in [each for each in tasks if each.done()]:
                tasks.remove(task)
                if error := task.exception():
                    diary.fail(error)
            _look(taken, markets, kept, time.monotonic() - began_s)
            taken.messages = diary.records.messages
            say(taken)
        for task in tasks:
            task.cancel()
    with contextlib.suppress(EOFError):
        ended.result()
    diary.records.close()


def _counting(
    totals: BookTotals, diary: Diary
) -> Callable[[tickerplant.OrderBook, Message | Notice], object]:
    """Return what counts how often books begin anew."""

    def count(book: tickerplant.OrderBook, item: Message | Notice) -> None:
        if isinstance(item, BookResyncing):
            totals.resyncs[item.reason] += 1
        if isinstance(item, BookResyncing | BookSynced):
            diary.tell(type(item).__name__, book=repr(book), why=repr(item))

    return count


async def _flush(records: Records) -> None:
    while True:
        await asyncio.sleep(STATE_S / 4)
        records.flush()


def _look(taken: Taken, markets: dict[str, Market], kept: list[Books], age_s: float) -> None:
    """Bring up to date what is not counted as it happens."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    taken.cpu_s = usage.ru_utime + usage.ru_stime
    taken.rss_bytes = _rss_bytes()
    taken.counters = {venue: market.counters for venue, market in markets.items()}
    books = taken.books
    books.books = sum(len(each) for each in kept)
    books.live = sum(len(each.live) for each in kept)
    books.weight = sum(market.budget.spent for market in markets.values())
    books.waited_s = sum(market.budget.waited_ms for market in markets.values()) / 1000
    if books.all_live_s:
        books.least_live = min(books.least_live, books.live)
    elif books.live == books.books:
        books.all_live_s, books.least_live = age_s, books.live


def _rss_bytes() -> int:
    """Return the resident memory, the most there was where the system does not tell it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    pin(RECEIVER_CORE)
    with Path(order.log).open("w") as log:
        asyncio.run(_take_part(order, log))


if __name__ == "__main__":
    main()
