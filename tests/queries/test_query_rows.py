"""The targets of requests, their weights, and their errors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from request_markets import (
    LINEAR,
    SECOND,
    START_MS,
    by_method,
    by_path,
    call,
    coin_markets,
    get,
    linear_markets,
    markets_of,
    open_market,
)
from sample_markets import sample_markets

from tickerplant.errors import RequestError
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.queries import QUERIES, Query, find_path
from tickerplant.venue import COINM, USDM, VENUES, Venue

Raw = Mapping[str, object]

CANDLES = [
    "/v1/klines",
    "/v1/continuousKlines",
    "/v1/indexPriceKlines",
    "/v1/markPriceKlines",
    "/v1/premiumIndexKlines",
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
texts = ("BTCUSDT", "btcusdt", "BTCUSD", "BTCUSD_PERP", "5", "1500", "1m", "1M", "5m", "ALL")
integers = (5, 1, 2**62, -1, START_MS)
values = st.sampled_from([*texts, "PERPETUAL", *integers]) | scalars | st.lists(scalars, max_size=2)
keys = ("symbol", "pair", "contractType", "limit", "interval", "period", "startTime", "endTime")
names = st.sampled_from([*keys, "fromId", "recvWindow"])
golden_requests = st.dictionaries(names, values, max_size=6)
MARKETS = (
    linear_markets(),
    coin_markets(),
    *(sample_markets(venue, profile) for venue in VENUES for profile in (P2026Q1, CURRENT)),
)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.path or query.method)
def test_a_path_is_known_on_its_venues_only(query: Query) -> None:
    for venue, other in ((USDM, COINM), (COINM, USDM)):
        path = query.path_on(venue)
        if path is not None:
            assert find_path(venue, path) is query
            assert path.startswith((venue.rest_prefix, "/futures/data/"))
            if not query.absolute:
                assert find_path(other, path) is None, "under another venue's prefix"


@pytest.mark.parametrize("path", ["", "/", "/fapi", "/fapi/v1", "/fapi/v1/nothing", "/v1/ping"])
def test_other_paths_have_no_query(path: str) -> None:
    assert find_path(USDM, path) is None


def test_no_two_rows_serve_the_same_request() -> None:
    requested = [
        (venue.name, key)
        for query in QUERIES
        for venue in query.venues
        for key in (query.method, query.path)
        if key is not None
    ]
    assert len(requested) == len(set(requested)), "one row for each method and path of a venue"


@pytest.mark.parametrize(
    ("method", "raw", "weight"),
    [
        ("ping", {}, 1),
        ("time", {}, 1),
        ("ticker.price", {"symbol": "BTCUSDT"}, 1),
        ("ticker.price", {}, 2),
        ("ticker.book", {"symbol": "BTCUSDT"}, 2),
        ("ticker.book", {}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 5}, 2),
        ("depth", {"symbol": "BTCUSDT", "limit": "50"}, 2),
        ("depth", {"symbol": "BTCUSDT", "limit": 100}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 500}, 10),
        ("depth", {"symbol": "BTCUSDT"}, 10),
        ("depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
        ("depth", {"symbol": "BTCUSDT", "limit": 7}, 2),
        ("depth", {"symbol": "BTCUSDT", "limit": "many"}, 10),
    ],
)
def test_methods_weigh_what_is_documented(method: str, raw: dict[str, object], weight: int) -> None:
    assert by_method(method).weigh(raw) == weight


@pytest.mark.parametrize(
    ("path", "raw", "linear", "coin"),
    [
        ("/v1/ping", {}, 1, 1),
        ("/v1/time", {}, 1, 1),
        ("/v1/exchangeInfo", {}, 1, 1),
        ("/v1/depth", {"limit": "5"}, 2, 2),
        ("/v1/depth", {"limit": "1000"}, 20, 20),
        ("/v1/rpiDepth", {}, 20, None),
        ("/v1/trades", {}, 5, 5),
        ("/v1/historicalTrades", {}, 20, 20),
        ("/v1/aggTrades", {}, 20, 20),
        ("/v1/premiumIndex", {"symbol": "X"}, 1, 10),
        ("/v1/premiumIndex", {}, 10, 10),
        ("/v1/fundingRate", {}, 0, 1),
        ("/v1/fundingInfo", {}, 0, 1),
        ("/v1/ticker/price", {"symbol": "X"}, 1, 1),
        ("/v1/ticker/price", {}, 2, 2),
        ("/v2/ticker/price", {"symbol": "X"}, 1, None),
        ("/v2/ticker/price", {}, 2, None),
        ("/v1/ticker/bookTicker", {"symbol": "X"}, 2, 2),
        ("/v1/ticker/bookTicker", {}, 5, 5),
        ("/v1/ticker/24hr", {"symbol": "X"}, 1, 1),
        ("/v1/ticker/24hr", {}, 40, 40),
        ("/v1/openInterest", {}, 1, 1),
        ("/v1/constituents", {}, 2, 1),
        ("/v1/indexInfo", {}, 1, None),
        ("/v1/assetIndex", {"symbol": "X"}, 1, None),
        ("/v1/assetIndex", {}, 10, None),
        ("/v1/insuranceBalance", {}, 1, None),
        ("/v1/symbolAdlRisk", {}, 1, None),
        ("/v1/tradingSchedule", {}, 5, None),
        ("/futures/data/openInterestHist", {}, 0, 1),
        ("/futures/data/globalLongShortAccountRatio", {}, 0, 1),
        ("/futures/data/topLongShortAccountRatio", {}, 0, 1),
        ("/futures/data/topLongShortPositionRatio", {}, 0, 1),
        ("/futures/data/takerlongshortRatio", {}, 0, None),
        ("/futures/data/takerBuySellVol", {}, None, 1),
        ("/futures/data/basis", {}, 0, 1),
        ("/futures/data/delivery-price", {}, 0, None),
    ],
)
def test_paths_weigh_what_is_documented(
    path: str, raw: dict[str, object], linear: int | None, coin: int | None
) -> None:
    for venue, weight in ((USDM, linear), (COINM, coin)):
        if weight is None:
            assert not [each for each in QUERIES if each.path == path and venue in each.venues]
            continue
        query = by_path(venue, path)
        assert query.weigh(raw) == weight
        assert (query.allowance is None) == (weight > 0), "what weighs nothing is counted"


@pytest.mark.parametrize(
    ("limit", "weight"),
    [
        *(("1", 1), ("100", 1), ("101", 2), ("500", 2), ("501", 5), ("1000", 5)),
        *(("1001", 10), ("1500", 10), ("99999", 10)),
    ],
)
@pytest.mark.parametrize("path", CANDLES)
def test_candles_weigh_by_their_number(path: str, limit: str, weight: int) -> None:
    for venue in (USDM, COINM):
        assert by_path(venue, path).weigh({"limit": limit}) == weight


@pytest.mark.parametrize("path", CANDLES)
def test_candles_without_a_limit_weigh_what_production_charges(path: str) -> None:
    assert by_path(USDM, path).weigh({}) == 5, "measured, not the band of 500"


@given(raw=golden_requests)
def test_any_request_has_a_weight_and_a_response_or_an_error(raw: dict[str, object]) -> None:
    for markets in MARKETS:
        for query in QUERIES:
            if markets.venue not in query.venues:
                continue
            free = query.allowance is not None
            assert (0 if free else 1) <= query.weigh(raw) <= 40, "what has no allowance costs"
            with suppress(RequestError):
                encoded = msgspec.json.encode(query.respond(markets, raw))
                assert encoded[:1] in {b"{", b"["}, "an object or an array"


def unsent(name: str) -> tuple[int, str]:
    return -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def invalid(name: str) -> tuple[int, str]:
    return -1130, f"Data sent for parameter '{name}' is not valid."


def illegal(name: str, pattern: str) -> tuple[int, str]:
    return -1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'."


UNKNOWN = (-1121, "Invalid symbol.")
NO_DEPTH = (-4021, "7 is not valid depth limit")
BACKWARDS = (-1023, "Start time is greater than end time.")
NOT_TOGETHER = (-1128, "Combination of optional parameters invalid.")
TOO_OLD = (-4166, "Search window is restricted to recent 2 days only.")
TOO_LONG = (-4088, "Maximum time interval is 200 days.")
BTC: dict[str, object] = {"symbol": "BTCUSDT"}
MINUTES = BTC | {"interval": "1m"}
YEAR = {"interval": "1d", "startTime": "0", "endTime": "17280000001"}
REFUSALS: dict[Venue, list[tuple[str, Raw, tuple[int, str]]]] = {
    USDM: [
        *(("depth", raw, unsent("symbol")) for raw in ({}, {"symbol": ""}, {"symbol": None})),
        *(("depth", {"symbol": name}, UNKNOWN) for name in ("NOPEUSDT", "BTCU\u017fDT")),
        *(("depth", BTC | {"limit": limit}, NO_DEPTH) for limit in ("7", 7)),
        ("depth", BTC | {"limit": "five"}, illegal("limit", "^[0-9]{1,20}$")),
        *(("depth", BTC | {"limit": limit}, invalid("limit")) for limit in (5.0, True)),
        ("depth", {"symbol": ["BTCUSDT"]}, invalid("symbol")),
        ("depth", {"symbol": '["BTCUSDT"]'}, illegal("symbol", r"^[\w.-]{1,40}$")),
        ("ticker/price", {"symbol": ""}, (-1105, "Parameter 'symbol' was empty.")),
        ("ticker/price", {"symbol": "NOPEUSDT"}, UNKNOWN),
        *(("trades", BTC | {"limit": limit}, invalid("limit")) for limit in ("1001", "0")),
        ("klines", BTC, unsent("interval")),
        ("klines", BTC | {"interval": "1s"}, (-1120, "Invalid interval.")),
        ("klines", MINUTES | {"limit": "1501"}, invalid("limit")),
        ("klines", MINUTES | {"startTime": "2", "endTime": "1"}, BACKWARDS),
        ("aggTrades", BTC | {"startTime": "2", "endTime": "1"}, BACKWARDS),
        ("aggTrades", BTC | {"fromId": "1", "endTime": "1"}, NOT_TOGETHER),
        *(("aggTrades", BTC | {time: "1"}, TOO_OLD) for time in ("startTime", "endTime")),
        *(("indexInfo", {"symbol": name}, UNKNOWN) for name in ("BTCUSDT", "NOPEUSDT")),
        ("constituents", {"symbol": "DEFIUSDT"}, UNKNOWN),
        ("assetIndex", {"symbol": "BTCUSD"}, UNKNOWN),
        ("/futures/data/delivery-price", {"pair": "NOPEUSDT"}, (-4144, "Invalid pair.")),
    ],
    COINM: [
        ("ticker/price", {"symbol": "BTCUSD_PERP", "pair": "BTCUSD"}, NOT_TOGETHER),
        ("ticker/24hr", {"pair": "DOGEUSD"}, (-4087, "Invalid pair.")),
        ("constituents", {"symbol": "BTCUSD_PERP"}, (-4087, "Invalid pair.")),
        ("klines", {"symbol": "BTCUSD_PERP", **YEAR}, TOO_LONG),
        ("fundingRate", {}, unsent("symbol")),
    ],
}


@pytest.mark.parametrize(
    ("venue", "path", "raw", "refusal"),
    [(venue, *row) for venue, rows in REFUSALS.items() for row in rows],
    ids=str,
)
def test_refusals_have_the_exchange_s_codes_and_texts(
    venue: Venue, path: str, raw: Raw, refusal: tuple[int, str]
) -> None:
    with pytest.raises(RequestError) as refused:
        get(sample_markets(venue), path if path[0] == "/" else f"/v1/{path}", **raw)
    assert (refused.value.code, refused.value.message) == refusal
    assert refused.value.status == 400, "a question at fault is answered with HTTP 400"


def test_unknown_parameters_do_no_harm() -> None:
    extra: dict[str, object] = {
        "apiKey": "k",
        "timestamp": 1,
        "signature": "s",
        "recvWindow": 5000,
        "returnRateLimits": False,
    }
    markets = linear_markets()
    assert call(markets, "ticker.price", symbol="BTCUSDT", **extra) == call(
        markets, "ticker.price", symbol="BTCUSDT"
    )


def test_symbols_may_be_lower_case_and_are_returned_in_upper_case() -> None:
    markets = linear_markets()
    assert get(markets, "/v1/ticker/price", symbol="btcusdt") == get(
        markets, "/v1/ticker/price", symbol="BTCUSDT"
    )


@pytest.mark.parametrize("limit", ["5", 5])
def test_integers_may_be_text(limit: object) -> None:
    markets = linear_markets()
    assert call(markets, "depth", symbol="BTCUSDT", limit=limit) == get(
        markets, "/v1/depth", symbol="BTCUSDT", limit="5"
    )


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/v1/depth", "The book of ETHUSDT is not known: no snapshot yet."),
        ("/v1/ticker/bookTicker", "The best price of ETHUSDT is not known: no snapshot yet."),
        ("/v1/ticker/price", "The last price of ETHUSDT is not known: no trade yet."),
        ("/v1/ticker/24hr", "The last 24 hours of ETHUSDT is not known: no trade yet."),
        ("/v1/premiumIndex", "The mark price of ETHUSDT is not known: none was published."),
    ],
)
def test_a_market_that_cannot_say_yet_says_why_and_is_left_out_of_lists(
    path: str, what: str
) -> None:
    markets = markets_of(LINEAR, SECOND)
    open_market(markets.by_symbol["BTCUSDT"])
    with pytest.raises(RequestError) as refused:
        get(markets, path, symbol="ETHUSDT")
    assert refused.value.message == what
    assert (refused.value.code, refused.value.status) == (-1000, 503), "ask again later"
    if path != "/v1/depth":
        rows = get(markets, path)
        assert isinstance(rows, list)
        assert [row["symbol"] for row in rows] == ["BTCUSDT"], "only what is known is listed"


def test_a_market_that_has_seen_nothing_has_no_trades_and_no_candles() -> None:
    markets = markets_of(LINEAR)
    for path in ("/v1/trades", "/v1/aggTrades", "/v1/klines"):
        assert get(markets, path, symbol="BTCUSDT", interval="1h") == []
