"""Which contracts of a pair a COIN-M statistic is about: one type of them, or all together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from tickerplant.queries.param import Param, one_of, pair

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

ALL = "ALL"
CHOICES = (ALL, "CURRENT_QUARTER", "NEXT_QUARTER", "PERPETUAL")


def contracts_of(markets: Markets, pair: str, contract_type: str) -> list[Market]:
    """Return the contracts of a pair that are now of a type, or all; none if none is."""
    return [
        market
        for market in markets.of_pair(pair)
        if contract_type in {ALL, market.instrument.contract_type}
    ]


ONE_PAIR = Param("pair", "pair", pair, "The pair.", required=True)
ONE_CHOICE = Param(
    "contractType",
    "contract_type",
    one_of(CHOICES),
    f"Which contracts of the pair: one of {', '.join(CHOICES)}.",
    required=True,
)
ANY_CHOICE = structs.replace(ONE_CHOICE, required=False, default=ALL)
"""For the open interest of the past, which the official SDK asks for without it."""
