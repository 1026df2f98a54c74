"""Typed REST: what `Market.fetch_…` returns, fetched in as many pages as it takes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import ClassVar, Generic, TypeVar

from msgspec import DecodeError, Struct, field
from msgspec.json import Decoder

from tickerplant.client.event_loop import check_timeout
from tickerplant.client.rest import RestClient
from tickerplant.errors import ConfigError, RequestError, UpstreamError
from tickerplant.feed.context import Fetch
from tickerplant.market.interval import LENGTHS_MS, open_time
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.kline import Candle, CandleMessage, Interval, Kline
from tickerplant.messages.message import Message
from tickerplant.messages.rest import FundingRate, Instrument
from tickerplant.messages.rest_rows import (
    parse_aggregate_trades,
    parse_candles,
    parse_depth,
    parse_funding_rates,
    parse_instruments,
    parse_trades,
)
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.queries import depth, funding, klines, trades
from tickerplant.recording.timestamps import Instant, instant_ns
from tickerplant.stream_name import StreamParts, parse_stream_name, upper_case
from tickerplant.units import DAY_MS, NS_PER_MS, parse_duration_ns
from tickerplant.venue import COINM, Venue

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


MAX_ROWS = 100_000
"""Maximum number of rows of one fetch."""
DEFAULT_LIMIT = 500
WITH_KEY = 'connect(…, api_key="…")'
"""How a program gets trades older than the last 1,000."""
LONGEST_MONTH_MS = 31 * DAY_MS


class Fetcher:
    """Fetches typed responses of REST.

    All methods raise `ConfigError` for an invalid argument, `RequestError` if the server rejects a
    request, and `UpstreamError` if there is no valid response in time.
    """

    def __init__(self, rest: RestClient, venue: Venue, api_key: str | None = None) -> None:
        self._rest = rest
        self._venue = venue
        self._has_key = api_key is not None

    async def candles(
        self,
        symbol: str,
        interval: Interval,
        start: Instant | None,
        end: Instant | None,
        limit: int | None,
        timeout_s: float | None,
    ) -> list[Candle]:
        """Return candles, oldest first; see `Market.fetch_candles`."""
        stream = parse_stream_name(Kline.of(symbol, interval))
        start_ms, end_ms = _period(start, end)
        count = _checked_limit(limit, start_ms, end_ms)
        if limit is None and start_ms is not None and end_ms is not None:
            length_ms = LENGTHS_MS[interval] or LONGEST_MONTH_MS
            if (end_ms - start_ms) // length_ms >= MAX_ROWS:
                raise ConfigError("start", start, f"at most {MAX_ROWS:,} candles until the end")
        requests = Requests(self._rest, timeout_s)
        now_ms = await requests.time_ms()
        series = CandleSeries(requests, stream, now_ms)
        if start_ms is None:
            rows = await series.last(count, end_ms=end_ms)
            if not rows and end_ms is not None and (latest := await series.latest(1)):
                rows = await series.last(count, end_ms=min(end_ms, series.id_of(latest[0])))
        else:
            end_ms = now_ms if end_ms is None else end_ms
            rows = await self._candles_from(series, requests, start_ms, end_ms, count)
        return [row.candle for row in rows]

    async def _candles_from(
        self, series: CandleSeries, requests: Requests, start_ms: int, end_ms: int, limit: int
    ) -> list[CandleMessage]:
        """Return the first candles of a period.

        COIN-M returns the last candles of a window of limited width: it is asked for windows in
        which there are not more than it returns, and for none before trading began.  The rules tell
        that of listed contracts only: otherwise windows double while they are empty, and halve then.
        """
        symbol, days = series.stream.symbol, self._venue.kline_window_days
        found: list[CandleMessage] = []
        width_ms, listed_ms = 0, None
        while len(found) < limit and start_ms <= end_ms:
            page = min(limit - len(found), klines.MAX_LIMIT)
            until_ms, least_ms = end_ms, page * series.shortest_ms
            if days is not None:
                width_ms = min(max(width_ms, least_ms), days * DAY_MS)
                until_ms = min(end_ms, start_ms + width_ms - 1)
            rows = await series.get(page, start_ms, until_ms)
            if len(rows) == page and width_ms > least_ms:
                width_ms //= 2  # there may be earlier ones
            elif rows:
                found += rows
                width_ms = 0
                last = rows[-1].candle  # its end may be anything: always go on by a candle
                start_ms = max(last.close_time_ms + 1, last.open_time_ms + series.shortest_ms)
            elif found or days is None:
                break
            elif listed_ms is None:
                rules = await requests.get("exchangeInfo", parse_instruments)
                listed_ms = {each.symbol: each.onboard_time_ms for each in rules}.get(symbol, 0)
                start_ms = max(until_ms + 1, open_time(series.stream.interval, listed_ms))
            else:
                start_ms, width_ms = until_ms + 1, 2 * width_ms
        return found[:limit]

    async def depth(self, symbol: str, limit: int, timeout_s: float | None) -> DepthSnapshot:
        """Return the best levels of a book; see `Market.fetch_depth`."""
        name = _checked_symbol(symbol)
        if type(limit) is not int or limit not in depth.LIMITS:
            raise ConfigError("limit", limit, f"one of {', '.join(map(str, depth.LIMITS))}")
        return await Requests(self._rest, timeout_s).get(
            "depth", lambda response: parse_depth(response, name), symbol=name, limit=limit
        )

    async def trades(
        self, symbol: str, from_id: int | None, limit: int, timeout_s: float | None
    ) -> list[Trade]:
        """Return trades, oldest first; see `Market.fetch_trades`."""
        name, count = _checked_symbol(symbol), _checked_limit(limit)
        _check_id(from_id)
        if not self._has_key and from_id is not None:
            raise ConfigError("from_id", from_id, f"an API key with it ({WITH_KEY})")
        if not self._has_key and count > trades.MAX_LIMIT:
            expected = f"at most {trades.MAX_LIMIT} without an API key ({WITH_KEY})"
            raise ConfigError("limit", limit, expected)
        series = TradeSeries(Requests(self._rest, timeout_s), name, has_key=self._has_key)
        if from_id is None:
            return await series.last(count)
        return await series.next_from(from_id, count)

    async def aggregate_trades(
        self,
        symbol: str,
        start: Instant | None,
        end: Instant | None,
        from_id: int | None,
        limit: int | None,
        timeout_s: float | None,
    ) -> list[AggregateTrade]:
        """Return aggregate trades, oldest first; see `Market.fetch_aggregate_trades`."""
        name = _checked_symbol(symbol)
        start_ms, end_ms = _period(start, end)
        count = _checked_limit(limit, start_ms, end_ms)
        _check_id(from_id)
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise ConfigError("from_id", from_id, "either an id, or times: not both")
        series = AggregateTradeSeries(Requests(self._rest, timeout_s), name)
        if from_id is not None:
            return await series.next_from(from_id, count)
        if start_ms is None:
            return await series.last(count, end_ms=end_ms)
        # Without an end in the request: with both, the exchange may reject a period over an hour.
        found = list(await series.first(start_ms, count))
        while found and len(found) < count and not _is_after(found[-1].trade_time_ms, end_ms):
            rows = await series.from_id(found[-1].aggregate_id + 1, count - len(found))
            if not rows:
                break
            found += rows
        within = [row for row in found if not _is_after(row.trade_time_ms, end_ms)]
        if limit is None and end_ms is not None and len(within) == MAX_ROWS:
            raise ConfigError("limit", limit, f"a limit: there are {MAX_ROWS:,} or more")
        return within

    async def funding_rates(
        self,
        symbol: str | None,
        start: Instant | None,
        end: Instant | None,
        limit: int | None,
        timeout_s: float | None,
    ) -> list[FundingRate]:
        """Return funding payments, oldest first; see `Market.fetch_funding_rates`."""
        if symbol is None and self._venue is COINM:
            raise ConfigError("symbol", symbol, "a symbol on COIN-M, such as BTCUSD_PERP")
        name = None if symbol is None else _checked_symbol(symbol)
        start_ms, end_ms = _period(start, end)
        count = _checked_limit(limit, start_ms, end_ms)
        page = min(count, funding.MAX_LIMIT)
        requests, is_forward = Requests(self._rest, timeout_s), start_ms is not None
        found: dict[tuple[str, int], FundingRate] = {}
        while len(found) < count:
            rows = await requests.get(
                "fundingRate",
                parse_funding_rates,
                symbol=name,
                startTime=start_ms,
                endTime=end_ms,
                limit=page,
            )
            check_rows(
                requests.url_of("fundingRate"),
                sorted(row.funding_time_ms for row in rows),
                least=start_ms,
                most=end_ms,
                limit=page,
                apart=0,
            )
            before = len(found)
            found |= {(row.symbol, row.funding_time_ms): row for row in rows}
            if len(rows) < page or len(found) == before:
                break
            # Several symbols are paid at the same time, which a page may divide.
            if is_forward:
                start_ms = rows[-1].funding_time_ms
            else:
                end_ms = rows[0].funding_time_ms
        ordered = sorted(found.values(), key=attrgetter("funding_time_ms"))
        return ordered[:count] if is_forward else ordered[-count:]

    async def instruments(self, timeout_s: float | None) -> list[Instrument]:
        """Return the contracts that the venue lists; see `Market.fetch_instruments`."""
        return await Requests(self._rest, timeout_s).get("exchangeInfo", parse_instruments)


def _is_after(time_ms: int, end_ms: int | None) -> bool:
    return end_ms is not None and time_ms > end_ms


def _checked_symbol(symbol: object) -> str:
    """Return a symbol in upper case; raise `ConfigError` if it is none."""
    if not isinstance(symbol, str) or not symbol:
        raise ConfigError("symbol", symbol, "a symbol such as BTCUSDT")
    return upper_case(symbol)


def _checked_limit(limit: object, start_ms: int | None = None, end_ms: int | None = None) -> int:
    """Return the number of rows to fetch; raise `ConfigError` for an invalid one.

    Without a limit these are all rows of a period that has a start and an end.
    """
    if limit is None:
        return DEFAULT_LIMIT if start_ms is None or end_ms is None else MAX_ROWS
    if type(limit) is not int or not 1 <= limit <= MAX_ROWS:
        raise ConfigError("limit", limit, f"a whole number from 1 to {MAX_ROWS:,}")
    return limit


def _check_id(from_id: object) -> None:
    """Raise `ConfigError` unless `from_id` is None or an id."""
    if from_id is not None and (type(from_id) is not int or not 0 <= from_id < 1 << 63):
        raise ConfigError("from_id", from_id, "an id: a whole number, at least 0")


def _period(start: Instant | None, end: Instant | None) -> tuple[int | None, int | None]:
    """Return the first and last ms of a period, of which the end is exclusive."""
    start_ns = None if start is None else instant_ns("start", start)
    end_ns = _end_ns(start_ns, end)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise ConfigError("end", end, "a time after the start")
    start_ms = None if start_ns is None else -(-start_ns // NS_PER_MS)
    return start_ms, None if end_ns is None else (end_ns - 1) // NS_PER_MS


def _end_ns(start_ns: int | None, end: Instant | None) -> int | None:
    """Return a time, or one at an offset from the start such as `+1h`."""
    if end is None:
        return None
    if not isinstance(end, str) or not end.startswith("+"):
        return instant_ns("end", end)
    if start_ns is None:
        raise ConfigError("end", end, "a time: without a start, an offset counts from nothing")
    try:
        return start_ns + parse_duration_ns(end[1:])
    except ValueError as error:
        raise ConfigError("end", end, f"a plus sign and {error}") from None


async def missing_messages(
    rest: RestClient, fetch: Fetch, *, has_key: bool
) -> tuple[Sequence[Message], str]:
    """Return the messages missing from a gap, oldest first; or none and the reason."""
    # A candle before one that was received is closed, whatever the local clock says.
    requests = Requests(rest, is_patient=True)
    now_ms, stream = fetch.before_id, parse_stream_name(fetch.stream)
    series = series_of(requests, stream, now_ms, has_key=has_key)
    try:
        found = await series.between(fetch.after_id, fetch.before_id)
    except (RequestError, UpstreamError) as error:
        return (), str(error)
    return found, "" if found else "the server no longer has them"
