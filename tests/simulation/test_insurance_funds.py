"""The insurance funds."""

from __future__ import annotations

import pytest
from stage import open_plant

from tickerplant.events import InsuranceFund, Liquidation
from tickerplant.plant import Plant
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.insurance_funds import InsuranceFunds
from tickerplant.sources.simulated import open_market
from tickerplant.venue import USDM

START_MS = 1_780_000_000_250
LISTED = {each.symbol: each for each in instruments(START_MS)}


def forced(symbol: str, side: str, quantity: int, price: int, average: int) -> Liquidation:
    return Liquidation(
        symbol, side, quantity, price, average, "FILLED", quantity, quantity, START_MS
    )


def balances(funds: InsuranceFunds) -> dict[str, int]:
    """Each fund's USDT, by its name."""
    return {each.symbol: dict(each.balances)["USDT"] for each in funds.at(LISTED.values(), 0)}


def test_every_contract_of_usdm_has_one_fund() -> None:
    reported = InsuranceFunds().at(LISTED.values(), START_MS)
    assert [fund.symbol for fund in reported] == ["major", "other", "tradfi"]
    assert [fund.symbols[0] for fund in reported] == ["BTCUSDT", "ADAUSDT", "XAUUSDT"]
    shared = [symbol for fund in reported for symbol in fund.symbols]
    assert len(shared) == len(set(shared))
    assert set(shared) == {each.symbol for each in LISTED.values() if each.venue is USDM}


def test_a_fund_has_what_a_forced_order_got_better_than_bankruptcy() -> None:
    funds = InsuranceFunds()
    before = balances(funds)
    # 0.005 BTC sold 12.30 USDT better, 0.010 bought 1.00 better.
    funds.take_in(forced("BTCUSDT", "SELL", 5, 6_500_000, 6_501_230), LISTED["BTCUSDT"])
    funds.take_in(forced("BTCUSDT", "BUY", 10, 6_500_000, 6_499_900), LISTED["BTCUSDT"])
    funds.take_in(forced("TSLAUSDT", "SELL", 100, 40_000, 40_000), LISTED["TSLAUSDT"])
    funds.take_in(forced("BTCUSD_PERP", "SELL", 5, 650_000, 650_900), LISTED["BTCUSD_PERP"])
    funds.take_in(forced("BTCUSDC", "SELL", 5, 650_000, 650_900), LISTED["BTCUSDC"])
    after = balances(funds)
    gained = {symbol: after[symbol] - before[symbol] for symbol in after}
    assert gained == {"major": 7_150_000, "other": 0, "tradfi": 0}, "0.0715 USDT"


def test_a_fund_is_the_same_when_other_contracts_share_it() -> None:
    plant = open_plant(LISTED.values(), start_ms=START_MS)
    funds, markets = InsuranceFunds(), plant.venues["usdm"]
    for share in (("BTCUSDT", "ETHUSDT"), ("ETHUSDT", "XRPUSDT")):
        for reported in funds.at([LISTED[symbol] for symbol in share], START_MS):
            plant.publish(reported)
    (fund,) = markets.insurance_funds.values()
    assert fund.symbols == ("ETHUSDT", "XRPUSDT")


@pytest.mark.heavy
def test_funds_are_published_every_five_minutes_and_grow_with_forced_orders() -> None:
    start_ms = START_MS // 300_000 * 300_000 + 300_000 - 10_000
    listed = instruments(start_ms, ["BTCUSDT", "BTCUSD_PERP"])
    exchange = SimulatedExchange(listed, 3, start_ms)
    plant = Plant(listed, start_ms=start_ms, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    (before,) = plant.venues["usdm"].insurance_funds.values()
    exchange.registry.news.underlyings["BTC"].value.move(-0.04)
    reported = []
    while exchange.next_time_ms < start_ms + 15_000:
        reported += [event for event in exchange.step()[1] if isinstance(event, InsuranceFund)]
    (after,) = reported
    assert (after.symbols, after.time_ms) == (("BTCUSDT",), start_ms + 10_000)
    assert dict(after.balances)["USDT"] > dict(before.balances)["USDT"]
