"""Composite indices: what a contract on several assets is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tickerplant.events import CompositePart
from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.streams.about import one_composite
from tickerplant.streams.pace import Every
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class Part(Struct, frozen=True, kw_only=True):
    """One asset of the index."""

    base_asset: str = field(name="b")
    quote_asset: str = field(name="q")
    weight_in_quantity: str = field(name="w")
    weight_in_percentage: str = field(name="W")
    index_price: str = field(name="i")


class CompositeIndexMessage(Payload, frozen=True, kw_only=True, tag="compositeIndex"):
    """The index and its parts."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    price: str = field(name="p")
    component: str = field(name="C", default="baseAsset")
    composition: list[Part] = field(name="c")


def _part(part: CompositePart) -> Part:
    return Part(
        base_asset=part.base_asset,
        quote_asset=part.quote_asset,
        weight_in_quantity=decimal_text(part.weight_in_quantity, RATE_DECIMALS),
        weight_in_percentage=decimal_text(part.weight_in_percentage, RATE_DECIMALS),
        index_price=decimal_text(part.index_price, RATE_DECIMALS),
    )


def composite_index(
    market: Market, event: Any, now_ms: int, args: Args
) -> CompositeIndexMessage | None:
    """Tell the index of the last whole second; None while there is none."""
    del event, args
    index = market.composite
    if index is None:
        return None
    return CompositeIndexMessage(
        event_time=now_ms,
        symbol=market.symbol,
        price=decimal_text(index.price, RATE_DECIMALS),
        composition=[_part(part) for part in index.parts],
    )


STREAMS = (
    Stream(
        pattern=Pattern("<symbol>@compositeIndex"),
        about=one_composite,
        events=("compositeIndex",),
        on=(),
        pace=Every,
        period=every_ms(1000),
        build=composite_index,
        route="market",
        venues=(USDM,),
        doc="What a composite index is worth and made of.",
    ),
)
