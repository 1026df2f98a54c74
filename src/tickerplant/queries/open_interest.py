"""Open interest, now and in the last month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, field

from tickerplant.instrument import RATE_DECIMALS, RATE_ONE, Instrument, decimal_text, round_div
from tickerplant.market.bars import CLOSE, OPEN, OPEN_TIME
from tickerplant.queries import request_errors
from tickerplant.queries.param import ONE_SYMBOL, Param, listed_market
from tickerplant.queries.query import FlatWeight, Query, Rows
from tickerplant.queries.statistics import (
    ONE_PAIR,
    OPTIONAL_CONTRACT_CHOICE,
    Periods,
    current_positioning,
    statistic,
    types_of,
)
from tickerplant.venue import COINM, USDM

if TYPE_CHECKING:
    from tickerplant.market.contract_series import Contract, Stretch
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


NOT_TRADING = frozenset({"PENDING_TRADING", "DELIVERING", "DELIVERED", "SETTLING", "CLOSE"})
"""The statuses in which production refuses the present open interest."""


class OpenInterest(Struct, frozen=True, rename="camel"):
    """The open interest of one symbol, counted on one side; COIN-M in contracts."""

    symbol: str
    pair: str | UnsetType
    open_interest: str
    contract_type: str | UnsetType
    time: int


class PastOpenInterest(Struct, frozen=True, kw_only=True, rename="camel"):
    """The open interest at the beginning of a period, and its value."""

    symbol: str | UnsetType = UNSET
    pair: str | UnsetType = UNSET
    contract_type: str | UnsetType = UNSET
    sum_open_interest: str
    sum_open_interest_value: str
    circulating_supply: str | UnsetType = field(default=UNSET, name="CMCCirculatingSupply")
    timestamp: int


def open_interest(_markets: Markets, market: Market) -> OpenInterest:
    """Return the current open interest of a market."""
    if market.instrument.status in NOT_TRADING:
        raise request_errors.not_trading()
    present = current_positioning(market)
    instrument = market.instrument
    labelled = instrument.venue.always_pair
    return OpenInterest(
        symbol=market.symbol,
        pair=instrument.pair if labelled else UNSET,
        open_interest=instrument.quantity.text[present.open_interest],
        contract_type=instrument.contract_type if labelled else UNSET,
        time=present.time_ms,
    )


def past_open_interest(
    _markets: Markets, requested: Periods, market: Market
) -> Rows[PastOpenInterest]:
    """Return the open interest of a market at the beginning of each period, in base units and USD."""
    current_positioning(market)
    supply = decimal_text(market.instrument.circulating_supply * RATE_ONE, RATE_DECIMALS)
    finer = int(10 ** (RATE_DECIMALS - market.instrument.quantity.decimals))
    return (
        PastOpenInterest(
            symbol=market.symbol,
            sum_open_interest=decimal_text(held * finer, RATE_DECIMALS),
            sum_open_interest_value=decimal_text(value, RATE_DECIMALS),
            circulating_supply=supply,
            timestamp=time_ms,
        )
        for time_ms, held, value in _open_interest(requested, [market.stretch])
    )


def past_coin_open_interest(
    markets: Markets, requested: Periods, pair: str, contract_type: str
) -> Rows[PastOpenInterest]:
    """Return the open interest of contracts of a pair, in contracts and in base coin."""
    stretches = [
        stretch
        for each in types_of(contract_type)
        for stretch in markets.stretches(pair, each)
        if stretch.until_ms > requested.earliest_ms
    ]
    for market in markets.of_pair(pair):
        if any(stretch.contract is market.kept for stretch in stretches):
            current_positioning(market)
    return (
        PastOpenInterest(
            pair=pair,
            contract_type=contract_type,
            sum_open_interest=str(held),
            sum_open_interest_value=decimal_text(value, RATE_DECIMALS),
            timestamp=time_ms,
        )
        for time_ms, held, value in _open_interest(requested, stretches)
    )


def _open_interest(requested: Periods, stretches: Sequence[Stretch]) -> list[tuple[int, int, int]]:
    """Return the beginnings of periods, open interest and its value (integers of 10^-8) then."""
    sums: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for stretch in stretches:
        contract, asked = stretch.contract, requested.until(stretch.until_ms)
        rows = asked.positions(contract.positions, "open_interest")
        rows = [row for row in rows if row[0] >= stretch.from_ms]
        if rows:
            times_ms = rows[0][0], rows[-1][0]
            bars = contract.marks.candles.rows(asked.length, *times_ms, len(rows))
            marks = dict(bars[:, (OPEN_TIME, OPEN)].tolist())
        for time_ms, held in rows:
            mark = marks.get(time_ms) or _present_mark(contract)
            quantity, value = sums[time_ms]
            sums[time_ms] = quantity + held, value + _worth(contract.instrument, held, mark)
    return [(time_ms, *sums[time_ms]) for time_ms in requested.chosen(sorted(sums))]


def _present_mark(contract: Contract) -> int:
    latest = contract.marks.candles.running("1m")
    if latest is None:
        symbol = contract.instrument.symbol
        raise request_errors.unknown_yet(f"The mark price of {symbol}", "none was published")
    return latest[CLOSE]


def _worth(instrument: Instrument, quantity: int, mark: int) -> int:
    """Return the value of `quantity` at the price `mark`, both in integers of 10^-8."""
    if instrument.venue.inverse:
        return round_div(quantity * instrument.contract_size * int(10 ** (2 * RATE_DECIMALS)), mark)
    return round_div(quantity * mark, int(10**instrument.quantity.decimals))


QUERIES = (
    Query(
        path="/v1/openInterest",
        weight=FlatWeight(1),
        params=(Param("symbol", "market", listed_market, "The symbol.", required=True),),
        handler=open_interest,
        doc="The current open interest of a symbol.",
    ),
    statistic(
        "openInterestHist",
        USDM,
        past_open_interest,
        "The open interest at the beginning of each period, and its value at the mark price then; "
        "`CMCCirculatingSupply` is 0 if the supply is unknown.",
        ONE_SYMBOL,
    ),
    statistic(
        "openInterestHist",
        COINM,
        past_coin_open_interest,
        "The open interest at the beginning of each period, and its value at the mark price then, "
        "in base coin.",
        ONE_PAIR,
        OPTIONAL_CONTRACT_CHOICE,
    ),
)
