"""The client of one venue: streams, local order books, the WebSocket API and REST."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Generator
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar, cast, get_args, overload
from weakref import WeakSet

from tickerplant.client.api import ApiClient
from tickerplant.client.ask_target import find_target
from tickerplant.client.books import Books, snapshot_limit
from tickerplant.client.event_loop import check_timeout
from tickerplant.client.fetching import Fetcher
from tickerplant.client.history import History, parse_history
from tickerplant.client.rest import RestClient, decoded
from tickerplant.client.runner import FeedLog, FeedRunner
from tickerplant.client.server_info import (
    Listing,
    is_unknown_path,
    other_venue_served,
)
from tickerplant.client.subscription import Listener, Subscription, check_callback
from tickerplant.errors import HIDDEN, ConfigError, RequestError, UpstreamError
from tickerplant.feed.context import Observer
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.hosts import Hosts, hosts_of, venue_of_name
from tickerplant.feed.order_book import OrderBook
from tickerplant.feed.queue import WhenFull
from tickerplant.feed.settings import ClientSettings, check_settings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.book import BookSpeed, DepthSnapshot, SnapshotLimit
from tickerplant.messages.kline import Candle, Interval
from tickerplant.messages.message import Message, StreamName
from tickerplant.messages.readers import reader
from tickerplant.messages.rest import FundingRate, Instrument
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.notices import Notice
from tickerplant.protocol.credentials import EXPECTED_SECRET, fits_a_header
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import depth
from tickerplant.recording.timestamps import Instant
from tickerplant.streams.spelling import unknown_reason
from tickerplant.suggestions import one_of
from tickerplant.venue import VENUES, VenueName

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
T = TypeVar("T")

QUEUE_SIZE = 10_000
"""Default maximum number of unread messages of a subscription."""

TIMEOUT_S = 10.0
"""Default timeout of a request."""

BOOK_SPEEDS: tuple[BookSpeed, ...] = get_args(BookSpeed)


def connect(
    venue: VenueName = "usdm",
    *,
    base_url: str | None = None,
    stream_url: str | None = None,
    rest_url: str | None = None,
    api_url: str | None = None,
    api_key: str | None = None,
    settings: ClientSettings | None = None,
    budget: WeightBudget | None = None,
) -> Market:
    """Return a client for one venue.  Use it with `async with`, or await it and call `close`.

    Nothing is connected before the first subscription or request, and then directly: proxies of the
    environment (`HTTPS_PROXY`, `ALL_PROXY`) are not used.  The market works in the event loop in which
    it is opened, and in no other.

        market = await tickerplant.connect("usdm")
        price = await market.ask("ticker.price", symbol="BTCUSDT")
        await market.close()

    Args:
        venue: `usdm` or `coinm`.
        base_url: Base URL for streams, REST and the WebSocket API, such as `ws://127.0.0.1:9001`.
            Defaults to `TICKERPLANT_USDM_URL` or `TICKERPLANT_COINM_URL`, then to the exchange.
        stream_url: URL of the streams alone, such as `wss://fstream.binancefuture.com` of the
            exchange's testnet.  Defaults to `base_url`, then to `TICKERPLANT_USDM_STREAM_URL` or
            `TICKERPLANT_COINM_STREAM_URL`.
        rest_url: URL of REST alone, such as `https://demo-fapi.binance.com`; the variables end in
            `_REST_URL`.
        api_url: URL of the WebSocket API alone, with or without its path, such as
            `wss://testnet.binancefuture.com/ws-fapi/v1`; the variables end in `_API_URL`.
        api_key: Sent with REST requests.  Only `historicalTrades` needs one.
        settings: Client settings: redundant connections, retry delays, timeouts.
        budget: The request-weight budget for this IP address; pass the same one to several clients
            to share it.

    Raises:
        ConfigError: an argument is invalid.
    """
    hosts = hosts_of(
        venue_of_name(venue),
        base_url,
        stream_url=stream_url,
        rest_url=rest_url,
        api_url=api_url,
        environ=os.environ,
    )
    settings = ClientSettings() if settings is None else settings
    check_settings(settings)
    if api_key is not None and not fits_a_header(api_key):
        raise ConfigError("api_key", HIDDEN if api_key else api_key, EXPECTED_SECRET)
    return Market(hosts, settings, budget or WeightBudget(), api_key)


class Market:
    """A venue's streams, WebSocket API and REST, over self-healing connections."""

    def __init__(
        self,
        hosts: Hosts,
        settings: ClientSettings,
        budget: WeightBudget,
        api_key: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.budget = budget
        self._settings = settings
        self._api_key = api_key
        self._log = FeedLog()
        self._observer = self._log if observer is None else observer
        self._use(hosts)
        self._is_open = False
        self._was_opened = False
        self._was_entered = False
        self._closing = asyncio.Lock()
        self._subscriptions: WeakSet[Subscription[object]] = WeakSet()
        self._listeners: list[Listener] = []
        self._books: list[Books] = []

    def _use(self, hosts: Hosts) -> None:
        """Make the clients of `hosts`; nothing is connected."""
        self.hosts = hosts
        rng = Random()  # unseeded: pauses differ between clients
        self._rest = RestClient(hosts, self.budget, api_key=self._api_key)
        self._api = ApiClient(hosts, self.budget)
        self._fetcher = Fetcher(self._rest, hosts.venue, self._api_key)
        listing = Listing(hosts, self._rest, self.budget)
        self._runner = FeedRunner(
            hosts,
            self._settings,
            reader,
            self._rest,
            rng,
            listing,
            has_key=self._api_key is not None,
        )
        self._runner.feed.context.observer = self._observer

    @property
    def venue(self) -> VenueName:
        """The venue, `usdm` or `coinm`."""
        return cast("VenueName", self.hosts.venue.name)

    @property
    def is_open(self) -> bool:
        """Whether it can be used: from `async with` or `await` until it is closed."""
        return self._is_open

    @property
    def counters(self) -> FeedCounters:
        """Counts over all streams and connections."""
        return self._runner.feed.counters

    def is_delivered(self, name: str) -> bool:
        """Whether the stream `name` is subscribed to and delivered to all its consumers."""
        return self._runner.is_delivered(name)

    @overload
    def stream(
        self,
        *names: StreamName[M],
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: Callable[[Notice], object],
    ) -> Subscription[M]: ...

    @overload
    def stream(
        self,
        *names: StreamName[M],
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: None = None,
    ) -> Subscription[M | Notice]: ...

    @overload
    def stream(
        self,
        *names: str,
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: Callable[[Notice], object],
    ) -> Subscription[Message]: ...

    @overload
    def stream(
        self,
        *names: str,
        history: int | Instant = ...,
        backfill: bool = ...,
        queue_size: int = ...,
        when_full: WhenFull = ...,
        on_notice: None = None,
    ) -> Subscription[Message | Notice]: ...

    def stream(
        self,
        *names: str,
        history: int | Instant = 0,
        backfill: bool = False,
        queue_size: int = QUEUE_SIZE,
        when_full: WhenFull = "block",
        on_notice: Callable[[Notice], object] | None = None,
    ) -> Subscription[Message | Notice]:
        """Subscribe to streams and return an async iterator over their messages.

        Messages are the classes of `tickerplant.messages`; among them are notices
        (`tickerplant.Notice`) about outages, gaps and recoveries, unless `on_notice` takes them.

            async for trade in market.stream(Trade.of("BTCUSDT"), on_notice=print):
                print(trade.price, trade.quantity)

        Args:
            names: The streams: typed, such as `Trade.of("BTCUSDT")`, or text such as
                `btcusdt@miniTicker`.
            history: Messages to receive first, over REST: the last N, or all since a time, at most
                10,000 of each stream; live messages follow without a hole.  For trades, aggregate
                trades and candles.  It implies `backfill`.
            backfill: Fetch missing trades, aggregate trades and candles over REST.  Other
                subscribers to the same stream receive them too.
            queue_size: Maximum number of unread messages, besides a history.
            when_full: What to do when the queue is full: `block`, `keep_latest`, `drop_oldest` or
                `raise`.
            on_notice: Called with each notice when the reader reaches it, before the next message is
                returned; an exception in it leaves the iteration.

        Raises:
            ConfigError: an argument is missing or invalid.
            RuntimeError: the market is not open.
        """
        names = self._checked(names)
        if on_notice is not None:
            check_callback("on_notice", on_notice)
        joined = self._history(history, names)
        if joined is not None and when_full == "keep_latest":
            expected = "another value with a history, of which it would keep one message"
            raise ConfigError("when_full", when_full, expected)
        subscription: Subscription[Message | Notice] = Subscription(
            self._runner,
            names,
            when_full=when_full,
            queue_size=queue_size,
            on_notice=on_notice,
            backfill=backfill or joined is not None,
            history=joined,
        )
        self._subscriptions.add(subscription)
        return subscription

    @overload
    def on(
        self,
        *names: StreamName[M],
        callback: Callable[[M], object],
        on_notice: Callable[[Notice], object],
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    @overload
    def on(
        self,
        *names: StreamName[M],
        callback: Callable[[M | Notice], object],
        on_notice: None = None,
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    @overload
    def on(
        self,
        *names: str,
        callback: Callable[[Message], object],
        on_notice: Callable[[Notice], object],
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    @overload
    def on(
        self,
        *names: str,
        callback: Callable[[Message | Notice], object],
        on_notice: None = None,
        history: int | Instant = ...,
        backfill: bool = ...,
    ) -> Listener: ...

    def on(
        self,
        *names: str,
        callback: Callable[..., object],
        on_notice: Callable[[Notice], object] | None = None,
        history: int | Instant = 0,
        backfill: bool = False,
    ) -> Listener:
        """Call `callback` with each message of `names` as it arrives, without a queue.

        The fastest way to consume: there is no task switch.  An exception in a callback ends the
        subscription and is logged.  It is re-raised when the listener is awaited or when the market
        is closed (several are wrapped in an `ExceptionGroup`).

            listener = market.on("btcusdt@trade", callback=print)
            await listener.wait(timeout_s=60)

        Args:
            names: The streams, typed or as text; see `stream`.
            callback: Called with each message, and with each notice if there is no `on_notice`.
            on_notice: Called with each notice, at its place among the messages.
            history: Messages to receive first, over REST; see `stream`.
            backfill: Fetch missing trades, aggregate trades and candles over REST.

        Raises:
            ConfigError: an argument is missing or invalid; for example, a callback is no plain
                function (a coroutine function would never be awaited).
            RuntimeError: the market is not open.
        """
        check_callback("callback", callback)
        if on_notice is not None:
            check_callback("on_notice", on_notice)
        names = self._checked(names)
        joined = self._history(history, names)
        listener = Listener(
            self._runner,
            names,
            callback,
            on_notice=on_notice,
            backfill=backfill or joined is not None,
            history=joined,
        )
        self._listeners = [each for each in self._listeners if not each.is_done]
        self._listeners.append(listener)
        return listener

    def books(
        self,
        *symbols: str,
        speed: BookSpeed = "100ms",
        limit: SnapshotLimit | None = None,
        on_update: Callable[[OrderBook, Message | Notice], object] | None = None,
    ) -> Books:
        """Maintain a local order book of each of `symbols` until closed (`async with`).

        Args:
            symbols: Such as `BTCUSDT`.
            speed: Interval between updates: `100ms`, `250ms` or `500ms`.
            limit: Levels per side in a snapshot.  None picks the largest that lets all symbols fit
                into one minute's request weight.
            on_update: Called with a book and each update or notice of it.  An exception in it closes
                the books and is re-raised by them or when the market's `async with` block exits.

        Raises:
            ConfigError: no symbol is given, `speed` or `limit` is invalid, or `on_update` is not a
                plain function.
        """
        if on_update is not None:
            check_callback("on_update", on_update)
        if speed not in BOOK_SPEEDS:
            raise ConfigError("speed", speed, one_of(str(speed), BOOK_SPEEDS))
        if limit is not None and limit not in depth.LIMITS:
            raise ConfigError("limit", limit, f"one of {', '.join(map(str, depth.LIMITS))}")
        wanted = tuple(map(str.upper, self._checked(symbols, "symbol", "such as BTCUSDT")))
        deepest = limit or snapshot_limit(
            len(set(wanted)), self.budget.own_per_minute, self.hosts.venue
        )
        books = Books(self._runner, self._rest, speed=speed, limit=deepest, on_update=on_update)
        books.add(*wanted)
        self._books = [each for each in self._books if not each.is_done]
        self._books.append(books)
        return books

    async def ask(
        self, method_or_path: str, /, *, timeout_s: float = TIMEOUT_S, **params: Any
    ) -> Any:
        """Send one request and return the decoded response.

            price = await market.ask("ticker.price", symbol="BTCUSDT")
            rows = await market.ask("klines", symbol="BTCUSDT", interval="1m", limit=2)

        A method of the WebSocket API, such as `ticker.price`, is sent there.  A path, such as
        `/fapi/v1/depth`, and a name that only REST has on this venue, such as `klines`, are sent over
        REST.

        Args:
            method_or_path: A method or a path, with or without a query string.
            timeout_s: Total time for connecting, attempts and the pauses between them.
            params: The parameters; they override those of a query string.

        Raises:
            ConfigError: `method_or_path` or `timeout_s` is invalid.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address, or this minute's request weight is
                spent; raised at once, without a request, and `retry_after_s` says for how long.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        check_timeout(timeout_s)
        target = find_target(self.hosts.venue, method_or_path)
        values = target.params | params
        if not target.is_rest:
            answer, url = self._api.fetch(target.name, values, timeout_s=timeout_s), self.hosts.api
        else:
            answer = self._rest.fetch(target.name, values, timeout_s=timeout_s)
            url = self._rest.url_of(target.name)
        return decoded(await self._explained(answer), url)

    async def fetch_candles(
        self,
        symbol: str,
        interval: Interval,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> list[Candle]:
        """Return candles over REST, oldest first, in as many requests as that needs.

            for candle in await market.fetch_candles("BTCUSDT", "1m", limit=20):
                print(candle.open_time_ms, candle.close_price)

        With a start these are the first candles from there on, otherwise the last ones.  The last of
        all is open, as its `is_closed` says.

        Args:
            symbol: Such as `BTCUSDT`.
            interval: Length of a candle, such as `1m`.
            start: When the first candle opens, or earlier.
            end: When no more candles open; `+1h` is an hour after the start.
            limit: Maximum number, up to 100,000.  None: 500, or all between `start` and `end`.
            timeout_s: Total timeout.  None: 10 s for each page, not counting waits for request weight,
                which are logged: at most 120 s for each page.

        Raises:
            ConfigError: an argument is invalid.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address; raised at once.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        return await self._explained(
            self._fetcher.candles(symbol, interval, start, end, limit, timeout_s)
        )

    async def fetch_depth(
        self, symbol: str, *, limit: SnapshotLimit = 500, timeout_s: float | None = None
    ) -> DepthSnapshot:
        """Return the best levels of an order book over REST.

        Args:
            symbol: Such as `BTCUSDT`.
            limit: Levels per side: 5, 10, 20, 50, 100, 500 or 1000.
            timeout_s: Total timeout.  None: 10 s for each page, not counting waits for request weight,
                which are logged: at most 120 s for each page.

        Raises:
            ConfigError: an argument is invalid.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address; raised at once.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        return await self._explained(self._fetcher.depth(symbol, limit, timeout_s))

    async def fetch_trades(
        self,
        symbol: str,
        *,
        from_id: int | None = None,
        limit: int = 500,
        timeout_s: float | None = None,
    ) -> list[Trade]:
        """Return the last trades over REST, or those from an id on, oldest first.

        Without an API key the exchange has only the last 1,000.

        Args:
            symbol: Such as `BTCUSDT`.
            from_id: The first id; requires an API key.
            limit: Maximum number, up to 1,000, or up to 100,000 with an API key.
            timeout_s: Total timeout.  None: 10 s for each page, not counting waits for request weight,
                which are logged: at most 120 s for each page.

        Raises:
            ConfigError: an argument is invalid, or requires an API key.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address; raised at once.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        return await self._explained(self._fetcher.trades(symbol, from_id, limit, timeout_s))

    async def fetch_aggregate_trades(
        self,
        symbol: str,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        from_id: int | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> list[AggregateTrade]:
        """Return aggregate trades over REST, oldest first, in as many requests as that needs.

        With a start or an id these are the first from there on, otherwise the last ones.  The
        exchange has those of the last two days.

        Args:
            symbol: Such as `BTCUSDT`.
            start: The time of the first one, or earlier.
            end: A time after the last one; `+1h` is an hour after the start.
            from_id: The first id, instead of times.
            limit: Maximum number, up to 100,000.  None: 500, or all between `start` and `end`.
            timeout_s: Total timeout.  None: 10 s for each page, not counting waits for request weight,
                which are logged: at most 120 s for each page.

        Raises:
            ConfigError: an argument is invalid.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address; raised at once.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        return await self._explained(
            self._fetcher.aggregate_trades(symbol, start, end, from_id, limit, timeout_s)
        )

    async def fetch_funding_rates(
        self,
        symbol: str | None = None,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        limit: int | None = None,
        timeout_s: float | None = None,
    ) -> list[FundingRate]:
        """Return past funding payments over REST, oldest first.

        With a start these are the first from there on, otherwise the last ones.

        Args:
            symbol: Such as `BTCUSDT`; None, on USDⓈ-M only: all symbols.
            start: The time of the first one, or earlier.
            end: A time after the last one; `+1h` is an hour after the start.
            limit: Maximum number, up to 100,000.  None: 500, or all between `start` and `end`.
            timeout_s: Total timeout.  None: 10 s for each page, not counting waits for request weight,
                which are logged: at most 120 s for each page.

        Raises:
            ConfigError: an argument is invalid.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address; raised at once.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        return await self._explained(
            self._fetcher.funding_rates(symbol, start, end, limit, timeout_s)
        )

    async def fetch_instruments(self, *, timeout_s: float | None = None) -> list[Instrument]:
        """Return the contracts that the venue lists, and their rules, over REST.

            sizes = {each.symbol: each.tick_size for each in await market.fetch_instruments()}

        Args:
            timeout_s: Total timeout.  None: 10 s for each page, not counting waits for request weight,
                which are logged: at most 120 s for each page.

        Raises:
            ConfigError: `timeout_s` is invalid.
            RequestError: the server responds with an error.
            RateLimitError: the server rejects this IP address; raised at once.
            UpstreamError: the server cannot be reached in time, or its response is invalid.
        """
        self._check_open()
        return await self._explained(self._fetcher.instruments(timeout_s))

    async def _explained(self, response: Awaitable[T]) -> T:
        """Return a response; an error says so if the server serves the other venue."""
        try:
            return await response
        except (RequestError, UpstreamError) as error:
            if not is_unknown_path(error):
                raise
            other = await other_venue_served(self.hosts, self.budget)
            if other is None:
                raise
            reason = f"the server serves {other.title}, not {self.hosts.venue.title} ({error})"
            raise UpstreamError(self.hosts.rest, reason) from error

    async def close(self) -> None:
        """Close the connections and end all subscriptions.  Messages already queued can still be read.

        Does nothing if called again.  Re-raises exceptions of callbacks that have not been reported
        yet.
        """
        await self._shut()
        self._raise_failures()

    def _history(self, history: int | Instant, names: tuple[str, ...]) -> History | None:
        wanted = parse_history(history, names, has_key=self._api_key is not None)
        if wanted is None:
            return None
        return History(self._runner, self._rest, wanted, has_key=self._api_key is not None)

    def _check_open(self) -> None:
        if not self._was_opened:
            raise RuntimeError("the market is not open: use `async with`, or `await` it")
        if not self._is_open:
            raise RuntimeError("the market is closed; call `connect` again")
        self._runner.check_loop()

    def _checked(
        self,
        names: tuple[str, ...],
        what: str = "stream",
        example: str = "such as btcusdt@aggTrade",
    ) -> tuple[str, ...]:
        """Return `names` without repetitions; raise `ConfigError` for a name that cannot be sent."""
        self._check_open()
        given: tuple[object, ...] = names or ("",)
        for name in given:
            if isinstance(name, list | tuple | set | frozenset):
                call = "books(*symbols)" if what == "symbol" else "stream(*names)"
                raise ConfigError(what, name, f"names as separate arguments: {call}")
            if not isinstance(name, str) or not name:
                raise ConfigError(what, name, f"the name of a {what}, {example}")
            if len(name.encode(errors="replace")) > LIMITS.max_name_bytes:
                raise ConfigError(what, name, f"a name of at most {LIMITS.max_name_bytes} bytes")
            if any("\ud800" <= each <= "\udfff" for each in name):
                raise ConfigError(what, name, "valid Unicode text")
            if isinstance(name, StreamName):
                self._check_venue(name)
        return tuple(dict.fromkeys(names))

    def _check_venue(self, name: StreamName[Message]) -> None:
        """Raise `ConfigError` if only the other venue has a typed stream."""
        venue = self.hosts.venue
        if unknown_reason(venue, name):
            for other in VENUES:
                if not unknown_reason(other, name):
                    expected = f"a stream of {venue.title}; it is one of connect({other.name!r})"
                    raise ConfigError("stream", str(name), expected)

    def __repr__(self) -> str:
        count = len(self._runner.feed.merged_streams)
        streams = "1 stream" if count == 1 else f"{count} streams"
        closed = ", closed" if self._was_opened and not self._is_open else ""
        return f"<Market {self.hosts.venue.name} {self.hosts.streams}, {streams}{closed}>"

    def __await__(self) -> Generator[None, None, Self]:
        """Open the market and return it; `close` closes it."""
        yield from self._open().__await__()
        return self

    async def __aenter__(self) -> Self:
        if self._was_entered or not self._is_open:
            await self._open()
        self._runner.check_loop()
        self._was_entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._shut()
        if error is None:
            self._raise_failures()

    async def _open(self) -> None:
        self._begin()

    def _begin(self) -> None:
        if self._was_opened:
            raise RuntimeError("a market is opened once; call `connect` again")
        self._is_open = self._was_opened = True
        self._runner.start()

    async def _shut(self) -> None:
        """End all subscriptions and close the connections, once; further calls wait for that."""
        async with self._closing:
            if not self._is_open:
                self._was_opened = True  # it is not to be opened any more
                return
            self._runner.check_loop()
            self._is_open = False
            self._log.flush()
            for subscription in tuple(self._subscriptions):
                subscription.close()
            for listener in self._listeners:
                listener.close()
            for books in self._books:
                books.close()
            try:
                await self._runner.stop()
            finally:
                try:
                    await self._api.close()
                finally:
                    await self._rest.close()

    def _raise_failures(self) -> None:
        """Re-raise exceptions of callbacks that have not been reported yet."""
        called: list[Listener | Books] = [*self._listeners, *self._books]
        taken = [failure for each in called if (failure := each.take_failure()) is not None]
        failures = list({id(each): each for each in taken}.values())  # one may have ended them all
        if len(failures) > 1:
            raise ExceptionGroup("several callbacks failed", failures)
        if failures:
            raise failures[0]
