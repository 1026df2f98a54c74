"""Which asset indices are told in a period of the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickerplant.events import AssetIndex

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets

SETTLEMENT_INDICES = frozenset({"BTCUSD", "ETHUSD", "BNBUSD", "SOLUSD"})
"""What the integration notice (D.3, 2026-06-30) adds: assets that COIN-M contracts settle in."""


def told_indices(markets: Markets) -> list[AssetIndex]:
    """Return the latest index of every asset that the profile tells, in the order of arrival."""
    every = markets.profile.settlement_asset_indices
    return [
        index
        for symbol, index in markets.asset_indices.items()
        if every or symbol not in SETTLEMENT_INDICES
    ]
