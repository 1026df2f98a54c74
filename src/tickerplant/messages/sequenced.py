"""Messages decoded only for their ids and times, where payloads are passed on unchanged.

One class per kind, because the same key has different meanings in different streams.  Names are those
of the typed messages.  Fields without which a sequence cannot be followed are required; others are
empty if they are missing.
"""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class Sequenced(Message, kw_only=True, gc=False):
    """A message without ids and symbol: `tradingSession`, and unknown kinds."""

    event_time_ms: int = field(name="E", default=0)


class SequencedOther(Sequenced, kw_only=True, gc=False):
    """A message without ids: tickers, mark prices, asset and composite indices, contracts."""

    symbol: str = field(name="s", default="")


class SequencedIndexPrice(Sequenced, kw_only=True, gc=False):
    """`<pair>@indexPrice` of COIN-M, `<symbol>@indexPrice` of USDⓈ-M."""

    pair: str = field(name="i", default="")
    symbol: str = field(name="s", default="")
    """The pair on COIN-M."""

    def __post_init__(self) -> None:
        """Use the pair if there is no symbol."""
        self.symbol = self.symbol or self.pair


class SequencedTrade(Sequenced, kw_only=True, gc=False):
    """`<symbol>@trade`."""

    symbol: str = field(name="s", default="")
    trade_id: int = field(name="t")


class SequencedAggregateTrade(Sequenced, kw_only=True, gc=False):
    """`<symbol>@aggTrade`."""

    aggregate_id: int = field(name="a")
    symbol: str = field(name="s", default="")


class SequencedBookTicker(Sequenced, kw_only=True, gc=False):
    """`<symbol>@bookTicker`, `!bookTicker`."""

    update_id: int = field(name="u")
    symbol: str = field(name="s", default="")


class SequencedDepth(Sequenced, kw_only=True, gc=False):
    """Diff, partial and RPI depth."""

    symbol: str = field(name="s", default="")
    first_update_id: int = field(name="U")
    final_update_id: int = field(name="u")
    previous_update_id: int = field(name="pu")


class SequencedSnapshot(Struct, gc=False):
    """A depth snapshot, which is no message of a stream."""

    last_update_id: int = field(name="lastUpdateId")
    symbol: str = ""
    """USDⓈ-M responses do not contain it."""


class SequencedCandle(Struct, kw_only=True, gc=False):
    """A candle: its period, and whether it is closed."""

    open_time_ms: int = field(name="t")
    close_time_ms: int = field(name="T")
    symbol: str = field(name="s", default="")
    is_closed: bool = field(name="x")


class SequencedCandleMessage(Sequenced, kw_only=True, gc=False):
    """What all candle messages have in common."""

    candle: SequencedCandle = field(name="k")

    @property
    def open_time_ms(self) -> int:
        """When the candle began."""
        return self.candle.open_time_ms

    @property
    def is_closed(self) -> bool:
        """Whether the candle is closed and final."""
        return self.candle.is_closed


class SequencedKline(SequencedCandleMessage, kw_only=True, gc=False):
    """`<symbol>@kline_<interval>`."""

    symbol: str = field(name="s", default="")


class SequencedPairKline(SequencedCandleMessage, kw_only=True, gc=False):
    """`<pair>_<contractType>@continuousKline_<interval>`, `<pair>@indexPriceKline_<interval>`."""

    symbol: str = field(name="ps", default="")
    """The pair."""


class SequencedMarkPriceKline(SequencedCandleMessage, kw_only=True, gc=False):
    """`<symbol>@markPriceKline_<interval>`."""

    @property
    def symbol(self) -> str:
        """The symbol of the candle."""
        return self.candle.symbol


class SequencedOrder(Struct, kw_only=True, gc=False):
    """A liquidation order."""

    symbol: str = field(name="s", default="")


class SequencedLiquidation(Sequenced, kw_only=True, gc=False):
    """`<symbol>@forceOrder`, `!forceOrder@arr`."""

    order: SequencedOrder = field(name="o")

    @property
    def symbol(self) -> str:
        """The symbol of the order."""
        return self.order.symbol
