from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.nearest import LONGEST, nearest, one_of, suggestion

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
def test_the_name_that_is_most_like_a_text_is_found_whatever_its_case(
    text: str, found: str
) -> None:
    assert nearest(text, NAMES) == found


@given(st.text(max_size=40))
def test_whatever_is_found_is_one_of_the_names(text: str) -> None:
    assert nearest(text, NAMES) in ("", *NAMES)


def test_a_suggestion_is_the_end_of_a_sentence_or_nothing() -> None:
    assert suggestion("sped", NAMES, "--{}") == "; did you mean --speed?"
    assert suggestion("zzz", NAMES) == ""


def test_what_is_possible_is_listed_before_what_was_probably_meant() -> None:
    assert one_of("sped", ["speed", "limit"]) == "one of speed, limit; did you mean speed?"
    assert one_of("zzz", ["speed", "limit"]) == "one of speed, limit"
