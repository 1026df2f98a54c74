from __future__ import annotations

import re

import pytest

from tickerplant.errors import ConfigError
from tickerplant.faults.rule import Rule
from tickerplant.scenarios.library import library_names, library_scenario, library_text
from tickerplant.simulation.levers import LEVER_ROWS, Lever

NAMES = library_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_says_what_happened_what_it_does_and_what_to_survive(name: str) -> None:
    scenario = library_scenario(name)
    assert scenario.name == name
    assert scenario.origin == f"{name}.toml"
    assert all((scenario.happened, scenario.here, scenario.survive))
    assert 60_000 <= scenario.duration_ms <= 600_000
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


def test_there_are_many_of_them_with_titles_of_their_own() -> None:
    assert len(NAMES) >= 14
    assert len({library_scenario(name).title for name in NAMES}) == len(NAMES)


def test_every_lever_is_pulled_by_one_of_them() -> None:
    pulled = {
        change.action.row.name
        for name in NAMES
        for change in library_scenario(name).changes
        if isinstance(change.action, Lever)
    }
    assert pulled == {row.name for row in LEVER_ROWS}


def test_what_an_exchange_does_wrong_is_in_one_of_them() -> None:
    made = {
        change.action.kind
        for name in NAMES
        for change in library_scenario(name).changes
        if isinstance(change.action, Rule)
    }
    assert made >= {
        *("maintenance", "shutdown_notice", "reset", "close", "half_open", "stall", "refuse"),
        *("handshake", "limit_handshakes", "ban_handshakes", "silent", "no_ack"),
        *("latency", "bandwidth", "garbage", "invalid_utf8", "clock"),
        *("http", "http_429", "http_418", "http_503", "http_delay", "http_hang", "http_garbage"),
        *("api_error", "api_delay", "chain", "drop", "duplicate", "reorder", "delay"),
        *("missing_field", "fields", "words", "scale"),
        *("stale_snapshot", "crossed_book", "empty_book"),
    }


def test_a_misspelled_name_is_corrected() -> None:
    for read in (library_scenario, library_text):
        with pytest.raises(ConfigError, match=r"did you mean flash-crash\?"):
            read("flashcrash")
