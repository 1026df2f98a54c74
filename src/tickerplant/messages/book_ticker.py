"""Best bid and ask."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message


class BookTicker(Message, kw_only=True, gc=False):
    """`<symbol>@bookTicker`, `!bookTicker`: the best bid and ask after one change of the book."""

    update_id: int = field(name="u")
    """Id of the change of the book; increasing for a symbol, with gaps."""
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    bid_price: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask_price: str = field(name="a")
    ask_quantity: str = field(name="A")
    transaction_time_ms: int = field(name="T", default=0)
    """When the book changed; 0 in recordings that are older than this field."""
    event_time_ms: int = field(name="E", default=0)
    """When the message was sent; 0 in recordings that are older than this field."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""
