"""The best bid and ask."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, structs

from tickerplant.events import BookTicker
from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_PAIR, ANY_SYMBOL
from tickerplant.queries.query import Query, SymbolWeight, for_each_market
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class BestPrices(Struct, frozen=True, rename="camel"):
    """The best bid and ask, and the matching engine's time of them."""

    last_update_id: int | UnsetType
    symbol: str
    pair: str | UnsetType
    bid_price: str
    bid_qty: str
    ask_price: str
    ask_qty: str
    time: int


def _last_quote(market: Market) -> BookTicker:
    """Return the latest book ticker, or the top of a book that has not changed since it opened.

    A source may deliver book tickers without a book. The ticker of a book that lost sync is stale.
    """
    quote, book = market.book_ticker, market.book
    if quote is not None and (market.book_live or quote.update_id > book.last_update_id):
        return quote
    if not market.book_live:
        raise request_errors.unknown_yet(f"The best price of {market.symbol}", market.book_reason)
    bid, ask = book.best_bid or (0, 0), book.best_ask or (0, 0)
    return BookTicker(market.symbol, book.last_update_id, *bid, *ask, book.transaction_time_ms)


def best_prices(market: Market) -> BestPrices:
    """Return the best prices of a market."""
    best = _last_quote(market)
    instrument = market.instrument
    prices, quantities = instrument.price.text, instrument.quantity.text
    return BestPrices(
        last_update_id=best.update_id,
        symbol=market.symbol,
        pair=instrument.pair if instrument.venue.always_pair else UNSET,
        bid_price=prices[best.bid_price],
        bid_qty=quantities[best.bid_quantity],
        ask_price=prices[best.ask_price],
        ask_qty=quantities[best.ask_quantity],
        time=best.transaction_time_ms,
    )


def best_prices_without_id(market: Market) -> BestPrices:
    """Return the best prices without the update id, as USDⓈ-M REST documents them."""
    return structs.replace(best_prices(market), last_update_id=UNSET)


_QUERY = Query(
    path="/v1/ticker/bookTicker",
    venues=(USDM,),
    # WebSocket API page "Symbol Order Book Ticker": weight 2 for one symbol, 5 for all.
    weight=SymbolWeight(one=2, every=5),
    params=(ANY_SYMBOL,),
    handler=partial(for_each_market, row=best_prices_without_id),
    doc="The best bid and ask, without RPI orders.",
)
_WITH_ID = partial(for_each_market, row=best_prices)

QUERIES = (
    structs.replace(_QUERY, method="ticker.book", path=None, handler=_WITH_ID),
    _QUERY,
    structs.replace(_QUERY, venues=(COINM,), params=(ANY_SYMBOL, ANY_PAIR), handler=_WITH_ID),
)
