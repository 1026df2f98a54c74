"""The quantity of a book by price over time, as a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from msgspec import Struct

from tickerplant.plotting.columns import BookSample

NEAR_LEVELS = 50
"""The prices of the grid reach at least as far from the middle as this level usually is."""
MARGIN = 0.35
"""And as far beyond the range of the middle as this share of it."""


class HeatMap(Struct, frozen=True):
    """Quantities by price and time."""

    low: float
    """The lowest price."""
    high: float
    """The highest one."""
    quantity: Any
    """An array of prices, from the lowest, by columns: the quantity at these prices, bids and asks
    together; NaN where it is not known."""


def heat_map(books: Sequence[BookSample | None], rows: int) -> HeatMap | None:
    """Return the grid of some books, one for each column; None if there is no book with two sides."""
    known = [each for each in books if each is not None and each.bids and each.asks]
    if not known:
        return None
    middles = [(each.bids[0] + each.asks[0]) / 2 for each in known]
    near = median(
        max(middle - each.bids[: 2 * NEAR_LEVELS][-2], each.asks[: 2 * NEAR_LEVELS][-2] - middle)
        for each, middle in zip(known, middles, strict=True)
    )
    lowest, highest = min(middles), max(middles)
    margin = max(near, MARGIN * (highest - lowest), highest * 1e-6)
    low, high = max(lowest - margin, 0.0), highest + margin
    grid = np.full((rows, len(books)), np.nan)
    edges = np.linspace(low, high, rows + 1)
    step = (high - low) / rows
    for column, book in enumerate(books):
        if book is None:
            continue
        levels = np.array(book.bids + book.asks).reshape(-1, 2)
        levels = levels[(levels[:, 0] >= low) & (levels[:, 0] <= high)]
        at = np.minimum((levels[:, 0] - low) / step, rows - 1)
        cells = np.zeros(rows)
        np.add.at(cells, at.astype(int), levels[:, 1])
        is_unknown = (edges[1:] <= book.lowest_bid) | (edges[:-1] >= book.highest_ask)
        cells[is_unknown & (cells == 0)] = np.nan
        grid[:, column] = cells
    return HeatMap(low, high, grid)
