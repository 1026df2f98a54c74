"""Mark prices with funding, and index prices."""

from __future__ import annotations

from msgspec import field

from tickerplant.messages.message import Message


class MarkPrice(Message, kw_only=True, gc=False):
    """`<symbol>@markPrice`, and the elements of `<pair>@markPrice` and `!markPrice@arr`."""

    event_time_ms: int = field(name="E")
    symbol: str = field(name="s")
    mark_price: str = field(name="p")
    mark_price_average: str = field(name="ap", default="")
    """The moving average of the mark price; empty where it is not told."""
    estimated_settle_price: str = field(name="P")
    """Only meaningful in the last hour before a settlement."""
    index_price: str = field(name="i")
    funding_rate: str = field(name="r", default="")
    """Empty or 0 of contracts without funding."""
    next_funding_time_ms: int = field(name="T", default=0)
    """0 of contracts without funding."""
    symbol_type: int = field(name="st", default=0)
    """1 on USDⓈ-M, 2 on COIN-M; 0 where it is not told."""


class IndexPrice(Message, kw_only=True, gc=False):
    """`<pair>@indexPrice` of COIN-M, `<symbol>@indexPrice` of USDⓈ-M."""

    event_time_ms: int = field(name="E")
    pair: str = field(name="i", default="")
    """Only on COIN-M."""
    symbol: str = field(name="s", default="")
    """On COIN-M the pair."""
    price: str = field(name="p")

    def __post_init__(self) -> None:
        """Make the pair the symbol where there is none.

        Raises:
            ValueError: There is neither.
        """
        self.symbol = self.symbol or self.pair
        if not self.symbol:
            raise ValueError("an index price of neither a pair `i` nor a symbol `s`")
