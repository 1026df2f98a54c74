"""Responses about contracts that are announced, settled or removed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from request_markets import INVERSE, LINEAR, SECOND, START_MS, get, open_market
from stage import BTCUSD_260626, open_plant, snapshot, trade

from tickerplant.errors import RequestError
from tickerplant.events import ContractChanged, FundingPaid
from tickerplant.instrument import Instrument
from tickerplant.market.bars import CLOSE, OPEN_TIME
from tickerplant.market.markets import RETAINED_FORMER
from tickerplant.plant import Plant
from tickerplant.units import DAY_MS, HOUR_MS

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


def listed_symbols(plant: Plant, path: str, venue: str = "usdm", **raw: object) -> list[str]:
    rows: Any = get(plant.venues[venue], path, **raw)
    return [row["symbol"] for row in rows]


def test_an_announced_contract_is_in_the_rules_and_in_no_list(plant: Plant) -> None:
    assert statuses(plant) == {
        "BTCUSDT": "TRADING",
        "ETHUSDT": "TRADING",
        "NEWUSDT": "PENDING_TRADING",
    }
    for path in LINEAR_LISTS:
        assert "NEWUSDT" not in listed_symbols(plant, path)


@pytest.mark.parametrize(
    "path",
    [
        *LINEAR_LISTS,
        *("/v1/depth", "/v1/rpiDepth", "/v1/trades", "/v1/klines"),
        "/futures/data/openInterestHist",
    ],
)
def test_requested_alone_it_has_the_wrong_status(plant: Plant, path: str) -> None:
    with pytest.raises(RequestError, match="-1122 Invalid symbol status") as refused:
        get(plant.venues["usdm"], path, symbol="NEWUSDT", interval="1m", period="5m")
    assert refused.value.status == 400


TRADING = structs.replace(ANNOUNCED, status="TRADING", onboard_date_ms=START_MS)
SETTLING = structs.replace(TRADING, status="SETTLING")


@pytest.mark.parametrize("instrument", [ANNOUNCED, SETTLING])
def test_only_a_trading_contract_has_open_interest(plant: Plant, instrument: Instrument) -> None:
    change(plant, instrument)
    with pytest.raises(RequestError, match="-4108 Symbol is on delivering") as refused:
        get(plant.venues["usdm"], "/v1/openInterest", symbol="NEWUSDT")
    assert refused.value.status == 400


def test_the_candles_of_a_contract_are_refused_while_it_is_settled(plant: Plant) -> None:
    markets = plant.venues["usdm"]
    change(plant, TRADING)
    open_market(plant.markets["NEWUSDT"])
    paths = ("/v1/klines", "/v1/markPriceKlines", "/v1/premiumIndexKlines")
    for path in paths:
        get(markets, path, symbol="NEWUSDT", interval="1m")
    change(plant, SETTLING)
    for path in paths:
        with pytest.raises(RequestError, match="-1122 Invalid symbol status"):
            get(markets, path, symbol="NEWUSDT", interval="1m")
    assert get(markets, "/v1/indexPriceKlines", pair="NEWUSDT", interval="1m") != []


def test_the_fundings_of_removed_contracts_are_kept_within_a_bound(plant: Plant) -> None:
    markets = plant.venues["usdm"]
    for number in range(RETAINED_FORMER + 1):
        listed = structs.replace(TRADING, symbol=f"N{number}USDT")
        change(plant, listed)
        plant.publish(FundingPaid(listed.symbol, 1, 1, START_MS))
        ending = structs.replace(listed, delivery_date_ms=START_MS + 60_000)
        change(plant, ending)
        assert listed.symbol in listed_symbols(plant, "/v1/fundingRate"), "its end is announced"
        change(plant, structs.replace(ending, status="CLOSE"))
    for symbol in ("N1USDT", listed.symbol):
        paid: Any = get(markets, "/v1/fundingRate", symbol=symbol)
        assert [row["symbol"] for row in paid] == [symbol]
    assert listed.symbol not in listed_symbols(plant, "/v1/fundingRate"), "only when asked by name"
    with pytest.raises(RequestError, match="-1121"):
        get(markets, "/v1/fundingRate", symbol="N0USDT")
    assert markets.former_dropped == 1
    change(plant, listed)
    assert get(markets, "/v1/fundingRate", symbol=listed.symbol) == [], (
        "another contract's name now"
    )


@pytest.mark.parametrize(
    ("instrument", "volume"), [(TRADING, "quoteVolume"), (INVERSE, "baseVolume")]
)
def test_before_the_first_trade_tickers_are_zeros(instrument: Instrument, volume: str) -> None:
    young = structs.replace(instrument, onboard_date_ms=START_MS, status="TRADING")
    plant = open_plant([young], start_ms=START_MS)
    markets = plant.venues[young.venue.name]
    plant.publish(snapshot(1000, [(6_527_990, 4215)], [], START_MS, young.symbol))
    found: dict[str, Any] = {}
    for path in LISTS[:3]:
        row: Any = get(markets, path, symbol=young.symbol)
        found[path] = row[0] if isinstance(row, list) else row
        assert get(markets, path) == [found[path]]
    day = found["/v1/ticker/24hr"]
    assert (day["firstId"], day["lastId"], day["count"]) == (-1, -1, 0)
    for key in ("lastPrice", "priceChangePercent", "weightedAvgPrice", "volume", volume):
        assert float(day[key]) == 0
    assert day["closeTime"] == START_MS > day["openTime"]
    price = found["/v1/ticker/price"]
    assert (float(price["price"]), price["time"]) == (0, 0)
    quote = found["/v1/ticker/bookTicker"]
    assert (float(quote["askPrice"]), float(quote["askQty"])) == (0, 0), "nobody sells yet"


def test_a_market_that_is_followed_since_later_is_not_said_to_be_untraded() -> None:
    old = structs.replace(TRADING, onboard_date_ms=START_MS - 1)
    markets = open_plant([old], start_ms=START_MS).venues["usdm"]
    for path in LISTS:
        with pytest.raises(RequestError, match="is not known"):
            get(markets, path, symbol=old.symbol)
        assert get(markets, path) == []


def test_it_is_listed_when_it_trades_and_not_after_it_has_gone(plant: Plant) -> None:
    trading = structs.replace(ANNOUNCED, status="TRADING")
    change(plant, trading)
    open_market(plant.markets["NEWUSDT"])
    for path in LISTS:
        assert listed_symbols(plant, path) == ["BTCUSDT", "ETHUSDT", "NEWUSDT"]
    settling = structs.replace(trading, status="SETTLING", delivery_date_ms=START_MS + 2 * HOUR_MS)
    change(plant, settling)
    assert statuses(plant)["NEWUSDT"] == "SETTLING"
    assert listed_symbols(plant, "/v1/ticker/24hr") == ["BTCUSDT", "ETHUSDT"], "only what trades"
    assert "NEWUSDT" in listed_symbols(plant, "/v1/ticker/price"), "its last price is known"
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
    contracts = listed_symbols(plant, "/v1/ticker/price", "coinm", pair="BTCUSD")
    assert contracts == ["BTCUSD_PERP", "BTCUSD_260925"]


def test_a_series_has_no_hole_where_no_contract_of_its_type_was_traded() -> None:
    following = structs.replace(BTCUSD_260626, symbol="BTCUSD_260925")
    plant = open_plant([INVERSE, BTCUSD_260626], start_ms=START_MS)
    markets = plant.venues["coinm"]
    open_market(markets.by_symbol[BTCUSD_260626.symbol])

    def series(interval: str, **window: object) -> list[Any]:
        current = {"contractType": "CURRENT_QUARTER", "pair": "BTCUSD", "interval": interval}
        rows: Any = get(markets, "/v1/continuousKlines", **current, **window)
        return [(row[0] - START_MS) // 60_000 for row in rows]

    plant.advance(START_MS + 2 * 60_000)
    change(plant, structs.replace(BTCUSD_260626, status="DELIVERED"))
    plant.advance(START_MS + 4 * 60_000)
    change(plant, following)
    plant.advance(START_MS + 6 * 60_000)
    assert series("1m") == [0, 1, 2, 3, 4, 5]
    plant.publish(trade(1, START_MS + 6 * 60_000, 6_528_000, 25, symbol=following.symbol))
    assert series("1m") == [0, 1, 2, 3, 4, 5, 6]
    assert series("1m", startTime=START_MS + 3 * 60_000, limit=2) == [5, 6]
    assert series("3m") == [0, 3, 6]
    for day in range(1, 10):
        plant.advance(START_MS + day * DAY_MS)
    half_hours = series("30m", startTime=START_MS, limit=1500)
    assert half_hours[0] > 6, "what precedes minutes that are gone is left out"
    assert half_hours == list(range(half_hours[0], 9 * 1440 + 1, 30))


def test_a_series_keeps_its_price_and_skips_what_is_gone_after_a_week() -> None:
    next_type = structs.replace(BTCUSD_260626, contract_type="NEXT_QUARTER")
    following = structs.replace(next_type, symbol="BTCUSD_260925")
    plant = open_plant([INVERSE, next_type], start_ms=START_MS)
    markets = plant.venues["coinm"]
    open_market(markets.by_symbol[next_type.symbol])
    rolled_ms = (START_MS // HOUR_MS + 1) * HOUR_MS

    def series(start_ms: int | None, end_ms: int | None = None) -> list[list[int]]:
        candles = markets.by_symbol[following.symbol].continuous_candles
        rows = candles.rows("1m", start_ms, end_ms, 3)
        return [[(row[OPEN_TIME] - rolled_ms) // 60_000, row[CLOSE]] for row in rows]

    plant.advance(rolled_ms)
    change(plant, structs.replace(next_type, contract_type="CURRENT_QUARTER"))
    change(plant, following)
    plant.advance(rolled_ms + 9 * 60_000)
    plant.publish(trade(1, rolled_ms + 9 * 60_000, 6_528_000, 25, symbol=following.symbol))
    before = series(rolled_ms)
    assert [number for number, _ in before] == [0, 1, 2]
    for day in range(1, 7):
        plant.advance(rolled_ms + day * DAY_MS)
    plant.advance(rolled_ms + 7 * DAY_MS - 60_000)
    assert series(rolled_ms - 120_000) == before
    assert series(None, rolled_ms - 1) == []
    plant.advance(rolled_ms + 7 * DAY_MS + HOUR_MS - 60_000)
    assert [number for number, _ in series(rolled_ms - 120_000)] == [60, 61, 62]
