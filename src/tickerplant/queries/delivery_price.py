"""Settlement prices of the dated contracts of a pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.instrument import RATE_DECIMALS
from tickerplant.queries.query import STATISTICS_ALLOWANCE, FlatWeight, Query
from tickerplant.queries.statistics import ONE_PAIR
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets


class DeliveryPrice(Struct, frozen=True, rename="camel"):
    """A settlement; its price is a JSON number."""

    delivery_time: int
    delivery_price: float


def delivery_prices(markets: Markets, pair: str) -> list[DeliveryPrice]:
    """Return the settlements of a pair, latest first (Quarterly Contract Settlement Price page)."""
    return [
        DeliveryPrice(settled.time_ms, settled.price / 10**RATE_DECIMALS)
        for settled in reversed(markets.settlements(pair))
    ]


QUERIES = (
    Query(
        path="/futures/data/delivery-price",
        absolute=True,
        venues=(USDM,),
        weight=FlatWeight(0),
        allowance=STATISTICS_ALLOWANCE,
        params=(ONE_PAIR,),
        handler=delivery_prices,
        doc="Settlement prices of the dated contracts of a pair, latest first.",
    ),
)
