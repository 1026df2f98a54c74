"""Who holds what in a contract: the present, or why it is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickerplant.events import Positioning
from tickerplant.queries import refusal

if TYPE_CHECKING:
    from tickerplant.market.market import Market


def holders_now(market: Market) -> Positioning:
    """Return the present positioning of a market.

    Raises:
        RequestError: the source of the market does not tell.
    """
    present = market.positions.latest
    if present is None:
        raise refusal.unknown_yet(f"Who holds {market.symbol}", "the source has not told")
    return present
