"""Candles of every interval."""

from __future__ import annotations

from msgspec import Struct, field

from tickerplant.events import AggregateTrade, BarClosed, Trade
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
from tickerplant.market.candles import close_time
from tickerplant.market.interval import INTERVALS
from tickerplant.market.market import Market
from tickerplant.streams.about import one_symbol_anywhere
from tickerplant.streams.pace import UntilClosed
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms


class Candle(Struct, frozen=True, kw_only=True):
    """One candle, open or closed."""

    open_time: int = field(name="t")
    close_time: int = field(name="T")
    symbol: str = field(name="s")
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


def kline(
    market: Market, event: Trade | AggregateTrade | BarClosed, now_ms: int, args: Args
) -> KlineMessage | None:
    """Tell the candle that runs, if anything was traded in it, or the one that just ended."""
    interval = args["interval"]
    if closed := isinstance(event, BarClosed):
        row = market.candles.ended(interval, event.open_time_ms)
    else:
        row = market.candles.running(interval)
    if row is None or not (closed or row[COUNT]):
        return None
    instrument = market.instrument
    price, quantity = instrument.price.text, instrument.quantity.text
    return KlineMessage(
        event_time=now_ms,
        symbol=market.symbol,
        candle=Candle(
            open_time=row[OPEN_TIME],
            close_time=close_time(interval, row[OPEN_TIME]),
            symbol=market.symbol,
            interval=interval,
            first_trade_id=row[FIRST_TRADE_ID],
            last_trade_id=row[LAST_TRADE_ID],
            open_price=price[row[OPEN]],
            close_price=price[row[CLOSE]],
            high_price=price[row[HIGH]],
            low_price=price[row[LOW]],
            volume=quantity[row[VOLUME]],
            trade_count=row[COUNT],
            closed=closed,
            turnover=figures.bar_turnover(instrument, row[TURNOVER]),
            taker_buy_volume=quantity[row[TAKER_BUY_VOLUME]],
            taker_buy_turnover=figures.bar_turnover(instrument, row[TAKER_BUY_TURNOVER]),
        ),
    )


STREAMS = (
    Stream(
        pattern=Pattern(f"<symbol>@kline_<interval:{'|'.join(INTERVALS)}>"),
        about=one_symbol_anywhere,
        event="kline",
        on=(Trade, AggregateTrade, BarClosed),
        pace=UntilClosed,
        period=every_ms(250),
        build=kline,
        route="market",
        doc="The candle that runs, while it changes, and once more when it ends.",
    ),
)
