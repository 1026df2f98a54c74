"""The last traded price."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field, structs

from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_PAIR, ANY_SYMBOL
from tickerplant.queries.query import Query, SymbolWeight, for_each_market
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class LastPrice(Struct, frozen=True):
    """A price and when it was traded."""

    symbol: str
    pair: str | UnsetType = field(name="ps")
    price: str
    time: int


def last_price(market: Market) -> LastPrice:
    """Return the last price of a market; before the first trade, price and time are 0."""
    if not (market.last_trade_time_ms or market.is_untraded):
        raise request_errors.unknown_yet(f"The last price of {market.symbol}", "no trade yet")
    instrument = market.instrument
    return LastPrice(
        symbol=market.symbol,
        pair=instrument.pair if instrument.venue.always_pair else UNSET,
        price=instrument.price.text[market.last_price],
        time=market.last_trade_time_ms,
    )


_QUERY = Query(
    method="ticker.price",
    path="/v1/ticker/price",
    venues=(USDM,),
    # WebSocket API page "Symbol Price Ticker": weight 1 for one symbol, 2 for all.
    weight=SymbolWeight(one=1, every=2),
    params=(ANY_SYMBOL,),
    handler=partial(for_each_market, row=last_price),
    doc="The last traded price.",
)

QUERIES = (
    _QUERY,
    structs.replace(_QUERY, method=None, path="/v2/ticker/price"),
    structs.replace(_QUERY, method=None, venues=(COINM,), params=(ANY_SYMBOL, ANY_PAIR)),
)
