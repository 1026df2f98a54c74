from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import TickerplantError
from tickerplant.explain.arguments import CannotExplain, parse_argument, venue_of_name
from tickerplant.explain.catalogue_text import weight_range, weight_text
from tickerplant.explain.explanation import explain
from tickerplant.explain.stream_note import note_stream
from tickerplant.explain.text import lines_of
from tickerplant.instrument import CONTRACT_TYPES
from tickerplant.profile import CURRENT, P2026Q1, P2026Q2, PROFILES, Profile
from tickerplant.protocol.api_session import SESSION_METHODS
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.target import StreamTarget, parse_target
from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE, resolve
from tickerplant.streams.spelling import spelling_error, unknown_reason
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


def test_an_explicit_venue_wins() -> None:
    assert parse_argument("wss://fstream.binance.com/ws", COINM).venue is COINM
    assert parse_argument("btcusdt@depth", COINM).venue is COINM


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
    assert any(note.exists for note in notes), "some venue delivers it"
    for note in notes:
        assert note.exists == (note.silent is None)
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
            if not note_stream(name, venue, profile).exists:
                continue
            notes = [note_stream(name, venue, profile, route=each, strict=True) for each in routes]
            delivering = {
                each for each, note in zip(routes, notes, strict=True) if note.silent is None
            }
            known = resolve(venue, name)
            assert known is not None
            assert delivering == ({known[0].route} if profile.splits_routes(venue) else set(routes))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTCUSDT@trade", "names are case-sensitive: btcusdt@trade"),
        ("btcusdt@aggtrade", "names are case-sensitive: btcusdt@aggTrade"),
        ("!miniticker@arr", "names are case-sensitive: !miniTicker@arr"),
        ("btcusdt@depth@250ms", "its speed is one of 100, 500, not 250; the one of 250 ms is"),
        ("btcusdt@depth7", "its levels is one of 5, 10, 20, not 7"),
        ("btcusdt@kline_2m", "its interval is one of 1m, 3m,"),
        ("btcusdt@minitiker", "did you mean btcusdt@miniTicker?"),
        ("hello", "no stream has this name"),
        ("", "no stream has this name"),
        (" btcusdt@trade", "a name contains no blanks: btcusdt@trade"),
        ("btcusdt@trade\n", "a name contains no blanks: btcusdt@trade"),
        ("btc usdt@trades", "a name contains no blanks"),
        ("btcusdt@trade/ethusdt@depth", "several names in one; only a URL joins them by /"),
    ],
)
def test_an_unknown_name_is_explained_with_what_is_wrong(name: str, expected: str) -> None:
    assert expected in spelling_error(USDM, name)


def test_a_stream_of_the_other_venue_is_recognised() -> None:
    assert spelling_error(COINM, "tradingSession") == "a stream of USDⓈ-M, not of COIN-M"
    assert unknown_reason(COINM, "tradingSession") == "a stream of USDⓈ-M, not of COIN-M"


@pytest.mark.parametrize(
    ("venue", "name", "expected"),
    [
        (USDM, "btcusd_perp@bookTicker", "its symbol has the form of one of COIN-M, not of USDⓈ-M"),
        (COINM, "btcusdt@trade", "its symbol has the form of one of USDⓈ-M, not of COIN-M"),
        (COINM, "btcusdt@indexPrice", "its symbol has the form of one of USDⓈ-M, not of COIN-M"),
        (USDM, "btcusdt@trade", ""),
        (USDM, "btcusdt_261225@depth", ""),
        (USDM, "btcusd@assetIndex", ""),
        (USDM, "!bookTicker", ""),
        (COINM, "btcusd_perp@trade", ""),
        (COINM, "btcusd_261225@kline_1m", ""),
        (COINM, "btcusd@indexPrice", ""),
    ],
)
def test_a_symbol_of_the_other_venue_is_recognised(venue: Venue, name: str, expected: str) -> None:
    assert unknown_reason(venue, name) == expected


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


def test_a_pair_is_not_a_symbol() -> None:
    note = note_stream("btcusd@trade", COINM, P2026Q1)
    assert note.silent == "unknown symbol: the stream is not available for symbols of this form"


def test_the_wrong_route_is_silent_if_strict_and_a_remark_if_lenient() -> None:
    url = "wss://fstream.binance.com/public/ws/btcusdt@aggTrade"
    (strict,) = explain([url], P2026Q2, strict=True).addresses
    assert strict.streams[0].silent == "wrong route: delivered under /market only"
    (lenient,) = explain([url], P2026Q2).addresses
    assert lenient.streams[0].silent is None
    assert lenient.streams[0].remark == "on the exchange delivered under /market only"
    (before,) = explain([url], P2026Q1, strict=True).addresses
    assert (before.streams[0].silent, before.streams[0].remark) == (None, None)


@pytest.mark.heavy
@given(
    counts=st.tuples(st.integers(0, 1100), st.integers(0, 1100), st.integers(0, 1100)),
    profile=st.sampled_from([P2026Q1, CURRENT]),
)
@settings(max_examples=12)
def test_connections_contain_every_stream_once_within_the_limits(
    counts: tuple[int, int, int], profile: Profile
) -> None:
    depths, trades, inverse = counts
    names = [f"s{n}usdt@depth" for n in range(depths)]
    names += [f"s{n}usdt@aggTrade" for n in range(trades)]
    names += [f"s{n}usd_perp@depth" for n in range(inverse)]
    found = explain([*names, *names], profile).connections
    assert sum(each.streams for each in found) == len(names)
    assert all(0 < each.streams <= LIMITS.max_streams for each in found)
    whole = [depths, trades] if profile.split_routes else [depths + trades]
    assert len(found) == sum(-(-count // LIMITS.max_streams) for count in (*whole, inverse))
    for each in found:
        path = each.url.partition("127.0.0.1")[2].partition("/")
        target = parse_target("/" + path[2], COINM if each.venue == "coinm" else USDM)
        assert isinstance(target, StreamTarget)
        assert target.route == each.route
        assert len(target.names) == (each.streams if each.names_fit else 0)


@pytest.mark.heavy
def test_too_many_streams_in_a_url_are_a_remark() -> None:
    url = "/stream?streams=" + "/".join(f"s{n}" for n in range(1025))
    (address,) = explain([url], P2026Q1).addresses
    assert "error 4" in address.remarks[0]


def test_a_request_is_explained_with_its_weight_and_why_it_is_rejected() -> None:
    url = "https://fapi.binance.com/fapi/v1/klines?symbol=BTCUSDT&limit=2000&foo=1"
    (request,) = explain([url], P2026Q1).requests
    assert (request.path, request.weight) == ("/fapi/v1/klines", 10)
    assert request.remarks == [
        "rejected: -1102 Mandatory parameter 'interval' was not sent, was empty/null, or malformed.",
        "rejected: -1130 Data sent for parameter 'limit' is not valid.",
        "foo is ignored",
    ]
    given_values = {param.name: param.given for param in request.params}
    assert given_values["symbol"] == "BTCUSDT"
    (keyed,) = explain(["/dapi/v1/historicalTrades"], P2026Q1).requests
    assert keyed.keyed
    (funding,) = explain(["/fapi/v1/fundingRate"], P2026Q1).requests
    assert funding.allowance == "500 funding requests per 5 minutes"


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


def test_the_websocket_api_is_explained_by_its_methods() -> None:
    (usdm,) = explain(["wss://ws-fapi.binance.com/ws-fapi/v1"], P2026Q1).addresses
    (coinm,) = explain(["wss://ws-dapi.binance.com/ws-dapi/v1"], P2026Q1).addresses
    assert "ticker.book" in usdm.methods
    assert coinm.methods == ["ping", "time"]


def test_an_unknown_path_is_rejected() -> None:
    with pytest.raises(CannotExplain, match="Nothing is served at /fapi/v1/nothing"):
        explain(["https://fapi.binance.com/fapi/v1/nothing"], P2026Q1)


def test_an_invalid_argument_is_listed_in_its_place_and_the_others_are_explained() -> None:
    given_texts = ["/ws/btcusdt@trade", "/no", "ftp://x/ws", "\udcff@trade", "/ws", "ethusdt@trade"]
    explanation = explain(given_texts, P2026Q1)
    assert [(each.given, each.kind) for each in explanation.addresses] == [
        ("/ws/btcusdt@trade", "streams"),
        ("/no", "refused"),
        ("ftp://x/ws", "refused"),
        ("\\xff@trade", "refused"),
        ("/ws", "streams"),
    ]
    assert [note.stream for note in explanation.streams] == ["ethusdt@trade"]
    lines = list(lines_of(explanation))
    place = lines.index("/no")
    assert lines[place + 1].startswith("  ! 404 Nothing is served at /no; ")
    assert "\n".join(lines).encode(), "it can be printed"
    assert not explanation.is_ok


def test_all_failures_are_named_if_nothing_can_be_explained() -> None:
    with pytest.raises(CannotExplain, match=r"served at /no;.*'ftp://x/ws' is not a URL"):
        explain(["/no", "ftp://x/ws"], P2026Q1)


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


def test_parameters_of_our_own_are_explained() -> None:
    url = "ws://127.0.0.1:9001/stream?streams=btcusdt@trade&delivery=drop-oldest&stamps=1"
    (address,) = explain([url], P2026Q1).addresses
    assert [each.partition(",")[0] for each in address.remarks] == [
        "delivery=drop-oldest",
        "stamps=1",
    ]
    with pytest.raises(CannotExplain, match="expected every, latest or drop-oldest"):
        explain([url.replace("drop-oldest", "fastest")], P2026Q1)


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


def test_a_request_with_an_http_method_is_explained_as_that_request() -> None:
    (order, depth) = explain(
        ["DELETE /fapi/v1/order", "GET /fapi/v1/depth?limit=5"], P2026Q1
    ).requests
    assert (order.weight, order.weight_rule) == (1, "DELETE 1")
    assert (depth.path, depth.weight) == ("/fapi/v1/depth", 2)


@pytest.mark.parametrize("text", ["PATCH /fapi/v1/order", "POST /fapi/v1/depth?symbol=BTCUSDT"])
def test_an_http_method_that_a_path_does_not_have_is_explained_as_rejected(text: str) -> None:
    method, path = text.partition("?")[0].split()
    explained = explain([text], P2026Q1)
    assert not explained.is_ok
    expected = f"405 -5000 Path {path}, Method {method} is invalid"
    assert expected in "\n".join(lines_of(explained))


def test_an_http_method_before_a_stream_is_no_request() -> None:
    with pytest.raises(CannotExplain, match="no request that REST has"):
        explain(["POST /ws/btcusdt@trade"], P2026Q1)
