from __future__ import annotations

import gzip
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import START_MS, WORLD, open_plant

from tickerplant.decode.exchange_info import instruments_of
from tickerplant.errors import DecodeError
from tickerplant.instrument import LARGEST, PERPETUAL_DELIVERY_MS, Instrument, decimal_text
from tickerplant.profile import CURRENT, P2026Q1, PROFILES, Profile
from tickerplant.queries import find_path
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import COINM, USDM, VENUES, Venue

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "exchangeinfo"
needs_real = pytest.mark.skipif(
    not REAL.exists(), reason="the captures are not beside the repository"
)
NOT_TOLD = ("funding_interval_hours", "circulating_supply", "funding_cap")
"""Fields of an instrument that no response contains."""


def response_of(listed: tuple[Instrument, ...], venue: Venue, profile: Profile = P2026Q1) -> bytes:
    """Return the response of a plant of `listed` on `venue`."""
    query = find_path(venue, f"{venue.rest_prefix}/v1/exchangeInfo")
    assert query is not None
    plant = open_plant(listed, profile=profile)
    return msgspec.json.encode(query.respond(plant.venues[venue.name], {}))


def as_listed(instrument: Instrument) -> Instrument:
    """Return `instrument` with defaults for the fields that no response contains."""
    defaults: dict[str, Any] = {
        field.name: field.default for field in structs.fields(Instrument) if field.name in NOT_TOLD
    }
    return structs.replace(instrument, **defaults)


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_what_the_simulator_lists_comes_back(profile: Profile, venue: Venue) -> None:
    listed = instruments(START_MS, symbol_count=120)
    contracts = instruments_of(response_of(listed, venue, profile), venue)
    expected = [as_listed(each) for each in listed if each.venue is venue]
    assert len(expected) > 4
    assert contracts == (expected, [])


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_contracts_of_every_kind_come_back(venue: Venue) -> None:
    changed = tuple(
        structs.replace(each, status="SETTLING", sub_types=("AI", "Meme"), onboard_date_ms=START_MS)
        for each in WORLD
    )
    for listed in (WORLD, changed):
        expected = [as_listed(each) for each in listed if each.venue is venue]
        assert instruments_of(response_of(listed, venue, CURRENT), venue) == (expected, [])


@needs_real
@pytest.mark.parametrize("file", ["fapi", "dapi"])
def test_every_symbol_that_the_exchange_listed_can_be_read(file: str) -> None:
    venue = USDM if file == "fapi" else COINM
    paths = sorted(REAL.glob(f"{file}_*.json.gz"))
    assert len(paths) > 1
    for path in paths:
        response = gzip.decompress(path.read_bytes())
        contracts, skipped = instruments_of(response, venue)
        assert skipped == (["ELSAUSDT: tickSize is 0"] if "testnet" in path.name else [])
        rows = msgspec.json.decode(response)["symbols"]
        rows = [row for row in rows if row["symbol"] != "ELSAUSDT" or not skipped]
        for row, each in zip(rows, contracts, strict=True):
            rules = {rule["filterType"]: rule for rule in row["filters"]}
            assert (each.symbol, each.pair) == (row["symbol"], row["pair"])
            assert each.status == row["contractStatus" if venue.inverse else "status"]
            assert each.price.decimals == row["pricePrecision"]
            assert each.quantity.decimals == row["quantityPrecision"]
            prices, lots = rules["PRICE_FILTER"], rules["LOT_SIZE"]
            for units, text in (
                (each.tick_size, prices["tickSize"]),
                (each.min_price, prices["minPrice"]),
                (each.max_price, prices["maxPrice"]),
            ):
                assert Decimal(each.price.text[units]) == Decimal(text)
            for units, text in (
                (each.step_size, lots["stepSize"]),
                (each.min_quantity, lots["minQty"]),
                (each.max_quantity, lots["maxQty"]),
                (each.max_market_quantity, rules["MARKET_LOT_SIZE"]["maxQty"]),
            ):
                assert Decimal(each.quantity.text[units]) == Decimal(text)


@needs_real
def test_what_the_exchange_listed_in_2025_is_understood() -> None:
    response = gzip.decompress((REAL / "fapi_2025-08-11.json.gz").read_bytes())
    by_symbol = {each.symbol: each for each in instruments_of(response, USDM).instruments}
    bitcoin = by_symbol["BTCUSDT"]
    assert (bitcoin.tick_size, bitcoin.min_notional, bitcoin.sub_types) == (10, 100, ("PoW",))
    assert by_symbol["ETHBTC"].min_notional == 0, "0.001 BTC"
    assert Counter(each.underlying_type for each in by_symbol.values()) == {"COIN": 548, "INDEX": 2}
    assert sum(each.contract_type == "NEXT_QUARTER" for each in by_symbol.values()) == 2


def row(venue: Venue = USDM, **changes: object) -> dict[str, Any]:
    """Return a symbol as in a response, with changes."""
    first = next(each for each in WORLD if each.venue is venue)
    decoded: dict[str, Any] = msgspec.json.decode(response_of((first,), venue))["symbols"][0]
    return decoded | changes


def without(name: str) -> list[dict[str, Any]]:
    """Return the filters but one."""
    return [rule for rule in row()["filters"] if rule["filterType"] != name]


def filters(name: str, **changes: object) -> list[dict[str, Any]]:
    """Return the filters, one of them changed."""
    return [*without(name), {"filterType": name, **changes}]


def listing(*rows: object, venue: Venue = USDM) -> tuple[list[str], list[str]]:
    """Return the symbols read from a response with `rows`, and why the others were skipped."""
    contracts, skipped = instruments_of(msgspec.json.encode({"symbols": rows}), venue)
    return [each.symbol for each in contracts], skipped


GOOD_PRICES = {"minPrice": "0.10", "maxPrice": "100", "tickSize": "0.10"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"symbol": "A"}, "A: Object missing required field `pair`"),
        ({}, "symbols[0]: Object missing required field `symbol`"),
        (7, "symbols[0]: Expected `object`, got `int`"),
        (row(filters=[]), "BTCUSDT: there is no filter PRICE_FILTER"),
        (row(filters=without("LOT_SIZE")), "BTCUSDT: there is no filter LOT_SIZE"),
        (
            row(filters=filters("PRICE_FILTER", **GOOD_PRICES | {"tickSize": "0.001"})),
            "BTCUSDT: '0.001' has more than 2 decimals",
        ),
        (
            row(filters=filters("PRICE_FILTER", **GOOD_PRICES | {"tickSize": "0.00"})),
            "BTCUSDT: tickSize is 0.00",
        ),
        (
            row(filters=filters("PRICE_FILTER", **GOOD_PRICES | {"tickSize": None})),
            "BTCUSDT: there is no tickSize",
        ),
        (
            row(filters=filters("PRICE_FILTER", **GOOD_PRICES | {"maxPrice": "1e9"})),
            "BTCUSDT: '1e9' is not a plain decimal",
        ),
        (row(filters=filters("MIN_NOTIONAL", notional="")), "BTCUSDT: '' is not a plain decimal"),
        (row(pricePrecision=-1), "BTCUSDT: pricePrecision is -1"),
        (row(quantityPrecision=99), "BTCUSDT: quantityPrecision is 99"),
        (row(pricePrecision="2"), "BTCUSDT: Expected `int`, got `str` - at `$.pricePrecision`"),
        (row(contractSize=0), "BTCUSDT: Expected `int` >= 1 - at `$.contractSize`"),
        (row(contractSize=-1), "BTCUSDT: Expected `int` >= 1 - at `$.contractSize`"),
        (row(contractSize=10**30), f"BTCUSDT: Expected `int` <= {LARGEST} - at `$.contractSize`"),
        (row(onboardDate=-1), "BTCUSDT: Expected `int` >= 0 - at `$.onboardDate`"),
        (row(onboardDate=10**30), f"BTCUSDT: Expected `int` <= {LARGEST} - at `$.onboardDate`"),
        (row(deliveryDate=-(10**30)), "BTCUSDT: Expected `int` >= 0 - at `$.deliveryDate`"),
        (row(COINM), "BTCUSD_PERP: there is no status, as symbols of USDⓈ-M have it"),
    ],
)
def test_a_symbol_that_cannot_be_read_is_left_out_with_the_reason(
    wrong: object, reason: str
) -> None:
    good = row(symbol="GOODUSDT")
    assert listing(wrong, good) == (["GOODUSDT"], [reason])


def test_a_usdm_symbol_needs_the_status_key_of_usdm() -> None:
    assert listing(row(), venue=COINM) == (
        [],
        ["BTCUSDT: there is no contractStatus, as symbols of COIN-M have it"],
    )


def test_what_is_missing_without_harm_is_as_elsewhere() -> None:
    shown = row(filters=without("MARKET_LOT_SIZE"))
    del shown["onboardDate"]
    (contracts,), _ = instruments_of(msgspec.json.encode({"symbols": [shown]}), USDM)
    assert contracts.max_market_quantity == contracts.max_quantity
    assert contracts.onboard_date_ms == 0


def test_a_delivery_after_every_calendar_means_none() -> None:
    shown = row(deliveryDate=PERPETUAL_DELIVERY_MS + 2000)  # as the test network has it
    (contracts,), _ = instruments_of(msgspec.json.encode({"symbols": [shown]}), USDM)
    assert contracts.perpetual


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"symbols":1}', b'{"symbols":[}'])
def test_other_responses_are_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not a response to exchangeInfo: "):
        instruments_of(body, USDM)


@given(
    decimals=st.integers(0, 8),
    tick=st.integers(1, 10**6),
    ticks=st.integers(1, 10**6),
    notional=st.integers(0, 10**6),
)
def test_whatever_an_instrument_has_comes_back(
    decimals: int, tick: int, ticks: int, notional: int
) -> None:
    text = decimal_text(tick, decimals)
    prices = {"minPrice": text, "maxPrice": decimal_text(tick * ticks, decimals), "tickSize": text}
    rules = [
        *(rule for rule in without("PRICE_FILTER") if rule["filterType"] != "MIN_NOTIONAL"),
        {"filterType": "PRICE_FILTER", **prices},
        {"filterType": "MIN_NOTIONAL", "notional": str(notional)},
    ]
    shown = row(filters=rules, pricePrecision=decimals)
    (contracts,), skipped = instruments_of(msgspec.json.encode({"symbols": [shown]}), USDM)
    assert skipped == []
    assert (contracts.tick_size, contracts.min_price, contracts.max_price) == (
        tick,
        tick,
        tick * ticks,
    )
    assert contracts.min_notional == notional


@pytest.mark.parametrize(
    "name",
    [
        *("", "A@B", "A/B", "!A", "A B", "A\x1b", "A\n", "A\x85", "A\u202eB", "A'B", 'A"', "A\\B"),
        *("<A>", "a", "BTCusdt", "\N{LATIN CAPITAL LETTER SHARP S}", "A" * 65),
    ],
)
@pytest.mark.parametrize("field", ["symbol", "pair"])
def test_a_contract_whose_name_cannot_be_in_a_stream_name_is_skipped(field: str, name: str) -> None:
    symbol = "symbols[0]" if field == "symbol" else "BTCUSDT"
    contracts, (reason,) = listing(row() | {field: name}, row(symbol="GOODUSDT"))
    assert contracts == ["GOODUSDT"]
    assert reason == f"{symbol}: {field} is {name[:64]!a}, which is not a valid name"


@pytest.mark.parametrize(
    "name", ["1000SHIBUSDT", "BTCUSDT_260626", "\N{CJK UNIFIED IDEOGRAPH-5E01}USDT", "ÄUSDT"]
)
def test_a_contract_may_have_any_letters(name: str) -> None:
    assert listing(row(symbol=name, pair=name)) == ([name], [])


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"symbol":"\xff"}', "symbols[0]: 'utf-8' codec can't decode byte 0xff"),
        (b'{"symbol":"A","pair":"\xff"}', "A: 'utf-8' codec can't decode byte 0xff"),
        (b'{"symbol":7}', "symbols[0]: Expected `str`, got `int` - at `$.symbol`"),
    ],
)
def test_a_symbol_that_is_not_text_is_skipped(raw: bytes, reason: str) -> None:
    good = msgspec.json.encode(row())
    contracts, (skipped,) = instruments_of(b'{"symbols":[%s,%s]}' % (raw, good), USDM)
    assert [each.symbol for each in contracts] == ["BTCUSDT"]
    assert skipped.startswith(reason)


@pytest.mark.parametrize("body", [b'{"symbols":%s}', b'{"symbols":[{"symbol":"A","x":%s}]}'])
def test_a_deeply_nested_response_is_refused(body: bytes) -> None:
    with pytest.raises(
        DecodeError, match="not a response to exchangeInfo: maximum recursion depth"
    ):
        instruments_of(body % DEEP, USDM)
