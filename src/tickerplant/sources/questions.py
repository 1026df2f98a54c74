"""Questions about a venue of an upstream: what the market here can answer as well, what it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from tickerplant.client.api import ApiClient
from tickerplant.client.rest import RestClient
from tickerplant.errors import UpstreamError
from tickerplant.feed.feed import Feed
from tickerplant.feed.hosts import Hosts
from tickerplant.feed.local_book import State
from tickerplant.feed.weight import Allowances, WeightBudget
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.messages.book import SNAPSHOT_LEVELS
from tickerplant.queries import depth
from tickerplant.queries.query import Query
from tickerplant.sources.upstream_books import UpstreamBooks
from tickerplant.sources.wanted import Change, Wanted, base_depth

PATIENCE_S = 8.0
"""How long a question goes unanswered, at most: clients wait 10 s and less."""
TIMELY_MS = 1_000
"""Market time is known so long after a message."""

_LIMITS = frozenset(map(str, depth.LIMITS))


class Questions:
    """Asks the upstream what is not known here.

    Args:
        hosts: Where it is.
        budget: What questions may cost.
        feed: By whose clock market time grows old.
        wanted: What is heard here; a book that is asked for again and again is kept in it.
        change: Is called with what that changes.
        now_ms: By which books linger, ms.
        linger_ms: How long it is known that a book was asked for.
    """

    def __init__(
        self,
        hosts: Hosts,
        budget: WeightBudget,
        feed: Feed,
        wanted: Wanted,
        *,
        change: Callable[[Change], object],
        now_ms: Callable[[], int],
        linger_ms: int,
    ) -> None:
        self.allowances = Allowances()
        """How many questions of some kinds may be asked; may be shared with other venues."""
        self._hosts = hosts
        self._feed = feed
        self._wanted = wanted
        self._change = change
        self._now_ms = now_ms
        self._linger_ms = linger_ms
        # Clients' questions do not stand in line behind the snapshots of many books.
        self._rest = RestClient(hosts, budget, timeout_s=PATIENCE_S, patience_s=PATIENCE_S)
        self._api = ApiClient(hosts, budget, timeout_s=PATIENCE_S, patience_s=PATIENCE_S)
        self._heard_ms = -TIMELY_MS
        """When a message that has a time last came."""
        self._quoted: set[str] = set()
        """The streams of book tickers that told something since they are heard."""
        self._asked_ms: dict[str, int] = {}
        """When a book was last asked for that is not kept here, by symbol, in that order."""
        self._markets: Markets | None = None
        self._books: UpstreamBooks

    def start(self, markets: Markets, books: UpstreamBooks) -> None:
        """Answer from `markets` and `books` from now on."""
        self._markets, self._books = markets, books

    async def close(self) -> None:
        """Ask nothing any more."""
        await asyncio.gather(self._rest.close(), self._api.close())

    def heard_time(self) -> None:
        """Take note that market time was told."""
        self._heard_ms = self._feed.now_ms

    def heard_quote(self, stream: str) -> None:
        """Take note that a stream of book tickers told something."""
        self._quoted.add(stream)

    def lost(self, streams: Iterable[str]) -> None:
        """Take note of streams that are not heard any more."""
        self._quoted.difference_update(streams)

    def turn(self, now_ms: int) -> None:
        """Let the time be `now_ms`: forget what was asked once, long ago."""
        for symbol, asked_ms in tuple(self._asked_ms.items()):
            if now_ms - asked_ms < self._linger_ms:
                break
            del self._asked_ms[symbol]

    def knows(self, query: Query, params: Mapping[str, object]) -> bool:
        """Whether the market here can answer a question as well as the upstream.

        What a question about one book rests on is asked for when it comes a second time, so that
        the third is answered here.
        """
        if self._markets is None:
            return False
        if not query.is_market_data:
            is_timely = self._feed.now_ms - self._heard_ms < TIMELY_MS
            return query.path != "/v1/time" or is_timely
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

    def lacks(self, query: Query, params: Mapping[str, object]) -> bool:
        """Whether a question is to be asked of the upstream."""
        return not self.knows(query, params)

    async def fetch(self, query: Query, params: Mapping[str, str]) -> bytes:
        """Ask the upstream, and return the answer as JSON.

        Raises:
            AllowanceSpentError: as many questions of its kind were asked as the upstream allows.
            RequestError: the answer is an error.
            UpstreamError: there was no answer.
        """
        if query.allowance is not None:
            self.allowances.spend(query.allowance, self._now_ms())
        path = query.path_on(self._hosts.venue)
        try:
            async with asyncio.timeout(PATIENCE_S):
                if path is not None:
                    return await self._rest.get(path, **params)
                return await self._api.ask_raw(query.method or "", **params)
        except TimeoutError:
            raise UpstreamError(self._hosts.rest, f"no answer within {PATIENCE_S:g} s") from None

    def _keep_book(self, symbol: str) -> None:
        """Keep a book that is asked for time and again."""
        upstream, now_ms = base_depth(symbol), self._now_ms()
        if upstream in self._wanted or symbol in self._asked_ms:
            self._asked_ms.pop(symbol, None)
            self._change(self._wanted.touch(upstream, now_ms))
        else:
            self._asked_ms[symbol] = now_ms

    def _has_book(self, market: Market, limit: str) -> bool:
        """Whether so many levels of each side are known, or all there are."""
        book = self._books.get(market.symbol)
        if book is None or book.state is not State.LIVE or not market.book_live:
            return False
        if book.last_update_id != market.book.last_update_id:
            return False
        asked = int(limit) if limit in _LIMITS else SNAPSHOT_LEVELS
        bids, asks = len(book.bids(asked)), len(book.asks(asked))
        return (bids == asked or book.lowest_known_bid is None) and (
            asks == asked or book.highest_known_ask is None
        )

    def _has_quote(self, market: Market) -> bool:
        """Whether the best prices are known, told or as those of the book."""
        quote, book = market.book_ticker, market.book
        if quote is None:
            return False
        name = f"{market.symbol.lower()}@bookTicker"
        if name in self._wanted or "!bookTicker" in self._wanted:
            is_after = market.book_live or quote.update_id > book.last_update_id
            return name in self._quoted and is_after
        return self._has_book(market, "5")
