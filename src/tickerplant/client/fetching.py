"""Typed REST: what `Market.fetch_…` returns, fetched in as many pages as it takes."""

from __future__ import annotations

from operator import attrgetter

from tickerplant.client.rest import RestClient
from tickerplant.client.series import (
    AggregateTradeSeries,
    CandleSeries,
    Requests,
    TradeSeries,
    check_rows,
)
from tickerplant.errors import ConfigError
from tickerplant.market.interval import LENGTHS_MS, open_time
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.kline import Candle, CandleMessage, Interval, Kline
from tickerplant.messages.rest import FundingRate, Instrument
from tickerplant.messages.rest_rows import parse_depth, parse_funding_rates, parse_instruments
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.queries import depth, funding, klines, trades
from tickerplant.recording.timestamps import Instant, instant_ns
from tickerplant.stream_name import parse_stream_name, upper_case
from tickerplant.units import DAY_MS, NS_PER_MS, parse_duration_ns
from tickerplant.venue import COINM, Venue

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
