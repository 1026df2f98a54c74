"""Whom a stream is about: markets, pairs, indices, found by the parts of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.streams.pattern import Args

Find: TypeAlias = Callable[[Markets, Args], Sequence[Any]]
"""Markets of the venue, parts of the name → the subjects that the stream is about now; none when
the name means nothing here.  Subjects are usually markets."""


def one_symbol(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market of the symbol."""
    market = markets.by_symbol.get(args["symbol"].upper())
    return () if market is None else (market,)


def one_symbol_anywhere(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market of the symbol, of whatever venue is listed here."""
    market = markets.anywhere(args["symbol"].upper())
    return () if market is None else (market,)


def every_symbol(markets: Markets, args: Args) -> Sequence[Market]:
    """Return all markets that are listed here."""
    del args
    return markets.universe
