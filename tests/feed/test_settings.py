from __future__ import annotations

import re
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


COUNT = "expected a whole number, at least 1"


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        *(("connections.copies", each, COUNT) for each in (0, "2", 1.5, True)),
        ("connections.copies", 11, "expected at most 10"),
        ("connections.max_connection_age_ms", 0, "expected a whole number, at least 1000"),
        ("connections.idle_ms", float("inf"), "expected a whole number"),
        ("retries.retry_base_ms", -1, "expected a whole number, at le"),
        ("retries.reorder_ms", -1, "expected a whole number, at least 0"),
        *(
            ("connections.renewal_margin", each, "expected a number from 0 to less")
            for each in (0.5, "a")
        ),
        ("connections.delivery", "newest", "expected one of every, latest"),
    ],
)
def test_what_cannot_be_used_is_reported(setting: str, value: Any, expected: str) -> None:
    wrong = re.escape(f"invalid value {value!r} for settings.{setting}: {expected}")
    with pytest.raises(ConfigError, match=wrong):
        check_settings(tuned(**{setting.rpartition(".")[2]: value}))


def test_the_latest_is_delivered_by_one_copy() -> None:
    with pytest.raises(ConfigError, match=r"2 for .*\.copies: expected 1 with delivery=latest"):
        check_settings(tuned(delivery="latest", copies=2))


def test_what_are_no_settings_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"invalid value .'copies': 2. for settings"):
        check_settings({"copies": 2})


def test_a_group_that_is_another_is_reported() -> None:
    swapped: Any = {"retries": ConnectionSettings()}
    with pytest.raises(ConfigError, match=r"for settings\.retries: expected a RetrySettings"):
        check_settings(ClientSettings(**swapped))
