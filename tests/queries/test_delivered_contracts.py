"""A day after a delivery, series by type and the delivered contract are answered as before it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from msgspec import structs
from request_markets import get
from test_contract_lifecycle import change

from tickerplant.market.contract_series import RETAINED_CONTRACTS
from tickerplant.market.markets import Markets
from tickerplant.plant import Plant
from tickerplant.quarters import coded_delivery_ms
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

DELIVERED_MS = coded_delivery_ms("261225")
START_MS = DELIVERED_MS + 2 * DAY_MS + 90_000
SYMBOLS = ("BTCUSDT_270326", "BTCUSD_PERP", "BTCUSD_270326")
CURRENT: dict[str, object] = {"contractType": "CURRENT_QUARTER", "period": "1h", "limit": 100}


def opened() -> Plant:
    exchange = SimulatedExchange(instruments(START_MS, SYMBOLS), 5, START_MS)
    plant = Plant(exchange.instruments, start_ms=START_MS, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    return plant


@pytest.fixture(scope="module")
def venues() -> dict[str, Markets]:
    return opened().venues


def test_a_delivered_contract_has_candles_up_to_its_delivery(venues: dict[str, Markets]) -> None:
    asked: dict[str, object] = {"symbol": "BTCUSDT_261225", "limit": 1500}
    days: Any = get(venues["usdm"], "/v1/klines", **asked, interval="1d")
    hours: Any = get(venues["usdm"], "/v1/klines", **asked, interval="1h")
    assert hours[-1][0] == DELIVERED_MS - HOUR_MS
    last = [row for row in hours if row[0] >= days[-1][0]]
    assert len(last) == 8
    assert days[-1][8] == sum(row[8] for row in last)


def test_statistics_by_type_are_those_of_the_contract_of_the_time(
    venues: dict[str, Markets],
) -> None:
    rows: Any = get(venues["usdm"], "/futures/data/basis", pair="BTCUSDT", **CURRENT)
    for row in rows:
        code = "261225" if row["timestamp"] < DELIVERED_MS else "270326"
        left = Fraction(coded_delivery_ms(code) - row["timestamp"], DAY_MS)
        annual = Fraction(row["basisRate"]) * 365 / left
        assert abs(Fraction(row["annualizedBasisRate"]) - annual) <= Fraction(1, 20_000)
    assert rows[0]["timestamp"] < DELIVERED_MS
    held: Any = get(venues["coinm"], "/futures/data/openInterestHist", pair="BTCUSD", **CURRENT)
    assert len(held) == len(rows) == 100
    delivered = venues["coinm"].delivered("BTCUSD_261225")
    assert delivered is not None
    own = delivered.positions.column("open_interest", HOUR_MS, None, DELIVERED_MS - 1, 100)
    before = [(row["timestamp"], int(row["sumOpenInterest"])) for row in held]
    assert before[: before.index(own[-1]) + 1] == own[-before.index(own[-1]) - 1 :]


def test_a_series_has_a_bounded_number_of_contracts_of_this_run() -> None:
    plant = opened()
    coinm = plant.venues["coinm"]
    changing = coinm.by_symbol["BTCUSD_270326"].instrument
    listed, past = [changing.symbol], len(coinm.stretches("BTCUSD", "CURRENT_QUARTER")) - 1
    assert past > 0
    for number in range(RETAINED_CONTRACTS):
        change(plant, structs.replace(changing, status="DELIVERED"))
        plant.advance(START_MS + number * MINUTE_MS)
        changing = structs.replace(changing, symbol=f"BTCUSD_{270327 + number}")
        change(plant, changing)
        listed.append(changing.symbol)
        stretches = coinm.stretches("BTCUSD", "CURRENT_QUARTER")
        symbols = [each.contract.instrument.symbol for each in stretches]
        if len(listed) <= RETAINED_CONTRACTS:
            assert (len(symbols), symbols[past:]) == (past + len(listed), listed)
    assert symbols == listed[1:], "without what preceded the one that was dropped"
