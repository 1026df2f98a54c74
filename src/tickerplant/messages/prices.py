"""Mark prices with funding, and index prices of contracts, assets and baskets."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class MarkPrice(Message, kw_only=True, gc=False):
    """`<symbol>@markPrice`, and the elements of `<pair>@markPrice` and `!markPrice@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    mark_price: str = field(name="p")
    mark_price_average: str = field(name="ap", default="")
    """The moving average of the mark price; empty if the message does not contain it."""
    estimated_settle_price: str = field(name="P")
    """Only meaningful in the last hour before settlement."""
    index_price: str = field(name="i")
    funding_rate: str = field(name="r", default="")
    """Empty or 0 for contracts without funding."""
    next_funding_time_ms: int = field(name="T", default=0)
    """0 for contracts without funding."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""


class IndexPrice(Message, kw_only=True, gc=False):
    """`<pair>@indexPrice` of COIN-M, `<symbol>@indexPrice` of USDⓈ-M."""

    event_time_ms: int = field(name="E")
    pair: str = field(name="i", default="")
    """Only on COIN-M."""
    symbol: str = field(name="s", default="")
    """The pair on COIN-M."""
    price: str = field(name="p")

    def __post_init__(self) -> None:
        """Use the pair if there is no symbol.

        Raises:
            ValueError: There is neither.
        """
        self.symbol = self.symbol or self.pair
        if not self.symbol:
            raise ValueError("an index price with neither a pair `i` nor a symbol `s`")


class AssetIndex(Message, kw_only=True, gc=False):
    """`<assetSymbol>@assetIndex`, and the elements of `!assetIndex@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    """The asset followed by `USD`: `ADAUSD`."""
    index: str = field(name="i")
    """The price of the asset in USD."""
    bid_buffer: str = field(name="b")
    ask_buffer: str = field(name="a")
    bid_rate: str = field(name="B")
    ask_rate: str = field(name="A")
    auto_exchange_bid_buffer: str = field(name="q")
    auto_exchange_ask_buffer: str = field(name="g")
    auto_exchange_bid_rate: str = field(name="Q")
    auto_exchange_ask_rate: str = field(name="G")


class CompositePart(Struct, kw_only=True, gc=False):
    """One asset of an index."""

    base_asset: str = field(name="b")
    quote_asset: str = field(name="q")
    weight_in_quantity: str = field(name="w")
    weight_in_percentage: str = field(name="W")
    index_price: str = field(name="i")


class CompositeIndex(Message, kw_only=True, gc=False):
    """`<symbol>@compositeIndex`: an index and its parts."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    price: str = field(name="p")
    component: str = field(name="C", default="baseAsset")
    """What the parts are given in."""
    composition: list[CompositePart] = field(name="c")
