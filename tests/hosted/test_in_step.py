"""Books, streams and `merge` of a hosted market advance together with what reads them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, TypeAlias

import pytest
from one_loop import in_one_loop, tape
from programs import PATIENCE_S

import tickerplant
from tickerplant import blocking
from tickerplant.client import lockstep

TRADES, QUOTES, OTHERS = "btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade"

Line: TypeAlias = tuple[int, str, str]
"""The id of a trade, the best bid and the best ask as of it."""


@cache
def recorded() -> list[Line]:
    with_books = tickerplant.open_recording(tape()).with_books()
    return [line(each, books) for each, books in with_books if is_of(each)]


def is_of(trade: Any) -> bool:
    return bool(trade.stream == TRADES)


def line(trade: Any, books: Any) -> Line:
    book = books["BTCUSDT"]
    return trade.trade_id, str(book.best_bid), str(book.best_ask)


Read: TypeAlias = Callable[[tickerplant.Market, Any], Coroutine[Any, Any, list[Line]]]


async def iterate(market: tickerplant.Market, books: Any) -> list[Line]:
    return [line(each, books) async for each in market.stream(TRADES)]


async def iterate_over_a_turn(market: tickerplant.Market, books: Any) -> list[Line]:
    found = []
    async for each in market.stream(TRADES):
        await asyncio.sleep(0)
        found.append(line(each, books))
    return found


async def iterate_slowly(market: tickerplant.Market, books: Any) -> list[Line]:
    found: list[Line] = []
    async for each in market.stream(TRADES):
        if len(found) % 20 == 0:
            await asyncio.sleep(0.02)
        found.append(line(each, books))
    return found


async def read_batches(market: tickerplant.Market, books: Any) -> list[Line]:
    found, trades = [], market.stream(TRADES)
    while batch := await trades.read_batch():
        found += [line(each, books) for each in batch]
    return found


async def wait_for_each(market: tickerplant.Market, books: Any) -> list[Line]:
    """Await each message in a task of its own."""
    found, trades, quotes = [], market.stream(TRADES), market.stream(QUOTES)
    waiting = {asyncio.ensure_future(anext(each)): each for each in (trades, quotes)}
    while waiting:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            source = waiting.pop(task)
            if isinstance(task.exception(), StopAsyncIteration):
                continue
            if source is trades:
                found.append(line(task.result(), books))
            waiting[asyncio.ensure_future(anext(source))] = source
    return found


async def merge(market: tickerplant.Market, books: Any) -> list[Line]:
    merged = tickerplant.merge(*map(market.stream, (QUOTES, TRADES, OTHERS)))
    return [line(each, books) async for each in merged if is_of(each)]


async def call_back(market: tickerplant.Market, books: Any) -> list[Line]:
    found: list[Line] = []
    await market.on(TRADES, callback=lambda each: found.append(line(each, books)))
    return found


READS: tuple[Read, ...] = (
    *(iterate, iterate_over_a_turn, iterate_slowly, read_batches, wait_for_each, merge, call_back),
)


@pytest.mark.parametrize("read", READS, ids=lambda it: it.__name__)
@pytest.mark.parametrize("speed", [0, 10])
@in_one_loop
async def test_a_replay_shows_each_trade_with_the_book_that_the_recording_has_for_it(
    read: Read, speed: float
) -> None:
    async with tickerplant.replay(tape(), speed=speed, pace="event") as market:
        found = await read(market, market.books("BTCUSDT"))
    assert found == recorded()


@pytest.mark.slow("a child process, and a thread")
@pytest.mark.parametrize("merges", [False, True])
def test_so_does_one_without_an_event_loop(merges: bool) -> None:
    with blocking.replay(tape(), speed=0, pace="event") as market:
        books, trades = market.books("BTCUSDT"), market.stream(TRADES)
        reading = blocking.merge(market.stream(QUOTES), trades) if merges else trades
        assert market.clock.state().phase == "paused"
        found = [line(each, books) for each in reading if is_of(each)]
        assert market.clock.state(timeout_s=PATIENCE_S).phase == "over"
    assert found == recorded()
    with pytest.raises(tickerplant.RecordingError):
        blocking.replay("/nowhere").stream(TRADES)


@in_one_loop
async def test_merged_streams_have_the_order_of_the_recording() -> None:
    names = (TRADES, QUOTES, OTHERS, "btcusdt@depth@100ms")
    expected = [each.payload for each in tickerplant.open_recording(tape(), streams=names)]
    for speed in (0, 10):
        async with tickerplant.replay(tape(), speed=speed) as market:
            merged = tickerplant.merge(*map(market.stream, names))
            assert [each.payload async for each in merged] == expected  # type: ignore[union-attr]


async def simulated(speed: float) -> list[object]:
    """Return what one program sees of a simulated market."""
    seen: list[object] = []
    async with tickerplant.simulate(
        seed=5, symbols=["BTCUSDT"], start="2026-11-20", duration="6s", speed=speed, quoting=0.3
    ) as market:
        books = market.books("BTCUSDT")
        await books.wait_until_live()

        async def follow() -> None:
            async for book in books.changes(live_only=True):
                await asyncio.sleep(0)
                seen.append((book.update_id, book.mid))

        async def trade() -> None:
            async for each in market.stream(TRADES, QUOTES):
                seen.append((each.payload, books["BTCUSDT"].mid))  # type: ignore[union-attr]  # noqa: PERF401

        await asyncio.gather(follow(), trade())
    return seen


@in_one_loop
async def test_a_simulation_shows_two_readers_the_same_at_every_speed() -> None:
    first = await simulated(0)
    assert len(first) > 100
    for speed in (0, 10):
        assert await simulated(speed) == first


@in_one_loop
async def test_the_book_after_a_subscription_that_nobody_reads_is_as_of_the_reader() -> None:
    async with tickerplant.replay(tape(), speed=0) as market:
        unread = market.stream(QUOTES)
        found = await iterate(market, market.books("BTCUSDT"))
        assert unread.pending > 100, "it stops nobody until its queue is full"
    assert found == recorded()


@in_one_loop
async def test_a_reader_may_wait_for_another_stream_in_its_loop() -> None:
    async with tickerplant.replay(tape(), speed=0) as market:
        books, quotes = market.books("BTCUSDT"), market.stream(QUOTES)
        found = []
        async for each in market.stream(TRADES):
            found.append(line(each, books))
            if len(found) % 10 == 0:
                await anext(quotes)
            if len(found) == 100:
                break
        assert found[:10] == recorded()[:10]
        assert [each[0] for each in found] == [each[0] for each in recorded()[:100]]


@in_one_loop
async def test_a_reader_that_ends_or_closes_is_not_waited_for() -> None:
    async with tickerplant.replay(tape(), speed=0) as market:
        kept, books = market.stream(TRADES), market.books("BTCUSDT")
        seen: list[object] = []

        async def read_one() -> None:
            async for each in kept:
                seen.append(each)
                return

        async def break_off() -> None:
            async for each in market.stream(QUOTES):
                seen.append(each)
                break
            closed = market.stream(QUOTES)
            async with closed:
                seen.append(await anext(closed))
            await asyncio.Event().wait()

        breaking = asyncio.ensure_future(break_off())
        _, found = await asyncio.gather(read_one(), iterate(market, books))
        breaking.cancel()
    assert len(seen) == 3
    assert found == recorded()


@in_one_loop
async def test_readers_that_wait_for_each_other_are_told_and_the_market_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lockstep, "PATIENCE_TICKS", 4)
    async with tickerplant.replay(tape(), speed=0) as market:
        later, found, quotes = asyncio.Event(), 0, 0

        async def wait_for_the_other() -> None:
            nonlocal found
            async for _ in market.stream(TRADES):
                found += 1
                await later.wait()

        async def let_the_other_go() -> None:
            nonlocal quotes
            async for _ in market.stream(QUOTES):
                quotes += 1
                if quotes == 50:
                    later.set()

        with caplog.at_level(logging.WARNING, "tickerplant.client.lockstep"):
            await asyncio.gather(wait_for_the_other(), let_the_other_go())
    assert found == len(recorded())
    assert [each.getMessage() for each in caplog.records if "does not wait" in each.getMessage()]
    assert TRADES in caplog.text


@in_one_loop
async def test_steps_beside_a_reader_return_when_it_has_read() -> None:
    async with tickerplant.replay(tape(), paused=True) as market:
        books, found = market.books("BTCUSDT"), []

        async def read() -> None:
            async for each in market.stream(TRADES):
                await asyncio.sleep(0)
                found.append(line(each, books))

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        state = await market.clock.step(400)
        while state.phase != "over":
            state = await market.clock.step(400)
        await reading
    assert found == recorded()


@in_one_loop
async def test_a_reader_may_step_the_market_in_its_loop() -> None:
    async with tickerplant.replay(tape(), paused=True) as market:
        trades, books = market.stream(TRADES), market.books("BTCUSDT")
        await market.clock.step(200)
        before = books["BTCUSDT"].update_id
        await anext(trades)
        state = await market.clock.step(400)
        assert state.messages == 600
        assert books["BTCUSDT"].update_id > before, "a step delivers what it sends"


@in_one_loop
async def test_a_market_closes_at_once_while_a_reader_is_at_work() -> None:
    market = await tickerplant.replay(tape(), speed=0)
    at_work = asyncio.Event()

    async def read() -> None:
        async for _ in market.stream(TRADES):
            at_work.set()
            await asyncio.Event().wait()

    market.books("BTCUSDT")
    reading = asyncio.ensure_future(read())
    await at_work.wait()
    async with asyncio.timeout(PATIENCE_S):
        await market.close()
    reading.cancel()


@pytest.mark.slow("a child process, and threads")
def test_a_thread_that_ends_is_not_waited_for() -> None:
    with blocking.replay(tape(), speed=0) as market:
        books, kept = market.books("BTCUSDT"), market.stream(QUOTES)
        thread = threading.Thread(target=lambda: next(kept))
        thread.start()
        found = [line(each, books) for each in market.stream(TRADES) if is_of(each)]
        thread.join()
    assert found == recorded()


@in_one_loop
async def test_a_reader_that_takes_the_latest_does_not_hold_the_market() -> None:
    async with tickerplant.replay(tape(), speed=10, pace="event") as market:
        slow = market.stream(QUOTES, when_full="keep_latest")

        async def look() -> None:
            async for _ in slow:
                await asyncio.sleep(0.2)

        looking = asyncio.ensure_future(look())
        found = await iterate(market, market.books("BTCUSDT"))
        await looking
        assert slow.counters.conflated > 0
    assert found == recorded()
