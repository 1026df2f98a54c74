from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import TickerplantError
from tickerplant.explain.arguments import parse_argument, venue_of_name
from tickerplant.explain.catalogue_text import weight_range, weight_text
from tickerplant.explain.explanation import explain
from tickerplant.explain.stream_note import note_stream
from tickerplant.explain.text import lines_of
from tickerplant.instrument import CONTRACT_TYPES
from tickerplant.profile import CURRENT, P2026Q1, PROFILES, Profile
from tickerplant.protocol.api_session import SESSION_METHODS
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE, resolve
from tickerplant.streams.stream import Stream
from tickerplant.venue import COINM, USDM, VENUES, Venue


def names_of(row: Stream) -> list[str]:
    """Examples of a row: with a USDⓈ-M symbol, a COIN-M symbol, a COIN-M pair."""
    parts = row.pattern.parts.items()
    return [
        row.pattern.name(**{part: choices[0] if choices else symbol for part, choices in parts})
        for symbol in ("btcusdt", "btcusd_perp", "btcusd")
    ]


@pytest.mark.parametrize(
    ("text", "venue"),
    [
        ("wss://fstream.binance.com/ws", USDM),
        ("wss://dstream.binance.com/ws", COINM),
        ("wss://ws-dapi.binance.com/ws-dapi/v1", COINM),
        ("wss://testnet.binancefuture.com/ws-dapi/v1", COINM),
        ("https://dapi.binance.com/dapi/v1/ping", COINM),
        ("http://127.0.0.1:9002/ws", COINM),
        ("http://127.0.0.1:9001/stream", USDM),
        ("/dapi/v1/ping", COINM),
        ("/ws/btcusdt@trade", USDM),
        ("btcusd_perp@depth", COINM),
        ("btcusd_260626@depth", COINM),
        ("btcusd@indexPriceKline_1m", COINM),
        ("btcusdt@depth", USDM),
        ("adausd@assetIndex", USDM),
        ("ticker.book", USDM),
    ],
)
def test_the_venue_is_inferred_from_host_path_port_or_symbol(text: str, venue: Venue) -> None:
    assert parse_argument(text).venue is venue


@pytest.mark.parametrize("text", ["ftp://a/ws", "wss://", "wss://[::1/ws", "ws://a:99999/ws"])
def test_an_invalid_url_is_rejected_in_one_line(text: str) -> None:
    with pytest.raises(TickerplantError) as refused:
        parse_argument(text)
    assert "\n" not in str(refused.value)


@pytest.mark.heavy
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.pattern.text)
def test_every_stream_of_the_catalogue_is_explained(row: Stream, profile: Profile) -> None:
    notes = [note_stream(name, venue, profile) for name in names_of(row) for venue in VENUES]
    assert any(note.silent is None for note in notes), "some venue delivers it"
    for note in notes:
        assert bool(note.carries) == (note.speed_ms is not None)


@pytest.mark.heavy
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.pattern.text)
def test_a_stream_is_delivered_on_one_route_where_routes_are_split(
    row: Stream, profile: Profile
) -> None:
    routes = ("public", "market", "private")
    for name in names_of(row):
        for venue in VENUES:
            if note_stream(name, venue, profile).silent is not None:
                continue
            notes = [note_stream(name, venue, profile, route=each, strict=True) for each in routes]
            delivering = {
                each for each, note in zip(routes, notes, strict=True) if note.silent is None
            }
            known = resolve(venue, name)
            assert known is not None
            assert delivering == ({known[0].route} if profile.splits_routes(venue) else set(routes))


@given(st.text(max_size=30))
def test_any_text_is_explained_or_rejected(text: str) -> None:
    try:
        lines = list(lines_of(explain([text], CURRENT)))
    except TickerplantError as error:
        lines = [str(error)]
    assert lines


def test_a_symbol_of_coin_m_is_unknown_on_usdm_until_the_venues_are_one() -> None:
    silent = note_stream("btcusd_perp@aggTrade", USDM, P2026Q1).silent
    assert silent == "unknown symbol: it looks like a symbol of COIN-M"
    assert note_stream("btcusd_perp@aggTrade", USDM, CURRENT).silent == silent, (
        "trades are never shared"
    )
    assert note_stream("btcusd_perp@markPrice", USDM, CURRENT).silent is None


@pytest.mark.parametrize(
    ("name", "event", "array"),
    [
        ("btcusd@markPrice", "markPriceUpdate", True),
        ("btcusd_perp@markPrice", "markPriceUpdate", False),
        ("btcusd@indexPrice", "indexPriceUpdate", False),
        ("btcusdt@indexPrice", "IndexUpdate", False),
    ],
)
def test_a_pair_is_distinguished_from_a_symbol_by_its_form(
    name: str, event: str, array: bool
) -> None:
    note = note_stream(name, venue_of_name(name), P2026Q1)
    assert (note.events, note.array, note.silent) == ([event], array, None)


@pytest.mark.parametrize("contract_type", CONTRACT_TYPES)
@pytest.mark.parametrize(("pair", "venue"), [("btcusd", COINM), ("btcusdt", USDM)])
def test_the_venue_of_a_continuous_contract_is_that_of_its_pair(
    pair: str, venue: Venue, contract_type: str
) -> None:
    name = f"{pair}_{contract_type.lower()}@continuousKline_1m"
    assert venue_of_name(name) is venue
    assert note_stream(name, venue, P2026Q1).events == ["continuous_kline"]


@pytest.mark.heavy
def test_too_many_streams_in_a_url_are_a_remark() -> None:
    url = "/stream?streams=" + "/".join(f"s{n}" for n in range(1025))
    (address,) = explain([url], P2026Q1).addresses
    assert "error 4" in address.remarks[0]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.method or query.path)
def test_every_query_is_explained_on_its_venues(query: object) -> None:
    assert isinstance(query, type(QUERIES[0]))
    assert weight_text(query.weight)
    assert weight_range(query.weight)
    for venue in query.venues:
        path = query.path_on(venue)
        names = [path] if path else []
        names += [query.method] if query.method and query.has_method(venue) else []
        for request in explain(names, CURRENT, venue=venue).requests:
            assert request.returns == query.doc
            assert msgspec.json.encode(request)


@pytest.mark.parametrize("method", sorted(SESSION_METHODS))
def test_session_methods_are_explained(method: str) -> None:
    (request,) = explain([f"v1/{method}"], P2026Q1).requests
    assert (request.method, request.weight) == (method, LIMITS.session_weight)


@pytest.mark.parametrize(
    ("text", "strict", "well"),
    [
        ("/ws/btcusdt@aggTrade", False, True),
        ("/ws/btcusdt@aggTrade", True, False),
        ("/market/ws/btcusdt@aggTrade", True, True),
        ("/ws", False, True),
        ("/ws/btcusdt@trade/BTCUSDT@trade", False, False),
        ("BTCUSDT@trade", False, False),
        ("btcusdt@trade", False, True),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=7", False, False),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=5&more=1", False, True),
        ("/fapi/v1/depth", False, False),
        ("depth", False, True),
        ("session.logon", False, True),
        ("/ws-fapi/v1", False, True),
    ],
)
def test_an_explanation_is_ok_if_nothing_is_rejected_or_silent(
    text: str, strict: bool, well: bool
) -> None:
    assert explain([text], CURRENT, strict=strict, venue=USDM).is_ok == well


@pytest.mark.parametrize(
    "text",
    [
        "https://dapi.binance.com/dapi/v1/order",
        "/fapi/v3/account",
        "order.place",
        "/fapi/v1/listenKey",
        "POST /fapi/v1/order",
        "DELETE https://dapi.binance.com/dapi/v1/order?symbol=BTCUSD_PERP",
    ],
)
def test_orders_and_accounts_are_explained_as_refused(text: str) -> None:
    explained = explain([text], P2026Q1)
    assert not explained.is_ok
    assert "401 -2014 API-key format invalid." in "\n".join(lines_of(explained))
