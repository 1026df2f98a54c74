"""The basis: the premium of futures over their index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.instrument import RATE_DECIMALS, Instrument, decimal_text, round_div
from tickerplant.market.bars import CLOSE, OPEN_TIME
from tickerplant.queries.param import CONTRACT_TYPE
from tickerplant.queries.query import Rows
from tickerplant.queries.statistics import ONE_PAIR, Periods, statistic
from tickerplant.units import DAY_MS
from tickerplant.venue import VENUES

if TYPE_CHECKING:
    from tickerplant.market.markets import Markets

RATE_DIGITS = 4
"""Decimals of the rates."""
DAYS_OF_YEAR = 365
NO_RATE = ""
"""The annualized rate of a perpetual contract, which has no delivery."""


class Basis(Struct, frozen=True, rename="camel"):
    """The closing prices of a period, and their difference."""

    index_price: str
    contract_type: str
    basis_rate: str
    futures_price: str
    annualized_basis_rate: str
    basis: str
    pair: str
    timestamp: int


def basis(markets: Markets, requested: Periods, pair: str, contract_type: str) -> Rows[Basis]:
    """Return the basis at the end of each closed period, oldest first.

    The contract is the one that had the type at the end of a period. Returns no rows if there is
    none, and none for periods without an index price.
    """
    found = markets.candles(pair, contract_type)
    if found is None:
        return iter(())
    futures = requested.closed(found[1])[:, (OPEN_TIME, CLOSE)].tolist()
    index: dict[int, int] = {}
    for market in (markets.of_pair(pair)[-1], markets.contract(pair, contract_type)):
        if market is not None:  # that of its own contract, if it is so old
            index |= requested.closed(market.indices.candles)[:, (OPEN_TIME, CLOSE)].tolist()
    stretches = markets.stretches(pair, contract_type)

    def instrument_at(opened_ms: int) -> Instrument:
        last_ms = opened_ms + requested.length_ms - 1
        latest = (each for each in reversed(stretches) if each.from_ms <= last_ms)
        return next(latest, stretches[0]).contract.instrument

    return (
        _row(contract_type, instrument_at(opened_ms), opened_ms, price, index[opened_ms])
        for opened_ms, price in futures
        if opened_ms in index
    )


def _row(
    contract_type: str, instrument: Instrument, opened_ms: int, price: int, index: int
) -> Basis:
    unit = int(10 ** (RATE_DECIMALS - instrument.price.decimals))
    difference = price * unit - index
    rate = round_div(difference * int(10**RATE_DIGITS), index)
    return Basis(
        index_price=decimal_text(index, RATE_DECIMALS),
        contract_type=contract_type,
        basis_rate=decimal_text(rate, RATE_DIGITS),
        futures_price=instrument.price.text[price],
        annualized_basis_rate=_annual(instrument, opened_ms, rate),
        basis=decimal_text(difference, RATE_DECIMALS),
        pair=instrument.pair,
        timestamp=opened_ms,
    )


def _annual(instrument: Instrument, opened_ms: int, rate: int) -> str:
    """Return the yearly rate that gives the written `rate` until delivery (Basis page)."""
    left_ms = instrument.delivery_date_ms - opened_ms
    if instrument.perpetual or left_ms <= 0:
        return NO_RATE
    return decimal_text(round_div(rate * DAYS_OF_YEAR * DAY_MS, left_ms), RATE_DIGITS)


_DOC = "The difference between a contract and its index at the end of each closed period."

QUERIES = tuple(statistic("basis", venue, basis, _DOC, ONE_PAIR, CONTRACT_TYPE) for venue in VENUES)
