"""What margin assets count for in multi-assets mode."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message


class AssetIndex(Message, kw_only=True, gc=False):
    """`<assetSymbol>@assetIndex`, and the elements of `!assetIndex@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    """The asset with `USD`: `ADAUSD`."""
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
