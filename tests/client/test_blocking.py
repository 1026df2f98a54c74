"""The client for programs without an event loop; the server runs in another thread."""

from __future__ import annotations

import asyncio
import errno
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from consumers import QUICK, TRADES, connections, every, received, url_of
from loopback import START_MS, Loopback, loopback, until
from programs import PATIENCE_S
from test_books import exchange

from tickerplant import (
    BookSnapshot,
    ConfigError,
    OrderBook,
    QueueOverflow,
    RequestError,
    blocking,
    messages,
)
from tickerplant.client import loop_thread
from tickerplant.client.loop_thread import LoopThread
from tickerplant.messages import Kline

pytestmark = pytest.mark.sockets

T = TypeVar("T")


class House:
    """A server in a thread of its own."""

    def __init__(self, context: AbstractAsyncContextManager[Loopback] | None = None) -> None:
        self.loopback: Loopback
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._context = context or loopback()

    def __enter__(self) -> Self:
        self._thread.start()
        self.loopback = self.do(self._context.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._context.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self.do(call())

    def trade(self, count: int = 1) -> None:
        def trade() -> None:
            for _ in range(count):
                self.loopback.trade()

        self.call(trade)

    def call_soon(self, function: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(function)

    def received(self, *names: str) -> None:
        self.do(received(self.loopback, *names))

    def left(self) -> None:
        """Wait until nobody is connected any more."""
        self.do(until(lambda: not connections(self.loopback)))

    def connect(self, **options: Any) -> blocking.Market:
        options.setdefault("settings", QUICK)
        return blocking.connect(base_url=url_of(self.loopback), **options)


@pytest.fixture
def house() -> Iterator[House]:
    threads = set(threading.enumerate())  # of other tests; they may end meanwhile
    with House() as here:
        yield here
    gc.collect()
    assert not set(threading.enumerate()) - threads, "no thread is left"


def stream(market: blocking.Market, house: House, *others: str, **options: Any) -> Any:
    """Return a subscription to trades, and others, that is carried."""
    subscription = market.stream(TRADES, *others, **options)
    happened(lambda: all(map(market.is_delivered, subscription.names)))
    house.received(*subscription.names)
    return subscription


def happened(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds; the test's time limit bounds it."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


def test_an_argument_that_is_none_is_reported_and_nothing_is_left() -> None:
    threads = set(threading.enumerate())
    with pytest.raises(ConfigError):
        blocking.connect("spot")  # type: ignore[arg-type]
    market = blocking.connect(base_url="ws://127.0.0.1:9")
    market.close()
    with pytest.raises(RuntimeError, match="closed"):
        market.ask("/fapi/v1/time")
    market = blocking.connect(base_url="ws://127.0.0.1:9")
    del market
    gc.collect()
    assert not set(threading.enumerate()) - threads


def test_it_is_used_with_with_and_asked_for_everything(house: House) -> None:
    market = house.connect()
    assert market.counters.messages == 0
    with market:
        with pytest.raises(RuntimeError, match="once"):
            market.__enter__()
        house.trade()
        (candle,) = market.fetch_candles("BTCUSDT", "1m", limit=1)
        assert (candle.close_price, candle.is_closed) == ("65280.10", False)
        (trade,) = market.fetch_trades("BTCUSDT", limit=1)
        assert trade.price == "65280.10"
        assert not market.fetch_aggregate_trades("BTCUSDT", from_id=1)
        assert not market.fetch_funding_rates("BTCUSDT")
        assert [each.symbol for each in market.fetch_instruments()] == ["BTCUSDT"]
        with pytest.raises(ConfigError, match="limit"):
            market.fetch_depth("BTCUSDT", limit=7)  # type: ignore[arg-type]
        with pytest.raises(RequestError) as refused:
            market.ask("/fapi/v1/depth", symbol="NONE")
        assert refused.value.code == -1121
    for use in (lambda: market.stream(TRADES), lambda: market.ask("/fapi/v1/time")):
        with pytest.raises(RuntimeError, match="the market is closed; call `connect` again"):
            use()
    with pytest.raises(RuntimeError, match="once"):
        market.__enter__()


def test_it_is_used_without_with_until_it_is_closed(house: House) -> None:
    market = house.connect()
    assert repr(market) == f"<blocking.Market usdm {url_of(house.loopback)}, 0 streams>"
    assert market.ask("/fapi/v1/time") == {"serverTime": START_MS}
    subscription = stream(market, house)
    assert repr(subscription) == f"<blocking.Subscription {TRADES}, 0 pending>"
    house.trade(2)
    happened(lambda: market.counters.messages == 2)
    assert next(subscription).trade_id == 1
    market.close()
    market.close()
    assert not market.is_open
    assert next(subscription).trade_id == 2
    with pytest.raises(StopIteration):
        next(subscription)
    assert market.counters.messages == 2
    assert repr(market).endswith(", closed>")


def _no_files() -> None:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_thread_that_can_make_no_event_loop_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = set(threading.enumerate())
    market = blocking.connect(base_url="ws://127.0.0.1:9")
    monkeypatch.setattr(loop_thread, "_Loop", _no_files)
    with pytest.raises(OSError, match="Too many open files"):
        market.stream(TRADES)
    monkeypatch.undo()
    with pytest.raises(OSError, match="Too many open files"):
        market.ask("/fapi/v1/time")
    market.close()
    with pytest.raises(RuntimeError, match="closed"):
        market.ask("/fapi/v1/time")
    assert not set(threading.enumerate()) - threads


class _OddError(Exception):
    pass


def test_a_callback_is_called_in_the_thread_of_the_client(house: House) -> None:
    found: list[Any] = []
    reported: list[str] = []

    def take(message: object) -> None:
        found.append((message, threading.current_thread().name, market.counters.messages))
        try:
            market.ask("/fapi/v1/time")
        except RuntimeError as error:
            reported.append(str(error))

    with house.connect() as market:
        listener = market.on(TRADES, callback=take)
        assert (listener.names, repr(listener)) == ((TRADES,), f"<blocking.Listener {TRADES}>")
        happened(lambda: market.is_delivered(TRADES))
        house.trade()
        happened(lambda: reported)
        with pytest.raises(TimeoutError, match=f"{TRADES}.* was not closed within 0.01 s"):
            listener.wait(0.01)
        listener.close()
        listener.wait()
        house.received()
    ((message, thread, _),) = found
    assert (message.trade_id, thread) == (1, "tickerplant")
    assert reported == [
        "not allowed in a callback: it runs in the client's thread and would wait for itself"
    ]


@pytest.mark.parametrize("is_awaited", [True, False])
def test_what_a_callback_raises_is_raised(house: House, is_awaited: bool) -> None:
    def fail(_: object) -> None:
        raise _OddError

    market = house.connect()
    listener = market.on(TRADES, callback=fail)
    happened(lambda: market.is_delivered(TRADES))
    house.trade()
    house.received()
    with pytest.raises(_OddError):
        listener.wait(PATIENCE_S) if is_awaited else market.close()
    market.close()


def test_a_callback_cannot_close_the_market_and_leaves_it_whole(house: House) -> None:
    market = house.connect()
    listener = market.on(TRADES, callback=lambda _: market.close())
    happened(lambda: market.is_delivered(TRADES))
    house.trade()
    with pytest.raises(RuntimeError, match="not allowed in a callback"):
        listener.wait(PATIENCE_S)
    assert market.ask("/fapi/v1/time") == {"serverTime": START_MS}
    market.close()
    house.left()


@asynccontextmanager
async def trading() -> AsyncIterator[Loopback]:
    """A server with an exchange that goes on."""
    async with exchange("BTCUSDT") as here, every(0.02, here.go_on):
        yield here


@pytest.fixture
def exchange_house() -> Iterator[House]:
    with House(trading()) as here:
        yield here


def test_books_are_a_mapping_and_are_read_in_this_thread(exchange_house: House) -> None:
    house = exchange_house
    with house.connect() as market:
        with market.books("btcusdt") as books:
            books.wait_until_live(PATIENCE_S)
            assert (len(books), list(books), "btcusdt" in books) == (1, ["BTCUSDT"], True)
            assert (set(books.live), repr(books)) == ({"BTCUSDT"}, "<Books BTCUSDT>")
            book = books["BTCUSDT"]
            assert books["btcusdt"] is book
            assert dict(books.items()) == {"BTCUSDT": book}
            assert (book.symbol, book.state, book.reason) == ("BTCUSDT", "live", "")
            assert repr(book).startswith("<OrderBook BTCUSDT live ")
            assert book.age_ms is not None
            copied = book.copy()
            assert isinstance(copied, BookSnapshot)
            assert copied.bids(1) == [copied.best_bid]
            assert (copied.state, copied.reason) == ("live", "")
            assert books.audit("BTCUSDT").score == 1.0
            changes = books.changes(live_only=True, timeout_s=PATIENCE_S)
            assert [next(changes) for _ in range(3)] == [book] * 3
            with pytest.raises(KeyError, match="no book of NONE; there are books of BTCUSDT"):
                _ = books["NONE"]
            with pytest.raises(KeyError):
                books.audit("NONE")
            books.add("ETHUSDT")
            assert list(books) == ["BTCUSDT", "ETHUSDT"]
            books.remove("ethusdt")
            assert list(books) == ["BTCUSDT"]
        assert (book.state, book.reason) == ("stale", "closed")
        assert (book.bids(1), book.asks(1)) == ([book.best_bid], [book.best_ask])
        assert book.mid == book.copy().mid
        assert not list(changes), "they are no longer live"
        house.received()
    with pytest.raises(StopIteration):
        next(changes)
    assert book.state == "stale"
    assert books.is_done
    books.close()


def test_a_callback_reads_a_book_in_the_thread_of_the_client(exchange_house: House) -> None:
    seen: list[Any] = []

    def note(book: OrderBook, _: object) -> None:
        seen.append((book, book.state, threading.current_thread().name))

    with exchange_house.connect() as market, market.books("BTCUSDT", on_update=note) as books:
        books.wait_until_live(PATIENCE_S)
        happened(lambda: seen and seen[-1][1] == "live")
        assert {(each[0], each[2]) for each in seen} == {(books["BTCUSDT"], "tickerplant")}
        with pytest.raises(ConfigError, match="on_update"):
            market.books("BTCUSDT", on_update=7)  # type: ignore[arg-type]


def test_what_was_read_is_counted_and_no_more(house: House) -> None:
    with house.connect() as market:
        subscription = stream(market, house, queue_size=2)
        house.trade(5)
        happened(lambda: market.counters.messages >= 2)
        assert next(subscription).trade_id == 1
        assert subscription.counters.delivered == 1
        assert len(subscription._batch) <= 1, "never more than `size` are taken at once"
        assert [next(subscription).trade_id for _ in range(4)] == [2, 3, 4, 5]
        assert subscription.counters.delivered == 5


def test_the_loop_is_left_with_break(house: House) -> None:
    def trade() -> None:
        house.received("btcusdt@depth", TRADES)
        house.trade()

    with house.connect() as market, ThreadPoolExecutor(1) as pool:
        kept = market.stream("btcusdt@depth")
        trading = pool.submit(trade)
        for message in market.stream(TRADES):
            assert isinstance(message, messages.Trade)
            break
        trading.result()
        gc.collect()
        house.received("btcusdt@depth")
        kept.close()
        house.received()


def test_nothing_in_time_is_a_timeout_and_costs_nothing(house: House) -> None:
    with house.connect() as market:
        subscription = stream(market, house, timeout_s=0.0005)
        for _ in range(2):
            with pytest.raises(TimeoutError, match=rf"no message of {TRADES} within 0\.0005 s"):
                next(subscription)
        found: list[int] = []
        for number in range(1, 101):
            house.trade()
            while len(found) < number:  # it may come after the timeout
                with suppress(TimeoutError):
                    found.append(next(subscription).trade_id)
        assert found == [*range(1, 101)]


def test_each_timeout_is_checked_and_that_of_a_batch_comes_first(house: House) -> None:
    with house.connect() as market:
        subscription, books = stream(market, house, timeout_s=0.002), market.books("BTCUSDT")
        for wait in (subscription.read_batch, books.changes, partial(market.stream, TRADES)):
            with pytest.raises(ConfigError, match="timeout_s"):
                wait(timeout_s=0)
        with pytest.raises(TimeoutError, match=r"within 0\.001 s"):
            subscription.read_batch(timeout_s=0.001)
        with pytest.raises(TimeoutError, match=r"within 0\.002 s"):
            subscription.read_batch()


def test_questions_are_asked_from_several_threads_also_if_they_are_the_first(house: House) -> None:
    house.trade()
    market = house.connect()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(market.ask, "/fapi/v1/time") for _ in range(20)]
        got = [pool.submit(market.ask, "ticker/price", symbol="BTCUSDT") for _ in range(20)]
        assert [each.result() for each in asked] == [{"serverTime": START_MS}] * 20
        assert {each.result()["price"] for each in got} == {"65280.10"}
        assert all(pool.map(lambda _: market.counters.messages == 0, range(20)))
    market.close()


def test_streams_are_read_from_several_threads(house: House) -> None:
    with house.connect() as market, ThreadPoolExecutor(4) as pool:
        subscriptions = [stream(market, house) for _ in range(4)]
        reading = [
            pool.submit(lambda each: [next(each).trade_id for _ in range(50)], each)
            for each in subscriptions
        ]
        house.trade(50)
        assert [each.result() for each in reading] == [[*range(1, 51)]] * 4


def test_what_streams_callbacks_and_books_are_told_is_passed_on(house: House) -> None:
    name, seen = Kline.of("BTCUSDT", "1m"), list[Any]()
    with house.connect() as market:
        house.trade()
        candle = next(market.stream(name, history=5))
        assert isinstance(candle, Kline)
        market.on(name, callback=seen.append, history=5)
        happened(lambda: seen)
        assert (candle.backfilled, seen[0].backfilled) == (True, True)
        failing = stream(market, house, name, when_full="raise", queue_size=2)
        house.trade(3)
        happened(lambda: failing.counters.dropped)
        assert [next(failing).trade_id for _ in range(2)] == [2, 3]
        with pytest.raises(QueueOverflow):
            next(failing)
        with pytest.raises(TimeoutError, match=r"no change of BTCUSDT within 0\.05 s"):
            for _ in market.books("BTCUSDT").changes(live_only=True, timeout_s=0.05):
                pass


def test_latest_is_fresh_when_it_is_wanted(house: House) -> None:
    names = (TRADES, "btcusdt@aggTrade")
    with house.connect() as market:
        latest: Any = market.stream(*names, when_full="keep_latest")
        everything = stream(market, house, *names[1:])
        house.trade(2)
        house.call(lambda: house.loopback.plant.advance(START_MS + 1_000))
        assert len([next(everything) for _ in range(3)]) == 3
        assert next(latest).trade_id == 2
        house.call(lambda: house.loopback.plant.advance(START_MS + 2_000))
        house.trade(1)
        house.call(lambda: house.loopback.plant.advance(START_MS + 3_000))
        assert len([next(everything) for _ in range(2)]) == 2
        assert next(latest).aggregate_id == 2, "not the one that waited before"


def test_who_is_interrupted_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with house.connect() as market:
        subscription = stream(market, house)
        run = asyncio.run_coroutine_threadsafe

        def interrupted(coroutine: Any, loop: Any) -> Any:
            future = run(coroutine, loop)
            monkeypatch.setattr(future, "result", _interrupt)
            return future

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                next(subscription)
        monkeypatch.undo()
        house.trade(2)
        assert [next(subscription).trade_id for _ in range(2)] == [1, 2]


def test_who_is_interrupted_reads_on_while_the_loop_is_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()
    with house.connect() as market:
        subscription = stream(market, house)
        house.trade()
        assert next(subscription).trade_id == 1
        run = asyncio.run_coroutine_threadsafe

        def interrupted(coroutine: Any, loop: Any) -> Any:
            loop.call_soon_threadsafe(goes_on.wait, PATIENCE_S)
            future = run(coroutine, loop)
            monkeypatch.setattr(future, "result", _interrupt)
            return future

        def let_go_on(coroutine: Any, loop: Any) -> Any:
            future = run(coroutine, loop)
            goes_on.set()
            return future

        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(subscription)
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", let_go_on)
        house.call_soon(house.loopback.trade)
        assert next(subscription).trade_id == 2


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_with_is_left_by_an_interrupt_while_messages_stream(house: House) -> None:
    def leave() -> None:
        with house.connect() as market:
            subscription = stream(market, house)
            house.trade(5_000)
            next(subscription)
            raise KeyboardInterrupt

    sockets = _sockets()
    with pytest.raises(KeyboardInterrupt):
        leave()
    house.received()
    house.left()
    happened(lambda: _sockets() <= sockets)


def _sockets() -> int:
    links = [str(each.readlink()) if each.is_symlink() else "" for each in FDS.iterdir()]
    return sum(each.startswith("socket:") for each in links)


FDS = Path("/proc/self/fd")


def test_a_thread_that_reads_ends_with_the_market(house: House) -> None:
    with ThreadPoolExecutor(2) as pool:
        with house.connect() as market:
            subscription = stream(market, house)
            reading = pool.submit(list, subscription)
            house.trade(3)
            happened(lambda: subscription.counters.delivered == 3)
        assert [each.trade_id for each in reading.result(PATIENCE_S)] == [1, 2, 3]


def test_what_is_used_while_the_market_ends_has_ended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.connect() as market:
        subscription, books = stream(market, house), market.books("BTCUSDT")
        listener = market.on(TRADES, callback=print)
        house.trade(3)
        assert next(subscription) is not None
    monkeypatch.setattr(LoopThread, "is_running", True)  # as somebody saw it just before
    assert [each.trade_id for each in subscription] == [2, 3]
    assert list(books.changes()) == []
    with books:
        pass
    for each in (subscription, books, listener):
        each.close()


def test_what_waits_may_be_read_after_the_market(house: House) -> None:
    with house.connect() as market:
        with stream(market, house) as subscription:
            house.trade(3)
            happened(lambda: market.counters.messages == 3)
        house.received()
    assert [each.trade_id for each in subscription] == [1, 2, 3]
    assert list(subscription) == []
    subscription.close()


def test_it_works_inside_of_an_event_loop_that_runs_already(house: House) -> None:
    async def cell() -> Any:
        with house.connect() as market:
            return market.ask("time")

    assert asyncio.run(cell()) == {"serverTime": START_MS}


CLOSES_NOTHING = """
unused = blocking.connect(base_url=url)
market = blocking.connect(base_url=url)
print(market.ask("time"))
subscription = market.stream("btcusdt@trade")
"""
IS_OVER_IN_TIME = """
try:
    with blocking.connect(base_url=url) as market:
        print(market.ask("time"))
        for message in market.stream("btcusdt@trade", timeout_s=0.2):
            print(message)
except TimeoutError as end:
    print(type(end).__name__)
"""
IS_INTERRUPTED = """
import os, signal, threading
try:
    with blocking.connect(base_url=url) as market:
        print(market.ask("time"))
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        for message in market.stream("btcusdt@trade"):
            print(message)
except KeyboardInterrupt as end:
    print(type(end).__name__)
"""


@pytest.mark.slow("a program ends, or is interrupted")
@pytest.mark.parametrize(
    ("program", "last"),
    [
        (CLOSES_NOTHING, ""),
        (IS_OVER_IN_TIME, "TimeoutError\n"),
        (IS_INTERRUPTED, "KeyboardInterrupt\n"),
    ],
)
def test_a_program_ends_without_a_word(house: House, program: str, last: str) -> None:
    head = f"from tickerplant import blocking\nurl = {url_of(house.loopback)!r}\n"
    ended = subprocess.run(  # noqa: S603  # a program of this test
        [sys.executable, "-X", "dev", "-W", "error", "-c", head + program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.stdout == f"{{'serverTime': {START_MS}}}\n{last}"
    # Python's own development mode tells of every step that a slow machine takes long for.
    said = [each for each in ended.stderr.splitlines() if not each.startswith("Executing <")]
    assert (said, ended.returncode) == ([], 0)
    house.left()
