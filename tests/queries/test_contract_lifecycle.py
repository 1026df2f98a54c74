"""Responses about contracts that are announced, settled or removed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from request_markets import INVERSE, LINEAR, SECOND, START_MS, get, open_market
from stage import BTCUSD_260626, open_plant

from tickerplant.errors import RequestError
from tickerplant.events import ContractChanged
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.units import HOUR_MS

ANNOUNCED = structs.replace(
    SECOND,
    symbol="NEWUSDT",
    pair="NEWUSDT",
    base_asset="NEW",
    status="PENDING_TRADING",
    onboard_date_ms=START_MS + HOUR_MS,
)
LISTS = ["/v1/ticker/24hr", "/v1/ticker/price", "/v1/ticker/bookTicker", "/v1/premiumIndex"]
LINEAR_LISTS = [*LISTS, "/v1/symbolAdlRisk", "/v1/fundingRate"]


def change(plant: Plant, instrument: Instrument) -> None:
    plant.publish(ContractChanged(instrument.symbol, instrument, (), plant.now_ms))


@pytest.fixture
def plant() -> Plant:
    """A plant that trades two contracts, after a third was announced."""
    opened = open_plant([LINEAR, SECOND], start_ms=START_MS)
    for market in opened.markets.values():
        open_market(market)
    change(opened, ANNOUNCED)
    return opened


def statuses(plant: Plant, key: str = "status", venue: str = "usdm") -> dict[str, str]:
    info: Any = get(plant.venues[venue], "/v1/exchangeInfo")
    return {row["symbol"]: row[key] for row in info["symbols"]}


def listed(plant: Plant, path: str, venue: str = "usdm", **raw: object) -> list[str]:
    rows: Any = get(plant.venues[venue], path, **raw)
    return [row["symbol"] for row in rows]


def test_an_announced_contract_is_in_the_rules_and_in_no_list(plant: Plant) -> None:
    assert statuses(plant) == {
        "BTCUSDT": "TRADING",
        "ETHUSDT": "TRADING",
        "NEWUSDT": "PENDING_TRADING",
    }
    for path in LINEAR_LISTS:
        assert "NEWUSDT" not in listed(plant, path)


@pytest.mark.parametrize(
    "path",
    [
        *LINEAR_LISTS,
        *("/v1/depth", "/v1/rpiDepth", "/v1/openInterest", "/v1/trades", "/v1/klines"),
        "/futures/data/openInterestHist",
    ],
)
def test_requested_alone_it_has_the_wrong_status(plant: Plant, path: str) -> None:
    with pytest.raises(RequestError, match="-1122 Invalid symbol status") as refused:
        get(plant.venues["usdm"], path, symbol="NEWUSDT", interval="1m", period="5m")
    assert refused.value.status == 400


def test_it_is_listed_when_it_trades_and_not_after_it_has_gone(plant: Plant) -> None:
    trading = structs.replace(ANNOUNCED, status="TRADING")
    change(plant, trading)
    open_market(plant.markets["NEWUSDT"])
    for path in LISTS:
        assert listed(plant, path) == ["BTCUSDT", "ETHUSDT", "NEWUSDT"]
    settling = structs.replace(trading, status="SETTLING", delivery_date_ms=START_MS + 2 * HOUR_MS)
    change(plant, settling)
    assert statuses(plant)["NEWUSDT"] == "SETTLING"
    assert listed(plant, "/v1/ticker/24hr") == ["BTCUSDT", "ETHUSDT"], "only what trades"
    assert "NEWUSDT" in listed(plant, "/v1/ticker/price"), "its last price is known"
    change(plant, structs.replace(settling, status="CLOSE"))
    assert "NEWUSDT" not in statuses(plant)
    with pytest.raises(RequestError, match="Invalid symbol"):
        get(plant.venues["usdm"], "/v1/ticker/price", symbol="NEWUSDT")


def test_a_type_names_another_contract_after_the_roll() -> None:
    following = structs.replace(
        BTCUSD_260626,
        symbol="BTCUSD_260925",
        contract_type="NEXT_QUARTER",
        delivery_date_ms=1_790_323_200_000,
    )
    plant = open_plant([INVERSE, BTCUSD_260626, following], start_ms=START_MS)
    for market in plant.markets.values():
        open_market(market)
    current: dict[str, object] = {"contractType": "CURRENT_QUARTER", "pair": "BTCUSD"}

    def candles(symbol: str | None = None) -> object:
        path = "/v1/klines" if symbol else "/v1/continuousKlines"
        return get(plant.venues["coinm"], path, **current, symbol=symbol, interval="1h")

    assert candles() == candles("BTCUSD_260626")
    change(plant, structs.replace(BTCUSD_260626, status="DELIVERING"))
    assert statuses(plant, "contractStatus", "coinm")["BTCUSD_260626"] == "DELIVERING"
    change(plant, structs.replace(BTCUSD_260626, status="DELIVERED"))
    assert candles() == [], "there is none at the moment"
    change(plant, structs.replace(following, contract_type="CURRENT_QUARTER"))
    assert candles() == candles("BTCUSD_260925") != []
    contracts = listed(plant, "/v1/ticker/price", "coinm", pair="BTCUSD")
    assert contracts == ["BTCUSD_PERP", "BTCUSD_260925"]
