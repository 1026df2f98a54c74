"""Rows of integers as JSON: many at once by arithmetic on whole columns, or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tickerplant.instrument import decimal_text
from tickerplant.market.row_form import Number, RowForm

FEW = 24
"""Fewer rows are written one by one: the arithmetic on columns takes as long for one as for these."""

Rows: TypeAlias = NDArray[np.int64]
"""Rows of numbers, such as bars."""

_FOUR_DIGITS = np.frombuffer(b"".join(b"%04d" % n for n in range(10_000)), dtype=np.uint32)
_NOTHING = b"\0"
"""Stands in a row of fixed width for a digit or a sign that is not written."""
_END = b"\n"


def row_text(row: Sequence[int], form: RowForm) -> bytes:
    """Return one row in the given form."""
    return b"".join(
        [
            part
            if isinstance(part, bytes)
            else decimal_text(row[part.column], part.decimals).encode()
            for part in form
        ]
    )


def row_texts(rows: Rows, form: RowForm) -> list[bytes]:
    """Return the text of each row."""
    if len(rows) < FEW:
        return [row_text(row, form) for row in rows.tolist()]
    numbers = _columns(rows, form)
    pieces = [
        np.broadcast_to(np.frombuffer(part, dtype=np.uint8), (len(rows), len(part)))
        if isinstance(part, bytes)
        else numbers[part]
        for part in (*form, _END)
    ]
    written = np.concatenate(pieces, axis=1).tobytes()
    return written.translate(None, _NOTHING).split(_END)[:-1]


def _columns(rows: Rows, form: RowForm) -> dict[Number, NDArray[np.uint8]]:
    """Return the characters of every number; those with as many decimals are made together."""
    by_decimals: dict[int, list[Number]] = {}
    for part in form:
        if isinstance(part, Number):
            by_decimals.setdefault(part.decimals, []).append(part)
    found: dict[Number, NDArray[np.uint8]] = {}
    for decimals, numbers in by_decimals.items():
        columns = rows[:, [number.column for number in numbers]].T
        found.update(zip(numbers, _decimal_texts(columns, decimals), strict=True))
    return found


def _decimal_texts(values: Rows, decimals: int) -> NDArray[np.uint8]:
    """Return characters as `decimal_text` does: one more dimension, all of one width."""
    magnitudes = np.abs(values).astype(np.uint64)
    width = max(len(str(int(magnitudes.max()))), decimals + 1)
    digits = _digits(magnitudes, width)
    least = int(magnitudes.min())
    for place in range(width - decimals - 1):
        power = 10 ** (width - 1 - place)
        if least >= power:
            break
        digits[..., place][magnitudes < power] = 0
    parts = [digits]
    if decimals:
        point = np.full((*values.shape, 1), ord("."), dtype=np.uint8)
        parts = [digits[..., :-decimals], point, digits[..., -decimals:]]
    if (values < 0).any():
        parts.insert(0, np.where(values < 0, ord("-"), 0).astype(np.uint8)[..., None])
    return np.concatenate(parts, axis=-1) if len(parts) > 1 else digits


def _digits(magnitudes: NDArray[np.uint64], width: int) -> NDArray[np.uint8]:
    """Return the last `width` digits of each number, with leading zeros."""
    groups = -(-width // 4)
    fours = np.empty((*magnitudes.shape, groups), dtype=np.uint32)
    rest = magnitudes
    for group in range(groups - 1, 0, -1):
        higher = rest // 10_000
        fours[..., group] = _FOUR_DIGITS[rest - higher * 10_000]
        rest = higher
    fours[..., 0] = _FOUR_DIGITS[rest]
    return fours.view(np.uint8).reshape(*magnitudes.shape, 4 * groups)[..., -width:]
