"""Liquidations: the forced orders of one symbol or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, UnsetType, field, structs

from tickerplant.events import Liquidation
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import ConflatedLiquidations
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, every_ms
from tickerplant.streams.subjects import every_symbol, one_symbol

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class ForcedOrder(Struct, frozen=True, kw_only=True):
    """A forced order: on COIN-M the pair follows the symbol."""

    symbol: str = field(name="s")
    pair: str | UnsetType = field(name="ps")
    symbol_type: int | UnsetType = field(name="st")
    side: str = field(name="S")
    order_type: str = field(name="o", default="LIMIT")
    time_in_force: str = field(name="f", default="IOC")
    quantity: str = field(name="q")
    price: str = field(name="p")
    average_price: str = field(name="ap")
    status: str = field(name="X")
    last_filled_quantity: str = field(name="l")
    filled_quantity: str = field(name="z")
    trade_time: int = field(name="T")


class LabelledOrder(Struct, frozen=True, kw_only=True):
    """The same in the order of both venues since their integration: the labels come last."""

    symbol: str = field(name="s")
    side: str = field(name="S")
    order_type: str = field(name="o", default="LIMIT")
    time_in_force: str = field(name="f", default="IOC")
    quantity: str = field(name="q")
    price: str = field(name="p")
    average_price: str = field(name="ap")
    status: str = field(name="X")
    last_filled_quantity: str = field(name="l")
    filled_quantity: str = field(name="z")
    trade_time: int = field(name="T")
    pair: str | UnsetType = field(name="ps")
    symbol_type: int | UnsetType = field(name="st")


class ForceOrderMessage(Payload, frozen=True, kw_only=True, tag="forceOrder"):
    """One forced order, even in the stream of all."""

    event_time: int = field(name="E")
    order: ForcedOrder | LabelledOrder = field(name="o")


def force_order(market: Market, event: Liquidation, now_ms: int, _args: Args) -> ForceOrderMessage:
    """Return one forced order."""
    price, quantity = market.instrument.price.text, market.instrument.quantity.text
    shape = LabelledOrder if market.profile.symbol_type else ForcedOrder
    order = shape(
        symbol=event.symbol,
        pair=market.pair_label,
        symbol_type=market.type_label,
        side=event.side,
        quantity=quantity[event.quantity],
        price=price[event.price],
        average_price=price[event.average_price],
        status=event.status,
        last_filled_quantity=quantity[event.last_filled_quantity],
        filled_quantity=quantity[event.filled_quantity],
        trade_time=event.trade_time_ms,
    )
    return ForceOrderMessage(event_time=now_ms, order=order)


_ONE = Stream(
    pattern=Pattern("<symbol>@forceOrder"),
    subjects=one_symbol,
    events=("forceOrder",),
    follows=(Liquidation,),
    pace=ConflatedLiquidations,
    period=every_ms(1000),
    build=force_order,
    conflation=Conflation.NONE,
    rare=True,
    doc="The latest liquidation of each second; in profile `current` on USDⓈ-M, the largest.",
)

STREAMS = (
    _ONE,
    structs.replace(
        _ONE,
        pattern=Pattern("!forceOrder@arr"),
        subjects=every_symbol,
        doc="Liquidations of all symbols, at most one per symbol and second, each in a separate message.",
    ),
)
