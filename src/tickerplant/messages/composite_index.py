"""Composite indices: what a contract on several assets is made of."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


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
    """What the parts are told by."""
    composition: list[CompositePart] = field(name="c")
