from __future__ import annotations

import pytest

from tickerplant.client.books import LEAST_LIMIT, snapshot_limit
from tickerplant.queries import find_path
from tickerplant.venue import COINM, USDM, Venue


@pytest.mark.parametrize(
    ("books", "weight", "limit"),
    [
        (1, 1920, 1000),
        (96, 1920, 1000),
        (97, 1920, 500),
        (192, 1920, 500),
        (200, 1920, 100),
        (384, 1920, 100),
        (385, 1920, 50),
        (0, 0, 1000),
        (5000, 1920, 50),
        (1, 0, 50),
    ],
)
def test_the_snapshots_of_all_books_fit_into_the_weight(
    books: int, weight: int, limit: int
) -> None:
    assert snapshot_limit(books, weight) == limit


@pytest.mark.parametrize("venue", [USDM, COINM])
def test_the_limit_is_the_deepest_that_the_question_allows(venue: Venue) -> None:
    query = find_path(venue, f"{venue.rest_prefix}/v1/depth")
    assert query is not None
    for books in range(1, 500):
        limit = snapshot_limit(books, 2000, venue)
        assert limit in (50, 100, 500, 1000)
        assert limit == LEAST_LIMIT or query.weigh({"limit": limit}) * books <= 2000
        deeper = [each for each in (100, 500, 1000) if each > limit]
        assert all(query.weigh({"limit": each}) * books > 2000 for each in deeper)
