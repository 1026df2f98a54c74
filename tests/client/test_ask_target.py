"""Whether `ask` means a method of the WebSocket API or a path of REST."""

from __future__ import annotations

from typing import Any

import pytest

from tickerplant.client.ask_target import find_target
from tickerplant.errors import ConfigError
from tickerplant.queries import QUERIES
from tickerplant.venue import COINM, USDM, VENUES, Venue


@pytest.mark.parametrize(
    ("venue", "name", "is_rest"),
    [
        (USDM, "ticker.price", False),
        (USDM, "depth", False),
        (COINM, "depth", True),
        (COINM, "time", False),
        (USDM, "klines", True),
        (USDM, "v2/ticker/price", True),
        (USDM, "/fapi/v1/klines", True),
        (USDM, "/not/known", True),
        (USDM, "not.known", False),
    ],
)
def test_a_name_is_a_method_unless_only_rest_has_it(venue: Venue, name: str, is_rest: bool) -> None:
    target = find_target(venue, name)
    assert (target.name, target.is_rest, target.params) == (name, is_rest, {})


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_every_query_of_a_venue_is_found_by_its_names(venue: Venue) -> None:
    for query in QUERIES:
        if query.has_method(venue):
            assert not find_target(venue, query.method).is_rest
        path = query.path_on(venue)
        if path is not None:
            assert find_target(venue, path).is_rest


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("depth?symbol=A&limit=5", {"symbol": "A", "limit": 5}),
        ("depth?limit=five&x=5", {"limit": "five", "x": "5"}),
        ("/fapi/v1/depth?symbol=A%20B&limit=5", {"symbol": "A B", "limit": "5"}),
        ("klines?limit=5&startTime=", {"limit": "5", "startTime": ""}),
    ],
)
def test_a_query_string_gives_parameters_and_integers_to_methods(
    name: str, params: dict[str, object]
) -> None:
    assert find_target(USDM, name).params == params


@pytest.mark.parametrize("name", ["", None, 5, "https://fapi.binance.com/fapi/v1/depth", "ws://x"])
def test_what_is_no_name_is_reported(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"a method such as ticker\.price or a path"):
        find_target(USDM, name)
