"""Events whose numbers are still text.

Most events are soon replaced: a quote by the next quote, the quantity of a level by its next
quantity.  Converting all numbers to integers would be the larger part of a replay.  So raw events
enter a market as text, and are converted when a query needs them, or when a derived stream has
subscribers.

A number that is not a plain decimal, has more decimals than the instrument, or is larger than a
market can hold raises `ValueError` then; so does a trade whose value is too large.

Fields are in the order in which the exchange writes them, in which they are decoded fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, field

from tickerplant.events import BookTicker, DepthUpdate, Level, Trade
from tickerplant.instrument import LARGEST, Instrument
from tickerplant.units import HOUR_MS

FAR_MS = HOUR_MS
"""Two times of one message that are farther apart cannot both be true; for a recorded message the
receive time is one of them."""

RawLevel: TypeAlias = tuple[str, str]
"""Price and quantity of one level."""

Whole: TypeAlias = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
"""An id or a time that a market can hold."""


class RawQuote(Struct, frozen=True, gc=False):
    """`<symbol>@bookTicker` and `!bookTicker`."""

    update_id: Whole = field(name="u")
    symbol: str = field(name="s")
    bid_price: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask_price: str = field(name="a")
    ask_quantity: str = field(name="A")
    transaction_time_ms: Whole = field(name="T", default=0)
    event_time_ms: Whole = field(name="E", default=0)

    def event(self, instrument: Instrument) -> BookTicker:
        """Return the quote in the units of `instrument`."""
        prices, quantities = instrument.price.units, instrument.quantity.units
        return BookTicker(
            self.symbol,
            self.update_id,
            prices[self.bid_price],
            quantities[self.bid_quantity],
            prices[self.ask_price],
            quantities[self.ask_quantity],
            self.transaction_time_ms,
        )


class RawDepth(Struct, frozen=True, gc=False):
    """`<symbol>@depth`, every speed."""

    event_time_ms: Whole = field(name="E")
    transaction_time_ms: Whole = field(name="T")
    symbol: str = field(name="s")
    first_update_id: Whole = field(name="U")
    final_update_id: Whole = field(name="u")
    previous_update_id: Whole = field(name="pu")
    bids: list[RawLevel] = field(name="b")
    asks: list[RawLevel] = field(name="a")

    def event(self, instrument: Instrument) -> DepthUpdate:
        """Return the update in the units of `instrument`."""
        return DepthUpdate(
            self.symbol,
            self.first_update_id,
            self.final_update_id,
            self.previous_update_id,
            level_units(instrument, self.bids),
            level_units(instrument, self.asks),
            self.transaction_time_ms,
        )


class RawTrade(Struct, frozen=True, gc=False):
    """`<symbol>@trade`."""

    event_time_ms: Whole = field(name="E")
    trade_time_ms: Whole = field(name="T")
    symbol: str = field(name="s")
    trade_id: Whole = field(name="t")
    price: str = field(name="p")
    quantity: str = field(name="q")
    buyer_is_maker: bool = field(name="m")
    origin: str = field(name="X", default="MARKET")

    def event(self, instrument: Instrument) -> Trade:
        """Return the trade in the units of `instrument`."""
        price = instrument.price.units[self.price]
        quantity = instrument.quantity.units[self.quantity]
        if self.origin == "MARKET" and not instrument.can_count(price, quantity):
            raise ValueError(f"{self.quantity} at {self.price} cannot be counted")
        return Trade(
            self.symbol,
            self.trade_id,
            price,
            quantity,
            self.buyer_is_maker,
            self.trade_time_ms,
            self.origin,
        )


RawEvent: TypeAlias = RawQuote | RawDepth | RawTrade


def level_units(instrument: Instrument, levels: Sequence[RawLevel]) -> list[Level]:
    """Return `levels` in the units of `instrument`."""
    prices, quantities = instrument.price.units, instrument.quantity.units
    return [(prices[price], quantities[quantity]) for price, quantity in levels]


def level_texts(instrument: Instrument, levels: list[Level]) -> list[RawLevel]:
    """Return `levels` of `instrument` as text."""
    prices, quantities = instrument.price.text, instrument.quantity.text
    return [(prices[price], quantities[quantity]) for price, quantity in levels]
