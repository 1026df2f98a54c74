"""The events of a market.

An event is immutable and belongs to one contract, or to a whole venue (`Delivered`, `AssetIndex`,
`InsuranceFund`). Prices and quantities are integers in the units of the contract's `Instrument`;
mark prices, index prices, rates and amounts of an asset are integers of 10^-8. Times are
milliseconds since the epoch, as stamped by the matching engine (`T` on the wire). The send time
(`E`) is not part of an event: it is the plant's clock when a message is built.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from tickerplant.instrument import Instrument
from tickerplant.venue import Venue

Level: TypeAlias = tuple[int, int]
"""Price and quantity of one price level; quantity 0 removes it."""


class Trade(Struct, frozen=True, gc=False, array_like=True):
    """One fill. The ids of a symbol rise by one."""

    symbol: str
    trade_id: int
    price: int
    quantity: int
    buyer_is_maker: bool
    """True: the taker sold."""
    trade_time_ms: int
    origin: str = "MARKET"
    """`MARKET`, or the off-book counterparty of the trade (`INSURANCE_FUND`, `ADL`, `NA`)."""
    rpi: bool = False
    """Whether a retail price improvement (RPI) order was filled."""


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
    """Absolute quantities of RPI orders at the prices where they changed; 0 removes.

    RPI orders are not part of the book and may cross it. Their changes take ids of the same series
    as the changes of the book.
    """

    symbol: str
    update_id: int
    """Id of the last of the changes."""
    bids: list[Level]
    asks: list[Level]
    transaction_time_ms: int


class BookSnapshot(Struct, frozen=True):
    """The book (or its best part) after the change `last_update_id`; best levels first."""

    symbol: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    transaction_time_ms: int
    lowest_known_bid: int | None = None
    """The price down to which bids are known; None if all of them are."""
    highest_known_ask: int | None = None
    """The price up to which asks are known; None if all of them are."""


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
    """A forced order, as sent by the risk engine and filled by the book."""

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
    """The funding that longs paid to shorts at a funding time."""

    symbol: str
    rate: int
    mark_price: int
    time_ms: int


class Positioning(Struct, frozen=True, gc=False):
    """Open interest and the shares of longs in one contract. Shares are integers of 10^-4."""

    symbol: str
    open_interest: int
    """Open positions of one side, in quantity units."""
    long_accounts: int
    """Share of the accounts with a position that are long."""
    top_long_accounts: int
    """The same share among the largest accounts."""
    top_long_positions: int
    """Share of the positions of the largest accounts that is long."""
    adl_risk: str
    """Risk of automatic deleveraging: `LOW`, `MIDDLE`, `HIGH` or `EXTREMELY_HIGH`."""
    time_ms: int


class IndexConstituent(Struct, frozen=True, gc=False):
    """One spot market that an index price is made of."""

    exchange: str
    symbol: str
    """As that exchange writes it."""
    price: int
    weight: int
    """Integers of 10^-8; the weights of an index add up to 1."""


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
    """Of the current index; 1 is all of it."""
    index_price: int


class CompositeIndex(Struct, frozen=True):
    """The index of a contract on several assets: the sum of quantity weights × index prices."""

    symbol: str
    price: int
    parts: tuple[CompositePart, ...]
    time_ms: int


class Bracket(Struct, frozen=True):
    """The limits for positions of one size. Notionals are whole quote units (COIN-M: coins)."""

    number: int
    notional_floor: int
    notional_cap: int
    maintenance_margin_rate: float
    cumulative: float
    """Offset that keeps the maintenance margin continuous between brackets."""
    min_leverage: int
    max_leverage: int


class ContractChanged(Struct, frozen=True):
    """A contract was listed, or its status, type, dates or brackets changed."""

    symbol: str
    instrument: Instrument
    """The contract from now on."""
    brackets: tuple[Bracket, ...]
    """Its brackets if they changed, otherwise empty."""
    time_ms: int


class Delivered(Struct, frozen=True, gc=False):
    """A dated contract was settled."""

    venue: Venue
    symbol: str
    pair: str
    price: int
    time_ms: int


class AssetIndex(Struct, frozen=True, gc=False):
    """The value of one margin asset in multi-assets mode, in USD.

    Belongs to the venue, not to a contract: `symbol` is the asset followed by `USD`.
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
    """One insurance fund of USDⓈ-M: its balances and the contracts that share it.

    `symbol` names the fund.
    """

    symbol: str
    symbols: tuple[str, ...]
    balances: tuple[tuple[str, int], ...]
    """Asset and amount, in integers of 10^-8."""
    time_ms: int


class BarClosed(Struct, frozen=True):
    """Derived: a minute ended; the candles that end with it are final.

    `open_time_ms` is the first millisecond of the next minute.
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
