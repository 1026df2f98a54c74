from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from tickerplant.errors import ConfigError
from tickerplant.feed.settings import FeedSettings, check_settings


@pytest.mark.parametrize(
    "changed", [{}, {"renewal_margin": 0}, {"stale_ms": 5e3}, {"max_connection_age_ms": 1_000}]
)
def test_what_can_be_used_passes(changed: dict[str, Any]) -> None:
    check_settings(structs.replace(FeedSettings(), **changed))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"copies": 0}, "copies: invalid value 0, expected a whole number, at least 1"),
        ({"copies": "2"}, "copies: invalid value '2', expected a whole number, at least 1"),
        ({"copies": 1.5}, "copies: invalid value 1.5, expected a whole number, at least 1"),
        (
            {"max_connection_age_ms": 0},
            "max_connection_age_ms: invalid value 0, expected a whole number, at least 1000",
        ),
        ({"idle_ms": float("inf")}, "idle_ms: invalid value inf, expected a whole number"),
        ({"copies": True}, "copies: invalid value True, expected a whole number, at least 1"),
        ({"copies": 11}, "copies: invalid value 11, expected at most 10"),
        ({"retry_base_ms": -1}, "retry_base_ms: invalid value -1, expected a whole number, at le"),
        ({"reorder_ms": -1}, "reorder_ms: invalid value -1, expected a whole number, at least 0"),
        (
            {"renewal_margin": 0.5},
            "renewal_margin: invalid value 0.5, expected a number from 0 to less",
        ),
        (
            {"renewal_margin": "a"},
            "renewal_margin: invalid value 'a', expected a number from 0 to less",
        ),
    ],
)
def test_what_cannot_be_used_is_reported(changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        check_settings(structs.replace(FeedSettings(), **changed))


def test_what_are_no_settings_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"settings: invalid value .'copies': 2."):
        check_settings({"copies": 2})
