"""Whether many numbers fit into their columns, checked at once with pyarrow.

The form of numbers, and the checks of single messages, are in `validation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from tickerplant.archive.tables import DECIMALS
from tickerplant.archive.validation import NUMBER

_POINT, _ZERO = b".0"
_SHORT = DECIMALS + len("0.")
"""A text of this length does not have too many digits, wherever its point is."""
_CHUNK = 1 << 12
"""Texts that are checked together, few enough to stay in the processor's cache."""
_ANCHORED = rf"^{NUMBER}$"


def are_numbers(texts: Any) -> bool:
    """Whether all texts of an Arrow array are valid numbers or null."""
    parts = (texts.slice(start, _CHUNK) for start in range(0, len(texts), _CHUNK))
    return all(map(_are_short_decimals, parts)) or (
        pc.all(pc.match_substring_regex(texts, _ANCHORED)).as_py() is not False
    )


def _are_short_decimals(texts: Any) -> bool:
    """Whether all texts of an Arrow array are short and have one point between digits.

    Most numbers are like this, and this check is faster than a regular expression.
    """
    _, offsets, data = texts.buffers()
    if data is None or texts.null_count:
        return False
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    chars = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    points = np.flatnonzero(chars == _POINT)
    digits = np.count_nonzero((chars - _ZERO) < 10)
    if len(points) != len(texts) or len(points) + digits != len(chars):
        return False
    points = points.astype(np.int32) + ends[0]
    first, last = ends[:-1], ends[1:] - 1
    return bool(((first < points) & (points < last) & (last - first < _SHORT)).all())
