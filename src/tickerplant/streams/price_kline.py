"""Candles of the index price and of the mark price, one data point a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from tickerplant.events import BarClosed, Event, MarkPrice
from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.market.bars import CLOSE, COUNT, HIGH, LAST_TRADE_ID, LOW, OPEN, OPEN_TIME
from tickerplant.market.interval import close_time
from tickerplant.streams.about import Find, inverse, one_pair_anywhere, one_symbol_anywhere
from tickerplant.streams.kline import ANY_INTERVAL, Candle, told_row
from tickerplant.streams.pace import UntilClosed
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms

if TYPE_CHECKING:
    from tickerplant.market.candles import Candles
    from tickerplant.market.market import Market

NOBODY = "0"
"""The symbol in candles of an index, which has none."""


class IndexPriceKlineMessage(Payload, frozen=True, kw_only=True, tag="indexPrice_kline"):
    """A candle of a pair's index price as it is now."""

    event_time: int = field(name="E")
    pair: str = field(name="ps")
    candle: Candle = field(name="k")


class MarkPriceKlineMessage(Payload, frozen=True, kw_only=True, tag="markPrice_kline"):
    """A candle of a contract's mark price as it is now."""

    event_time: int = field(name="E")
    pair: str = field(name="ps")
    candle: Candle = field(name="k")


def _candle(candles: Candles, event: Event, interval: str, symbol: str) -> Candle | None:
    """Return the candle to tell.

    In the place of trade ids stand the times of its opening and of its last data point; nothing
    is traded, so volumes and turnovers are 0 (Index Kline and Mark Price Kline pages).
    """
    row = told_row(candles, event, interval)
    if row is None:
        return None
    opened, high, low, close = (
        decimal_text(row[column], RATE_DECIMALS) for column in (OPEN, HIGH, LOW, CLOSE)
    )
    return Candle(
        open_time=row[OPEN_TIME],
        close_time=close_time(interval, row[OPEN_TIME]),
        symbol=symbol,
        interval=interval,
        first_trade_id=row[OPEN_TIME],
        last_trade_id=max(row[LAST_TRADE_ID], row[OPEN_TIME]),
        open_price=opened,
        close_price=close,
        high_price=high,
        low_price=low,
        volume="0",
        trade_count=row[COUNT],
        closed=isinstance(event, BarClosed),
        turnover="0",
        taker_buy_volume="0",
        taker_buy_turnover="0",
    )


def index_price_kline(
    market: Market, event: Event, now_ms: int, args: Args
) -> IndexPriceKlineMessage | None:
    """Tell the candle of the index that runs, or the one that just ended."""
    told = _candle(market.indices.candles, event, args["interval"], NOBODY)
    if told is None:
        return None
    return IndexPriceKlineMessage(event_time=now_ms, pair=market.instrument.pair, candle=told)


def mark_price_kline(
    market: Market, event: Event, now_ms: int, args: Args
) -> MarkPriceKlineMessage | None:
    """Tell the candle of the mark price that runs, or the one that just ended."""
    told = _candle(market.marks.candles, event, args["interval"], market.symbol)
    if told is None:
        return None
    return MarkPriceKlineMessage(event_time=now_ms, pair=market.instrument.pair, candle=told)


def _stream(
    name: str,
    event: str,
    about: Find,
    build: Callable[[Market, Event, int, Args], Struct | None],
    doc: str,
) -> Stream:
    return Stream(
        pattern=Pattern(name + ANY_INTERVAL),
        about=inverse(about),
        events=(event,),
        on=(MarkPrice, BarClosed),
        pace=UntilClosed,
        period=every_ms(250),
        build=build,
        route="market",
        doc=doc,
    )


STREAMS = (
    _stream(
        "<pair>@indexPriceKline_",
        "indexPrice_kline",
        one_pair_anywhere,
        index_price_kline,
        "The candle that runs, of the index price of a COIN-M pair; since the integration "
        "of June 2026 on USDⓈ-M hosts too.",
    ),
    _stream(
        "<symbol>@markPriceKline_",
        "markPrice_kline",
        one_symbol_anywhere,
        mark_price_kline,
        "The candle that runs, of the mark price of a COIN-M symbol; since the integration "
        "of June 2026 on USDⓈ-M hosts too.",
    ),
)
