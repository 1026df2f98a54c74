"""A row of the catalogue is a promise: it has an example and a property test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from coverage_of import covered
from stage import WORLD, asset_index, name_of, open_plant

from tickerplant.profile import PROFILES
from tickerplant.queries import QUERIES
from tickerplant.streams import CATALOGUE
from tickerplant.streams.stream import Stream

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests" / "goldens" / "streams"
PUBLIC = {"bookTicker", "depth", "rpiDepth", "trade"}
"""The kinds of streams that have the path `/public` since March 2026; the others have `/market`."""
ROWS = pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.pattern.text)


@ROWS
def test_a_stream_has_an_example_in_every_profile_of_a_venue_that_has_it(row: Stream) -> None:
    wanted = set()
    for profile in PROFILES.values():
        plant = open_plant(WORLD, profile=profile)
        plant.publish(asset_index())
        for venue in row.venues:
            name = name_of(plant, row, venue.name)
            if name is not None:
                wanted.add(GOLDENS / venue.name / profile.name / f"{name}.json")
    assert len(wanted) >= len(PROFILES), "some venue has it in every profile"
    assert [str(path.relative_to(ROOT)) for path in sorted(wanted) if not path.exists()] == []


def kind_of(row: Stream) -> str:
    """What a name says the stream is of: `depth` of `<symbol>@depth<levels:5|10|20>`."""
    found = re.search(r"(?:^|!|@)([A-Za-z]+)", row.pattern.text)
    assert found is not None
    return found[1]


@ROWS
def test_quotes_books_and_trades_are_public_and_all_else_is_market(row: Stream) -> None:
    assert row.route == ("public" if kind_of(row) in PUBLIC else "market")


def test_the_kinds_that_are_public_exist() -> None:
    assert {kind_of(row) for row in CATALOGUE} >= PUBLIC


@ROWS
def test_a_stream_has_a_property_test(row: Stream) -> None:
    assert covered().get(row.pattern.text), "mark the test by `covers`"


def test_property_tests_cover_rows_that_exist() -> None:
    questions = {way for query in QUERIES for way in (query.path, query.method)}
    assert covered().keys() <= {row.pattern.text for row in CATALOGUE} | questions
