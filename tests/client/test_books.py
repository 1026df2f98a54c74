"""Order books kept by the client, against the books of a simulated exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from consumers import client_of, connections, every, quick, received
from loopback import START_MS, Loopback, looped, serving, until
from misbehaving import TimeSpec
from programs import PATIENCE_S
from simulated_house import simulated

from tickerplant import ConfigError, Market, Notice, OrderBook, RequestError, WeightBudget
from tickerplant.client.books import Books, RequestingBook
from tickerplant.client.rest import MAX_CONCURRENT
from tickerplant.config.kinds import read_faults as faults_of
from tickerplant.feed.order_book import BookState
from tickerplant.messages import BookResyncing, DepthUpdate, Disconnected, Gap, Recovered
from tickerplant.notices import BookSynced
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.truth.truth import Truth
from tickerplant.units import HOUR_MS
from tickerplant.venue import COINM, USDM, Venue

BTC, PERP = "BTCUSDT", "BTCUSD_PERP"
STEP_MS = 100


class Exchange(Loopback):
    """A server whose market goes on on demand."""

    def __init__(self, house: Loopback, exchange: SimulatedExchange) -> None:
        super().__init__(house.plant, house.server, house.clock)
        self._exchange = exchange

    def go_on(self, ms: int = STEP_MS) -> None:
        until_ms = self.plant.now_ms + ms
        while self._exchange.next_time_ms < until_ms:
            time_ms, events = self._exchange.step()
            self.plant.advance(time_ms)
            for event in events:
                self.plant.publish(event)
        self.plant.advance(until_ms)

    def symbols(self, count: int) -> tuple[str, ...]:
        listed = [each.symbol for each in self._exchange.instruments if each.venue is USDM]
        return tuple(listed[:count])


@asynccontextmanager
async def exchange(
    *symbols: str,
    count: int | None = None,
    faults: str = "",
    start_ms: int = START_MS,
    port: int = 0,
    truth: Truth | None = None,
    intensity: float = 0.3,
    quoting: float = 0.3,
) -> AsyncIterator[Exchange]:
    plant, market = simulated(
        *symbols, count=count, start_ms=start_ms, truth=truth, intensity=intensity, quoting=quoting
    )
    ports = {USDM.name: port, COINM.name: 0}
    async with serving(plant, faults=faults, truth=truth, ports=ports) as house:
        yield Exchange(house, market)


@asynccontextmanager
async def kept(
    house: Exchange, *symbols: str, is_awaited: bool = True, **options: Any
) -> AsyncIterator[tuple[Market, Books]]:
    """Yield books of a market that goes on, when they are live."""
    of_client = {name: options.pop(name) for name in ("settings", "budget") if name in options}
    async with (
        client_of(house, **of_client) as market,
        market.books(*(symbols or (BTC,)), **options) as books,
        every(0.02, house.go_on),
    ):
        if is_awaited:
            await books.wait_until_live()
        yield market, books


def inside(books: Books, symbol: str = BTC) -> RequestingBook:
    """Return a book with what users do not see of it."""
    return books._by_symbol[symbol]


async def until_live(books: Books) -> None:
    await until(lambda: len(books.live) == len(books))


@pytest.mark.parametrize(
    ("venue", "symbols", "text"),
    [(USDM, (BTC, "ETHUSDT"), "<Books BTCUSDT, ETHUSDT>"), (COINM, (PERP,), f"<Books {PERP}>")],
)
@looped
async def test_books_become_live_and_are_those_of_the_exchange(
    venue: Venue, symbols: tuple[str, ...], text: str
) -> None:
    async with (
        exchange(*symbols) as house,
        client_of(house, venue) as market,
        market.books(*map(str.lower, symbols)) as books,
        every(0.02, house.go_on),
    ):
        await books.wait_until_live()
        assert (tuple(books), repr(books)) == (symbols, text)
        for symbol in books:
            book = books[symbol]
            assert books[symbol.lower()] is book is books.get(symbol.title())
            assert (book.state, book.reason) == (BookState.LIVE, "")
            audited = await books.audit(symbol.lower())
            assert (audited.symbol, audited.score) == (symbol, 1.0)
            best_bid, best_ask = book.best_bid, book.best_ask
            assert best_bid is not None
            assert best_ask is not None
            assert float(best_bid[0]) < float(best_ask[0])
            assert book.bids(3)[0] == best_bid
        with pytest.raises(KeyError, match="NOSUCH"):
            books["nosuch"]
        odd: Any = 7
        assert odd not in books
        books.add("AUSDT", "BUSDT", "CUSDT")
        assert repr(books).endswith(f" and {len(books) - 3} more>")


@pytest.mark.parametrize("speed", ["100ms", "250ms", "500ms"])
@looped
async def test_books_of_each_speed_are_complete(speed: str) -> None:
    async with exchange(BTC) as house, kept(house, speed=speed, limit=100) as (_, books):
        await until(lambda: inside(books).counters.applied > 3)
        result = await books.audit(BTC)
        assert (result.score, result.skipped_reason) == (1.0, "")
        assert inside(books).limit == 100


@looped
async def test_updates_and_notices_of_a_book_are_reported_in_order() -> None:
    items: list[Any] = []

    def note(book: OrderBook, item: Any) -> None:
        assert book.symbol == BTC
        if isinstance(item, DepthUpdate) and book.state is BookState.LIVE:
            assert book.update_id == item.final_update_id, "it is reported after it was applied"
        items.append(item)

    async with exchange(BTC) as house, kept(house, on_update=note) as (_, books):
        (synced,) = [each for each in items if isinstance(each, BookSynced)]
        assert (synced.symbol, synced.streams) == (BTC, ("btcusdt@depth@100ms",))
        assert synced.update_id >= 0
        count = len(items)
        await until(lambda: len(items) > count + 3)
        assert all(isinstance(each, DepthUpdate) for each in items[count:])
        assert inside(books).counters.gaps == 0


@looped
async def test_iteration_gives_each_book_that_changed_once() -> None:
    async with exchange(BTC, "ETHUSDT") as house, client_of(house) as market:
        books = market.books(BTC, "ETHUSDT")
        async with every(0.02, house.go_on):
            await books.wait_until_live()
            await until(lambda: all(inside(books, each).counters.applied > 5 for each in books))
        changes = books.changes()
        given = {(await anext(changes)).symbol for _ in range(2)}
        assert given == {BTC, "ETHUSDT"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(changes), 0.05)
        house.go_on(500)
        assert (await anext(changes)).symbol in given


@looped
async def test_each_of_several_iterators_gives_every_book_that_changed() -> None:
    async with exchange(BTC, "ETHUSDT") as house, kept(house, BTC, "ETHUSDT") as (_, books):
        iterators = [books.changes(), books.changes(live_only=True)]
        for _ in range(2):
            for iterator in iterators:
                assert {(await anext(iterator)).symbol for _ in range(2)} == {BTC, "ETHUSDT"}
        late = books.changes()
        assert (await anext(late)).symbol in books, "it begins with what there is"
        assert len(books._iterators) == 3
        del late, iterators, iterator
        assert not books._iterators, "those that nobody uses are forgotten"


@looped
async def test_only_live_books_are_given_if_wanted() -> None:
    async with exchange(BTC) as house, kept(house, BTC, "NOSUCH", is_awaited=False) as (_, books):
        await until(lambda: books["NOSUCH"].reason.startswith("no snapshot"))
        changes = books.changes(live_only=True)
        found = [await anext(changes) for _ in range(3)]
        assert {(book.symbol, book.state) for book in found} == {(BTC, BookState.LIVE)}
        waiting = asyncio.create_task(anext(changes, None))
        books.close()
        assert await waiting is None


@looped
async def test_notices_of_a_book_have_the_wall_clock_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items: list[Any] = []
    async with (
        exchange(BTC) as house,
        kept(house, on_update=lambda _, item: items.append(item)) as (_, books),
    ):
        count = len(items)
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + 8 * HOUR_MS * 1_000_000)
        inside(books).ids_restarted(0)
        await until(lambda: any(isinstance(each, BookSynced) for each in items[count:]))
        now_ms = time.time_ns() // 1_000_000
        notices = [each for each in items[count:] if isinstance(each, BookResyncing | BookSynced)]
        assert len(notices) == 2
        assert all(0 <= now_ms - each.time_ms < HOUR_MS for each in notices)
        assert (await books.audit(BTC)).score == 1.0


@looped
async def test_a_server_whose_ids_restart_lower_is_followed_at_once() -> None:
    items: list[Any] = []
    async with AsyncExitStack() as stack:
        async with exchange(BTC) as house:
            port = int(house.server.urls[USDM.name].rpartition(":")[2])
            market = await stack.enter_async_context(client_of(house))
            books = market.books(BTC, on_update=lambda _, item: items.append(item))
            async with every(0.02, house.go_on):
                await books.wait_until_live()
                await until(lambda: inside(books).counters.applied > 3)
        book, old_id, count = books[BTC], books[BTC].update_id, len(items)
        async with (
            exchange(BTC, start_ms=START_MS - 3_600_000, port=port) as house,
            every(0.02, house.go_on),
        ):
            await until(lambda: any(isinstance(each, BookSynced) for each in items[count:]))
            assert 0 < book.update_id < old_id
            assert (await books.audit(BTC)).score == 1.0
            assert inside(books).counters.resyncs == 1
            notices: list[Any] = [each for each in items[count:] if isinstance(each, Notice)]
    gap, resync, synced = notices[-3:]
    assert [type(each) for each in notices if isinstance(each, Gap)] == [Gap], "it is reported once"
    assert (type(gap), gap.reason) == (Gap, "ids restarted")
    assert (type(resync), resync.reason) == (BookResyncing, "ids_restarted")
    assert isinstance(synced, BookSynced)


@looped
async def test_a_book_without_updates_is_stale_until_they_resume() -> None:
    items: list[Any] = []
    async with (
        exchange(BTC) as house,
        kept(house, on_update=lambda _, item: items.append(item)) as (_, books),
    ):
        book = books[BTC]
        house.server.faults.switch(faults_of("refuse=1"))
        connections(house)[0].abort()
        await until(lambda: book.state is BookState.STALE)
        assert book.reason == "disconnected: the connection was lost"
        levels = book.bids(5)
        await asyncio.sleep(0.05)
        assert book.bids(5) == levels, "it is as it was"
        house.server.faults.switch({})
        await until_live(books)
        notices = [type(each) for each in items if isinstance(each, Notice)]
        assert notices == [BookSynced, Disconnected, Recovered, Gap, BookResyncing, BookSynced]
        assert (await books.audit(BTC)).score == 1.0


@looped
async def test_a_book_that_missed_nothing_continues_without_a_snapshot() -> None:
    async with exchange(BTC) as house, client_of(house) as market, market.books(BTC) as books:
        async with every(0.02, house.go_on):
            await books.wait_until_live()
        sent = house.plant.markets[BTC].book.last_update_id
        await until(lambda: books[BTC].update_id == sent)
        connections(house)[0].abort()
        await until(lambda: books[BTC].state is BookState.STALE)
        await until(lambda: market._runner.is_delivered("btcusdt@depth@100ms"))
        async with every(0.02, house.go_on):
            await until_live(books)
        counters = inside(books).counters
        assert (counters.resyncs, counters.snapshots_used) == (0, 1)


@looped
async def test_an_unknown_symbol_is_reported_and_retried_with_growing_delays() -> None:
    async with exchange(BTC) as house, kept(house, BTC, "BTCUSDC", is_awaited=False) as (_, books):
        with pytest.raises(RequestError, match="-1121 Invalid symbol") as refused:
            await books.wait_until_live()
        assert "does not list BTCUSDC; did you mean BTCUSDT?" in str(refused.value)
        book = books["BTCUSDC"]
        assert (book.state, book.best_bid) == (BookState.SYNCING, None)
        assert book.reason.startswith("no snapshot: -1121 Invalid symbol. (USDⓈ-M at http://127")
        assert book.reason.endswith("does not list BTCUSDC; did you mean BTCUSDT?)")
        changes = books.changes()
        given = {(await anext(changes)).symbol for _ in range(2)}
        assert given == {BTC, "BTCUSDC"}, "iteration gives it, too"
        await asyncio.sleep(0.3)
        assert inside(books, "BTCUSDC").counters.snapshots_failed == 1
        assert "-1121" in (await books.audit("BTCUSDC")).skipped_reason
        await until(lambda: inside(books, "BTCUSDC").counters.snapshots_failed == 2)
        pause_ms = inside(books, "BTCUSDC").next_request_ms - books._now_ms()
        assert 1_500 < pause_ms <= 2_100, "twice the first pause"
        books.remove("BTCUSDC")
        await books.wait_until_live()
        assert list(books) == [BTC]


@pytest.mark.parametrize("live_only", [False, True])
@looped
async def test_iteration_fails_once_every_book_is_refused(live_only: bool) -> None:
    async with (
        exchange(BTC) as house,
        kept(house, "NOSUCH", "NEITHER", is_awaited=False) as (_, books),
    ):

        async def iterate() -> None:
            async for book in books.changes(live_only=live_only):
                assert not book.is_live

        with pytest.raises(RequestError, match=r"symbol=NOSUCH.*-1121 Invalid symbol"):
            await asyncio.wait_for(iterate(), PATIENCE_S)
        books.add(BTC)
        found = [await anext(books.changes(live_only=True)) for _ in range(3)]
        assert {book.symbol for book in found} == {BTC}, "one good book is enough"


@looped
async def test_a_symbol_of_the_other_venue_is_reported_at_once() -> None:
    async with (
        exchange(BTC) as house,
        client_of(house) as market,
        market.books("BTCUSD_PERP") as books,
    ):
        with pytest.raises(ConfigError, match=r"symbol.*'BTCUSD_PERP'|'BTCUSD_PERP'.*symbol"):
            await books.wait_until_live()
        assert "COIN-M" in books["BTCUSD_PERP"].reason


@looped
async def test_a_server_without_snapshots_is_reported() -> None:
    async with exchange(BTC, faults="http_garbage=1") as house, client_of(house) as market:
        moment = TimeSpec()
        market._rest.context.clock, market._rest.context.sleep = moment, moment.sleep
        async with market.books(BTC) as books, every(0.02, house.go_on):
            await until(lambda: inside(books).counters.snapshots_failed)
            assert books[BTC].reason.startswith("no snapshot: http://127.0.0.1")
            assert "the response is not JSON but a web page" in books[BTC].reason
            assert books[BTC].reason.endswith(", 3 times")
            house.server.faults.switch({})
            await books.wait_until_live()
            assert books[BTC].reason == ""


class BrokenBudget(WeightBudget):
    """One with a mistake that is made once."""

    is_broken = True

    def reserve(self, weight: int, now_ms: int) -> int:
        is_broken, self.is_broken = self.is_broken, False
        return weight // 0 if is_broken else super().reserve(weight, now_ms)


@looped
async def test_an_error_in_a_request_is_logged_and_does_not_freeze_the_book(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        exchange(BTC) as house,
        kept(house, budget=BrokenBudget(), is_awaited=False) as (_, books),
    ):
        book = books[BTC]
        await until(lambda: inside(books).counters.snapshots_failed)
        assert book.reason.startswith("no snapshot: ZeroDivisionError(")
        await books.wait_until_live()
        assert book.reason == ""
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tickerplant.client.books", "ERROR")
    assert record.getMessage() == "The snapshot request for BTCUSDT failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@looped
async def test_a_refusal_gives_reason_and_end_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with exchange(BTC, "ETHUSDT") as house, client_of(house) as market:
        moment = TimeSpec()
        market._rest.context.clock, market._rest.context.sleep = moment, moment.sleep
        market.budget.refused(429, 42_000, moment.now_ms, "Too many requests; slow down.")
        async with market.books(BTC, "ETHUSDT") as books, every(0.02, house.go_on):
            await until(
                lambda: all(books[symbol].reason.startswith("no snapshot:") for symbol in books)
            )
            expected = (
                "no snapshot: 429, again in 42 s, at 2026-01-01T00:00:42Z: -1003 Not sent: "
                "an earlier request was refused with: Too many requests; slow down."
            )
            assert [book.reason for book in books.values()] == [expected] * 2
            with pytest.raises(TimeoutError, match=r"not live .* BTCUSDT: no snapshot: 429, again"):
                await books.wait_until_live(0)
            moment.now_ms += 30_000
            assert "again in 12 s" in books[BTC].reason
            (record,) = caplog.records
            assert record.levelname == "WARNING"
            assert "No snapshot of the book of" in record.getMessage()
            moment.now_ms += 12_000
            await books.wait_until_live()
            assert moment.slept == []
            assert len(caplog.records) == 1


@looped
async def test_a_timeout_names_a_few_of_many_books_with_their_reasons() -> None:
    async with (
        exchange(count=8, faults="http_garbage=1") as house,
        client_of(house) as market,
        market.books(*house.symbols(8)) as books,
    ):
        await until(
            lambda: all(each.reason.startswith("no snapshot: h") for each in books.values())
        )
        a_reason = r"\w+: no snapshot: http[^;]+"
        for timeout_s in (0.05, 0):
            with pytest.raises(
                TimeoutError,
                match=rf"not live after {timeout_s} s: {a_reason}(; {a_reason}){{4}}; and 3 more$",
            ):
                await books.wait_until_live(timeout_s)


@pytest.mark.parametrize(
    ("status", "is_definite"), [(400, True), (403, True), (429, False), (418, False), (503, False)]
)
@looped
async def test_only_a_definite_refusal_ends_the_wait(status: int, is_definite: bool) -> None:
    async with exchange(BTC) as house, client_of(house) as market, market.books(BTC) as books:
        book = inside(books)
        book.failure = RequestError(-1003, "No.", status)
        with pytest.raises(RequestError if is_definite else TimeoutError, match="-1003 No"):
            await books.wait_until_live(0)
        async with every(0.02, house.go_on):
            await until_live(books)
        book.failure = RequestError(-1003, "No.", status)
        await books.wait_until_live(0)


@looped
async def test_an_abandoned_audit_leaves_no_journal() -> None:
    async with exchange(BTC) as house, client_of(house) as market, market.books(BTC) as books:
        async with every(0.02, house.go_on):
            await books.wait_until_live()
        house.go_on(STEP_MS // 2)  # the snapshot is newer than what the stream has sent
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(books.audit(BTC), 0.3)
        assert inside(books).journal is None


@looped
async def test_books_come_and_go() -> None:
    async with exchange(BTC, "ETHUSDT") as house, kept(house) as (_, books):
        books.add("ethusdt", BTC)
        await books.wait_until_live()
        assert len(books) == 2
        gone = books[BTC]
        books.remove("btcusdt", "NOSUCH")
        await received(house, "ethusdt@depth@100ms")
        assert list(books) == ["ETHUSDT"]
        assert (gone.state, gone.reason) == (BookState.STALE, "removed")
        with pytest.raises(KeyError):
            await books.audit(BTC)
        assert (await anext(books.changes())).symbol == "ETHUSDT"
        books.add(BTC)
        await books.wait_until_live()
        assert books[BTC] is not gone


@looped
async def test_books_that_are_closed_while_they_are_added_subscribe_to_nothing_more() -> None:
    async with exchange(BTC) as house, client_of(house) as market:
        # the second is of the other venue, which is reported at once
        books = market.books(BTC, "BTCUSD_PERP", "ETHUSDT", on_update=_fail)
        assert list(books) == [BTC, "BTCUSD_PERP"]
        assert not market._runner.feed.merged_streams
        with pytest.raises(_OddError):
            await books.wait_until_live()


@looped
async def test_closed_books_unsubscribe_and_say_that_they_are_stale() -> None:
    async with exchange(BTC) as house, kept(house) as (market, books):
        reading = asyncio.create_task(_all_of(books))
        book = books[BTC]
        applied = inside(books).counters.applied
        await until(lambda: inside(books).counters.applied > applied)
        books.close()
        books.close()
        await reading
        await received(house)
        assert (book.state, book.reason) == (BookState.STALE, "closed")
        assert book.best_bid is not None
        with pytest.raises(RuntimeError, match="closed"):
            await books.wait_until_live()
        with pytest.raises(RuntimeError, match="closed"):
            books.add("ETHUSDT")
        async with market.books(BTC) as others:
            await others.wait_until_live()


async def _all_of(books: Books) -> list[OrderBook]:
    return [book async for book in books.changes()]


@looped
async def test_books_end_with_the_market() -> None:
    async with exchange(BTC) as house:
        async with client_of(house) as market, every(0.02, house.go_on):
            books = market.books(BTC)
            await books.wait_until_live()
        assert books[BTC].state is BookState.STALE
        assert len(await _all_of(books)) <= 1
        await until(lambda: not connections(house))


class _OddError(Exception):
    pass


def _fail(book: OrderBook, item: object) -> None:
    raise _OddError


@looped
async def test_an_exception_in_the_callback_leaves_stale_books_and_is_raised_to_every_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = False

    def fail(book: OrderBook, item: object) -> None:
        if fails:
            raise _OddError

    async with exchange(BTC, "ETHUSDT") as house, client_of(house) as market:
        async with market.books(BTC, "ETHUSDT", on_update=fail) as books:
            async with every(0.02, house.go_on):
                await books.wait_until_live()
                auditing = asyncio.create_task(books.audit(BTC))
                await asyncio.sleep(0)
                fails = True
                await until(lambda: not books.live)
                with pytest.raises(_OddError):
                    await auditing
            assert {(book.state, book.reason) for book in books.values()} == {
                (BookState.STALE, "closed")
            }
            for _ in range(2):
                with pytest.raises(_OddError):
                    await books.wait_until_live()
                with pytest.raises(_OddError):
                    await books.audit(BTC)
                with pytest.raises(_OddError):
                    await _all_of(books)
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("tickerplant.client.books", "ERROR")
        assert record.getMessage() == (
            "A callback failed, and its books are closed: BTCUSDT, ETHUSDT"
        )
        assert record.exc_info is not None
        assert record.exc_info[0] is _OddError
    # neither raised it again: it was raised before


@looped
async def test_a_callback_that_raises_cancelled_error_fails_as_any_other() -> None:
    async with exchange(BTC) as house, client_of(house) as market:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        books = market.books(BTC, on_update=lambda *_: future.result())
        with pytest.raises(RuntimeError, match="raised CancelledError") as raised:
            await books.wait_until_live()
        assert isinstance(raised.value.__cause__, asyncio.CancelledError)
        await received(house)


@looped
async def test_closed_books_stay_stale_whatever_their_notice_would_do_to_them() -> None:
    heard_of: list[Any] = []

    def fail(book: OrderBook, item: object) -> None:
        if isinstance(item, Disconnected | Recovered):
            heard_of.append(item)
        if isinstance(item, Recovered):
            raise _OddError

    async with exchange(BTC, "ETHUSDT") as house, client_of(house) as market:
        books = market.books(BTC, "ETHUSDT", on_update=fail)
        async with every(0.02, house.go_on):
            await books.wait_until_live()
            connections(house)[0].abort()
            await until(lambda: any(isinstance(each, Recovered) for each in heard_of))
        assert {book.reason for book in books.values()} == {"closed"}
        assert {book.state for book in books.values()} == {BookState.STALE}
        with pytest.raises(_OddError):
            await _all_of(books)


@looped
async def test_an_exception_in_the_callback_is_raised_when_the_market_closes() -> None:
    async with exchange(BTC) as house:

        async def keep() -> None:
            async with client_of(house) as market, every(0.02, house.go_on):
                market.books(BTC, on_update=_fail)
                await received(house, "btcusdt@depth@100ms")
                await received(house)

        with pytest.raises(_OddError):
            await keep()


@looped
async def test_a_callback_may_close_the_books_and_remove_one() -> None:
    items: list[str] = []

    def remove(book: OrderBook, item: object) -> None:
        items.append(book.symbol)
        books.remove(book.symbol)
        if not books:
            books.close()

    async with exchange(BTC, "ETHUSDT") as house, client_of(house) as market:
        books = market.books(BTC, "ETHUSDT", on_update=remove)
        async with every(0.02, house.go_on):
            await until(lambda: len(items) == 2)
            await received(house)
        assert sorted(items) == [BTC, "ETHUSDT"]


@pytest.mark.parametrize(
    ("symbols", "options", "named"),
    [
        ((), {}, "symbol"),
        (("",), {}, "symbol"),
        ((7,), {}, "symbol"),
        ((BTC,), {"speed": "0ms"}, "speed"),
        ((BTC,), {"limit": 7}, "limit"),
    ],
)
@looped
async def test_invalid_arguments_of_books_are_refused(
    symbols: tuple[Any, ...], options: dict[str, Any], named: str
) -> None:
    async with exchange(BTC) as house, client_of(house) as market:
        with pytest.raises(ConfigError, match=named):
            market.books(*symbols, **options)
        books = market.books(BTC)
        with pytest.raises(ConfigError, match=r"symbol.*symbols one by one"):
            books.add("ETHUSDT", symbols or ["ETHUSDT"])  # type: ignore[arg-type]
        assert list(books) == [BTC], "nothing is added"
        for timeout_s in (-1, "soon"):
            with pytest.raises(ConfigError, match="timeout_s"):
                await books.wait_until_live(timeout_s)  # type: ignore[arg-type]


class Turnstile(WeightBudget):
    """A budget that has nothing for anybody while it is shut."""

    is_shut = True

    def reserve(self, weight: int, now_ms: int) -> int:
        return 10 if self.is_shut else super().reserve(weight, now_ms)


@looped
async def test_books_that_wait_for_the_budget_while_connections_flap_do_not_pay_for_it() -> None:
    synced: list[str] = []

    def note(book: OrderBook, item: object) -> None:
        if isinstance(item, BookSynced):
            synced.append(book.symbol)

    budget = Turnstile()
    async with (
        exchange(count=40, intensity=0.1, quoting=0.1) as house,
        client_of(house, budget=budget) as market,
    ):
        symbols = house.symbols(3 * MAX_CONCURRENT)
        books = market.books(*symbols, limit=100, on_update=note)
        for _ in range(2):
            await until(lambda: len(books._requests) == MAX_CONCURRENT)
            connections(house)[0].abort()
            await until(lambda: {book.state for book in books.values()} == {BookState.STALE})
            await until(lambda: {book.state for book in books.values()} == {BookState.SYNCING})
        await asyncio.sleep(1.1)  # the pauses of the books that were asked for are over
        budget.is_shut = False
        await until_live(books)
        assert synced[0] not in symbols[:MAX_CONCURRENT], "those had their turn"
        assert sorted(synced) == sorted(symbols)
        unused = sum(inside(books, each).counters.snapshots_unused for each in books)
        assert unused == MAX_CONCURRENT, "those that were on their way"
        assert budget.spent == 5 * (len(symbols) + MAX_CONCURRENT)


@looped
async def test_the_more_books_the_fewer_levels() -> None:
    symbols = [f"A{each}USDT" for each in range(97)]
    async with (
        exchange(BTC) as house,
        client_of(house) as market,
        market.books(*symbols, *symbols) as books,
    ):
        assert {inside(books, each).limit for each in books} == {500}


@looped
async def test_an_unread_subscription_stops_no_book_and_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with exchange(BTC, "ETHUSDT") as house, client_of(house) as market:
        async with every(0.02, house.go_on):
            idle = market.stream("ethusdt@bookTicker", queue_size=10)
            async with market.books(BTC) as books:
                await books.wait_until_live()
                await until(lambda: caplog.records)
                update_id = books[BTC].update_id
                await until(lambda: books[BTC].update_id > update_id + 100)
                assert books[BTC].state is BookState.LIVE
                while idle.pending:  # it is polled
                    assert not isinstance(await anext(idle), Notice)
                await until(lambda: idle.pending)
        assert (idle.counters.dropped, market.counters.lost) == (0, 0)
    (warning,) = [each for each in caplog.records if each.name.startswith("tickerplant.client")]
    assert warning.levelname == "WARNING"
    for word in (
        "ethusdt@bookTicker",
        "queue_size=10",
        "when_full='block'",
        "when_full='keep_latest'",
    ):
        assert word in warning.message


@looped
async def test_a_book_fed_with_merged_messages_has_no_gaps_and_stays_true() -> None:
    names = {"btcusdt@depth20@100ms", "btcusdt@aggTrade"}
    settings = quick(delivery="latest")
    async with (
        exchange(BTC) as house,
        client_of(house, settings=settings) as market,
        market.books(BTC) as books,
        market.stream(*names) as watched,
    ):
        hub = house.server.endpoints[0].hub
        async with every(0.02, house.go_on):
            await books.wait_until_live()
            assert {each.policy for each in connections(house)} == {"latest"}
            for _ in range(3):
                for connection in connections(house):
                    hub.hold(connection)
                enough = hub.delivery_counters.conflated + 20
                while hub.delivery_counters.conflated < enough:  # noqa: ASYNC110  # see `until`
                    await asyncio.sleep(0.001)
                for connection in connections(house):
                    hub.release(connection)
                await asyncio.sleep(0)
            assert books[BTC].state is BookState.LIVE
            assert (await books.audit(BTC)).score == 1.0
        seen = [await anext(watched) for _ in range(watched.pending)]
        assert not [each for each in seen if isinstance(each, Gap | BookResyncing)]
        assert {each.stream for each in seen if not isinstance(each, Notice)} == names
        counters = market._runner.feed.counters
        assert (counters.gaps, counters.missing) == (0, 0)
        assert hub.delivery_counters.dropped == 0
