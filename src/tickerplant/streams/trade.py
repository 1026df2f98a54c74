"""Single trades and aggregate trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType, field

from tickerplant.events import AggregateTrade, Trade
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Immediate
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, every_ms, real_time
from tickerplant.streams.subjects import one_symbol

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class TradeMessage(Payload, frozen=True, kw_only=True, tag="trade"):
    """One trade (undocumented by the exchange, widely used)."""

    event_time: int = field(name="E")
    trade_time: int = field(name="T")
    symbol: str = field(name="s")
    trade_id: int = field(name="t")
    price: str = field(name="p")
    quantity: str = field(name="q")
    origin: str = field(name="X")
    buyer_is_maker: bool = field(name="m")
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


class AggregateTradeMessage(Payload, frozen=True, kw_only=True, tag="aggTrade"):
    """The fills of one taker side at one price within 100 ms."""

    event_time: int = field(name="E")
    aggregate_id: int = field(name="a")
    symbol: str = field(name="s")
    price: str = field(name="p")
    quantity: str = field(name="q")
    normal_quantity: str | UnsetType = field(name="nq", default=UNSET)
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="l")
    trade_time: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


def trade(market: Market, event: Trade, now_ms: int, _args: Args) -> TradeMessage:
    """Return one trade."""
    instrument = market.instrument
    return TradeMessage(
        event_time=now_ms,
        trade_time=event.trade_time_ms,
        symbol=event.symbol,
        trade_id=event.trade_id,
        price=instrument.price.text[event.price],
        quantity=instrument.quantity.text[event.quantity],
        origin=event.origin,
        buyer_is_maker=event.buyer_is_maker,
        symbol_type=market.type_label if instrument.venue.typed_trades else UNSET,
    )


def aggregate_trade(
    market: Market, event: AggregateTrade, now_ms: int, _args: Args
) -> AggregateTradeMessage:
    """Return one aggregate trade."""
    instrument = market.instrument
    normal_quantity: str | UnsetType = UNSET
    if instrument.venue.has_rpi:
        normal_quantity = instrument.quantity.text[event.normal_quantity]
    return AggregateTradeMessage(
        event_time=now_ms,
        aggregate_id=event.aggregate_id,
        symbol=event.symbol,
        price=instrument.price.text[event.price],
        quantity=instrument.quantity.text[event.quantity],
        normal_quantity=normal_quantity,
        first_trade_id=event.first_trade_id,
        last_trade_id=event.last_trade_id,
        trade_time=event.trade_time_ms,
        buyer_is_maker=event.buyer_is_maker,
        symbol_type=market.type_label,
    )


STREAMS = (
    Stream(
        pattern=Pattern("<symbol>@aggTrade"),
        subjects=one_symbol,
        events=("aggTrade",),
        follows=(AggregateTrade,),
        pace=Immediate,
        period=every_ms(100),
        build=aggregate_trade,
        conflation=Conflation.NONE,
        doc="Fills of one taker side at one price within 100 ms.",
    ),
    Stream(
        pattern=Pattern("<symbol>@trade"),
        subjects=one_symbol,
        events=("trade",),
        follows=(Trade,),
        pace=Immediate,
        period=real_time,
        build=trade,
        route="public",
        conflation=Conflation.NONE,
        doc="Every single trade; undocumented by the exchange, widely used.",
    ),
)
