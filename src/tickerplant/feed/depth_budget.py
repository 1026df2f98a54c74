"""How deep the snapshots of many books may be."""

from __future__ import annotations

from tickerplant.queries import depth, find_path
from tickerplant.venue import USDM, Venue

LEAST_LIMIT = 50
"""Fewer levels weigh no less."""


def snapshot_limit(book_count: int, weight_per_minute: int, venue: Venue = USDM) -> int:
    """Return the deepest limit with which one snapshot of every book fits into a minute.

    If none does, it is the least one, and the snapshots take longer than a minute.
    """
    query = find_path(venue, f"{venue.rest_prefix}/v1/depth")
    if query is None:
        return LEAST_LIMIT
    for limit in sorted(depth.LIMITS, reverse=True):
        if limit > LEAST_LIMIT and query.weigh({"limit": limit}) * book_count <= weight_per_minute:
            return limit
    return LEAST_LIMIT
