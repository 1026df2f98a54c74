from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.suggestions import LONGEST, closest_match, one_of, suggestion

NAMES = ("speed", "seed", "symbols", "BTCUSDT", "ETHUSDT", "2026q1")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sped", "speed"),
        ("SPEED", "speed"),
        ("simbols", "symbols"),
        ("btcustd", "BTCUSDT"),
        ("2026q9", "2026q1"),
        ("zzz", ""),
        ("", ""),
        ("symbols" * LONGEST, ""),
    ],
)
def test_the_most_similar_name_is_found_ignoring_case(text: str, found: str) -> None:
    assert closest_match(text, NAMES) == found


@given(st.text(max_size=40))
def test_a_match_is_always_one_of_the_names(text: str) -> None:
    assert closest_match(text, NAMES) in ("", *NAMES)


def test_a_suggestion_ends_a_sentence_or_is_empty() -> None:
    assert suggestion("sped", NAMES, "--{}") == "; did you mean --speed?"
    assert suggestion("zzz", NAMES) == ""


def test_names_that_are_about_as_similar_are_suggested_together() -> None:
    assert suggestion("relais", ["relay", "replay", "record"]) == "; did you mean relay or replay?"
    tables = ["trades", "trade", "trader", "traders", "klines"]
    assert suggestion("tradez", tables).count(",") == 1
    assert suggestion("tradez", tables).startswith("; did you mean trade")


def test_all_names_are_listed_before_the_suggestion() -> None:
    assert one_of("sped", ["speed", "limit"]) == "one of speed, limit; did you mean speed?"
    assert one_of("zzz", ["speed", "limit"]) == "one of speed, limit"
