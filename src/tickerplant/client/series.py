"""Series of REST, read page by page: trades, aggregate trades and candles.

A series is read backwards from its end, or between two ids, in as many requests as that needs.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import ClassVar, Generic, TypeVar

from msgspec import DecodeError, Struct, field
from msgspec.json import Decoder

from tickerplant.client.rest import RestClient
from tickerplant.client.timeouts import check_timeout
from tickerplant.errors import UpstreamError
from tickerplant.market.interval import LENGTHS_MS
from tickerplant.messages.kline import CandleMessage
from tickerplant.messages.message import Message
from tickerplant.messages.rest_rows import parse_aggregate_trades, parse_candles, parse_trades
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.queries import klines, trades
from tickerplant.stream_name import StreamParts
from tickerplant.units import DAY_MS

SHORTEST_MONTH_MS = 28 * DAY_MS
MAX_PAGES = 200
"""Maximum number of requests for the rows between two ids."""

Row = TypeVar("Row", bound=Message)
T = TypeVar("T")


class _ServerTime(Struct):
    time_ms: int = field(name="serverTime")


_decode_time = Decoder(_ServerTime).decode


class Requests:
    """The requests of one fetch, which share its timeout.

    Args:
        rest: Sends them.
        timeout_s: Total timeout; None: each request has the default timeout, before which it waits
            for request weight.
        is_patient: Whether, without a timeout, a request waits for the end of a refusal too, as long
            as the patience of the client.
    """

    def __init__(
        self, rest: RestClient, timeout_s: float | None = None, *, is_patient: bool = False
    ) -> None:
        check_timeout(timeout_s)
        self._is_patient = is_patient
        self._rest = rest
        self._timeout_s = timeout_s
        self._until_s = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s

    async def get(self, path: str, parse: Callable[[bytes], T], **params: object) -> T:
        """Return the parsed response of `path`."""
        if self._until_s is not None:
            left_s = self._until_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                reason = f"no complete response within {self._timeout_s:g} s"
                raise UpstreamError(self._rest.url_of(path), reason)
            body = await self._rest.fetch(path, params, timeout_s=left_s)
        else:
            body = await self._rest.fetch(path, params, is_page=not self._is_patient)
        try:
            return parse(body)
        except DecodeError as error:
            reason = f"the response cannot be decoded: {error}"
            raise UpstreamError(self._rest.url_of(path), reason) from None

    def url_of(self, path: str) -> str:
        """Return the URL of a path, without its parameters."""
        return self._rest.url_of(path)

    async def time_ms(self) -> int:
        """Return the time of the exchange."""
        return (await self.get("time", _decode_time)).time_ms


def check_rows(
    url: str,
    keys: Sequence[int],
    *,
    least: int | None = None,
    most: int | None = None,
    limit: int | None = None,
    apart: int = 1,
) -> None:
    """Raise `UpstreamError` for a page that does not answer the request."""
    reason = ""
    if limit is not None and len(keys) > limit:
        reason = f"{len(keys):,} rows, and {limit:,} were asked for"
    elif any(later - earlier < apart for earlier, later in pairwise(keys)):
        reason = "rows that repeat, or are not in order"
    elif keys and least is not None and keys[0] < least:
        reason = f"a row of {keys[0]}, before {least}, from which rows were asked for"
    elif keys and most is not None and keys[-1] > most:
        reason = f"a row of {keys[-1]}, after {most}, until which rows were asked for"
    if reason:
        raise UpstreamError(url, f"the response is not what was asked for: it has {reason}")


class Series(ABC, Generic[Row]):
    """Rows of one kind, oldest first, each with an id that rises."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    id_of: ClassVar[attrgetter[int]]
    """Returns the id of a row."""
    time_of: ClassVar[attrgetter[int]]
    """Returns the time of a row by which rows are selected, in ms."""

    @abstractmethod
    async def latest(self, limit: int, end_ms: int | None = None) -> Sequence[Row]:
        """Return up to `limit` of the last rows, at most a page."""

    @abstractmethod
    async def before(self, row_id: int, limit: int) -> Sequence[Row]:
        """Return up to `limit` of the rows directly before an id, at most a page."""

    @abstractmethod
    async def between(self, after_id: int, before_id: int) -> Sequence[Row]:
        """Return the rows between two ids, both exclusive; of candles, including the first."""

    async def last(
        self, limit: int, *, since_ms: int | None = None, end_ms: int | None = None
    ) -> list[Row]:
        """Return up to `limit` of the last rows, oldest first, from as many pages as that needs."""
        pages = [list(await self.latest(limit, end_ms))]
        count = len(pages[0])
        while pages[-1] and count < limit:
            first = pages[-1][0]
            if since_ms is not None and self.time_of(first) < since_ms:
                break
            pages.append(list(await self.before(self.id_of(first), limit - count)))
            count += len(pages[-1])
        rows = [row for page in reversed(pages) for row in page]
        return [row for row in rows if since_ms is None or self.time_of(row) >= since_ms][-limit:]


class _ByIdSeries(Series[Row]):
    """A series of which a page can be had from an id on."""

    page: ClassVar[int]
    """Most rows of a page that is had by an id."""

    @abstractmethod
    async def from_id(self, first_id: int, limit: int) -> Sequence[Row]:
        """Return up to `limit` rows from an id on, at most a page."""

    async def before(self, row_id: int, limit: int) -> Sequence[Row]:
        """Return up to `limit` of the rows directly before an id, at most a page."""
        page = min(limit, self.page, row_id)
        rows = await self.from_id(row_id - page, page) if page > 0 else ()
        return [row for row in rows if self.id_of(row) < row_id]

    async def next_from(self, first_id: int, limit: int) -> list[Row]:
        """Return up to `limit` rows from an id on, in as many pages as that needs."""
        found = list(await self.from_id(first_id, limit))
        while found and len(found) < limit:
            rows = await self.from_id(self.id_of(found[-1]) + 1, limit - len(found))
            if not rows:
                break
            found += rows
        return found[:limit]

    async def _rows_from(self, first_id: int, before_id: int) -> list[Row]:
        """Return the rows from an id to another, in pages, and perhaps some more."""
        found: list[Row] = []
        for _ in range(MAX_PAGES):
            rows = await self.from_id(first_id, min(self.page, before_id - first_id))
            found += rows
            if not rows or (last_id := self.id_of(rows[-1])) + 1 >= before_id:
                break
            first_id = last_id + 1
        return found


class TradeSeries(_ByIdSeries[Trade]):
    """Trades on the order book of a symbol."""

    page = trades.MAX_HISTORICAL_LIMIT
    id_of = attrgetter("trade_id")
    time_of = attrgetter("trade_time_ms")

    def __init__(self, requests: Requests, symbol: str, *, has_key: bool) -> None:
        super().__init__(requests)
        self._symbol = symbol
        self._has_key = has_key

    def _parse(self, response: bytes) -> list[Trade]:
        return parse_trades(response, self._symbol)

    async def latest(self, limit: int, end_ms: int | None = None) -> Sequence[Trade]:  # noqa: ARG002  # REST selects trades by id only
        """Return up to `limit` of the last trades, at most a page."""
        page = min(limit, trades.MAX_LIMIT)
        rows = await self._requests.get("trades", self._parse, symbol=self._symbol, limit=page)
        check_rows(self._requests.url_of("trades"), list(map(self.id_of, rows)), limit=page)
        return rows

    async def from_id(self, first_id: int, limit: int) -> Sequence[Trade]:
        """Return up to `limit` trades from an id on, at most a page; requires an API key."""
        page = min(limit, self.page)
        rows = await self._requests.get(
            "historicalTrades", self._parse, symbol=self._symbol, fromId=first_id, limit=page
        )
        url = self._requests.url_of("historicalTrades")
        check_rows(url, list(map(self.id_of, rows)), least=first_id, limit=page)
        return rows

    async def before(self, row_id: int, limit: int) -> Sequence[Trade]:
        """Return up to `limit` of the trades directly before an id; none without an API key."""
        return await super().before(row_id, limit) if self._has_key else ()

    async def between(self, after_id: int, before_id: int) -> Sequence[Trade]:
        """Return the trades between two ids; without an API key, those of the last 1,000."""
        found = list(await self.latest(trades.MAX_LIMIT))
        if self._has_key and found and found[0].trade_id > after_id + 1:
            found = await self._rows_from(after_id + 1, before_id)
        return [each for each in found if after_id < each.trade_id < before_id]


class AggregateTradeSeries(_ByIdSeries[AggregateTrade]):
    """Aggregate trades of a symbol, whose ids are consecutive."""

    page = trades.MAX_LIMIT
    id_of = attrgetter("aggregate_id")
    time_of = attrgetter("trade_time_ms")

    def __init__(self, requests: Requests, symbol: str) -> None:
        super().__init__(requests)
        self._symbol = symbol

    async def _get(
        self,
        limit: int,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        first_id: int | None = None,
    ) -> Sequence[AggregateTrade]:
        page = min(limit, trades.MAX_LIMIT)
        rows = await self._requests.get(
            "aggTrades",
            lambda response: parse_aggregate_trades(response, self._symbol),
            symbol=self._symbol,
            limit=page,
            startTime=start_ms,
            endTime=end_ms,
            fromId=first_id,
        )
        url = self._requests.url_of("aggTrades")
        check_rows(url, list(map(self.id_of, rows)), least=first_id, limit=page)
        times_ms = sorted(map(self.time_of, rows))
        check_rows(url, times_ms, least=start_ms, most=end_ms, apart=0)
        return rows

    async def latest(self, limit: int, end_ms: int | None = None) -> Sequence[AggregateTrade]:
        """Return up to `limit` of the last aggregate trades, at most a page."""
        return await self._get(limit, end_ms=end_ms)

    async def first(self, start_ms: int, limit: int) -> Sequence[AggregateTrade]:
        """Return up to `limit` aggregate trades from a time on, at most a page."""
        return await self._get(limit, start_ms=start_ms)

    async def from_id(self, first_id: int, limit: int) -> Sequence[AggregateTrade]:
        """Return up to `limit` aggregate trades from an id on, at most a page."""
        return await self._get(limit, first_id=first_id)

    async def between(self, after_id: int, before_id: int) -> Sequence[AggregateTrade]:
        """Return the aggregate trades between two ids."""
        found = await self._rows_from(after_id + 1, before_id)
        return [row for row in found if row.aggregate_id < before_id]


CANDLE_PATHS = {
    "kline": "klines",
    "continuousKline": "continuousKlines",
    "indexPriceKline": "indexPriceKlines",
    "markPriceKline": "markPriceKlines",
}
"""The paths of candles, by the kind in the name of their stream."""


class CandleSeries(Series[CandleMessage]):
    """Candles, as a stream carries them; their ids are their open times."""

    id_of = attrgetter("candle.open_time_ms")
    time_of = attrgetter("candle.open_time_ms")

    def __init__(self, requests: Requests, stream: StreamParts, now_ms: int) -> None:
        super().__init__(requests)
        self.stream = stream
        self._now_ms = now_ms
        subject = {"symbol": stream.symbol}
        if stream.kind == "indexPriceKline":
            subject = {"pair": stream.symbol}
        elif stream.kind == "continuousKline":
            subject = {"pair": stream.symbol, "contractType": stream.contract_type}
        self._subject = subject
        self.shortest_ms = LENGTHS_MS.get(stream.interval) or SHORTEST_MONTH_MS
        """The least time between two candles."""

    async def get(
        self, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> Sequence[CandleMessage]:
        """Return up to `limit` of the candles that open in a period, at most a page.

        With a start USDⓈ-M returns the first of them; otherwise they are the last ones.
        """
        path, page = CANDLE_PATHS[self.stream.kind], min(limit, klines.MAX_LIMIT)
        rows = await self._requests.get(
            path,
            lambda response: parse_candles(response, self.stream, self._now_ms),
            **self._subject,
            interval=self.stream.interval,
            startTime=start_ms,
            endTime=end_ms,
            limit=page,
        )
        check_rows(
            self._requests.url_of(path),
            list(map(self.id_of, rows)),
            least=start_ms,
            most=end_ms,
            limit=page,
            apart=self.shortest_ms,
        )
        return rows

    async def latest(self, limit: int, end_ms: int | None = None) -> Sequence[CandleMessage]:
        """Return up to `limit` of the last candles, at most a page."""
        return await self.get(limit, end_ms=end_ms)

    async def before(self, row_id: int, limit: int) -> Sequence[CandleMessage]:
        """Return up to `limit` of the candles directly before the one that opened at `row_id`."""
        rows = await self.get(limit, end_ms=row_id - 1)
        return [row for row in rows if row.candle.open_time_ms < row_id]

    async def between(self, after_id: int, before_id: int) -> Sequence[CandleMessage]:
        """Return the candles that open at one time or later, and before another."""
        count = min((before_id - after_id) // self.shortest_ms + 1, klines.MAX_LIMIT * MAX_PAGES)
        rows = await self.last(count, since_ms=after_id, end_ms=before_id - 1)
        return [row for row in rows if row.candle.open_time_ms < before_id]


def series_of(
    requests: Requests, stream: StreamParts, now_ms: int, *, has_key: bool
) -> TradeSeries | AggregateTradeSeries | CandleSeries:
    """Return the series that a stream continues."""
    if stream.kind == "trade":
        return TradeSeries(requests, stream.symbol, has_key=has_key)
    if stream.kind == "aggTrade":
        return AggregateTradeSeries(requests, stream.symbol)
    return CandleSeries(requests, stream, now_ms)
