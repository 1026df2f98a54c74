"""The last traded price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_PAIR, ANY_SYMBOL
from tickerplant.queries.query import Query, Rows, SymbolWeight, for_each_market
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


class LastPrice(Struct, frozen=True):
    """A price and when it was traded."""

    symbol: str
    pair: str | UnsetType = field(name="ps")
    price: str
    time: int


def last_price(
    markets: Markets, market: Market | None, pair: str | None = None
) -> LastPrice | list[LastPrice] | Rows[LastPrice]:
    """Return the last price of one market, of those of a pair, or of all that are known.

    Before the first trade, price and time are 0.

    Raises:
        RequestError: A symbol and a pair are named, or the trades of the named market are unknown.
    """
    return for_each_market(markets, market, pair, _last_price)


def _last_price(market: Market) -> LastPrice:
    if not (market.last_trade_time_ms or market.is_untraded):
        raise request_errors.unknown_yet(f"The last price of {market.symbol}", "no trade yet")
    instrument = market.instrument
    return LastPrice(
        symbol=market.symbol,
        pair=instrument.pair if instrument.venue.always_pair else UNSET,
        price=instrument.price.text[market.last_price],
        time=market.last_trade_time_ms,
    )


# WebSocket API page "Symbol Price Ticker": weight 1 for one symbol, 2 for all.
_WEIGHT = SymbolWeight(one=1, every=2)
_DOC = "The last traded price."

QUERIES = (
    Query(
        method="ticker.price",
        path="/v1/ticker/price",
        venues=(USDM,),
        weight=_WEIGHT,
        params=(ANY_SYMBOL,),
        handler=last_price,
        doc=_DOC,
    ),
    Query(
        path="/v2/ticker/price",
        venues=(USDM,),
        weight=_WEIGHT,
        params=(ANY_SYMBOL,),
        handler=last_price,
        doc=_DOC,
    ),
    Query(
        path="/v1/ticker/price",
        venues=(COINM,),
        weight=_WEIGHT,
        params=(ANY_SYMBOL, ANY_PAIR),
        handler=last_price,
        doc=_DOC,
    ),
)
