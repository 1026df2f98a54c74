"""Candles of every interval: of trades, of the contract of a type, of index and mark prices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field, structs

from tickerplant.events import AggregateTrade, BarClosed, Event, MarkPrice, Trade
from tickerplant.instrument import CONTRACT_TYPES, RATE_DECIMALS, decimal_text
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
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import ConflatedCandles
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, every_ms
from tickerplant.streams.subjects import (
    FindSubjects,
    inverse,
    one_contract_anywhere,
    one_pair_anywhere,
    one_symbol_anywhere,
)

if TYPE_CHECKING:
    from tickerplant.market.candles import Candles
    from tickerplant.market.market import Market

ANY_INTERVAL = f"<interval:{'|'.join(INTERVALS)}>"
"""The part of a stream name that takes every interval."""
_ANY_TYPE = f"<contractType:{'|'.join(CONTRACT_TYPES).lower()}>"
NO_SYMBOL = "0"
"""The symbol in candles of an index, which has none."""


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


def candle_row(candles: Candles, event: Event, interval: str) -> list[int] | None:
    """Return the candle to send after `event`, with the columns of `bars`.

    That is the one that just closed, or the open one, if it is not empty.
    """
    if isinstance(event, BarClosed):
        return candles.ended(interval, event.open_time_ms)
    row = candles.running(interval)
    return row if row is not None and row[COUNT] else None


def candle(
    market: Market,
    candles: Candles,
    event: Event,
    interval: str,
    symbol: str | UnsetType = UNSET,
) -> Candle | None:
    """Return the candle of trades of `market` to send after `event`."""
    row = candle_row(candles, event, interval)
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
    """Return the open candle, if it contains a trade, or the one that just closed."""
    found = candle(market, market.candles, event, args["interval"], market.symbol)
    if found is None:
        return None
    return KlineMessage(event_time=now_ms, symbol=market.symbol, candle=found)


class ContinuousKlineMessage(Payload, frozen=True, kw_only=True, tag="continuous_kline"):
    """A candle of a pair's contract of one type as it is now; it does not name the symbol."""

    event_time: int = field(name="E")
    pair: str = field(name="ps")
    contract_type: str = field(name="ct")
    candle: Candle = field(name="k")


def continuous_kline(
    market: Market, event: Event, now_ms: int, args: Args
) -> ContinuousKlineMessage | None:
    """Return the open candle, if it contains a trade, or the one that just closed."""
    found = candle(market, market.continuous_candles, event, args["interval"])
    if found is None:
        return None
    return ContinuousKlineMessage(
        event_time=now_ms,
        pair=args["pair"].upper(),
        contract_type=args["contractType"].upper(),
        candle=found,
    )


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


def _price_candle(candles: Candles, event: Event, interval: str, symbol: str) -> Candle | None:
    """Return the candle of a price to send after `event`.

    The trade ids are the times of its opening and of its last data point; nothing is traded, so
    volumes and turnovers are 0 (Index Kline and Mark Price Kline pages).
    """
    row = candle_row(candles, event, interval)
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
    """Return the open candle of the index price, or the one that just closed."""
    found = _price_candle(market.indices.candles, event, args["interval"], NO_SYMBOL)
    if found is None:
        return None
    return IndexPriceKlineMessage(event_time=now_ms, pair=market.instrument.pair, candle=found)


def mark_price_kline(
    market: Market, event: Event, now_ms: int, args: Args
) -> MarkPriceKlineMessage | None:
    """Return the open candle of the mark price, or the one that just closed."""
    found = _price_candle(market.marks.candles, event, args["interval"], market.symbol)
    if found is None:
        return None
    return MarkPriceKlineMessage(event_time=now_ms, pair=market.instrument.pair, candle=found)


_KLINE = Stream(
    pattern=Pattern(f"<symbol>@kline_{ANY_INTERVAL}"),
    subjects=one_symbol_anywhere,
    events=("kline",),
    follows=(Trade, AggregateTrade, BarClosed),
    pace=ConflatedCandles,
    period=every_ms(250),
    build=kline,
    conflation=Conflation.NEWEST_CANDLE,
    doc="The open candle, while it changes, and once more when it closes.",
)


def _price_stream(
    name: str,
    event: str,
    subjects: FindSubjects,
    build: Callable[[Market, Event, int, Args], Struct | None],
    doc: str,
) -> Stream:
    return structs.replace(
        _KLINE,
        pattern=Pattern(name + ANY_INTERVAL),
        subjects=inverse(subjects),
        events=(event,),
        follows=(MarkPrice, BarClosed),
        build=build,
        doc=doc,
    )


STREAMS = (
    _KLINE,
    structs.replace(
        _KLINE,
        pattern=Pattern(f"<pair>_{_ANY_TYPE}@continuousKline_{ANY_INTERVAL}"),
        subjects=one_contract_anywhere,
        events=("continuous_kline",),
        build=continuous_kline,
        doc="The open candle of the contract that is of this type: after a delivery it is another "
        "contract, and a candle that began before has the trades of both.  The ids in it are those of "
        "trades.",
    ),
    _price_stream(
        "<pair>@indexPriceKline_",
        "indexPrice_kline",
        one_pair_anywhere,
        index_price_kline,
        "The open candle of the index price of a COIN-M pair; since the integration "
        "of June 2026 on USDⓈ-M hosts too.",
    ),
    _price_stream(
        "<symbol>@markPriceKline_",
        "markPrice_kline",
        one_symbol_anywhere,
        mark_price_kline,
        "The open candle of the mark price of a COIN-M symbol; since the integration "
        "of June 2026 on USDⓈ-M hosts too.",
    ),
)
