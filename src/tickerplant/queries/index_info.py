"""The components of indices: spot markets, or several assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType

from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_SYMBOL, ONE_SYMBOL, Param, contracts
from tickerplant.queries.query import FlatWeight, Query, Rows, SymbolWeight, for_each_market
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


class Constituent(Struct, frozen=True):
    """One spot market."""

    exchange: str
    symbol: str
    price: str | UnsetType
    weight: str | UnsetType


class Constituents(Struct, frozen=True):
    """The spot markets of an index."""

    symbol: str
    time: int
    constituents: list[Constituent]


class IndexPart(Struct, frozen=True, rename="camel"):
    """One asset of a composite index."""

    base_asset: str
    quote_asset: str
    weight_in_quantity: str
    weight_in_percentage: str


class IndexInfo(Struct, frozen=True, rename="camel"):
    """The assets of a composite index."""

    symbol: str
    time: int
    component: str
    base_asset_list: list[IndexPart]


def constituents(markets: Markets, market: Market) -> Constituents:
    """Return the spot markets of a symbol's index."""
    if market.instrument.composite:
        raise request_errors.invalid_symbol()
    return _constituents(markets, market, market.symbol)


def coin_constituents(markets: Markets, contracts: list[Market]) -> Constituents:
    """Return the spot markets of a pair's index, from its longest-lived contract."""
    market = contracts[-1]
    return _constituents(markets, market, market.instrument.pair)


def _constituents(markets: Markets, market: Market, name: str) -> Constituents:
    basket = market.basket
    if basket is None:
        raise request_errors.unknown_yet(
            f"The index composition of {name}", "the source has not sent it"
        )
    weighs = markets.profile.weighted_constituents or not markets.venue.inverse
    return Constituents(
        symbol=name,
        time=basket.time_ms,
        constituents=[
            Constituent(
                exchange=spot.exchange,
                symbol=spot.symbol,
                price=decimal_text(spot.price, RATE_DECIMALS) if weighs else UNSET,
                weight=decimal_text(spot.weight, RATE_DECIMALS) if weighs else UNSET,
            )
            for spot in basket.constituents
        ],
    )


def index_info(markets: Markets, market: Market | None) -> list[IndexInfo] | Rows[IndexInfo]:
    """Return the assets of one composite index, or of all; a list in either case."""
    found = for_each_market(markets, market, row=_index_info)
    return [found] if isinstance(found, IndexInfo) else found


def _index_info(market: Market) -> IndexInfo:
    if not market.instrument.composite:
        raise request_errors.invalid_symbol()
    index = market.composite
    if index is None:
        raise request_errors.unknown_yet(
            f"The index composition of {market.symbol}", "the source has not sent it"
        )
    return IndexInfo(
        symbol=market.symbol,
        time=index.time_ms,
        component="baseAsset",
        base_asset_list=[
            IndexPart(
                part.base_asset,
                part.quote_asset,
                decimal_text(part.weight_in_quantity, RATE_DECIMALS),
                decimal_text(part.weight_in_percentage, RATE_DECIMALS),
            )
            for part in index.parts
        ],
    )


QUERIES = (
    Query(
        path="/v1/constituents",
        venues=(USDM,),
        weight=FlatWeight(2),
        measured_weight=FlatWeight(1),
        params=(ONE_SYMBOL,),
        handler=constituents,
        doc="The spot markets of a symbol's index price.",
    ),
    Query(
        path="/v1/constituents",
        venues=(COINM,),
        weight=FlatWeight(1),
        params=(Param("symbol", "contracts", contracts, "The pair.", required=True),),
        handler=coin_constituents,
        doc="The spot markets of a pair's index price.",
    ),
    Query(
        path="/v1/indexInfo",
        venues=(USDM,),
        weight=FlatWeight(1),
        measured_weight=SymbolWeight(one=1, every=10),
        params=(ANY_SYMBOL,),
        handler=index_info,
        doc="The assets of a composite index.",
    ),
)
