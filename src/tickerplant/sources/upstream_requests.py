"""Requests to one venue of an upstream, and which of them the local market can answer as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from tickerplant.client.api import ApiClient
from tickerplant.client.rest import RestClient
from tickerplant.errors import UpstreamError
from tickerplant.feed.feed import Feed
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.order_book import BookState
from tickerplant.feed.weight import Allowances, WeightBudget
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.queries import depth
from tickerplant.queries.query import Query
from tickerplant.sources.subscriptions import Change, Subscriptions, base_depth
from tickerplant.sources.upstream_books import UpstreamBooks

TIMEOUT_S = 8.0
"""How long a request may take: clients wait 10 s and less."""
FRESH_MS = 1_000
"""How long market time is known after a message."""

_LIMITS = frozenset(map(str, depth.LIMITS))


class UpstreamRequests:
    """Sends the requests upstream that the local market cannot answer."""

    def __init__(
        self,
        hosts: Hosts,
        budget: WeightBudget,
        feed: Feed,
        subscriptions: Subscriptions,
        *,
        change: Callable[[Change], object],
        now_ms: Callable[[], int],
        linger_ms: int,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.allowances = Allowances()
        """How many requests of some kinds may be sent; may be shared with other venues."""
        self._hosts = hosts
        self._feed = feed
        self._subscriptions = subscriptions
        self._change = change
        self._now_ms = now_ms
        self._linger_ms = linger_ms
        self._timeout_s = timeout_s
        # Clients of its own: requests do not queue behind the snapshots of many books.
        self._rest = RestClient(hosts, budget, timeout_s=timeout_s, patience_s=timeout_s)
        self._api = ApiClient(hosts, budget, timeout_s=timeout_s, patience_s=timeout_s)
        self._time_known_ms = -FRESH_MS
        """When a message with a time last came."""
        self._quoted: set[str] = set()
        """The book ticker streams that delivered a message since they were subscribed to."""
        self._requested_ms: dict[str, int] = {}
        """When a book that is not maintained here was last requested, by symbol, in that order."""
        self._markets: Markets | None = None
        self._books: UpstreamBooks

    def start(self, markets: Markets, books: UpstreamBooks) -> None:
        """Answer from `markets` and `books` from now on."""
        self._markets, self._books = markets, books

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(self._rest.close(), self._api.close())

    def on_time(self) -> None:
        """Market time is that of the upstream now."""
        self._time_known_ms = self._feed.context.now_ms

    def on_quote(self, stream: str) -> None:
        """A book ticker stream delivered a message."""
        self._quoted.add(stream)

    def on_lost(self, streams: Iterable[str]) -> None:
        """Streams are not delivered any more."""
        self._quoted.difference_update(streams)

    def expire(self, now_ms: int) -> None:
        """Forget books that were requested once, long ago."""
        for symbol, requested_ms in tuple(self._requested_ms.items()):
            if now_ms - requested_ms < self._linger_ms:
                break
            del self._requested_ms[symbol]

    def is_local(self, query: Query, params: Mapping[str, object]) -> bool:
        """Return whether the local market can answer a request as well as the upstream.

        The second request for a book subscribes to its depth, so that the third is answered locally.
        """
        if self._markets is None:
            return False
        if not query.is_market_data:
            is_fresh = self._feed.context.now_ms - self._time_known_ms < FRESH_MS
            return query.path != "/v1/time" or is_fresh
        symbol = str(params.get("symbol", "")).upper()
        market = self._markets.by_symbol.get(symbol)
        if market is None:
            return False
        if query.path == "/v1/depth":
            self._keep_book(symbol)
            return self._has_book(market, str(params.get("limit", depth.DEFAULT_LIMIT)))
        if query.path == "/v1/ticker/bookTicker" or query.method == "ticker.book":
            return self._has_quote(market)
        return False

    def forwards(self, query: Query, params: Mapping[str, object]) -> bool:
        """Return whether a request must be sent upstream."""
        return not self.is_local(query, params)

    async def fetch(self, query: Query, params: Mapping[str, str]) -> bytes:
        """Send a request upstream and return the response as JSON.

        Raises:
            AllowanceSpentError: the upstream allows no more requests of this kind for now.
            RequestError: the response is an error.
            UpstreamError: there was no response.
        """
        if query.allowance is not None:
            self.allowances.spend(query.allowance, self._now_ms())
        path = query.path_on(self._hosts.venue)
        try:
            async with asyncio.timeout(self._timeout_s):
                if path is not None:
                    return await self._rest.get(path, **params)
                return await self._api.fetch(query.method or "", params)
        except TimeoutError:
            raise UpstreamError(
                self._hosts.rest, f"no response within {self._timeout_s:g} s"
            ) from None

    def _keep_book(self, symbol: str) -> None:
        """Subscribe to the depth of a book that is requested repeatedly."""
        upstream, now_ms = base_depth(symbol), self._now_ms()
        if upstream in self._subscriptions or symbol in self._requested_ms:
            self._requested_ms.pop(symbol, None)
            self._change(self._subscriptions.touch(upstream, now_ms))
        else:
            self._requested_ms[symbol] = now_ms

    def _has_book(self, market: Market, limit: str) -> bool:
        """Whether the book has `limit` levels of each side, or all there are."""
        book = self._books.get(market.symbol)
        if book is None or book.state is not BookState.LIVE or not market.book_live:
            return False
        if book.update_id != market.book.last_update_id:
            return False
        levels = int(limit) if limit in _LIMITS else SNAPSHOT_LEVELS
        bids, asks = len(book.bids(levels)), len(book.asks(levels))
        return (bids == levels or book.lowest_known_bid is None) and (
            asks == levels or book.highest_known_ask is None
        )

    def _has_quote(self, market: Market) -> bool:
        """Whether the best prices are known, from a book ticker or from the book."""
        quote, book = market.book_ticker, market.book
        if quote is None:
            return False
        name = f"{market.symbol.lower()}@bookTicker"
        if name in self._subscriptions or "!bookTicker" in self._subscriptions:
            is_after = market.book_live or quote.update_id > book.last_update_id
            return name in self._quoted and is_after
        return self._has_book(market, "5")
