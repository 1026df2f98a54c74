"""Candles of every interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.events import AggregateTrade, BarClosed, Event, Trade
from tickerplant.market import figures
from tickerplant.market.bars import (
    CLOSE,
    COUNT,
    FIRST_TRADE_ID,
    HIGH,
    LAST_TRADE_ID,
    LOW,
    OPEN,
    OPEN_TIME,
    TAKER_BUY_TURNOVER,
    TAKER_BUY_VOLUME,
    TURNOVER,
    VOLUME,
)
from tickerplant.market.interval import INTERVALS, close_time
from tickerplant.streams.about import one_symbol_anywhere
from tickerplant.streams.pace import UntilClosed
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms

if TYPE_CHECKING:
    from tickerplant.market.candles import Candles
    from tickerplant.market.market import Market

ANY_INTERVAL = f"<interval:{'|'.join(INTERVALS)}>"
"""The part of a stream name that takes every interval."""


class Candle(Struct, frozen=True, kw_only=True):
    """One candle, open or closed."""

    open_time: int = field(name="t")
    close_time: int = field(name="T")
    symbol: str | UnsetType = field(name="s", default=UNSET)
    interval: str = field(name="i")
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="L")
    open_price: str = field(name="o")
    close_price: str = field(name="c")
    high_price: str = field(name="h")
    low_price: str = field(name="l")
    volume: str = field(name="v")
    trade_count: int = field(name="n")
    closed: bool = field(name="x")
    turnover: str = field(name="q")
    taker_buy_volume: str = field(name="V")
    taker_buy_turnover: str = field(name="Q")
    ignored: str = field(name="B", default="0")


class KlineMessage(Payload, frozen=True, kw_only=True, tag="kline"):
    """A candle as it is now."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    candle: Candle = field(name="k")


def told_row(candles: Candles, event: Event, interval: str) -> list[int] | None:
    """Return the candle that `event` gives a reason to tell, with the columns of `bars`.

    That is the one that just ended, or the one that runs, if anything is in it.
    """
    if isinstance(event, BarClosed):
        return candles.ended(interval, event.open_time_ms)
    row = candles.running(interval)
    return row if row is not None and row[COUNT] else None


def candle(
    market: Market, event: Event, interval: str, symbol: str | UnsetType = UNSET
) -> Candle | None:
    """Return the candle of the trades of `market` that `event` gives a reason to tell."""
    row = told_row(market.candles, event, interval)
    if row is None:
        return None
    instrument = market.instrument
    price, quantity = instrument.price.text, instrument.quantity.text
    return Candle(
        open_time=row[OPEN_TIME],
        close_time=close_time(interval, row[OPEN_TIME]),
        symbol=symbol,
        interval=interval,
        first_trade_id=row[FIRST_TRADE_ID],
        last_trade_id=row[LAST_TRADE_ID],
        open_price=price[row[OPEN]],
        close_price=price[row[CLOSE]],
        high_price=price[row[HIGH]],
        low_price=price[row[LOW]],
        volume=quantity[row[VOLUME]],
        trade_count=row[COUNT],
        closed=isinstance(event, BarClosed),
        turnover=figures.bar_turnover(instrument, row[TURNOVER]),
        taker_buy_volume=quantity[row[TAKER_BUY_VOLUME]],
        taker_buy_turnover=figures.bar_turnover(instrument, row[TAKER_BUY_TURNOVER]),
    )


def kline(market: Market, event: Event, now_ms: int, args: Args) -> KlineMessage | None:
    """Tell the candle that runs, if anything was traded in it, or the one that just ended."""
    told = candle(market, event, args["interval"], market.symbol)
    if told is None:
        return None
    return KlineMessage(event_time=now_ms, symbol=market.symbol, candle=told)


STREAMS = (
    Stream(
        pattern=Pattern(f"<symbol>@kline_{ANY_INTERVAL}"),
        about=one_symbol_anywhere,
        events=("kline",),
        on=(Trade, AggregateTrade, BarClosed),
        pace=UntilClosed,
        period=every_ms(250),
        build=kline,
        route="market",
        doc="The candle that runs, while it changes, and once more when it ends.",
    ),
)
