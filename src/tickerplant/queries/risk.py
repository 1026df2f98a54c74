"""Insurance funds, and the risk of automatic deleveraging."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from tickerplant.events import InsuranceFund
from tickerplant.instrument import RATE_DECIMALS, decimal_text
from tickerplant.queries import request_errors
from tickerplant.queries.param import ANY_SYMBOL
from tickerplant.queries.query import FlatWeight, Query, Rows, SymbolWeight, for_each_market
from tickerplant.queries.statistics import current_positioning
from tickerplant.venue import USDM

if TYPE_CHECKING:
    from tickerplant.market.market import Market
    from tickerplant.market.markets import Markets


class FundAsset(Struct, frozen=True, rename="camel"):
    """The balance of one asset in a fund."""

    asset: str
    margin_balance: str
    """Without trailing zeros, as in documented responses."""
    update_time: int


class Fund(Struct, frozen=True):
    """The contracts that share an insurance fund, and its balances."""

    symbols: tuple[str, ...]
    assets: list[FundAsset]


class AdlRisk(Struct, frozen=True, rename="camel"):
    """The risk of automatic deleveraging of a contract."""

    symbol: str
    adl_risk: str
    update_time: int


ADL_RISKS = {"LOW": "low", "MIDDLE": "medium", "HIGH": "high", "EXTREMELY_HIGH": "high"}
"""The risks that events carry, and the documented words for them."""
_FOUR_ADL_RISKS = {"low": "LOW", "medium": "MIDDLE", "high": "HIGH"}
"""The same for events that carry the documented words."""


def insurance_balance(markets: Markets, market: Market | None) -> Fund | list[Fund]:
    """Return the insurance fund of one contract, or all of them."""
    funds = markets.insurance_funds.values()
    if market is None:
        return [_fund(fund) for fund in funds]
    for fund in funds:
        if market.symbol in fund.symbols:
            return _fund(fund)
    raise request_errors.unknown_yet(
        f"The insurance fund of {market.symbol}", "the source has not sent it"
    )


def _fund(fund: InsuranceFund) -> Fund:
    return Fund(
        fund.symbols,
        [FundAsset(asset, _plain(amount), fund.time_ms) for asset, amount in fund.balances],
    )


def _plain(amount: int) -> str:
    return decimal_text(amount, RATE_DECIMALS).rstrip("0").rstrip(".")


def adl_risk(markets: Markets, market: Market | None) -> AdlRisk | list[AdlRisk] | Rows[AdlRisk]:
    """Return the risk of automatic deleveraging of one contract, or of all that are known."""
    row = _half_hourly_adl_risk if markets.profile.four_adl_risks else _adl_risk
    return for_each_market(markets, market, row=partial(row, markets.now_ms))


def _adl_risk(_now_ms: int, market: Market) -> AdlRisk:
    present = current_positioning(market)
    risk = ADL_RISKS.get(present.adl_risk, present.adl_risk)
    return AdlRisk(market.symbol, risk, present.time_ms)


def _half_hourly_adl_risk(now_ms: int, market: Market) -> AdlRisk:
    current_positioning(market)
    then = market.positions.at_half_hour(now_ms)
    risk = _FOUR_ADL_RISKS.get(then.adl_risk, then.adl_risk)
    return AdlRisk(market.symbol, risk, then.time_ms)


QUERIES = (
    Query(
        path="/v1/insuranceBalance",
        venues=(USDM,),
        weight=FlatWeight(1),
        measured_weight=SymbolWeight(one=1, every=40),
        params=(ANY_SYMBOL,),
        handler=insurance_balance,
        doc="The balances of the insurance funds, and the contracts that share them.",
    ),
    Query(
        path="/v1/symbolAdlRisk",
        venues=(USDM,),
        weight=FlatWeight(1),
        params=(ANY_SYMBOL,),
        handler=adl_risk,
        doc="The risk of automatic deleveraging: `low`, `medium` or `high`; in the profile `current`, "
        "`LOW`, `MIDDLE`, `HIGH` or `EXTREMELY_HIGH` at the last half hour.",
    ),
)
