"""Statistics of the last 24 hours."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, structs

from tickerplant.market import figures
from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_PAIR, ANY_SYMBOL
from tickerplant.queries.query import Query, SymbolWeight, for_each_market
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


class Day(Struct, frozen=True, rename="camel"):
    """Price changes and volumes of the last 24 hours (and up to a minute)."""

    symbol: str
    pair: str | UnsetType
    price_change: str
    price_change_percent: str
    weighted_avg_price: str
    last_price: str
    last_qty: str
    open_price: str
    high_price: str
    low_price: str
    volume: str
    quote_volume: str | UnsetType
    base_volume: str | UnsetType
    open_time: int
    close_time: int
    first_id: int
    last_id: int
    count: int


class SortedDay(Struct, frozen=True, rename="camel"):
    """The same with keys in alphabetical order."""

    base_volume: str | UnsetType
    close_time: int
    count: int
    first_id: int
    high_price: str
    last_id: int
    last_price: str
    last_qty: str
    low_price: str
    open_price: str
    open_time: int
    pair: str | UnsetType
    price_change: str
    price_change_percent: str
    quote_volume: str | UnsetType
    symbol: str
    volume: str
    weighted_avg_price: str


def day(markets: Markets, market: Market | None, pair: str | None = None) -> object:
    """Return the statistics of one market, of those of a pair, or of all that are known.

    Before the first trade they are zeros, and the ids -1.
    """
    is_sorted = market is None and markets.profile.sorted_day and not markets.venue.inverse
    row = partial(_day, SortedDay if is_sorted else Day, markets.now_ms)
    return for_each_market(markets, market, pair, row=row, only_trading=True)


def _day(kind: type[Day | SortedDay], now_ms: int, market: Market) -> Day | SortedDay:
    stats = market.minutes.statistics()
    if stats is None and market.is_untraded:
        stats = market.minutes.no_statistics
    if stats is None:
        raise request_errors.unknown_yet(f"The last 24 hours of {market.symbol}", "no trade yet")
    instrument = market.instrument
    inverse = instrument.venue.inverse
    prices, quantities = instrument.price.text, instrument.quantity.text
    turnover = figures.ticker_turnover(instrument, stats.turnover)
    return kind(
        symbol=market.symbol,
        pair=instrument.pair if instrument.venue.always_pair else UNSET,
        price_change=figures.change(instrument, stats),
        price_change_percent=figures.percent(stats),
        weighted_avg_price=figures.weighted_average(instrument, stats),
        last_price=prices[stats.last],
        last_qty=quantities[stats.last_quantity],
        open_price=prices[stats.open],
        high_price=prices[stats.high],
        low_price=prices[stats.low],
        volume=figures.volume(instrument, stats),
        quote_volume=UNSET if inverse else turnover,
        base_volume=turnover if inverse else UNSET,
        open_time=stats.open_time_ms,
        close_time=now_ms,
        first_id=stats.first_trade_id,
        last_id=stats.last_trade_id,
        count=stats.count,
    )


_QUERY = Query(
    path="/v1/ticker/24hr",
    venues=(USDM,),
    # REST pages "24hr Ticker Price Change Statistics": weight 1 for one symbol, 40 for all.
    weight=SymbolWeight(one=1, every=40),
    params=(ANY_SYMBOL,),
    handler=day,
    doc="Price change and volume of the last 24 hours.",
)

QUERIES = (_QUERY, structs.replace(_QUERY, venues=(COINM,), params=(ANY_SYMBOL, ANY_PAIR)))
