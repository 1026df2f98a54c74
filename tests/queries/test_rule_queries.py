"""The rules of contracts and of their funding are the current ones."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from coverage_of import covers
from exact import exact
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from request_markets import INVERSE, LINEAR, START_MS, get
from stage import asset_index, open_plant

from tickerplant.events import ContractChanged
from tickerplant.instrument import PERPETUAL_DELIVERY_MS, Instrument, Scale
from tickerplant.profile import CURRENT, PROFILES, Profile

DELIVERY_MS = 1_782_460_800_000
USUAL_CAP = 2_000_000
LISTED = ("PENDING_TRADING", "TRADING", "SETTLING", "DELIVERING")
GONE = ("DELIVERED", "CLOSE")

BOUNDS = (
    *("tick_size", "step_size", "min_price", "max_price", "min_quantity", "max_quantity"),
    *("max_market_quantity", "min_notional", "contract_size"),
)

sizes = st.integers(1, 10**9)
changes = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(LISTED + GONE)), max_size=5)
profiles = st.sampled_from(list(PROFILES.values()))


@st.composite
def contracts(draw: st.DrawFn) -> list[Instrument]:
    """Contracts of both venues with any scales, bounds and funding."""
    made = []
    for number in range(draw(st.integers(1, 5))):
        like = draw(st.sampled_from([LINEAR, INVERSE]))
        delivery_ms = draw(st.sampled_from([PERPETUAL_DELIVERY_MS, DELIVERY_MS]))
        bounds = {name: draw(sizes) for name in BOUNDS}
        made.append(
            structs.replace(
                like,
                **bounds,
                symbol=f"C{number}{like.quote_asset}",
                pair=f"C{number}{like.quote_asset}",
                base_asset=f"C{number}",
                price=Scale(draw(st.integers(0, 7))),
                quantity=Scale(0 if like is INVERSE else draw(st.integers(0, 3))),
                contract_type=draw(st.sampled_from(["PERPETUAL", "CURRENT_QUARTER"])),
                delivery_date_ms=delivery_ms,
                onboard_date_ms=START_MS - draw(sizes),
                funding_interval_hours=draw(st.sampled_from([1, 4, 8, 8])),
                funding_cap=draw(st.sampled_from([USUAL_CAP, USUAL_CAP, 300_000, 2_500_001])),
            )
        )
    return made


def listed(listing: list[Instrument], venue: str) -> list[Instrument]:
    """The contracts of a venue that are not removed, in the order of their listing."""
    return [each for each in listing if each.venue.name == venue and each.status not in GONE]


@covers("/v1/exchangeInfo")
@given(listing=contracts(), tape=changes, indexed=st.lists(st.sampled_from(["ADA", "XRP", "USDT"])))
def test_the_rules_are_those_of_the_contracts_that_are_listed_now(
    listing: list[Instrument], tape: list[tuple[int, str]], indexed: list[str]
) -> None:
    plant = open_plant(listing, start_ms=START_MS)
    for asset in indexed:
        plant.publish(asset_index(f"{asset}USD", START_MS))
    for place, status in tape:
        if place < len(listing) and listing[place].status not in GONE:
            changed = listing[place] = structs.replace(listing[place], status=status)
            plant.publish(ContractChanged(changed.symbol, changed, (), START_MS))
    for venue in ("usdm", "coinm"):
        info: Any = get(plant.venues[venue], "/v1/exchangeInfo")
        expected = listed(listing, venue)
        assert info["serverTime"] == START_MS
        assert [row["symbol"] for row in info["symbols"]] == [each.symbol for each in expected]
        for row, instrument in zip(info["symbols"], expected, strict=True):
            check_contract(row, instrument)
        if venue == "usdm":
            quoted = ["USDT"] if expected else []
            assets = [row["asset"] for row in info["assets"]]
            assert assets == list(dict.fromkeys([*quoted, *indexed]))


def check_contract(row: dict[str, Any], instrument: Instrument) -> None:
    inverse = instrument.venue.inverse
    facts = {
        "pair": instrument.pair,
        "baseAsset": instrument.base_asset,
        "deliveryDate": instrument.delivery_date_ms,
        "onboardDate": instrument.onboard_date_ms,
        "pricePrecision": instrument.price.decimals,
        "quantityPrecision": instrument.quantity.decimals,
        "contractSize": instrument.contract_size if inverse else None,
        "contractStatus" if inverse else "status": instrument.status,
        "status" if inverse else "contractStatus": None,
    }
    assert {key: row.get(key) for key in facts} == facts
    filters = {each.pop("filterType"): each for each in row["filters"]}
    prices, amounts = instrument.price.decimals, instrument.quantity.decimals
    least, step = instrument.min_quantity, exact(instrument.step_size, amounts)
    assert filters["PRICE_FILTER"] == {
        "minPrice": bound(instrument.min_price, prices),
        "maxPrice": bound(instrument.max_price, prices),
        "tickSize": exact(instrument.tick_size, prices),
    }
    for kind, most in (
        ("LOT_SIZE", instrument.max_quantity),
        ("MARKET_LOT_SIZE", instrument.max_market_quantity),
    ):
        amount = {"minQty": bound(least, amounts), "maxQty": bound(most, amounts)}
        assert filters[kind] == {**amount, "stepSize": step}
    notional = None if inverse else {"notional": str(instrument.min_notional)}
    assert filters.get("MIN_NOTIONAL") == notional


def bound(units: int, decimals: int) -> str:
    """A bound as the exchange writes it: whole numbers without decimals."""
    number = Fraction(units, 10**decimals)
    return str(number.numerator) if number.denominator == 1 else exact(units, decimals)


@covers("/v1/fundingInfo")
@given(listing=contracts(), profile=profiles)
def test_contracts_are_listed_with_the_bounds_of_their_funding(
    listing: list[Instrument], profile: Profile
) -> None:
    plant = open_plant(listing, start_ms=START_MS, profile=profile)
    complete = profile is CURRENT
    for venue, other in (("usdm", "coinm"), ("coinm", "usdm")):
        requested = listed(listing, venue)
        if complete:
            requested += listed(listing, other)
        expected = [
            funding_row(each, complete=complete)
            for each in requested
            if each.contract_type != "CURRENT_QUARTER" and (complete or not usual(each))
        ]
        assert get(plant.venues[venue], "/v1/fundingInfo") == expected


def usual(instrument: Instrument) -> bool:
    return (instrument.funding_interval_hours, instrument.funding_cap) == (8, USUAL_CAP)


def funding_row(instrument: Instrument, *, complete: bool) -> dict[str, Any]:
    cap = "0.02000" if usual(instrument) else exact(instrument.funding_cap)
    updated_ms = None if usual(instrument) else instrument.onboard_date_ms
    return {
        "symbol": instrument.symbol,
        "adjustedFundingRateCap": cap,
        "adjustedFundingRateFloor": f"-{cap}",
        "fundingIntervalHours": instrument.funding_interval_hours,
        "disclaimer": usual(instrument),
        **({"updateTime": updated_ms} if complete else {}),
    }
