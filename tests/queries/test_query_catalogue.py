"""Every query has a golden response and a property test."""

from __future__ import annotations

import pytest
from coverage_of import covered
from golden_requests import REQUESTS

from tickerplant.queries import QUERIES, Query, find_method, find_path
from tickerplant.venue import VENUES

PUBLIC = (
    *("ping", "time", "exchangeInfo", "depth", "trades", "historicalTrades", "aggTrades"),
    *("klines", "continuousKlines", "indexPriceKlines", "markPriceKlines", "premiumIndexKlines"),
    *("premiumIndex", "fundingRate", "fundingInfo", "openInterest", "constituents"),
    *("ticker/24hr", "ticker/price", "ticker/bookTicker"),
)
"""The public market-data endpoints of version 1, as the REST pages of both venues list them."""
STATISTICS = (
    *("openInterestHist", "globalLongShortAccountRatio", "topLongShortAccountRatio"),
    *("topLongShortPositionRatio", "basis"),
)
OF_ONE_VENUE = {
    "usdm": {
        *("/fapi/v1/rpiDepth", "/fapi/v1/indexInfo", "/fapi/v1/assetIndex"),
        *("/fapi/v1/insuranceBalance", "/fapi/v1/symbolAdlRisk", "/fapi/v1/tradingSchedule"),
        *("/fapi/v2/ticker/price", "/futures/data/takerlongshortRatio"),
        "/futures/data/delivery-price",
    },
    "coinm": {"/futures/data/takerBuySellVol"},
}
UNDRAWN = {
    "ping": "an empty object, whatever has happened",
    "/v1/ping": "an empty object, whatever has happened",
    "time": "the market clock and nothing else, which every test sets",
    "/v1/time": "the market clock and nothing else, which every test sets",
}
"""Targets with nothing to draw, and the reason."""
METHODS = {"depth", "ticker.price", "ticker.book", "ping", "time"}


def targets(query: Query) -> list[str]:
    """Return the path and the method of a row, if it has them."""
    return [target for target in (query.path, query.method) if target is not None]


def name(query: Query) -> str:
    """Return the test id of a row."""
    return f"{targets(query)[0]} of {'+'.join(venue.name for venue in query.venues)}"


def test_every_public_endpoint_of_the_exchange_exists_and_no_other() -> None:
    for venue in VENUES:
        expected = OF_ONE_VENUE[venue.name].copy()
        expected |= {f"{venue.rest_prefix}/v1/{endpoint}" for endpoint in PUBLIC}
        expected |= {f"/futures/data/{endpoint}" for endpoint in STATISTICS}
        assert {query.path_on(venue) for query in QUERIES} - {None} == expected
        assert all(find_path(venue, path) for path in expected)
        about_markets = METHODS if venue.has_market_api else {"ping", "time"}
        assert {method for method in METHODS if find_method(venue, method)} == about_markets
    assert {query.method for query in QUERIES} - {None} == METHODS


@pytest.mark.parametrize("query", QUERIES, ids=name)
def test_every_row_has_a_golden_response_for_each_method_and_path(query: Query) -> None:
    for venue in query.venues:
        requested = {
            golden_request.target
            for golden_request in REQUESTS
            if golden_request.venue is venue and golden_request.query is query
        }
        wanted = {query.path} if query.path else set()
        if query.method and venue.has_market_api:
            wanted.add(query.method)
        assert wanted == requested, f"golden_requests.py asks {venue.name} for it"


@pytest.mark.parametrize("query", QUERIES, ids=name)
def test_every_row_has_a_property_test_for_each_method_and_path(query: Query) -> None:
    wanted = set(targets(query)) - UNDRAWN.keys()
    assert wanted <= covered().keys(), "mark a property test by `covers`"


def test_only_rows_without_a_property_test_are_excused_from_it() -> None:
    assert UNDRAWN.keys() <= {target for query in QUERIES for target in targets(query)}
    assert not UNDRAWN.keys() & covered().keys()
