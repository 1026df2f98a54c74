"""The order book: its changes, and its top."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message


class DepthUpdate(Message, kw_only=True, gc=False):
    """`<symbol>@depth`, `@depth5`, `@depth10`, `@depth20`, `@rpiDepth`, at any speed.

    Levels are price and absolute quantity.  In a diff (`@depth`, `@rpiDepth`) they are those that
    changed, and quantity 0 removes a level; otherwise they are the best ones, best first.
    """

    event_time_ms: int = field(name="E")
    transaction_time_ms: int = field(name="T")
    """When the book last changed."""
    symbol: str = field(name="s")
    pair: str = field(name="ps", default="")
    first_update_id: int = field(name="U")
    final_update_id: int = field(name="u")
    previous_update_id: int = field(name="pu")
    """The final update id of the message before; otherwise messages are missing between."""
    bids: list[tuple[str, str]] = field(name="b")
    asks: list[tuple[str, str]] = field(name="a")
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""
