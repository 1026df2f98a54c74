"""What is read of the messages that hftbacktest has events for, with numbers as floats."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, field
from msgspec.json import Decoder

from tickerplant.units import NS_PER_MS

MAX_TIME_NS = 4_102_444_800 * 10**9
"""The year 2100: what is later is no time of a market, and need not fit into 64 bits."""


Time: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_TIME_NS // NS_PER_MS)]
"""Milliseconds since the epoch."""

Pairs: TypeAlias = list[tuple[float, float]]
"""Prices and quantities."""


class Depth(Struct, gc=False):
    """A diff of the book."""

    time_ms: Time = field(name="T")
    final_id: int = field(name="u")
    bids: Pairs = field(name="b")
    asks: Pairs = field(name="a")


class Trade(Struct, gc=False):
    """A trade, or several as one."""

    time_ms: Time = field(name="T")
    price: float = field(name="p")
    quantity: float = field(name="q")
    buyer_is_maker: bool = field(name="m")
    origin: str = field(name="X", default="MARKET")


class Ticker(Struct, gc=False):
    """Best bid and ask."""

    symbol: str = field(name="s")
    bid: float = field(name="b")
    bid_quantity: float = field(name="B")
    ask: float = field(name="a")
    ask_quantity: float = field(name="A")
    time_ms: Time = field(name="T", default=0)


class Mark(Struct, gc=False):
    """A mark price, with what comes along."""

    event_time_ms: Time = field(name="E")
    symbol: str = field(name="s")
    price: float = field(name="p")
    index: float | None = field(name="i", default=None)
    funding_rate: str = field(name="r", default="")
    """Empty of contracts without funding."""


class Answer(Struct, gc=False):
    """A REST answer `depth`."""

    last_id: int = field(name="lastUpdateId")
    bids: Pairs
    asks: Pairs
    symbol: str = ""
    time_ms: Time = field(name="T", default=0)


read_depth = Decoder(Depth, strict=False).decode
read_trade = Decoder(Trade, strict=False).decode
read_ticker = Decoder(Ticker, strict=False).decode
read_mark = Decoder(Mark, strict=False).decode
read_marks = Decoder(list[Mark], strict=False).decode
read_answer = Decoder(Answer, strict=False).decode
