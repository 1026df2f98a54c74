"""That the client loses nothing silently: connections that fail, compared with what really was.

An exchange of the test kit cuts every connection once a minute, the day of the real one scaled down,
and does to it what else can happen.  After each minute of market time the trades that the client
got are compared with those of the exchange, one by one, and its books level by level.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import click
from msgspec import Struct, field, structs

import tickerplant
from benchmarks.processes import usages
from benchmarks.table import Table
from tickerplant import Notice, testing
from tickerplant.client.books import Books
from tickerplant.client.market import Market
from tickerplant.errors import RequestError
from tickerplant.feed.settings import ClientSettings, ConnectionSettings
from tickerplant.messages import Message, Trade
from tickerplant.notices import BookResyncing, Disconnected, Dropped, Gap, Recovered, Stale

MINUTES = 60
QUICK_MINUTES = 3
COPIES = 2
SEED = 1
LIFE_MS = 60_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BTCUSD_PERP")
CHANNELS = {
    "usdm": ("trade", "aggTrade", "bookTicker", "depth20@100ms", "kline_1m", "markPrice@1s"),
    "coinm": ("trade", "aggTrade", "bookTicker", "depth10@100ms", "kline_1m", "markPrice@1s"),
}
QUOTING = 0.1
"""How often makers quote: the trades and the failures are what matters here."""
SETTLE_EVERY = "1s"
DRAIN_S = 15.0
"""How long the end waits for what is on its way: longer than a gap waits for REST."""
SETTLED_SHARE = 0.25
"""Part of the time after which the memory of the client should not grow."""

FAULTS = {
    "reset": "2m",
    "close": "1001@2m",
    "stall": "5s@1m",
    "garbage": "30s",
    "chain": "20s",
    "fields": "0.01",
    "refuse": "0.1",
    "limit_handshakes": "0.02",
    "http_429": "0.02",
    "http_503": "0.05",
    "http_garbage": "0.05",
}
TELLING = (Disconnected, Recovered, Stale, Gap, Dropped)
"""Notices that say that something may be missing where they stand."""


class Outcome(Struct):
    """What was found, and what must not be."""

    tables: list[Table]
    failures: list[str]


class Totals(Struct):
    """What became of trades."""

    expected: int = 0
    twice: int = 0
    disordered: int = 0
    """They came after a later one."""
    unknown: int = 0
    told: int = 0
    """Lost, where a notice says so."""
    silent: int = 0
    """Lost, and nothing says so."""


class Line:
    """The trades of one symbol, as the client got them, between notices."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._places: dict[int, int] = {}
        """Place of each trade, in the order in which they came, that is not compared yet."""
        self._marks: list[int] = []
        """After how many trades a notice came."""
        self._count = 0
        self._before = 0
        """Place of the last trade that was compared."""
        self._first = self.next_id = self._highest = 0

    def take(self, trade_id: int) -> None:
        """Take a trade."""
        if not self._highest:
            self._first = self.next_id = trade_id
        if trade_id in self._places or trade_id < self.next_id:
            self._totals.twice += trade_id >= self._first
            self._totals.disordered += trade_id < self._first  # from before the beginning
            return
        self._count += 1
        self._places[trade_id] = self._count
        self._totals.disordered += trade_id < self._highest
        self._highest = max(self._highest, trade_id)

    def mark(self) -> None:
        """Take a notice that something may be missing here."""
        self._marks.append(self._count)

    def compare(self, true_ids: Sequence[int], *, to_end: bool) -> None:
        """Compare with all trades from `next_id` on; later ones than the client's may be on their way."""
        lost = 0
        for trade_id in true_ids:
            if trade_id > self._highest and not to_end:
                break
            self._totals.expected += 1
            place = self._places.pop(trade_id, 0)
            if place:
                self._close_hole(lost, place)
                lost, self._before = 0, max(self._before, place)
            else:
                lost += 1
            self.next_id = trade_id + 1
        self._close_hole(lost, self._count + 1)
        if to_end:
            self._totals.unknown += len(self._places)

    def _close_hole(self, lost: int, after: int) -> None:
        """Count what is lost before the trade with the place `after`."""
        if lost:
            is_told = any(self._before <= mark < after for mark in self._marks)
            self._totals.told += lost * is_told
            self._totals.silent += lost * (not is_told)
        self._marks = [mark for mark in self._marks if mark >= self._before]


class Found(Struct):
    """What a run found."""

    totals: Totals = field(default_factory=Totals)
    messages: int = 0
    minutes: int = 0
    unsettled: int = 0
    """Steps after which a client was not connected again within ten seconds."""
    books: int = 0
    """Books that were compared and right."""
    not_live: int = 0
    wrong_books: list[str] = field(default_factory=list)
    notices: Counter[str] = field(default_factory=Counter)
    memory_mb: list[float] = field(default_factory=list)


class Watched:
    """The client at one venue, and what it got."""

    def __init__(
        self, market: Market, venue: str, exchange: testing.Exchange, found: Found
    ) -> None:
        self.market = market
        self._exchange = exchange
        self._found = found
        self._symbols = [each for each in SYMBOLS if each.endswith("USDT") == (venue == "usdm")]
        self._lines = {symbol: Line(found.totals) for symbol in self._symbols}
        names = [f"{s.lower()}@{channel}" for s in self._symbols for channel in CHANNELS[venue]]
        market.on(*names, callback=self._take, backfill=True)
        self.books: Books = market.books(*self._symbols, on_update=self._count)

    def _take(self, item: Message | Notice) -> None:
        if isinstance(item, Trade):
            self._lines[item.symbol].take(item.trade_id)
        if isinstance(item, TELLING):
            for symbol in self._symbols:
                if f"{symbol.lower()}@trade" in item.streams:
                    self._lines[symbol].mark()
        if isinstance(item, Notice):
            self._found.notices[type(item).__name__] += len(item.streams)
        else:
            self._found.messages += 1

    def _count(self, _book: object, item: Message | Notice) -> None:
        if isinstance(item, BookResyncing):
            self._found.notices[type(item).__name__] += 1

    def compare(self, *, to_end: bool) -> None:
        """Compare what the client has with what was."""
        for symbol, line in self._lines.items():
            true = self._exchange.truth.trades(symbol, line.next_id)
            line.compare([each["id"] for each in true], to_end=to_end)
        for symbol in self._symbols:
            if symbol not in self.books.live:
                self._found.not_live += 1
                continue
            try:
                self._exchange.truth.assert_book(self.books[symbol], symbol)
                self._found.books += 1
            except AssertionError as error:
                self._found.wrong_books.append(str(error))
            except RequestError:  # the update has been forgotten
                self._found.not_live += 1


def run(
    *,
    quick: bool = False,
    minutes: int | None = None,
    speed: float = 0.0,
) -> Outcome:
    """Compare for so many minutes of market time: step by step, or at a speed, such as the clock's."""
    minutes = minutes or (QUICK_MINUTES if quick else MINUTES)
    settings = ClientSettings(
        connections=ConnectionSettings(copies=COPIES, max_connection_age_ms=LIFE_MS)
    )
    found = Found()
    with testing.exchange(
        seed=SEED,
        symbols=SYMBOLS,
        limits={"lifetime_ms": LIFE_MS},
        faults=[f"{name}={value}" for name, value in FAULTS.items()],
        quoting=QUOTING,
    ) as exchange:
        counters = asyncio.run(_watch(exchange, settings, minutes, speed, found))
    return Outcome(_tables(found, counters), _failures(found))


async def _watch(
    exchange: testing.Exchange, settings: ClientSettings, minutes: int, speed: float, found: Found
) -> Counter[str]:
    """Let the client follow the exchange; return what it counted over its connections."""
    async with (
        tickerplant.connect("usdm", base_url=exchange.usdm_ws_url, settings=settings) as usdm,
        tickerplant.connect("coinm", base_url=exchange.coinm_ws_url, settings=settings) as coinm,
    ):
        markets = [("usdm", usdm), ("coinm", coinm)]
        watched = [Watched(market, venue, exchange, found) for venue, market in markets]
        async with watched[0].books, watched[1].books:
            if speed:
                exchange.set_speed(speed)
            for minute in range(1, minutes + 1):
                if speed:
                    await asyncio.sleep(60 / speed)
                else:
                    await _step(exchange, found)
                _compare(watched, to_end=False)
                found.minutes = minute
                found.memory_mb.append(usages(os.getpid())[0].resident_bytes / 1e6)
                if not minute % max(1, minutes // 12):
                    totals = found.totals
                    click.echo(
                        f"{minute} min: {found.messages:,} messages, {totals.expected:,} trades compared, "
                        f"{totals.told} lost (told), {totals.silent} lost silently, {found.books} books right"
                    )
            exchange.clear()
            exchange.pause()
            await exchange.astep("1m", settle_every=SETTLE_EVERY)  # all are connected again
            await asyncio.sleep(DRAIN_S)
            _compare(watched, to_end=True)
        counted = [structs.asdict(each.market.counters) for each in watched]
        return sum(map(Counter, counted), Counter[str]())


async def _step(exchange: testing.Exchange, found: Found) -> None:
    try:
        await exchange.astep("1m", settle_every=SETTLE_EVERY, timeout_s=300)
    except TimeoutError:
        found.unsettled += 1
        with suppress(TimeoutError):
            await exchange.astep("1m", timeout_s=300)


def _compare(watched: Sequence[Watched], *, to_end: bool) -> None:
    for each in watched:
        each.compare(to_end=to_end)


# Results


def _failures(found: Found) -> list[str]:
    """Return what must not be."""
    totals = found.totals
    failures = [
        f"{count:,} {words}"
        for count, words in (
            (totals.silent, "trades were lost silently"),
            (totals.twice, "trades came twice"),
            (totals.unknown, "trades came that were not on the exchange"),
        )
        if count
    ]
    if not totals.expected or not found.books:
        failures.append("nothing was compared")
    return failures + found.wrong_books[:3]


def _tables(found: Found, counters: Counter[str]) -> list[Table]:
    totals = found.totals
    settled_mb = found.memory_mb[int(len(found.memory_mb) * SETTLED_SHARE)]
    return [
        Table(
            title=f"endurance: {found.minutes} minutes of market time, {COPIES} connections a stream",
            columns=("", "count"),
            rows=[
                ("messages received", found.messages),
                ("trades that were, from the first received", totals.expected),
                ("trades twice", totals.twice),
                ("trades out of order", totals.disordered),
                ("trades lost, told", totals.told),
                ("trades lost silently", totals.silent),
                ("books compared and right, to the level", found.books),
                ("books wrong", len(found.wrong_books)),
                ("books not live when they were to be compared", found.not_live),
                ("steps that did not settle", found.unsettled),
                *(
                    (f"connections {name}", counters[name])
                    for name in ("lost", "renewed", "refused")
                ),
                *((f"notice: {name}", count) for name, count in found.notices.most_common()),
                ("memory when settled, MB", settled_mb),
                ("memory at the end, MB", found.memory_mb[-1]),
            ],
            notes=[
                f"{len(SYMBOLS)} symbols of both venues.  Notices count for each stream.  Connections live {LIFE_MS // 1000} s of market time; faults on all of them:",
                ", ".join(f"{name}={value}" for name, value in FAULTS.items()) + ".",
            ],
        ),
    ]
