"""The subjects of a stream (markets, pairs, indices), found by the parts of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tickerplant.events import AssetIndex
from tickerplant.streams.pattern import Args

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

FindSubjects: TypeAlias = "Callable[[Markets, Args], Sequence[Any]]"
"""Markets of the venue, parts of the name → the subjects that the name refers to now; none if it
refers to nothing here.  Subjects are usually markets."""


def one_symbol(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market of the symbol."""
    market = markets.by_symbol.get(args["symbol"].upper())
    return () if market is None else (market,)


def one_symbol_anywhere(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market of the symbol, of any venue that is listed here."""
    market = markets.find_in_universe(args["symbol"].upper())
    return () if market is None else (market,)


def every_symbol(markets: Markets, _args: Args) -> Sequence[Market]:
    """Return all markets that are listed here."""
    return markets.universe


def one_pair(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market that represents the pair: the contract that is delivered last."""
    return markets.of_pair(args["pair"].upper())[-1:]


def one_pair_anywhere(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market that represents the pair, of any venue that is listed here."""
    return pair_anywhere(markets, args)[-1:]


def pair_anywhere(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the contracts of the pair, of any venue that is listed here, the perpetual one last."""
    pair = args["pair"].upper()
    return [market for each in (markets, *markets.others) for market in each.of_pair(pair)]


def one_contract_anywhere(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market that is now the contract of a type on a pair, of any venue."""
    pair, contract_type = args["pair"].upper(), args["contractType"].upper()
    found = (each.contract(pair, contract_type) for each in (markets, *markets.others))
    return [market for market in found if market is not None]


def inverse(find: FindSubjects) -> FindSubjects:
    """Return a function that finds the COIN-M markets among those that `find` finds."""

    def found(markets: Markets, args: Args) -> Sequence[Market]:
        return [market for market in find(markets, args) if market.instrument.venue.inverse]

    return found


def one_composite(markets: Markets, args: Args) -> Sequence[Market]:
    """Return the market of the symbol, if it is a contract on an index of several assets."""
    found = one_symbol(markets, args)
    return [market for market in found if market.instrument.composite]


def every_asset_index(markets: Markets, _args: Args) -> Sequence[AssetIndex]:
    """Return the indices of all margin assets in the profile."""
    return markets.listed_asset_indices()


def one_asset_index(markets: Markets, args: Args) -> Sequence[AssetIndex]:
    """Return the index of one margin asset; its symbol is the asset with `usd`."""
    symbol = args["assetSymbol"].upper()
    return [index for index in markets.listed_asset_indices() if index.symbol == symbol]


def session_markets(markets: Markets, _args: Args) -> Sequence[str]:
    """Return the names of the markets whose trading sessions are in the profile."""
    return markets.profile.session_markets
