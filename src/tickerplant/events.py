"""What can happen in a market.

An event is immutable and belongs to one contract, or to a venue as a whole (`Delivered`,
`AssetIndex`, `InsuranceFund`).  Prices and quantities are integers in the units of the contract's
`Instrument`; mark prices, index prices, rates and amounts of an asset are integers of 10^-8; times
are milliseconds since the epoch as the matching engine stamped them (`T` on the wire).  The time of
sending (`E`) is not part of an event: the plant's clock gives it when a message is made.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from tickerplant.instrument import Instrument
from tickerplant.venue import Venue

Level: TypeAlias = tuple[int, int]
"""Price and quantity of one price level; quantity 0 removes it."""


class Trade(Struct, frozen=True, gc=False, array_like=True):
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
    rpi: bool = False
    """Filled by an order of retail price improvement (RPI)."""


class AggregateTrade(Struct, frozen=True, gc=False, array_like=True):
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


class RpiUpdate(Struct, frozen=True):
    """Absolute quantities of the RPI orders at the prices where they changed; 0 removes.

    RPI orders stand beside the book, which never counts them, and may cross it.  Their changes
    take ids of the same series as the changes of the book.
    """

    symbol: str
    update_id: int
    """Id of the last of the changes."""
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


class FundingPaid(Struct, frozen=True, gc=False):
    """A funding time passed: what longs paid to shorts."""

    symbol: str
    rate: int
    mark_price: int
    time_ms: int


class Positioning(Struct, frozen=True, gc=False):
    """Who holds what in one contract.  Shares are integers of 10^-4."""

    symbol: str
    open_interest: int
    """Open positions of one side, in quantity units."""
    long_accounts: int
    """Share of the accounts with a position that are long."""
    top_long_accounts: int
    """The same among the largest accounts."""
    top_long_positions: int
    """Share of the positions of the largest accounts that is long."""
    adl_risk: str
    """Risk of automatic deleveraging: `low`, `medium` or `high`."""
    time_ms: int


class IndexConstituent(Struct, frozen=True, gc=False):
    """One spot market that an index price is made of."""

    exchange: str
    symbol: str
    """As that exchange writes it."""
    price: int
    weight: int
    """Integers of 10^-8, all of an index together 1."""


class IndexBasket(Struct, frozen=True):
    """The spot markets of a contract's index; their weighted price is the index price then."""

    symbol: str
    constituents: tuple[IndexConstituent, ...]
    time_ms: int


class CompositePart(Struct, frozen=True, gc=False):
    """One asset of a composite index.  Integers of 10^-8."""

    base_asset: str
    quote_asset: str
    weight_in_quantity: int
    weight_in_percentage: int
    """Of the index at this moment; 1 is all of it."""
    index_price: int


class CompositeIndex(Struct, frozen=True):
    """The index of a contract on several assets: the sum of quantity weights × index prices."""

    symbol: str
    price: int
    parts: tuple[CompositePart, ...]
    time_ms: int


class Bracket(Struct, frozen=True):
    """What positions of one size may do.  Notionals are whole quote units (COIN-M: coins)."""

    number: int
    notional_floor: int
    notional_cap: int
    maintenance_margin_rate: float
    cumulative: float
    """What keeps the maintenance margin continuous from one bracket to the next."""
    min_leverage: int
    max_leverage: int


class ContractChanged(Struct, frozen=True):
    """A contract was listed, or changed its status, its type, its dates or its brackets."""

    symbol: str
    instrument: Instrument
    """The contract as it is from now on."""
    brackets: tuple[Bracket, ...]
    """Its brackets, if they changed; empty if not."""
    time_ms: int


class Delivered(Struct, frozen=True, gc=False):
    """A dated contract was settled."""

    venue: Venue
    symbol: str
    pair: str
    price: int
    time_ms: int


class AssetIndex(Struct, frozen=True, gc=False):
    """What one margin asset counts for in multi-assets mode, in USD.

    Belongs to the venue, not to a contract: `symbol` is the asset with `USD`.
    """

    symbol: str
    index: int
    bid_buffer: int
    ask_buffer: int
    bid_rate: int
    ask_rate: int
    auto_exchange_bid_buffer: int
    auto_exchange_ask_buffer: int
    auto_exchange_bid_rate: int
    auto_exchange_ask_rate: int
    time_ms: int


class InsuranceFund(Struct, frozen=True):
    """One insurance fund of USDⓈ-M: the contracts that share it, and what is in it.

    `symbol` names the fund; its contracts come and go.
    """

    symbol: str
    symbols: tuple[str, ...]
    balances: tuple[tuple[str, int], ...]
    """Asset and amount, in integers of 10^-8."""
    time_ms: int


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
    | RpiUpdate
    | BookSnapshot
    | BookTicker
    | MarkPrice
    | Liquidation
    | FundingPaid
    | Positioning
    | IndexBasket
    | CompositeIndex
    | ContractChanged
    | Delivered
    | AssetIndex
    | InsuranceFund
    | BarClosed
    | WindowMoved
)
