"""Candles of the contract that now is of a type: the perpetual one, the current quarter, the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import field

from tickerplant.events import AggregateTrade, BarClosed, Event, Trade
from tickerplant.instrument import CONTRACT_TYPES
from tickerplant.streams.about import one_contract_anywhere
from tickerplant.streams.kline import ANY_INTERVAL, Candle, candle
from tickerplant.streams.pace import UntilClosed
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.payload import Payload
from tickerplant.streams.stream import Stream, every_ms

if TYPE_CHECKING:
    from tickerplant.market.market import Market

_ANY_TYPE = f"<contractType:{'|'.join(CONTRACT_TYPES).lower()}>"


class ContinuousKlineMessage(Payload, frozen=True, kw_only=True, tag="continuous_kline"):
    """A candle of a pair's contract of one type as it is now; it does not name the symbol."""

    event_time: int = field(name="E")
    pair: str = field(name="ps")
    contract_type: str = field(name="ct")
    candle: Candle = field(name="k")


def continuous_kline(
    market: Market, event: Event, now_ms: int, args: Args
) -> ContinuousKlineMessage | None:
    """Tell the candle that runs, if anything was traded in it, or the one that just ended."""
    told = candle(market, event, args["interval"])
    if told is None:
        return None
    return ContinuousKlineMessage(
        event_time=now_ms,
        pair=args["pair"].upper(),
        contract_type=args["contractType"].upper(),
        candle=told,
    )


STREAMS = (
    Stream(
        pattern=Pattern(f"<pair>_{_ANY_TYPE}@continuousKline_{ANY_INTERVAL}"),
        about=one_contract_anywhere,
        events=("continuous_kline",),
        on=(Trade, AggregateTrade, BarClosed),
        pace=UntilClosed,
        period=every_ms(250),
        build=continuous_kline,
        route="market",
        doc="The candle that runs, of the contract that now is of this type: after a delivery it "
        "is another contract, with a past of its own.  The ids in it are those of trades.",
    ),
)
