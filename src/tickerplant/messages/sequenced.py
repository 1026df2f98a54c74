"""Messages read for their ids and times alone, by those who pass payloads on as they are.

One class a kind, because a key means one thing in one stream and another in the next.  Names are
those of the typed messages.  What a sequence cannot do without is required; the rest is left empty
where it is missing.
"""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class Sequenced(Message, kw_only=True, gc=False):
    """A message without ids and without a symbol: `tradingSession`, and what is unknown."""

    event_time_ms: int = field(name="E", default=0)


class SequencedOther(Sequenced, kw_only=True, gc=False):
    """A message without ids: tickers, mark prices, asset and composite indices, contracts."""

    symbol: str = field(name="s", default="")


class SequencedIndexPrice(Sequenced, kw_only=True, gc=False):
    """`<pair>@indexPrice` of COIN-M, `<symbol>@indexPrice` of USDⓈ-M."""

    pair: str = field(name="i", default="")
    symbol: str = field(name="s", default="")
    """On COIN-M the pair."""

    def __post_init__(self) -> None:
        """Make the pair the symbol where there is none."""
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
    """A candle: which it is, and whether it is over."""

    open_time_ms: int = field(name="t")
    close_time_ms: int = field(name="T")
    symbol: str = field(name="s", default="")
    is_closed: bool = field(name="x")


class SequencedCandleMessage(Sequenced, kw_only=True, gc=False):
    """What the messages of all kinds of candles have in common."""

    candle: SequencedCandle = field(name="k")

    @property
    def open_time_ms(self) -> int:
        """When the candle began."""
        return self.candle.open_time_ms

    @property
    def is_closed(self) -> bool:
        """Whether the candle is over and does not change any more."""
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
        """The symbol, which stands in the candle."""
        return self.candle.symbol


class SequencedOrder(Struct, kw_only=True, gc=False):
    """A forced order: whose it is."""

    symbol: str = field(name="s", default="")


class SequencedLiquidation(Sequenced, kw_only=True, gc=False):
    """`<symbol>@forceOrder`, `!forceOrder@arr`."""

    order: SequencedOrder = field(name="o")

    @property
    def symbol(self) -> str:
        """The symbol of the order."""
        return self.order.symbol
