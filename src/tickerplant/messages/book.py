"""The order book: its changes, its best levels, and snapshots of it."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message

SNAPSHOT_LEVELS = 1000
"""Levels per side in the deepest snapshot that the exchange offers."""


class DepthUpdate(Message, kw_only=True, gc=False):
    """`<symbol>@depth`, `@depth5`, `@depth10`, `@depth20`, `@rpiDepth`, at any speed.

    Levels are price and absolute quantity.  In a diff (`@depth`, `@rpiDepth`) they are the changed
    ones, and quantity 0 removes a level; otherwise they are the best ones, best first.
    """

    event_time_ms: int = field(name="E")
    transaction_time_ms: int = field(name="T")
    """When the book last changed."""
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    first_update_id: int = field(name="U")
    final_update_id: int = field(name="u")
    previous_update_id: int = field(name="pu")
    """The final update id of the previous message; if it differs, messages are missing."""
    bids: list[tuple[str, str]] = field(name="b")
    asks: list[tuple[str, str]] = field(name="a")
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""


class DepthSnapshot(Message, kw_only=True, gc=False):
    """The response of `depth`: the best levels of a book, best first.

    It includes every update whose final update id is not above `last_update_id`.
    """

    symbol: str = ""
    """USDⓈ-M responses do not contain it; in a recording it is taken from the request."""
    last_update_id: int = field(name="lastUpdateId")
    event_time_ms: int = field(name="E", default=0)
    transaction_time_ms: int = field(name="T", default=0)
    """When the book last changed."""
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class BookTicker(Message, kw_only=True, gc=False):
    """`<symbol>@bookTicker`, `!bookTicker`: the best bid and ask after one change of the book."""

    update_id: int = field(name="u")
    """Id of the change; increasing for a symbol, with gaps."""
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    bid_price: str = field(name="b")
    bid_quantity: str = field(name="B")
    ask_price: str = field(name="a")
    ask_quantity: str = field(name="A")
    transaction_time_ms: int = field(name="T", default=0)
    """When the book changed; 0 in recordings older than this field."""
    event_time_ms: int = field(name="E", default=0)
    """When the message was sent; 0 in recordings older than this field."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 if the message does not contain it."""
