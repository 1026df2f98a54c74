"""Indices of margin assets in multi-assets mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.events import AssetIndex
from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.queries import request_errors
from tickerplant.queries.param import Param, word
from tickerplant.queries.query import Query, SymbolWeight
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets


class AssetIndexRow(Struct, frozen=True, rename="camel"):
    """The index of one asset, and the rates that follow from it."""

    symbol: str
    time: int
    index: str
    bid_buffer: str
    ask_buffer: str
    bid_rate: str
    ask_rate: str
    auto_exchange_bid_buffer: str
    auto_exchange_ask_buffer: str
    auto_exchange_bid_rate: str
    auto_exchange_ask_rate: str


def asset_indices(
    markets: Markets, index: AssetIndex | None
) -> AssetIndexRow | list[AssetIndexRow]:
    """Return the index of one asset, or of every asset that the profile includes."""
    if index is not None:
        return _row(index)
    return [_row(each) for each in markets.listed_asset_indices()]


def _read_index(markets: Markets, name: str, value: object) -> AssetIndex:
    parsed = word(name, value)
    for index in markets.listed_asset_indices():
        if index.symbol == parsed:
            return index
    raise request_errors.invalid_symbol()


def _row(index: AssetIndex) -> AssetIndexRow:
    def text(units: int) -> str:
        return decimal_text(units, RATE_DECIMALS)

    return AssetIndexRow(
        symbol=index.symbol,
        time=index.time_ms,
        index=text(index.index),
        bid_buffer=text(index.bid_buffer),
        ask_buffer=text(index.ask_buffer),
        bid_rate=text(index.bid_rate),
        ask_rate=text(index.ask_rate),
        auto_exchange_bid_buffer=text(index.auto_exchange_bid_buffer),
        auto_exchange_ask_buffer=text(index.auto_exchange_ask_buffer),
        auto_exchange_bid_rate=text(index.auto_exchange_bid_rate),
        auto_exchange_ask_rate=text(index.auto_exchange_ask_rate),
    )


QUERIES = (
    Query(
        path="/v1/assetIndex",
        venues=(USDM,),
        weight=SymbolWeight(one=1, every=10),
        params=(
            Param(
                "symbol",
                "index",
                _read_index,
                "The asset with `USD`, such as `ADAUSD`; every asset if left out.",
            ),
        ),
        handler=asset_indices,
        doc="The indices of margin assets in multi-assets mode, in USD.",
    ),
)
