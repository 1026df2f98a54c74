"""The order book: its changes, and its top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType, field

from tickerplant.events import DepthUpdate, Level
from tickerplant.raw_events import RawLevel, level_texts
from tickerplant.streams.about import one_symbol
from tickerplant.streams.pace import Chain, Each, Merge
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, named_ms, real_time

if TYPE_CHECKING:
    from tickerplant.market.market import Market


class DepthMessage(Payload, frozen=True, kw_only=True, tag="depthUpdate"):
    """Levels of the book with absolute quantities; in a diff, quantity 0 removes a level."""

    event_time: int = field(name="E")
    transaction_time: int = field(name="T")
    symbol: str = field(name="s")
    pair: str | UnsetType = field(name="ps", default=UNSET)
    first_update_id: int = field(name="U")
    final_update_id: int = field(name="u")
    previous_update_id: int = field(name="pu")
    bids: list[RawLevel] = field(name="b")
    asks: list[RawLevel] = field(name="a")
    symbol_type: int | UnsetType = field(name="st", default=UNSET)


def _message(
    market: Market, update: DepthUpdate, now_ms: int, bids: list[Level], asks: list[Level]
) -> DepthMessage:
    return DepthMessage(
        event_time=now_ms,
        transaction_time=update.transaction_time_ms,
        symbol=update.symbol,
        pair=market.pair_label,
        first_update_id=update.first_update_id,
        final_update_id=update.final_update_id,
        previous_update_id=update.previous_update_id,
        bids=level_texts(market.instrument, bids),
        asks=level_texts(market.instrument, asks),
        symbol_type=market.type_label,
    )


def diff(market: Market, update: DepthUpdate, now_ms: int, args: Args) -> DepthMessage:
    """Tell the levels that changed."""
    del args
    return _message(market, update, now_ms, update.bids, update.asks)


def partial(market: Market, update: DepthUpdate, now_ms: int, args: Args) -> DepthMessage:
    """Tell the best levels of both sides, best first, with the ids of the changes before them."""
    bids, asks = market.book.top(int(args["levels"]))
    return _message(market, update, now_ms, bids, asks)


STREAMS = (
    Stream(
        pattern=Pattern("<symbol>@depth"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate,),
        pace=Merge,
        period=named_ms(250),
        build=diff,
        route="public",
        doc="Levels that changed since the last message.",
    ),
    Stream(
        pattern=Pattern("<symbol>@depth@<speed:100|500>ms"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate,),
        pace=Merge,
        period=named_ms(250),
        build=diff,
        route="public",
        doc="Levels that changed since the last message, at a speed of choice.",
    ),
    Stream(
        pattern=Pattern("<symbol>@depth@0ms"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate,),
        pace=Each,
        period=real_time,
        build=diff,
        route="public",
        doc="Levels that changed, in real time; undocumented by the exchange, widely used.",
    ),
    Stream(
        pattern=Pattern("<symbol>@depth<levels:5|10|20>"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate,),
        pace=Chain,
        period=named_ms(250),
        build=partial,
        route="public",
        doc="The best levels of both sides.",
    ),
    Stream(
        pattern=Pattern("<symbol>@depth<levels:5|10|20>@<speed:100|500>ms"),
        about=one_symbol,
        events=("depthUpdate",),
        on=(DepthUpdate,),
        pace=Chain,
        period=named_ms(250),
        build=partial,
        route="public",
        doc="The best levels of both sides, at a speed of choice.",
    ),
)
