"""Mark prices with funding, index prices, and composite indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.events import CompositePart
from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Periodic
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, every_ms
from tickerplant.streams.subjects import (
    FindSubjects,
    every_symbol,
    inverse,
    one_composite,
    one_pair,
    one_symbol,
    one_symbol_anywhere,
    pair_anywhere,
)
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class MarkPriceMessage(Payload, frozen=True, kw_only=True, tag="markPriceUpdate"):
    """The prices that margin and funding are counted with."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    mark_price: str = field(name="p")
    mark_price_average: str | UnsetType = field(name="ap", default=UNSET)
    estimated_settle_price: str = field(name="P")
    index_price: str = field(name="i")
    funding_rate: str = field(name="r")
    next_funding_time: int = field(name="T")
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


def mark_price(market: Market, _event: Any, now_ms: int, _args: Args) -> MarkPriceMessage | None:
    """Return the mark price of the last full second; None while there is none."""
    mark = market.mark_price
    if mark is None:
        return None
    profile, venue = market.profile, market.instrument.venue
    price = decimal_text(mark.mark_price, RATE_DECIMALS)
    if mark.funding_rate is not None:
        rate = decimal_text(mark.funding_rate, RATE_DECIMALS)
    else:
        rate = venue.unfunded_rate if profile.unfunded_rate is None else profile.unfunded_rate
    return MarkPriceMessage(
        event_time=now_ms,
        symbol=market.symbol,
        mark_price=price,
        mark_price_average=price if profile.mark_average else UNSET,
        estimated_settle_price=decimal_text(mark.estimated_settle_price, RATE_DECIMALS),
        index_price=decimal_text(mark.index_price, RATE_DECIMALS),
        funding_rate=rate,
        next_funding_time=mark.next_funding_time_ms,
        symbol_type=market.type_label,
    )


def _is_separate(market: Market) -> bool:
    """Return whether the profile sends the contract in a separate frame, for trading sessions."""
    return market.instrument.tradfi and market.profile.tradfi_apart


def _mark_stream(
    name: str, milliseconds: int, doc: str, subjects: FindSubjects, *, array: bool = False
) -> Stream:
    return Stream(
        pattern=Pattern(name),
        events=("markPriceUpdate",),
        subjects=subjects,
        pace=Periodic,
        period=every_ms(milliseconds),
        build=mark_price,
        conflation=Conflation.MERGED_ARRAY if array else Conflation.NEWEST,
        array=array,
        separate=_is_separate,
        doc=doc,
    )


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


def pair_index(market: Market, _event: Any, now_ms: int, _args: Args) -> PairIndexMessage | None:
    """Return the index price of the last full second; None while there is none."""
    mark = market.mark_price
    if mark is None:
        return None
    return PairIndexMessage(
        event_time=now_ms,
        pair=market.instrument.pair,
        price=decimal_text(mark.index_price, RATE_DECIMALS),
    )


def symbol_index(
    market: Market, _event: Any, now_ms: int, _args: Args
) -> SymbolIndexMessage | None:
    """Return the index price of the last full second; None while there is none."""
    mark = market.mark_price
    if mark is None:
        return None
    return SymbolIndexMessage(
        event_time=now_ms,
        symbol=market.symbol,
        price=decimal_text(mark.index_price, RATE_DECIMALS),
    )


def _pair_stream(name: str, milliseconds: int, doc: str) -> Stream:
    return Stream(
        pattern=Pattern(name),
        subjects=one_pair,
        events=("indexPriceUpdate",),
        pace=Periodic,
        period=every_ms(milliseconds),
        build=pair_index,
        conflation=Conflation.NEWEST,
        venues=(COINM,),
        doc=doc,
    )


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
    market: Market, _event: Any, now_ms: int, _args: Args
) -> CompositeIndexMessage | None:
    """Return the index price of the last full second; None while there is none."""
    index = market.composite
    if index is None:
        return None
    return CompositeIndexMessage(
        event_time=now_ms,
        symbol=market.symbol,
        price=decimal_text(index.price, RATE_DECIMALS),
        composition=[_part(part) for part in index.parts],
    )


_ONE = "Mark price and funding rate of a symbol"
_PAIR = "Mark prices of the contracts of a COIN-M pair, the perpetual one last"
_HOSTS = "since the integration of June 2026 on USDⓈ-M hosts too"
_ALL = "Mark prices of all symbols"

STREAMS = (
    _mark_stream("<symbol>@markPrice", 3000, f"{_ONE}.", one_symbol_anywhere),
    _mark_stream("<symbol>@markPrice@1s", 1000, f"{_ONE}, every second.", one_symbol_anywhere),
    _mark_stream(
        "<pair>@markPrice", 3000, f"{_PAIR}; {_HOSTS}.", inverse(pair_anywhere), array=True
    ),
    _mark_stream(
        "<pair>@markPrice@1s",
        1000,
        f"{_PAIR}, every second; {_HOSTS}.",
        inverse(pair_anywhere),
        array=True,
    ),
    _mark_stream("!markPrice@arr", 3000, f"{_ALL}.", every_symbol, array=True),
    _mark_stream("!markPrice@arr@1s", 1000, f"{_ALL}, every second.", every_symbol, array=True),
    _pair_stream("<pair>@indexPrice", 3000, "Index price of a pair."),
    _pair_stream("<pair>@indexPrice@1s", 1000, "Index price of a pair, every second."),
    Stream(
        pattern=Pattern("<symbol>@indexPrice"),
        subjects=one_symbol,
        events=("IndexUpdate",),
        pace=Periodic,
        period=every_ms(3000),
        build=symbol_index,
        conflation=Conflation.NEWEST,
        venues=(USDM,),
        doc="Index price of a symbol; undocumented by the exchange.",
    ),
    Stream(
        pattern=Pattern("<symbol>@compositeIndex"),
        subjects=one_composite,
        events=("compositeIndex",),
        pace=Periodic,
        period=every_ms(1000),
        build=composite_index,
        conflation=Conflation.NEWEST,
        venues=(USDM,),
        doc="A composite index and its parts.",
    ),
)
