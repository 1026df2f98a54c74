from __future__ import annotations

from typing import Any

import pytest

from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import (
    Hosts,
    environment_name,
    environment_names,
    hosts_of,
    venue_of_name,
)
from tickerplant.venue import COINM, USDM, VENUES, Venue


def test_without_a_base_it_is_the_exchange() -> None:
    assert hosts_of(USDM) == Hosts(
        USDM,
        "wss://fstream.binance.com",
        "wss://ws-fapi.binance.com/ws-fapi/v1",
        "https://fapi.binance.com",
    )
    assert hosts_of(COINM) == Hosts(
        COINM,
        "wss://dstream.binance.com",
        "wss://ws-dapi.binance.com/ws-dapi/v1",
        "https://dapi.binance.com",
    )


@pytest.mark.parametrize(
    ("base", "secure", "authority"),
    [
        ("ws://localhost:9001", "", "localhost:9001"),
        ("http://localhost:9001/", "", "localhost:9001"),
        ("HTTPS://Plant.Example", "s", "plant.example"),
        ("wss://plant.example:443/", "s", "plant.example:443"),
        ("ws://[::1]:9001", "", "[::1]:9001"),
        ("http://[::ffff:127.0.0.1]/", "", "[::ffff:127.0.0.1]"),
        ("http://my_plant:65535", "", "my_plant:65535"),
        ("ws://127.0.0.1:1", "", "127.0.0.1:1"),
    ],
)
@pytest.mark.parametrize("venue", VENUES)
def test_one_base_serves_everything(venue: Venue, base: str, secure: str, authority: str) -> None:
    assert hosts_of(venue, base) == Hosts(
        venue,
        f"ws{secure}://{authority}",
        f"ws{secure}://{authority}{venue.api_path}",
        f"http{secure}://{authority}",
    )


@pytest.mark.parametrize(
    "base",
    [
        "",
        "localhost:9001",
        "ftp://localhost",
        "ws:///stream",
        "ws://",
        "ws://localhost/stream",
        "ws://localhost//",
        "ws://localhost?streams=a",
        "ws://localhost#a",
        "ws://user:word@localhost",
        "ws://localhost:",
        "ws://localhost:0",
        "ws://localhost:65536",
        "ws://localhost:port",
        "ws://::1:9001",
        "ws://[::1",
        "ws://[::1::2]:9001",
        "ws://[::1%eth0]:9001",
        "ws://local host",
        "ws://localhost\n",
        " ws://localhost",
        "ws://-",
        "ws://plänt",
    ],
)
def test_anything_else_is_refused(base: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^invalid value .* for base_url: expected a URL with scheme ws"
    ):
        hosts_of(USDM, base)


def test_an_explicit_base_beats_the_environment_and_that_the_exchange() -> None:
    environ = {"TICKERPLANT_USDM_URL": "ws://there:1", "TICKERPLANT_COINM_URL": ""}
    assert hosts_of(USDM, "ws://here:1", environ=environ).streams == "ws://here:1"
    assert hosts_of(USDM, environ=environ).streams == "ws://there:1"
    assert hosts_of(COINM, environ=environ) == hosts_of(COINM), "an empty value is none"
    assert hosts_of(USDM, environ={}) == hosts_of(USDM)


@pytest.mark.parametrize("venue", VENUES)
def test_what_is_wrong_in_the_environment_is_called_by_its_name(venue: Venue) -> None:
    name = environment_name(venue)
    with pytest.raises(ConfigError, match=name) as caught:
        hosts_of(venue, environ={name: "there"})
    assert caught.value.setting == name


TESTNET = Hosts(
    USDM,
    "wss://fstream.binancefuture.com",
    "wss://testnet.binancefuture.com/ws-fapi/v1",
    "https://demo-fapi.binance.com",
)


def test_each_part_may_have_a_url_of_its_own() -> None:
    assert (
        hosts_of(
            USDM,
            stream_url="wss://fstream.binancefuture.com",
            rest_url="https://demo-fapi.binance.com/",
            api_url="wss://testnet.binancefuture.com/ws-fapi/v1/",
        )
        == TESTNET
    )
    environ = {
        "TICKERPLANT_USDM_STREAM_URL": "wss://fstream.binancefuture.com",
        "TICKERPLANT_USDM_REST_URL": "https://demo-fapi.binance.com",
        "TICKERPLANT_USDM_API_URL": "wss://testnet.binancefuture.com",
    }
    assert hosts_of(USDM, environ=environ) == TESTNET
    assert hosts_of(COINM, environ=environ) == hosts_of(COINM)


def test_the_url_of_a_part_beats_the_base_url_and_an_argument_the_environment() -> None:
    mixed = hosts_of(USDM, "ws://here:1", stream_url="wss://there")
    assert mixed == Hosts(USDM, "wss://there", "ws://here:1/ws-fapi/v1", "http://here:1")
    environ = {"TICKERPLANT_USDM_URL": "ws://one:1", "TICKERPLANT_USDM_REST_URL": "http://two:2"}
    found = hosts_of(USDM, environ=environ)
    assert found == Hosts(USDM, "ws://one:1", "ws://one:1/ws-fapi/v1", "http://two:2")
    found = hosts_of(USDM, api_url="ws://three:3", environ=environ)
    assert found == Hosts(USDM, "ws://one:1", "ws://three:3/ws-fapi/v1", "http://two:2")
    assert hosts_of(USDM, "ws://here:1", environ=environ) == hosts_of(USDM, "ws://here:1")


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("setting", ["stream_url", "rest_url", "api_url"])
def test_a_url_of_a_part_that_is_wrong_is_called_by_its_name(venue: Venue, setting: str) -> None:
    given: Any = {setting: "wss://there/ws-other/v1"}
    with pytest.raises(ConfigError, match=rf"for {setting}: expected a URL .*no path") as caught:
        hosts_of(venue, **given)
    assert (venue.api_path in str(caught.value)) == (setting == "api_url")
    name = environment_name(venue, setting)
    assert name in environment_names(venue)
    with pytest.raises(ConfigError, match=name):
        hosts_of(venue, environ={name: "there"})
    not_text: Any = {setting: 9001}
    with pytest.raises(ConfigError, match=f"invalid value 9001 for {setting}"):
        hosts_of(venue, **not_text)


def test_a_venue_is_found_by_its_name() -> None:
    assert [venue_of_name(name) for name in ("usdm", "coinm")] == [USDM, COINM]
    with pytest.raises(
        ConfigError, match=r"invalid value 'spot' for venue: expected usdm or coinm"
    ):
        venue_of_name("spot")
    with pytest.raises(ConfigError, match=r"usdm or coinm; did you mean usdm\?"):
        venue_of_name("USDM")
