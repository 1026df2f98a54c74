"""Mark prices with funding, and index prices of contracts, assets and baskets."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct, field

from tickerplant.messages.message import Message, StreamName
from tickerplant.stream_name import choice, symbol_part

PriceSpeed: TypeAlias = Literal["1s", "3s"]
"""How often mark and index prices are sent; names without a speed are those of three seconds."""


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

    @classmethod
    def of(cls, symbol: str | None = None, *, speed: PriceSpeed = "3s") -> StreamName[MarkPrice]:
        """Return the name of the stream of mark prices of `symbol`, or of all symbols.

        It is `<symbol>@markPrice` or `!markPrice@arr`, followed by `@1s` at that speed (Mark Price
        Stream page).

        Args:
            symbol: The symbol, or a COIN-M pair for all its contracts; None for all symbols.
            speed: How often it is sent.

        Raises:
            ConfigError: The text cannot be a symbol, or there is no such speed.
        """
        topic = "!markPrice@arr" if symbol is None else f"{symbol_part('symbol', symbol)}@markPrice"
        return StreamName(topic + _speed_part(speed))


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

    @classmethod
    def of(cls, symbol: str, *, speed: PriceSpeed = "3s") -> StreamName[IndexPrice]:
        """Return the name of the stream of index prices of a symbol or pair.

        It is `<symbol>@indexPrice`, followed by `@1s` at that speed.  On COIN-M it has the prices
        of a pair (Index Price Stream page); on USDⓈ-M, where it is not documented, those of a
        symbol every three seconds.

        Args:
            symbol: The pair on COIN-M, the symbol on USDⓈ-M.
            speed: How often it is sent; `1s` only on COIN-M.

        Raises:
            ConfigError: The text cannot be a symbol, or there is no such speed.
        """
        return StreamName(f"{symbol_part('symbol', symbol)}@indexPrice{_speed_part(speed)}")


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

    @classmethod
    def of(cls, symbol: str | None = None) -> StreamName[AssetIndex]:
        """Return the name of the stream of the index of one margin asset, or of all.

        It is `<symbol>@assetIndex` or `!assetIndex@arr`; only USDⓈ-M has it (Multi-Assets Mode
        Asset Index page).

        Args:
            symbol: The asset followed by `USD`, such as `ADAUSD`; None for all.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        if symbol is None:
            return StreamName("!assetIndex@arr")
        return StreamName(f"{symbol_part('symbol', symbol)}@assetIndex")


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

    @classmethod
    def of(cls, symbol: str) -> StreamName[CompositeIndex]:
        """Return the name of the stream of a composite index, `<symbol>@compositeIndex`.

        Only USDⓈ-M has it (Composite Index Symbol Information Streams page).

        Args:
            symbol: The symbol of a contract on an index, such as `DEFIUSDT`.

        Raises:
            ConfigError: The text cannot be a symbol.
        """
        return StreamName(f"{symbol_part('symbol', symbol)}@compositeIndex")


def _speed_part(speed: PriceSpeed) -> str:
    return "@1s" if choice("speed", speed, get_args(PriceSpeed)) == "1s" else ""
