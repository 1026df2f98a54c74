"""Mark price, index price and funding, of one symbol, of a pair or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType, field

from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.streams.about import (
    Find,
    every_symbol,
    inverse,
    one_symbol_anywhere,
    pair_anywhere,
)
from tickerplant.streams.pace import Every
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms

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


def mark_price(market: Market, event: Any, now_ms: int, args: Args) -> MarkPriceMessage | None:
    """Tell the mark price of the last whole second; None while there is none."""
    del event, args
    mark = market.mark_price
    if mark is None:
        return None
    profile, venue = market.profile, market.instrument.venue
    price = decimal_text(mark.mark_price, RATE_DECIMALS)
    if mark.funding_rate is not None:
        rate = decimal_text(mark.funding_rate, RATE_DECIMALS)
    else:
        rate = profile.rate_without_funding(venue)
    return MarkPriceMessage(
        event_time=now_ms,
        symbol=market.symbol,
        mark_price=price,
        mark_price_average=price if profile.carries_mark_average(venue) else UNSET,
        estimated_settle_price=decimal_text(mark.estimated_settle_price, RATE_DECIMALS),
        index_price=decimal_text(mark.index_price, RATE_DECIMALS),
        funding_rate=rate,
        next_funding_time=mark.next_funding_time_ms,
        symbol_type=market.type_label,
    )


def _apart(market: Market) -> bool:
    """Contracts with trading sessions come in a frame of their own where the profile says so."""
    return market.instrument.tradfi and market.profile.tradfi_apart


def _stream(name: str, milliseconds: int, doc: str, about: Find, *, array: bool = False) -> Stream:
    return Stream(
        pattern=Pattern(name),
        events=("markPriceUpdate",),
        about=about,
        on=(),
        pace=Every,
        period=every_ms(milliseconds),
        build=mark_price,
        route="market",
        array=array,
        apart=_apart,
        doc=doc,
    )


_ONE = "Mark price and funding rate of a symbol"
_PAIR = "Mark prices of the contracts of a COIN-M pair, the perpetual one last"
_HOSTS = "since the integration of June 2026 on USDⓈ-M hosts too"
_ALL = "Mark prices of all symbols"

STREAMS = (
    _stream("<symbol>@markPrice", 3000, f"{_ONE}.", one_symbol_anywhere),
    _stream("<symbol>@markPrice@1s", 1000, f"{_ONE}, every second.", one_symbol_anywhere),
    _stream("<pair>@markPrice", 3000, f"{_PAIR}; {_HOSTS}.", inverse(pair_anywhere), array=True),
    _stream(
        "<pair>@markPrice@1s",
        1000,
        f"{_PAIR}, every second; {_HOSTS}.",
        inverse(pair_anywhere),
        array=True,
    ),
    _stream("!markPrice@arr", 3000, f"{_ALL}.", every_symbol, array=True),
    _stream("!markPrice@arr@1s", 1000, f"{_ALL}, every second.", every_symbol, array=True),
)
