"""Rolling 24-hour statistics, short and long, of one symbol or of all.

A frame of all symbols holds hundreds of these, so the messages are filled by position, in the order
of the wire: naming their fields would be a tenth of the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UnsetType, field, structs

from tickerplant.events import AggregateTrade, Trade, WindowMoved
from tickerplant.market import figures
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import ConflatedTrades, Periodic
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, every_ms
from tickerplant.streams.subjects import every_symbol, one_symbol

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.minutes import Statistics


class MiniTickerMessage(Payload, frozen=True, gc=False, tag="24hrMiniTicker"):
    """The last price and the 24-hour range and volume."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    pair: str | UnsetType = field(name="ps")
    close_price: str = field(name="c")
    open_price: str = field(name="o")
    high_price: str = field(name="h")
    low_price: str = field(name="l")
    volume: str = field(name="v")
    turnover: str = field(name="q")
    symbol_type: int | UnsetType = field(name="st")


class TickerMessage(Payload, frozen=True, gc=False, tag="24hrTicker"):
    """All 24-hour statistics."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    pair: str | UnsetType = field(name="ps")
    price_change: str = field(name="p")
    price_change_percent: str = field(name="P")
    weighted_average_price: str = field(name="w")
    close_price: str = field(name="c")
    last_quantity: str = field(name="Q")
    open_price: str = field(name="o")
    high_price: str = field(name="h")
    low_price: str = field(name="l")
    volume: str = field(name="v")
    turnover: str = field(name="q")
    open_time: int = field(name="O")
    close_time: int = field(name="C")
    first_trade_id: int = field(name="F")
    last_trade_id: int = field(name="L")
    trade_count: int = field(name="n")
    symbol_type: int | UnsetType = field(name="st")


def _turnover(market: Market, day: Statistics) -> str:
    decimals = market.profile.base_turnover_decimals
    return figures.ticker_turnover(market.instrument, day.turnover, decimals)


def mini_ticker(market: Market, _event: Any, now_ms: int, _args: Args) -> MiniTickerMessage | None:
    """Return the short statistics; None before the first trade."""
    day = market.minutes.statistics()
    if day is None:
        return None
    instrument = market.instrument
    price = instrument.price.text
    return MiniTickerMessage(
        now_ms,
        market.symbol,
        market.pair_label,
        price[day.last],
        price[day.open],
        price[day.high],
        price[day.low],
        figures.volume(instrument, day),
        _turnover(market, day),
        market.type_label,
    )


def ticker(market: Market, _event: Any, now_ms: int, _args: Args) -> TickerMessage | None:
    """Return all statistics; None before the first trade."""
    day = market.minutes.statistics()
    if day is None:
        return None
    instrument = market.instrument
    price, quantity = instrument.price.text, instrument.quantity.text
    return TickerMessage(
        now_ms,
        market.symbol,
        market.pair_label,
        figures.change(instrument, day),
        figures.percent(day),
        figures.weighted_average(instrument, day),
        price[day.last],
        quantity[day.last_quantity],
        price[day.open],
        price[day.high],
        price[day.low],
        figures.volume(instrument, day),
        _turnover(market, day),
        day.open_time_ms,
        now_ms,
        day.first_trade_id,
        day.last_trade_id,
        day.count,
        market.type_label,
    )


_MINI_TICKER = Stream(
    pattern=Pattern("<symbol>@miniTicker"),
    subjects=one_symbol,
    events=("24hrMiniTicker",),
    pace=Periodic,
    period=lambda venue, _: venue.mini_ticker_ms,
    build=mini_ticker,
    conflation=Conflation.NEWEST,
    doc="Last price, range and volume of the rolling 24 hours.",
)
_MINI_TICKERS = structs.replace(
    _MINI_TICKER,
    pattern=Pattern("!miniTicker@arr"),
    subjects=every_symbol,
    follows=(Trade, AggregateTrade, WindowMoved),
    pace=ConflatedTrades,
    period=every_ms(1000),
    conflation=Conflation.MERGED_ARRAY,
    array=True,
    doc="The mini tickers of all symbols that changed.",
)

STREAMS = (
    _MINI_TICKER,
    _MINI_TICKERS,
    structs.replace(
        _MINI_TICKER,
        pattern=Pattern("<symbol>@ticker"),
        events=("24hrTicker",),
        period=lambda venue, _: venue.ticker_ms,
        build=ticker,
        doc="All statistics of the rolling 24 hours.",
    ),
    structs.replace(
        _MINI_TICKERS,
        pattern=Pattern("!ticker@arr"),
        events=("24hrTicker",),
        build=ticker,
        doc="The tickers of all symbols that changed.",
    ),
)
