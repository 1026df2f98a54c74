from __future__ import annotations

import pytest

from tickerplant.errors import ConfigError
from tickerplant.feed.hosts import Hosts, environment_name, hosts_of, venue_of_name
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
    assert hosts_of(USDM, "ws://here:1", environ).streams == "ws://here:1"
    assert hosts_of(USDM, None, environ).streams == "ws://there:1"
    assert hosts_of(COINM, None, environ) == hosts_of(COINM), "an empty value is none"
    assert hosts_of(USDM, None, {}) == hosts_of(USDM)


@pytest.mark.parametrize("venue", VENUES)
def test_what_is_wrong_in_the_environment_is_called_by_its_name(venue: Venue) -> None:
    name = environment_name(venue)
    with pytest.raises(ConfigError, match=name) as caught:
        hosts_of(venue, None, {name: "there"})
    assert caught.value.setting == name


def test_a_venue_is_found_by_its_name() -> None:
    assert [venue_of_name(name) for name in ("usdm", "coinm")] == [USDM, COINM]
    with pytest.raises(
        ConfigError, match=r"invalid value 'spot' for venue: expected usdm or coinm"
    ):
        venue_of_name("spot")
