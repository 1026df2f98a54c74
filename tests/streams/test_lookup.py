from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from tickerplant.streams import CATALOGUE, matches
from tickerplant.streams.lookup import Lookup, Match
from tickerplant.streams.pattern import Pattern
from tickerplant.venue import USDM, VENUES, Venue

HEADS = (
    "btcusdt",
    "btcusd_perp",
    "BTCUSDT",
    "\u017f",
    "一",
    "btcusdt_perpetual",
    "_perpetual",
    "a b",
    "!",
)
TAILS = sorted(
    {
        stream.pattern.name(
            **dict(zip(stream.pattern.parts, chosen, strict=True)),
        )
        for stream in CATALOGUE
        for chosen in itertools.product(
            *(choices or ("x",) for choices in stream.pattern.parts.values())
        )
    }
)
ODD = st.text("ab\u017f1_@!/ \nxm", max_size=12)
NAMES = st.one_of(
    ODD,
    st.builds(
        lambda name, head: head + name.removeprefix("x"),
        st.sampled_from(TAILS),
        st.sampled_from(HEADS),
    ),
    st.builds(
        lambda name, at, odd: name[:at] + odd + name[at:],
        st.sampled_from(TAILS),
        st.integers(0, 30),
        st.text("aS1@_! ", max_size=2),
    ),
)


def expected_matches(venue: Venue, name: str) -> list[Match]:
    """What the patterns themselves say, one after the other."""
    return [
        (stream, args)
        for stream in CATALOGUE
        if venue in stream.venues and (args := stream.pattern.match(name)) is not None
    ]


@pytest.mark.parametrize("venue", VENUES, ids=lambda each: each.name)
@given(name=NAMES)
@example(name="")
@example(name="@trade")
@example(name="tradingSession")
@example(name="!ticker@arr")
@example(name="btcusdt@depth@")
def test_a_name_has_the_readings_of_every_pattern_that_it_matches(venue: Venue, name: str) -> None:
    assert list(matches(venue, name)) == expected_matches(venue, name)


@pytest.mark.parametrize("venue", VENUES, ids=lambda each: each.name)
def test_every_name_without_a_free_part_and_every_ending_is_found(venue: Venue) -> None:
    for name in TAILS:
        assert list(matches(venue, name)) == expected_matches(venue, name)


def test_unknown_names_are_not_kept() -> None:
    lookup = Lookup(stream for stream in CATALOGUE if USDM in stream.venues)
    before = {attribute: len(value) for attribute, value in vars(lookup).items()}
    for number in range(100):
        lookup.matches(f"{number}@unknown{number}")
        lookup.matches(f"{number}usdt@trade")
    assert {attribute: len(value) for attribute, value in vars(lookup).items()} == before


def test_a_name_of_two_rows_has_them_in_their_order() -> None:
    patterns = Pattern("<symbol>@x"), Pattern("<pair>@x")
    rows = [structs.replace(CATALOGUE[0], pattern=pattern) for pattern in patterns]
    found = Lookup(rows).matches("btc@x")
    assert found == [(rows[0], {"symbol": "btc"}), (rows[1], {"pair": "btc"})]
