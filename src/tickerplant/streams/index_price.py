"""Index prices: of a pair on COIN-M, of a symbol on USDⓈ-M."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.streams.about import one_pair, one_symbol
from tickerplant.streams.pace import Every
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class PairIndexMessage(Payload, frozen=True, kw_only=True, tag="indexPriceUpdate"):
    """The index price of a pair."""

    event_time: int = field(name="E")
    pair: str = field(name="i")
    price: str = field(name="p")


class SymbolIndexMessage(Struct, frozen=True, kw_only=True):
    """The index price of a symbol; the only message whose `e` comes last."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    price: str = field(name="p")
    event: str = field(name="e", default="IndexUpdate")


def pair_index(market: Market, event: Any, now_ms: int, args: Args) -> PairIndexMessage | None:
    """Tell the index of the last whole second; None while there is none."""
    del event, args
    mark = market.mark_price
    if mark is None:
        return None
    return PairIndexMessage(
        event_time=now_ms,
        pair=market.instrument.pair,
        price=decimal_text(mark.index_price, RATE_DECIMALS),
    )


def symbol_index(market: Market, event: Any, now_ms: int, args: Args) -> SymbolIndexMessage | None:
    """Tell the index of the last whole second; None while there is none."""
    del event, args
    mark = market.mark_price
    if mark is None:
        return None
    return SymbolIndexMessage(
        event_time=now_ms,
        symbol=market.symbol,
        price=decimal_text(mark.index_price, RATE_DECIMALS),
    )


def _of_pair(name: str, milliseconds: int, doc: str) -> Stream:
    return Stream(
        pattern=Pattern(name),
        about=one_pair,
        events=("indexPriceUpdate",),
        on=(),
        pace=Every,
        period=every_ms(milliseconds),
        build=pair_index,
        route="market",
        venues=(COINM,),
        doc=doc,
    )


STREAMS = (
    _of_pair("<pair>@indexPrice", 3000, "Index price of a pair."),
    _of_pair("<pair>@indexPrice@1s", 1000, "Index price of a pair, every second."),
    Stream(
        pattern=Pattern("<symbol>@indexPrice"),
        about=one_symbol,
        events=("IndexUpdate",),
        on=(),
        pace=Every,
        period=every_ms(3000),
        build=symbol_index,
        route="market",
        venues=(USDM,),
        doc="Index price of a symbol; undocumented by the exchange.",
    ),
)
