"""The exchange's messages that are understood, field by field as they stand on the wire.

Fields a message had only in some years have a default, so that one declaration reads them all;
unknown fields are passed over.
"""

from __future__ import annotations

from msgspec import Raw, Struct, field

from tickerplant.printed import PrintedLevel


class AggregateTradeMessage(Struct, gc=False):
    """`<symbol>@aggTrade`."""

    symbol: str = field(name="s")
    event_time_ms: int = field(name="E")
    trade_time_ms: int = field(name="T")
    aggregate_id: int = field(name="a")
    price: str = field(name="p")
    quantity: str = field(name="q")
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="l")
    buyer_is_maker: bool = field(name="m")
    normal_quantity: str | None = field(name="nq", default=None)


class MarkPriceMessage(Struct, gc=False):
    """`<symbol>@markPrice`, and the elements of `<pair>@markPrice` and `!markPrice@arr`."""

    symbol: str = field(name="s")
    event_time_ms: int = field(name="E")
    mark_price: str = field(name="p")
    index_price: str = field(name="i")
    estimated_settle_price: str = field(name="P")
    funding_rate: str = field(name="r", default="")
    next_funding_time_ms: int = field(name="T", default=0)


class ForcedOrder(Struct, gc=False):
    """The order inside a `forceOrder` message."""

    symbol: str = field(name="s")
    side: str = field(name="S")
    quantity: str = field(name="q")
    price: str = field(name="p")
    average_price: str = field(name="ap")
    status: str = field(name="X")
    last_filled_quantity: str = field(name="l")
    filled_quantity: str = field(name="z")
    trade_time_ms: int = field(name="T")


class LiquidationMessage(Struct, gc=False):
    """`<symbol>@forceOrder` and `!forceOrder@arr`."""

    event_time_ms: int = field(name="E")
    order: ForcedOrder = field(name="o")


class CompositePartMessage(Struct, gc=False):
    """One asset inside a `compositeIndex` message."""

    base_asset: str = field(name="b")
    quote_asset: str = field(name="q")
    weight_in_quantity: str = field(name="w")
    weight_in_percentage: str = field(name="W")
    index_price: str = field(name="i")


class CompositeIndexMessage(Struct):
    """`<symbol>@compositeIndex`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    price: str = field(name="p")
    parts: list[CompositePartMessage] = field(name="c")


class AssetIndexMessage(Struct, gc=False):
    """`<assetSymbol>@assetIndex`, and the elements of `!assetIndex@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    index: str = field(name="i")
    bid_buffer: str = field(name="b")
    ask_buffer: str = field(name="a")
    bid_rate: str = field(name="B")
    ask_rate: str = field(name="A")
    auto_exchange_bid_buffer: str = field(name="q")
    auto_exchange_ask_buffer: str = field(name="g")
    auto_exchange_bid_rate: str = field(name="Q")
    auto_exchange_ask_rate: str = field(name="G")


class DepthAnswer(Struct, gc=False):
    """The REST answer `depth`; COIN-M names the symbol, USDⓈ-M does not."""

    last_update_id: int = field(name="lastUpdateId")
    bids: list[PrintedLevel]
    asks: list[PrintedLevel]
    symbol: str = ""
    event_time_ms: int = field(name="E", default=0)
    transaction_time_ms: int = field(name="T", default=0)


class Kline(Struct, gc=False):
    """The candle inside a `kline` message."""

    symbol: str = field(name="s", default="")
    interval: str = field(name="i", default="")
    close: str = field(name="c", default="")
    volume: str = field(name="v", default="")


class Timed(Struct, gc=False):
    """Any event: all that is read of it is its time."""

    event_time_ms: int = field(name="E", default=0)


class Outline(Struct, gc=False):
    """Any message at all: enough of it to see what it is."""

    stream: str = ""
    data: Raw = Raw()
    event_type: str = field(name="e", default="")
    symbol: str = field(name="s", default="")
    kline: Kline | None = field(name="k", default=None)
    order: Raw = field(name="o", default=Raw())
    """The order of a `forceOrder` message; a price in others."""
    last_update_id: int | None = field(name="lastUpdateId", default=None)
    request_id: int | str | None = field(name="id", default=None)
    result: Raw = Raw()
    error: Raw = Raw()
