"""Candles of trades, of a pair's contracts of one type, of index prices and of mark prices."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct, field

from tickerplant.messages.message import Message, StreamName
from tickerplant.stream_name import choice, symbol_part

Interval: TypeAlias = Literal[
    "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"
]
"""How long a candle is: minutes, hours, days, a week or a month."""
ContractType: TypeAlias = Literal[
    "PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL"
]
"""The type of contract that a stream of continuous candles follows."""
_INTERVALS: tuple[Interval, ...] = get_args(Interval)


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

    @classmethod
    def of(cls, symbol: str, interval: Interval) -> StreamName[Kline]:
        """Return the name of the stream of candles of `symbol`, `<symbol>@kline_<interval>`.

        It has the open candle, at most every 250 ms, and the same once more when it closes
        (Kline/Candlestick Streams page).

        Raises:
            ConfigError: The text cannot be a symbol, or there is no such interval.
        """
        return StreamName(f"{symbol_part('symbol', symbol)}@kline_{_interval_part(interval)}")


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

    @classmethod
    def of(
        cls, pair: str, interval: Interval, *, contract_type: ContractType = "PERPETUAL"
    ) -> StreamName[ContinuousKline]:
        """Return the name of the stream of candles of a pair's contract of one type.

        It is `<pair>_<contractType>@continuousKline_<interval>` (Continuous Contract
        Kline/Candlestick Streams page).

        Args:
            pair: The pair, such as `BTCUSDT` or `BTCUSD`.
            interval: How long each candle is.
            contract_type: The type of the contract, in any case.

        Raises:
            ConfigError: The text cannot be a pair, or there is no such interval or type.
        """
        wanted: object = contract_type
        upper = wanted.upper() if isinstance(wanted, str) else wanted
        type_part = choice("contract_type", upper, get_args(ContractType)).lower()
        topic = f"{symbol_part('pair', pair)}_{type_part}"
        return StreamName(f"{topic}@continuousKline_{_interval_part(interval)}")


class IndexPriceKline(CandleMessage, kw_only=True, gc=False):
    """`<pair>@indexPriceKline_<interval>`: a candle of the index price of a COIN-M pair."""

    pair: str = field(name="ps")

    @property
    def symbol(self) -> str:
        """The pair: an index has no symbol."""
        return self.pair

    @classmethod
    def of(cls, pair: str, interval: Interval) -> StreamName[IndexPriceKline]:
        """Return the name of the stream of candles of the index price of a COIN-M pair.

        It is `<pair>@indexPriceKline_<interval>` (Index Kline/Candlestick Streams page).

        Raises:
            ConfigError: The text cannot be a pair, or there is no such interval.
        """
        return StreamName(f"{symbol_part('pair', pair)}@indexPriceKline_{_interval_part(interval)}")


class MarkPriceKline(CandleMessage, kw_only=True, gc=False):
    """`<symbol>@markPriceKline_<interval>`: a candle of the mark price of a COIN-M contract."""

    pair: str = field(name="ps")

    @property
    def symbol(self) -> str:
        """The symbol of the candle."""
        return self.candle.symbol

    @classmethod
    def of(cls, symbol: str, interval: Interval) -> StreamName[MarkPriceKline]:
        """Return the name of the stream of candles of the mark price of a COIN-M contract.

        It is `<symbol>@markPriceKline_<interval>` (Mark Price Kline/Candlestick Streams page).

        Raises:
            ConfigError: The text cannot be a symbol, or there is no such interval.
        """
        topic = symbol_part("symbol", symbol)
        return StreamName(f"{topic}@markPriceKline_{_interval_part(interval)}")


def _interval_part(interval: Interval) -> str:
    return choice("interval", interval, _INTERVALS)
