"""Whom a question is about: one market, the markets of a pair, or all of them.

USDⓈ-M answers with an object for one symbol and an array for all.  COIN-M always answers with an
array, and a pair may be named instead of a symbol.  A market that has no answer yet is left out of
an array of several; asked for alone, it says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tickerplant.errors import RequestError
from tickerplant.queries import refusal

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

Row = TypeVar("Row")


def every(_market: Market) -> bool:
    """Let every market be listed."""
    return True


def rows(
    markets: Markets,
    market: Market | None,
    pair: str | None,
    row: Callable[[Market], Row],
    listed: Callable[[Market], bool] = every,
) -> Row | list[Row]:
    """Return `row` of `market`, of the markets of `pair`, or of every market.

    Only those that are `listed` are among several; the one that is named need not be.

    Raises:
        RequestError: both are named, or the one market has no answer yet.
    """
    if market is not None:
        if pair is not None:
            raise refusal.invalid_combination()
        only = row(market)
        return [only] if markets.venue.rest_always_array else only
    several = []
    for each in markets:
        if listed(each) and pair in {None, each.instrument.pair}:
            try:
                several.append(row(each))
            except RequestError:
                continue
    return several
