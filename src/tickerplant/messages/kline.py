"""Candles of trades, of a pair's contracts of one type, of index prices and of mark prices."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.messages.message import Message


class Candle(Struct, kw_only=True, gc=False):
    """One candle, open or closed."""

    open_time_ms: int = field(name="t")
    close_time_ms: int = field(name="T")
    """The last millisecond in it."""
    symbol: str = field(name="s", default="")
    """Empty in `continuousKline`, `0` in `indexPriceKline`."""
    interval: str = field(name="i")
    first_trade_id: int = field(name="f")
    """-1 in candles from REST, which does not contain it; in `continuousKline` the exchange sends an
    update id here, and in candles of prices a time."""
    last_trade_id: int = field(name="L")
    """Like the first."""
    open_price: str = field(name="o")
    close_price: str = field(name="c")
    high_price: str = field(name="h")
    low_price: str = field(name="l")
    volume: str = field(name="v")
    """In base asset on USDⓈ-M, in contracts on COIN-M."""
    trade_count: int = field(name="n")
    """For candles of prices, the number of data points."""
    is_closed: bool = field(name="x")
    turnover: str = field(name="q")
    """In quote asset on USDⓈ-M, in base asset on COIN-M."""
    taker_buy_volume: str = field(name="V")
    """The part of the volume that takers bought."""
    taker_buy_turnover: str = field(name="Q")
    """The part of the turnover that takers bought."""


class CandleMessage(Message, kw_only=True, gc=False):
    """What all candle messages have in common."""

    event_time_ms: int = field(name="E")
    candle: Candle = field(name="k")

    @property
    def interval(self) -> str:
        """How long the candle is: `1m`, `4h` and so on."""
        return self.candle.interval

    @property
    def open_time_ms(self) -> int:
        """When the candle began."""
        return self.candle.open_time_ms

    @property
    def is_closed(self) -> bool:
        """Whether the candle is closed and final."""
        return self.candle.is_closed


class Kline(CandleMessage, kw_only=True, gc=False):
    """`<symbol>@kline_<interval>`: a candle of the trades of a symbol, open or closed."""

    symbol: str = field(name="s")


class ContinuousKline(CandleMessage, kw_only=True, gc=False):
    """`<pair>_<contractType>@continuousKline_<interval>`.

    The candle is that of the contract that currently has the type.
    """

    pair: str = field(name="ps")
    contract_type: str = field(name="ct")
    """`PERPETUAL`, `CURRENT_QUARTER`, `NEXT_QUARTER`, `TRADIFI_PERPETUAL`, …"""

    @property
    def symbol(self) -> str:
        """The pair: the message does not contain the symbol."""
        return self.pair


class IndexPriceKline(CandleMessage, kw_only=True, gc=False):
    """`<pair>@indexPriceKline_<interval>`: a candle of the index price of a COIN-M pair."""

    pair: str = field(name="ps")

    @property
    def symbol(self) -> str:
        """The pair: an index has no symbol."""
        return self.pair


class MarkPriceKline(CandleMessage, kw_only=True, gc=False):
    """`<symbol>@markPriceKline_<interval>`: a candle of the mark price of a COIN-M contract."""

    pair: str = field(name="ps")

    @property
    def symbol(self) -> str:
        """The symbol of the candle."""
        return self.candle.symbol
