"""Mark price, index price and funding."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, structs

from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_PAIR, ANY_SYMBOL
from tickerplant.queries.query import FlatWeight, Query, SymbolWeight, for_each_market
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market

INTEREST_RATE = "0.00010000"
"""0.01 % per 8 hours, on every contract that pays funding."""
NO_RATE = ""
"""The rates of a contract without funding, in captured responses."""


class PremiumIndex(Struct, frozen=True, rename="camel"):
    """Mark price, index price and funding of one contract."""

    symbol: str
    pair: str | UnsetType
    mark_price: str
    index_price: str
    estimated_settle_price: str
    last_funding_rate: str
    interest_rate: str
    next_funding_time: int
    time: int


def premium_index(market: Market) -> PremiumIndex:
    """Return the mark price of a market."""
    mark = market.mark_price
    if mark is None:
        raise request_errors.unknown_yet(f"The mark price of {market.symbol}", "none was published")
    rate = mark.funding_rate
    instrument = market.instrument
    return PremiumIndex(
        symbol=market.symbol,
        pair=instrument.pair if instrument.venue.always_pair else UNSET,
        mark_price=decimal_text(mark.mark_price, RATE_DECIMALS),
        index_price=decimal_text(mark.index_price, RATE_DECIMALS),
        estimated_settle_price=decimal_text(mark.estimated_settle_price, RATE_DECIMALS),
        last_funding_rate=NO_RATE if rate is None else decimal_text(rate, RATE_DECIMALS),
        interest_rate=NO_RATE if rate is None else INTEREST_RATE,
        next_funding_time=mark.next_funding_time_ms,
        time=mark.time_ms,
    )


_QUERY = Query(
    path="/v1/premiumIndex",
    venues=(USDM,),
    weight=SymbolWeight(one=1, every=10),
    params=(ANY_SYMBOL,),
    handler=partial(for_each_market, row=premium_index),
    doc="Mark price, index price and predicted funding.",
)

QUERIES = (
    _QUERY,
    structs.replace(_QUERY, venues=(COINM,), weight=FlatWeight(10), params=(ANY_SYMBOL, ANY_PAIR)),
)
