from __future__ import annotations

from typing import Any

import pytest
from tuning import tuned

from tickerplant.errors import ConfigError
from tickerplant.feed.settings import ClientSettings, ConnectionSettings, check_settings


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"renewal_margin": 0},
        {"stale_ms": 5e3},
        {"delivery": "every", "copies": 2},
        {"max_connection_age_ms": 1_000},
    ],
)
def test_what_can_be_used_passes(changed: dict[str, Any]) -> None:
    check_settings(tuned(**changed))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"copies": 0},
            "invalid value 0 for settings.connections.copies: expected a whole number, at least 1",
        ),
        (
            {"copies": "2"},
            "invalid value '2' for settings.connections.copies: expected a whole number, at least 1",
        ),
        (
            {"copies": 1.5},
            "invalid value 1.5 for settings.connections.copies: expected a whole number, at least 1",
        ),
        (
            {"max_connection_age_ms": 0},
            "invalid value 0 for settings.connections.max_connection_age_ms: expected a whole number, at least 1000",
        ),
        (
            {"idle_ms": float("inf")},
            "invalid value inf for settings.connections.idle_ms: expected a whole number",
        ),
        (
            {"copies": True},
            "invalid value True for settings.connections.copies: expected a whole number, at least 1",
        ),
        ({"copies": 11}, "invalid value 11 for settings.connections.copies: expected at most 10"),
        (
            {"retry_base_ms": -1},
            "invalid value -1 for settings.retries.retry_base_ms: expected a whole number, at le",
        ),
        (
            {"reorder_ms": -1},
            "invalid value -1 for settings.retries.reorder_ms: expected a whole number, at least 0",
        ),
        (
            {"renewal_margin": 0.5},
            "invalid value 0.5 for settings.connections.renewal_margin: expected a number from 0 to less",
        ),
        (
            {"delivery": "newest"},
            "invalid value 'newest' for settings.connections.delivery: expected one of every, latest",
        ),
        (
            {"delivery": "latest", "copies": 2},
            "invalid value 2 for settings.connections.copies: expected 1 with delivery=latest",
        ),
        (
            {"renewal_margin": "a"},
            "invalid value 'a' for settings.connections.renewal_margin: expected a number from 0 to less",
        ),
    ],
)
def test_what_cannot_be_used_is_reported(changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        check_settings(tuned(**changed))


def test_what_are_no_settings_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"invalid value .'copies': 2. for settings"):
        check_settings({"copies": 2})


def test_a_group_that_is_another_is_reported() -> None:
    swapped: Any = {"retries": ConnectionSettings()}
    with pytest.raises(ConfigError, match=r"for settings\.retries: expected a RetrySettings"):
        check_settings(ClientSettings(**swapped))
