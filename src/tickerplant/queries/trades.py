"""Past trades and aggregate trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.events import AggregateTrade, Trade
from tickerplant.instrument import Instrument
from tickerplant.market import figures
from tickerplant.market.series import RETAINED_AGGREGATES, RETAINED_TRADES
from tickerplant.queries import request_errors
from tickerplant.queries.param import (
    END_TIME,
    ONE_SYMBOL,
    START_TIME,
    Param,
    check_window,
    limit,
    number,
)
from tickerplant.queries.query import FlatWeight, Query, Rows
from tickerplant.units import DAY_MS

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

MAX_LIMIT = 1000
DEFAULT_LIMIT = 500
MAX_HISTORICAL_LIMIT = 500
DEFAULT_HISTORICAL_LIMIT = 100
SEARCHABLE_DAYS = 2


class PastTrade(Struct, frozen=True, rename="camel"):
    """One trade."""

    id: int
    price: str
    qty: str
    quote_qty: str | UnsetType
    base_qty: str | UnsetType
    time: int
    is_buyer_maker: bool
    is_rpi_trade: bool | UnsetType = field(name="isRPITrade")


class PastAggregate(Struct, frozen=True):
    """The trades of one taker side at one price within 100 ms."""

    aggregate_id: int = field(name="a")
    price: str = field(name="p")
    quantity: str = field(name="q")
    normal_quantity: str | UnsetType = field(name="nq")
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="l")
    trade_time_ms: int = field(name="T")
    buyer_is_maker: bool = field(name="m")


def trades(_markets: Markets, market: Market, limit: int) -> Rows[PastTrade]:
    """Return the last `limit` trades, oldest first."""
    return (past_trade(market.instrument, trade) for trade in market.trades.latest(limit))


def historical_trades(
    _markets: Markets, market: Market, from_id: int | None, limit: int
) -> Rows[PastTrade]:
    """Return `limit` trades, oldest first: those from an id on, or the latest."""
    tape = market.trades
    chosen = tape.latest(limit) if from_id is None else tape.from_id(from_id, limit)
    return (past_trade(market.instrument, trade) for trade in chosen)


def past_trade(instrument: Instrument, trade: Trade) -> PastTrade:
    """Return a trade as REST answers it."""
    inverse = instrument.venue.inverse
    turnover = figures.trade_turnover(instrument, trade.price, trade.quantity)
    return PastTrade(
        id=trade.trade_id,
        price=instrument.price.text[trade.price],
        qty=instrument.quantity.text[trade.quantity],
        quote_qty=UNSET if inverse else turnover,
        base_qty=turnover if inverse else UNSET,
        time=trade.trade_time_ms,
        is_buyer_maker=trade.buyer_is_maker,
        is_rpi_trade=trade.rpi if instrument.venue.has_rpi else UNSET,
    )


def aggregate_trades(
    markets: Markets,
    market: Market,
    from_id: int | None,
    start_ms: int | None,
    end_ms: int | None,
    limit: int,
) -> Rows[PastAggregate]:
    """Return up to `limit` closed aggregates, oldest first.

    With an id or a start the first ones, otherwise the latest ones.
    """
    timed = start_ms is not None or end_ms is not None
    if from_id is not None and timed:
        raise request_errors.invalid_combination()
    check_window(start_ms, end_ms)
    searched_ms = end_ms if start_ms is None else start_ms
    if searched_ms is not None and searched_ms < markets.now_ms - SEARCHABLE_DAYS * DAY_MS:
        raise request_errors.too_long_ago(SEARCHABLE_DAYS)
    if from_id is not None:
        chosen = market.aggregates.from_id(from_id, limit)
    else:
        chosen = market.aggregates.between(start_ms, end_ms, limit)
    normal = markets.profile.carries_rest_normal_quantity(markets.venue)
    return (past_aggregate(market.instrument, each, normal=normal) for each in chosen)


def past_aggregate(
    instrument: Instrument, aggregate: AggregateTrade, *, normal: bool
) -> PastAggregate:
    """Return an aggregate as REST answers it, with or without its `normal_quantity`."""
    quantities = instrument.quantity.text
    return PastAggregate(
        aggregate_id=aggregate.aggregate_id,
        price=instrument.price.text[aggregate.price],
        quantity=quantities[aggregate.quantity],
        normal_quantity=quantities[aggregate.normal_quantity] if normal else UNSET,
        first_trade_id=aggregate.first_trade_id,
        last_trade_id=aggregate.last_trade_id,
        trade_time_ms=aggregate.trade_time_ms,
        buyer_is_maker=aggregate.buyer_is_maker,
    )


_LIMIT = limit(MAX_LIMIT, DEFAULT_LIMIT)
_KEPT = "Of those since the start the last {:,} are kept; a simulated market has all before it."

QUERIES = (
    Query(
        path="/v1/trades",
        weight=FlatWeight(5),
        params=(ONE_SYMBOL, _LIMIT),
        handler=trades,
        doc="The latest trades on the book.",
    ),
    Query(
        path="/v1/historicalTrades",
        weight=FlatWeight(20),
        requires_key=True,
        params=(
            ONE_SYMBOL,
            Param("fromId", "from_id", number, "First trade id; the latest trades if left out."),
            limit(MAX_HISTORICAL_LIMIT, DEFAULT_HISTORICAL_LIMIT),
        ),
        handler=historical_trades,
        doc=f"Trades on the book from an id on; requires an API key. {_KEPT.format(RETAINED_TRADES)}",
    ),
    Query(
        path="/v1/aggTrades",
        weight=FlatWeight(20),
        params=(
            ONE_SYMBOL,
            Param("fromId", "from_id", number, "First aggregate id; not together with times."),
            START_TIME,
            END_TIME,
            _LIMIT,
        ),
        handler=aggregate_trades,
        doc="Closed aggregate trades: by time those of the last two days, by id older ones too. "
        + _KEPT.format(RETAINED_AGGREGATES),
    ),
)
