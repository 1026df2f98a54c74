from __future__ import annotations

import pytest

from tickerplant.config.settings import AskSettings
from tickerplant.venue import COINM, USDM, Venue
from tickerplant.watching.arguments import hints_of, venue_of_streams, venue_of_url
from tickerplant.watching.ask import Request, parse_request


def question(name: str, *given: str, **settings: object) -> Request:
    return parse_request(AskSettings(**settings), name, given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "settings", "sent"),
    [
        ("depth", {}, "depth"),
        ("depth", {"rest": True}, "/fapi/v1/depth"),
        ("klines", {"rest": True}, "klines"),
        ("depth", {"rest": True, "venue": "coinm"}, "depth"),
        ("not.known", {"rest": True}, "/fapi/v1/not.known"),
    ],
)
def test_with_rest_a_method_is_sent_as_a_path(
    name: str, settings: dict[str, object], sent: str
) -> None:
    assert question(name, **settings).name == sent


@pytest.mark.parametrize(
    ("name", "given", "settings", "venue"),
    [
        ("depth", ("symbol=BTCUSDT",), {}, USDM),
        ("depth", ("symbol=btcusd_perp",), {}, COINM),
        ("basis", ("pair=BTCUSD",), {}, COINM),
        ("/dapi/v1/depth", (), {}, COINM),
        ("fapi/v1/depth", ("symbol=BTCUSD_PERP",), {}, USDM),
        ("depth", (), {"url": "ws://localhost:9002"}, COINM),
        ("depth", ("symbol=BTCUSD_PERP",), {"url": "https://fapi.binance.com"}, USDM),
        ("/dapi/v1/depth", (), {"venue": "usdm", "url": "ws://localhost:9002"}, USDM),
    ],
)
def test_the_venue_is_inferred_from_the_strongest_evidence(
    name: str, given: tuple[str, ...], settings: dict[str, object], venue: Venue
) -> None:
    assert question(name, *given, **settings).venue is venue


@pytest.mark.parametrize(
    ("name", "given", "params"),
    [
        ("depth", ("symbol=1", "limit=5"), {"symbol": "1", "limit": 5}),
        ("depth", ("limit=five",), {"limit": "five"}),
        ("depth", ("limit=true", "x=5"), {"limit": True, "x": "5"}),
        ("depth", ("limit=" + "9" * 30,), {"limit": "9" * 30}),
        ("depth", ("limit=-1", "symbol="), {"limit": -1, "symbol": ""}),
        ("depth?symbol=A&limit=5", (), {"symbol": "A", "limit": 5}),
        ("/fapi/v1/depth?symbol=A%20B", ("limit=5",), {"symbol": "A B", "limit": "5"}),
        ("klines", ("limit=5", "interval=1m"), {"limit": "5", "interval": "1m"}),
        ("not.known", ("limit=5", "a=b=c"), {"limit": "5", "a": "b=c"}),
    ],
)
def test_integers_are_numbers_in_the_websocket_api_and_text_in_rest(
    name: str, given: tuple[str, ...], params: dict[str, object]
) -> None:
    assert question(name, *given).params == params


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        (None, None),
        ("ws://127.0.0.1:9001", USDM),
        ("ws://127.0.0.1:9002", COINM),
        ("ws://127.0.0.1:9911", None),
        ("wss://dstream.binance.com", COINM),
        ("wss://FSTREAM.binance.com:443", USDM),
    ],
)
def test_the_venue_of_a_url_follows_from_its_port_or_host(
    url: str | None, venue: Venue | None
) -> None:
    assert venue_of_url(url) is venue


@pytest.mark.parametrize(
    ("names", "venue"),
    [
        (["btcusdt@trade"], USDM),
        (["btcusd_perp@trade", "btcusd@indexPriceKline_1m"], COINM),
        (["btcusd_perp@trade", "btcusdt@trade"], USDM),
        (["!miniTicker@arr"], USDM),
    ],
)
def test_streams_report_the_venue_if_they_agree(names: list[str], venue: Venue) -> None:
    assert venue_of_streams(names) is venue


def test_unknown_names_have_a_hint() -> None:
    hints = hints_of(USDM, ["btcusdt@trade", "BTCUSDT@trade", "x", "btcusd_perp@trade"])
    assert hints == {
        "BTCUSDT@trade": "unknown stream: names are case-sensitive: btcusdt@trade",
        "x": "unknown stream: no stream has this name",
        "btcusd_perp@trade": "unknown stream: its symbol has the form of one of COIN-M, not of USDⓈ-M",
    }
