"""`point` on objects that have the shape of public libraries; the real ones are in `make compat`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from programs import ended

from tickerplant.errors import ConfigError
from tickerplant.testing import point
from tickerplant.testing.pointing import COINM_URL, ELSEWHERE, USDM_URL
from tickerplant.venue import COINM, USDM, VENUES

OF_A_CLASS = {"__dict__", "__weakref__"}


class Part:
    """A part that a client has, such as its WebSocket API connection."""

    def __init__(self, url: str) -> None:
        self._url = url


class BaseClient:
    """The addresses of python-binance: in classes, with gaps for the top-level domain."""

    API_URL = "https://api{}.binance.{}/api"
    FUTURES_URL = "https://fapi.binance.{}/fapi"
    FUTURES_TESTNET_URL = "https://testnet.binancefuture.com/fapi"
    FUTURES_COIN_URL = "https://dapi.binance.{}/dapi"
    FUTURES_DATA_URL = "https://fapi.binance.{}/futures/data"
    FUTURES_COIN_DATA_TESTNET_URL = "https://testnet.binancefuture.com/futures/data"
    WS_FUTURES_URL = "wss://ws-fapi.binance.{}/ws-fapi/v1"
    tld = "com"


class Client(BaseClient):
    """A client: its addresses are filled in when it is made."""

    https_proxy: str | None = None

    def __init__(self) -> None:
        self.API_URL = self.API_URL.format("", "com")
        self.FUTURES_URL = self.FUTURES_URL.format("com")
        self.ws_future = Part(self.WS_FUTURES_URL.format("com"))


class Manager:
    """The streams of python-binance."""

    STREAM_URL = "wss://stream.binance.{}:9443/"
    FSTREAM_URL = "wss://fstream.binance.{}/"
    DSTREAM_DEMO_URL = "wss://dstream.binancefuture.com/"


class Exchange:
    """An exchange object of ccxt: its addresses are in dictionaries within each other."""

    def __init__(self) -> None:
        self.id = "binance"
        self.urls: dict[str, Any] = {
            "logo": "https://example.org/logo.png",
            "doc": ["https://developers.binance.com/en"],
            "api": {
                "sapi": " https://api.binance.com/sapi/v1",
                "public": "https://api.binance.com/api/v3",
                "fapiPrivateV3": "https://fapi.binance.com/fapi/v3",
                "dapiPrivate": "https://dapi.binance.com/dapi/v1",
                "dapiData": "https://dapi.binance.com/futures/data",
                "fapiData": "https://fapi.binance.com/futures/data",
                "ws": {
                    "spot": "wss://stream.binance.com:9443/ws",
                    "linear": "wss://fstream.binance.com/ws",
                    "inverse": "wss://dstream.binance.com/ws",
                    "option": "wss://fstream.binance.com/public/ws",
                    "papi": "wss://fstream.binance.com/pm/ws",
                    "ws-api": {"inverse": "wss://ws-dapi.binance.com/ws-dapi/v1"},
                },
            },
            "test": {"fapiPublic": "https://testnet.binancefuture.com/fapi/v1"},
            "demo": {"ws": {"linear": "wss://fstream.binancefuture.com/ws"}},
        }
        self.options: dict[str, Any] = {
            "fetchCurrencies": True,
            "fetchMarkets": {"types": ["spot", "linear", "inverse", "option"]},
        }
        self.clients: dict[str, object] = {}
        self.http_proxy: str | None = None


@pytest.fixture
def python_binance(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with fresh classes, which `point` may change."""
    library, streams = ModuleType("binance_like"), ModuleType("binance_like.streams")
    for each in (BaseClient, Client, Manager, Part):
        bases = (library.BaseClient,) if each is Client else ()
        members = {key: value for key, value in vars(each).items() if key not in OF_A_CLASS}
        copied = type(each.__name__, bases, {**members, "__module__": "binance_like"})
        setattr(streams if each is Manager else library, each.__name__, copied)
    monkeypatch.setitem(sys.modules, library.__name__, library)
    monkeypatch.setitem(sys.modules, streams.__name__, streams)
    return library


def every_url(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from every_url(each)


def test_every_url_of_an_exchange_object_is_one_of_the_server() -> None:
    exchange = Exchange()
    assert point(exchange) is exchange
    urls = list(every_url(exchange.urls))
    strangers = [url for url in urls if not re.match(r"(http|ws)://127\.0\.0\.1:900[12]/", url)]
    assert not strangers
    api = exchange.urls["api"]
    assert api["fapiPrivateV3"] == f"{USDM_URL}/fapi/v3", "signed paths too"
    assert api["dapiPrivate"] == f"{COINM_URL}/dapi/v1"
    assert (api["fapiData"], api["dapiData"]) == (
        f"{USDM_URL}/futures/data",
        f"{COINM_URL}/futures/data",
    )
    assert api["ws"]["linear"] == exchange.urls["demo"]["ws"]["linear"] == "ws://127.0.0.1:9001/ws"
    assert api["ws"]["inverse"] == "ws://127.0.0.1:9002/ws"
    assert api["ws"]["ws-api"]["inverse"] == "ws://127.0.0.1:9002/ws-dapi/v1"


def test_what_the_server_does_not_stand_for_leads_to_nothing_there_and_names_the_host() -> None:
    api = point(Exchange()).urls["api"]
    assert api["sapi"] == f"{USDM_URL}{ELSEWHERE}/api.binance.com/sapi/v1"
    assert api["ws"]["spot"] == f"ws://127.0.0.1:9001{ELSEWHERE}/stream.binance.com/ws"
    assert api["ws"]["papi"] == f"ws://127.0.0.1:9001{ELSEWHERE}/fstream.binance.com/pm/ws"


def test_an_exchange_object_asks_neither_spot_nor_wallet_while_it_loads_markets() -> None:
    options = point(Exchange()).options
    assert options["fetchCurrencies"] is options["fetchMargins"] is False
    assert options["fetchMarkets"]["types"] == ["linear", "inverse"]


def test_pointing_twice_changes_nothing_but_a_new_server() -> None:
    exchange = point(Exchange())
    before = list(every_url(exchange.urls))
    assert list(every_url(point(exchange).urls)) == before


@pytest.mark.parametrize(
    ("given", "rest", "websocket"),
    [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001", "ws://127.0.0.1:5001"),
        ("ws://[::1]:5001/", "http://[::1]:5001", "ws://[::1]:5001"),
        ("https://plant.example:5001", "https://plant.example:5001", "wss://plant.example:5001"),
    ],
)
def test_the_scheme_of_the_server_is_that_of_all_urls(
    given: str, rest: str, websocket: str
) -> None:
    api = point(Exchange(), usdm=given, coinm=given).urls["api"]
    assert api["fapiPrivateV3"] == f"{rest}/fapi/v3"
    assert api["ws"]["linear"] == f"{websocket}/ws"


def test_a_module_is_pointed_with_all_its_classes(python_binance: Any) -> None:
    point(python_binance)
    client = python_binance.Client
    assert client.FUTURES_URL == f"{USDM_URL}/fapi" == client.FUTURES_TESTNET_URL
    assert f"{COINM_URL}/dapi" == client.FUTURES_COIN_URL
    assert f"{COINM_URL}/futures/data" == client.FUTURES_COIN_DATA_TESTNET_URL
    assert client.API_URL.format("1", "us") == f"{USDM_URL}{ELSEWHERE}/api.binance/api"
    assert client.WS_FUTURES_URL == "ws://127.0.0.1:9001/ws-fapi/v1"
    manager = sys.modules["binance_like.streams"].Manager
    assert manager.FSTREAM_URL == "ws://127.0.0.1:9001/"
    assert manager.DSTREAM_DEMO_URL == "ws://127.0.0.1:9002/"


def test_an_object_is_pointed_with_its_parts_and_its_classes(python_binance: Any) -> None:
    class OfABot(python_binance.Client):  # type: ignore[misc]  # what a bot makes of it
        def __init__(self) -> None:
            self.FUTURES_URL = "https://fapi.binance.com/fapi"
            self.ws_future = python_binance.Part("wss://ws-fapi.binance.com/ws-fapi/v1")

    client = point(OfABot())
    assert f"{USDM_URL}/fapi" == client.FUTURES_URL
    assert client.ws_future._url == "ws://127.0.0.1:9001/ws-fapi/v1"
    assert f"{USDM_URL}/fapi" == client.FUTURES_TESTNET_URL, "what testnet=True would use"


def test_an_address_that_cannot_be_replaced_is_named() -> None:
    class Fixed(Exchange):
        backup = "https://fapi2.binance.com/fapi"

        def __setattr__(self, name: str, value: object) -> None:
            if name == "extra" and hasattr(self, "extra"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    fixed = Fixed()
    fixed.extra = "https://api9.binance.com/fapi"
    with pytest.raises(ConfigError, match=r"api9\.binance\.com.* for binance\.extra"):
        point(fixed)


@pytest.mark.parametrize("nothing", [object(), ModuleType("binance_connector"), {}, "ccxt"])
def test_what_has_no_address_of_futures_is_refused(nothing: object) -> None:
    with pytest.raises(ConfigError, match="for client: expected an exchange object of ccxt"):
        point(nothing)


def test_another_exchange_is_refused_and_left_as_it_is() -> None:
    exchange = Exchange()
    exchange.urls = {"api": {"public": "https://api.bybit.com"}}
    with pytest.raises(ConfigError, match="for client"):
        point(exchange)
    assert exchange.urls == {"api": {"public": "https://api.bybit.com"}}


@pytest.mark.parametrize(
    "url",
    [
        "https://fapi.binance.com",
        "https://demo-fapi.binance.com",
        "https://testnet.binancefuture.com",
        "127.0.0.1:9001",
        "http://127.0.0.1:9001/fapi/v1",
        "http://",
        "http://user@127.0.0.1:9001",
    ],
)
def test_a_url_of_the_exchange_or_none_at_all_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="for coinm: expected the URL of a server of yours"):
        point(Exchange(), coinm=url)


def test_a_proxy_of_the_client_is_refused() -> None:
    exchange = Exchange()
    exchange.http_proxy = "http://proxy.example:3128"
    with pytest.raises(ConfigError, match=r"for binance\.http_proxy: expected no proxy"):
        point(exchange)


def test_a_proxy_of_the_environment_is_refused_unless_the_server_is_excepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    with pytest.raises(ConfigError, match=r"http_proxy: expected no proxy for 127\.0\.0\.1"):
        point(Exchange())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    point(Exchange())


def test_an_exchange_object_that_is_connected_already_is_refused() -> None:
    exchange = Exchange()
    exchange.clients = {"wss://fstream.binance.com/ws": object()}
    with pytest.raises(ConfigError, match="for clients: expected an exchange object that is not"):
        point(exchange)


def test_the_paths_and_ports_are_those_of_the_venues() -> None:
    exchange = Exchange()
    exchange.urls["api"] = {
        f"{venue.name} {name}": url
        for venue in VENUES
        for name, url in {
            "rest": f"https://{venue.rest_host}{venue.rest_prefix}/v1",
            "api": f"wss://{venue.api_host}{venue.api_path}",
            "streams": f"wss://{venue.stream_host}/stream",
        }.items()
    }
    api = point(exchange).urls["api"]
    for venue, base in ((USDM, USDM_URL), (COINM, COINM_URL)):
        assert base == f"http://127.0.0.1:{venue.default_port}"
        streams = base.replace("http", "ws")
        assert api[f"{venue.name} rest"] == f"{base}{venue.rest_prefix}/v1"
        assert api[f"{venue.name} api"] == f"{streams}{venue.api_path}"
        assert api[f"{venue.name} streams"] == f"{streams}/stream"


@pytest.mark.sockets
def test_it_imports_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; known = set(sys.modules); from tickerplant.testing import point; "
        "print({name.partition('.')[0] for name in set(sys.modules) - known} "
        "- sys.stdlib_module_names)"
    )
    done = ended("-c", program)
    assert done.stdout.strip() == "{'tickerplant'}"
