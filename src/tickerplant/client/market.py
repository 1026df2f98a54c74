"""The client of one venue: subscribe, ask, follow books."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl
from weakref import WeakSet

from tickerplant.client.api import ApiClient
from tickerplant.client.backfill import Backfill
from tickerplant.client.books import Books, snapshot_limit
from tickerplant.client.doubt_log import DoubtLog
from tickerplant.client.listener import Listener, check_callback
from tickerplant.client.listing import Listing
from tickerplant.client.rest import RestClient, decoded
from tickerplant.client.runner import FeedRunner
from tickerplant.client.subscription import Subscription
from tickerplant.errors import ConfigError
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.hosts import Hosts, hosts_of, venue_of_name
from tickerplant.feed.local_book import LocalBook
from tickerplant.feed.observer import Observer
from tickerplant.feed.queue import WhenFull
from tickerplant.feed.settings import FeedSettings, check_settings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice
from tickerplant.messages.readers import reader
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import depth
from tickerplant.suggestions import one_of

QUEUE_SIZE = 10_000
"""Default maximum number of unread messages of a subscription."""

TIMEOUT_S = 10.0
"""How long a question may take, unless it says otherwise."""

DEPTH_SPEEDS = ("100ms", "250ms", "500ms")


def connect(
    venue: str = "usdm",
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    settings: FeedSettings | None = None,
    budget: WeightBudget | None = None,
) -> MarketClient:
    """Return the client of a venue, to be used with `async with`.

    Nothing is connected before the first subscription or question.

    Args:
        venue: `usdm` or `coinm`.
        base_url: Where everything is served, such as `ws://127.0.0.1:9001` for a plant.  Without
            it the environment is asked (`TICKERPLANT_USDM_URL`, `TICKERPLANT_COINM_URL`); without
            that it is the exchange itself.
        api_key: Sent with REST questions.  Market data needs none, except older trades.
        settings: How the client behaves: copies of each stream, pauses, patience.
        budget: What it may spend of the address's request weight; share one between clients.

    Raises:
        ConfigError: an argument cannot be used.
    """
    if not isinstance(base_url, str | None):
        raise ConfigError("base_url", base_url, "a URL such as ws://127.0.0.1:9001")
    hosts = hosts_of(venue_of_name(venue), base_url, os.environ)
    settings = FeedSettings() if settings is None else settings
    check_settings(settings)
    return MarketClient(hosts, settings, budget or WeightBudget(), api_key)


class MarketClient:
    """A venue's streams, its WebSocket API and its REST, over connections that look after themselves."""

    def __init__(
        self,
        hosts: Hosts,
        settings: FeedSettings,
        budget: WeightBudget,
        api_key: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.hosts = hosts
        self.budget = budget
        rng = Random()  # pauses differ between clients
        self._rest = RestClient(hosts, budget, api_key=api_key)
        self._api = ApiClient(hosts, budget)
        backfill = Backfill(self._rest, api_key)
        listing = Listing(hosts, self._rest, budget)
        self._runner = FeedRunner(hosts, settings, reader, backfill, rng, listing)
        self._runner.feed.observer = DoubtLog() if observer is None else observer
        self._is_open = False
        self._was_opened = False
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self._listeners: list[Listener] = []
        self._books: list[Books] = []

    @property
    def counters(self) -> FeedCounters:
        """What happened so far, over all streams."""
        return self._runner.feed.counters

    def stream(
        self,
        *names: str,
        when_full: WhenFull = "block",
        queue_size: int = QUEUE_SIZE,
        notices: bool = True,
        backfill: bool = False,
    ) -> Subscription:
        """Subscribe to streams; return what is iterated over to read them.

        Messages are the classes of `tickerplant.messages`; between them stand notices
        (`tickerplant.Notice`), which say what is not heard, missing or heard again.

        Args:
            names: The streams, such as `btcusdt@miniTicker`.
            when_full: What to do when the queue is full: `block`, `keep_latest`, `drop_oldest` or
                `raise`.
            queue_size: Maximum number of unread messages.
            notices: Whether to receive notices.
            backfill: Fetch missing trades, aggregate trades and candles over REST.  Other
                subscribers to the same stream receive them too.

        Raises:
            ConfigError: a stream name, `when_full` or `queue_size` is missing or invalid.
        """
        names = self._checked(names)
        subscription = Subscription(
            self._runner,
            names,
            when_full=when_full,
            queue_size=queue_size,
            notices=notices,
            backfill=backfill,
        )
        self._subscriptions.add(subscription)
        return subscription

    def on(
        self,
        callback: Callable[[Message | Notice], object],
        *names: str,
        notices: bool = True,
        backfill: bool = False,
    ) -> Listener:
        """Call `callback` with every message of `names` as it comes, without a queue between.

        The quickest way: no task is switched.  What the callback raises ends the subscription, is
        logged at once, and is raised where the listener is awaited, or at the end of the market's
        `async with`; there several become an `ExceptionGroup`.

        Raises:
            ConfigError: no name is given, or a callback that is no plain function: nobody would
                await what an `async def` returns.
        """
        check_callback("callback", callback)
        names = self._checked(names)
        listener = Listener(self._runner, names, callback, notices=notices, backfill=backfill)
        self._listeners = [each for each in self._listeners if not each.is_done]
        self._listeners.append(listener)
        return listener

    def books(
        self,
        *symbols: str,
        speed: str = "100ms",
        limit: int | None = None,
        on_update: Callable[[LocalBook, Message | Notice], object] | None = None,
    ) -> Books:
        """Keep a local order book of each of `symbols`, until it is closed (`async with`).

        Args:
            symbols: Such as `BTCUSDT`.
            speed: How often updates come: `100ms`, `250ms` or `500ms`.
            limit: Levels of a side in a snapshot; None is the most with which all of them fit into
                a minute's weight.
            on_update: Called with a book and each update or notice of it.  What it raises closes the
                books and is raised by them, or at the end of the market's `async with`.

        Raises:
            ConfigError: no symbol is given, or a speed or limit that is none, or an `on_update` that
                is no plain function.
        """
        if on_update is not None:
            check_callback("on_update", on_update)
        if speed not in DEPTH_SPEEDS:
            raise ConfigError("speed", speed, one_of(str(speed), DEPTH_SPEEDS))
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

    async def ask(self, method: str, /, timeout_s: float = TIMEOUT_S, **params: Any) -> Any:
        """Ask the WebSocket API, and return the result as Python objects.

        Args:
            method: Such as `ticker.price`.
            timeout_s: How long all of it may take: connecting, tries, pauses between them.
            params: The parameters.

        Raises:
            ConfigError: the method is no text, or the timeout is no time.
            RequestError: the server answers with an error; COIN-M has no market data there.  Or it
                refuses this address, or this minute's request weight is spent: at once, nothing is
                sent meanwhile, and `until_ms` says when that is over.
            UpstreamError: the server cannot be reached in time, or its answer makes no sense.
        """
        self._check_open()
        _check_timeout(timeout_s)
        _check_asked("method", method, "such as ticker.price")
        return await self._api.ask_within(timeout_s, method, **params)

    async def get(self, path: str, /, timeout_s: float = TIMEOUT_S, **params: Any) -> Any:
        """Ask over REST, `depth` or `/fapi/v1/depth`, and return the answer as Python objects.

        Args:
            path: What is asked; a query string in it, `depth?symbol=BTCUSDT`, counts as parameters.
            timeout_s: How long all of it may take: connecting, tries, pauses between them.
            params: The parameters; they win over a query string.

        Raises:
            ConfigError: the path is none, or the timeout is no time.
            RequestError: the server answers with an error.  Or it refuses this address, or this
                minute's request weight is spent: at once, nothing is sent meanwhile, and `until_ms`
                says when that is over.
            UpstreamError: the server cannot be reached in time, or its answer makes no sense.
        """
        self._check_open()
        _check_timeout(timeout_s)
        _check_asked("path", path, "such as depth or /fapi/v1/depth, without a host")
        path, _, query = path.partition("?")
        asked = dict(parse_qsl(query, keep_blank_values=True)) | params
        answer = await self._rest.get_within(timeout_s, path, **asked)
        return decoded(answer, self._rest.url_of(path))

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("use the market with `async with`")

    def _checked(
        self,
        names: tuple[str, ...],
        what: str = "stream",
        example: str = "such as btcusdt@aggTrade",
    ) -> tuple[str, ...]:
        """Return `names`, each once."""
        self._check_open()
        given: tuple[object, ...] = names or ("",)
        for name in given:
            if isinstance(name, list | tuple | set | frozenset):
                call = "books(*symbols)" if what == "symbol" else "stream(*names)"
                raise ConfigError(what, name, f"names one by one: {call}")
            if not isinstance(name, str) or not name:
                raise ConfigError(what, name, f"the name of a {what}, {example}")
            if len(name.encode(errors="replace")) > LIMITS.max_name_bytes:
                raise ConfigError(what, name, f"a name of at most {LIMITS.max_name_bytes} bytes")
            if any("\ud800" <= sign <= "\udfff" for sign in name):
                raise ConfigError(what, name, "Unicode, as every name is")
        return tuple(dict.fromkeys(names))

    def __repr__(self) -> str:
        count = len({each.name for each in self._runner.feed.all_merged_streams})
        streams = "1 stream" if count == 1 else f"{count} streams"
        closed = ", closed" if self._was_opened and not self._is_open else ""
        return f"<MarketClient {self.hosts.venue.name} {self.hosts.streams}, {streams}{closed}>"

    async def __aenter__(self) -> Self:
        if self._was_opened:
            raise RuntimeError("a market is opened once; `connect` makes another")
        self._is_open = self._was_opened = True
        self._runner.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
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
        if error is None:
            self._raise_failures()

    def _raise_failures(self) -> None:
        """Raise what callbacks raised and nobody heard of."""
        called: list[Listener | Books] = [*self._listeners, *self._books]
        failures = [failure for each in called if (failure := each.take_failure()) is not None]
        if len(failures) > 1:
            raise ExceptionGroup("several callbacks failed", failures)
        if failures:
            raise failures[0]


def _check_timeout(timeout_s: Any) -> None:
    """Raise `ConfigError` for what is no time."""
    if type(timeout_s) not in {int, float} or not 0 < timeout_s < inf:
        raise ConfigError("timeout_s", timeout_s, "seconds, more than 0")


def _check_asked(what: str, asked: object, example: str) -> None:
    """Raise `ConfigError` for what cannot be asked for: nothing, no text, or a whole URL."""
    if not isinstance(asked, str) or not asked or "://" in asked:
        raise ConfigError(what, asked, f"a {what}, {example}")
