"""Long/short ratios of all accounts and of the largest ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType

from tickerplant.instrument import decimal_text, round_div
from tickerplant.queries.param import ONE_SYMBOL
from tickerplant.queries.query import Query, Rows
from tickerplant.queries.statistics import ONE_PAIR, Periods, current_positioning, statistic
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets

SHARE_DECIMALS = 4
_WHOLE = int(10**SHARE_DECIMALS)


class LongShort(Struct, frozen=True, rename="camel"):
    """The long share, the short share, and their ratio."""

    symbol: str | UnsetType
    pair: str | UnsetType
    long_short_ratio: str
    long_account: str | UnsetType
    short_account: str | UnsetType
    long_position: str | UnsetType
    short_position: str | UnsetType
    timestamp: int


def _of_symbol(share: str, *, positions: bool = False) -> Callable[..., Rows[LongShort]]:
    """Return a handler for a share of a symbol, a field of `Positioning`."""

    def handler(_markets: Markets, requested: Periods, market: Market) -> Rows[LongShort]:
        current_positioning(market)
        rows = requested.positions(market.positions, share)
        return (_row(market, long, time_ms, positions=positions) for time_ms, long in rows)

    return handler


def _of_pair(share: str, *, positions: bool = False) -> Callable[..., Rows[LongShort]]:
    """Return a handler for the shares of a pair, from its longest-lived contract."""
    of_symbol = _of_symbol(share, positions=positions)

    def handler(markets: Markets, requested: Periods, pair: str) -> Rows[LongShort]:
        return of_symbol(markets, requested, markets.of_pair(pair)[-1])

    return handler


def _row(market: Market, long: int, time_ms: int, *, positions: bool) -> LongShort:
    instrument, short = market.instrument, _WHOLE - long
    inverse = instrument.venue.inverse
    shares = _text(long), _text(short)
    nothing = UNSET, UNSET
    of_accounts, of_sizes = (nothing, shares) if positions else (shares, nothing)
    return LongShort(
        symbol=UNSET if inverse else market.symbol,
        pair=instrument.pair if inverse else UNSET,
        # If nobody is short, divide by the smallest share instead.
        long_short_ratio=_text(round_div(long * _WHOLE, max(short, 1))),
        long_account=of_accounts[0],
        short_account=of_accounts[1],
        long_position=of_sizes[0],
        short_position=of_sizes[1],
        timestamp=time_ms,
    )


def _text(share: int) -> str:
    return decimal_text(share, SHARE_DECIMALS)


def _queries(name: str, share: str, doc: str, *, positions: bool = False) -> tuple[Query, Query]:
    """Return one query per venue."""
    return (
        statistic(name, USDM, _of_symbol(share), doc, ONE_SYMBOL),
        statistic(name, COINM, _of_pair(share, positions=positions), doc, ONE_PAIR),
    )


QUERIES = (
    *_queries(
        "globalLongShortAccountRatio",
        "long_accounts",
        "The long share of the accounts with a position.",
    ),
    *_queries(
        "topLongShortAccountRatio",
        "top_long_accounts",
        "The long share of the largest accounts with a position.",
    ),
    *_queries(
        "topLongShortPositionRatio",
        "top_long_positions",
        "The long share of the positions of the largest accounts.",
        positions=True,
    ),
)
