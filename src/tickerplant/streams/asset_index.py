"""The value of margin assets in multi-assets mode."""

from __future__ import annotations

from typing import Any

from msgspec import field, structs

from tickerplant.events import AssetIndex
from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.streams.conflation import Conflation
from tickerplant.streams.pace import Periodic
from tickerplant.streams.pattern import Args, Pattern
from tickerplant.streams.stream import Payload, Stream, every_ms
from tickerplant.streams.subjects import every_asset_index, one_asset_index
from tickerplant.venue import USDM


class AssetIndexMessage(Payload, frozen=True, kw_only=True, tag="assetIndexUpdate"):
    """The index of an asset in USD, and the rates it is counted and exchanged at."""

    event_time: int = field(name="E")
    symbol: str = field(name="s")
    index: str = field(name="i")
    bid_buffer: str = field(name="b")
    ask_buffer: str = field(name="a")
    bid_rate: str = field(name="B")
    ask_rate: str = field(name="A")
    auto_exchange_bid_buffer: str = field(name="q")
    auto_exchange_ask_buffer: str = field(name="g")
    auto_exchange_bid_rate: str = field(name="Q")
    auto_exchange_ask_rate: str = field(name="G")


def asset_index(index: AssetIndex, _event: Any, now_ms: int, _args: Args) -> AssetIndexMessage:
    """Return the index of one asset."""
    return AssetIndexMessage(
        event_time=now_ms,
        symbol=index.symbol,
        index=decimal_text(index.index, RATE_DECIMALS),
        bid_buffer=decimal_text(index.bid_buffer, RATE_DECIMALS),
        ask_buffer=decimal_text(index.ask_buffer, RATE_DECIMALS),
        bid_rate=decimal_text(index.bid_rate, RATE_DECIMALS),
        ask_rate=decimal_text(index.ask_rate, RATE_DECIMALS),
        auto_exchange_bid_buffer=decimal_text(index.auto_exchange_bid_buffer, RATE_DECIMALS),
        auto_exchange_ask_buffer=decimal_text(index.auto_exchange_ask_buffer, RATE_DECIMALS),
        auto_exchange_bid_rate=decimal_text(index.auto_exchange_bid_rate, RATE_DECIMALS),
        auto_exchange_ask_rate=decimal_text(index.auto_exchange_ask_rate, RATE_DECIMALS),
    )


_EVERY = Stream(
    pattern=Pattern("!assetIndex@arr"),
    subjects=every_asset_index,
    events=("assetIndexUpdate",),
    pace=Periodic,
    period=every_ms(1000),
    build=asset_index,
    conflation=Conflation.MERGED_ARRAY,
    venues=(USDM,),
    array=True,
    doc="The value of every margin asset in multi-assets mode.",
)

STREAMS = (
    _EVERY,
    structs.replace(
        _EVERY,
        pattern=Pattern("<assetSymbol>@assetIndex"),
        subjects=one_asset_index,
        conflation=Conflation.NEWEST,
        array=False,
        doc="The value of one margin asset in multi-assets mode.",
    ),
)
