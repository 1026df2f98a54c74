"""What can happen in a market.

An event is immutable and belongs to one symbol.  Prices and quantities are integers in the units
of the symbol's `Instrument`; mark prices, index prices and rates are integers of 10^-8; times are
milliseconds since the epoch as the matching engine stamped them (`T` on the wire).  The time of
sending (`E`) is not part of an event: the plant's clock gives it when a message is made.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

Level: TypeAlias = tuple[int, int]
"""Price and quantity of one price level; quantity 0 removes it."""


class Trade(Struct, frozen=True, gc=False):
    """One fill.  Ids of a symbol rise by one."""

    symbol: str
    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool
    """True: the taker sold."""
    trade_time_ms: int
    origin: str = "MARKET"
    """`MARKET`, or the off-book source of the print (`INSURANCE_FUND`, `ADL`, `NA`)."""


class AggregateTrade(Struct, frozen=True, gc=False):
    """The fills of one taker side at one price within 100 ms."""

    symbol: str
    aggregate_id: int
    price: int
    quantity: int
    normal_quantity: int
    """`quantity` without fills against RPI orders."""
    first_trade_id: int
    last_trade_id: int
    trade_time_ms: int
    buyer_is_maker: bool


class DepthUpdate(Struct, frozen=True):
    """Absolute quantities of the levels that changed, and the ids of the changes.

    The update covers every change of the symbol's book with an id in
    `previous_update_id` < id <= `final_update_id`; `first_update_id` is the first of them.
    """

    symbol: str
    first_update_id: int
    final_update_id: int
    previous_update_id: int
    bids: list[Level]
    asks: list[Level]
    transaction_time_ms: int


class BookSnapshot(Struct, frozen=True):
    """The whole book (or its best part) after the change `last_update_id`; best levels first."""

    symbol: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    transaction_time_ms: int


class BookTicker(Struct, frozen=True, gc=False):
    """The best bid and ask after the change `update_id`."""

    symbol: str
    update_id: int
    bid_price: int
    bid_quantity: int
    ask_price: int
    ask_quantity: int
    transaction_time_ms: int


class MarkPrice(Struct, frozen=True, gc=False):
    """Mark price, index price and funding at one whole second."""

    symbol: str
    mark_price: int
    index_price: int
    estimated_settle_price: int
    funding_rate: int | None
    """Predicted rate for `next_funding_time_ms`; None for a contract without funding."""
    next_funding_time_ms: int
    """0 for a contract without funding."""
    time_ms: int


class Liquidation(Struct, frozen=True, gc=False):
    """A forced order, as the exchange's risk engine sent it and the book filled it."""

    symbol: str
    side: str
    """`BUY` or `SELL`."""
    quantity: int
    price: int
    average_price: int
    status: str
    last_filled_quantity: int
    filled_quantity: int
    trade_time_ms: int


class BarClosed(Struct, frozen=True):
    """Derived: a minute ended; the candles whose interval ends with it are final.

    `open_time_ms` is the first millisecond of the minute that begins.
    """

    symbol: str
    open_time_ms: int


class WindowMoved(Struct, frozen=True):
    """Derived: trades left the 24-hour window, so its statistics changed without a trade."""

    symbol: str


Event: TypeAlias = (
    Trade
    | AggregateTrade
    | DepthUpdate
    | BookSnapshot
    | BookTicker
    | MarkPrice
    | Liquidation
    | BarClosed
    | WindowMoved
)
