"""Whether the numbers of a message fit into its table, checked before anything is made of them.

Libraries that read numbers take much more than the exchange prints, such as `1e-999999999`, and
some of them crash on it or return another number.  So the form is checked first: a plain decimal
whose digits a column can hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.archive.tables import DECIMALS, DIGITS, Column, Kind, Table
from tickerplant.units import NS_PER_MS

WHOLE_DIGITS = DIGITS - DECIMALS
"""Most digits before the point."""
MORE_ZEROS = 24
"""Zeros that may follow the last decimal of a column."""
NUMBER = rf"-?[0-9]{{1,{WHOLE_DIGITS}}}(?:\.[0-9]{{1,{DECIMALS}}}0{{0,{MORE_ZEROS}}})?"
"""The form of a number, as a regular expression of Python and of RE2."""
EXPECTED_NUMBER = (
    f"a plain decimal with up to {WHOLE_DIGITS} digits before the point and {DECIMALS} after it"
)
EXPECTED_WHOLE = "a whole number of 64 bits"

_LARGEST = (1 << 63) - 1
_POINT, _ZERO = b".0"
_SHOWN = 40
"""Characters of a number that are shown."""
_SHORT = DECIMALS + len("0.")
"""Texts of so many characters have not too many digits, wherever their point is."""
_TOGETHER = 1 << 12
"""Texts that are looked at together: what is made of them stays in the processor's cache."""
_ANCHORED = rf"^{NUMBER}$"

is_number = re.compile(NUMBER).fullmatch
"""Truthy for text in the form of a number."""


def are_numbers(texts: Any) -> bool:
    """Whether all of an Arrow array of texts have the form of a number, or are null."""
    parts = (texts.slice(start, _TOGETHER) for start in range(0, len(texts), _TOGETHER))
    return all(map(_are_short_decimals, parts)) or (
        pc.all(pc.match_substring_regex(texts, _ANCHORED)).as_py() is not False
    )


def _are_short_decimals(texts: Any) -> bool:
    """Whether all texts of an Arrow array are short and have one point between digits.

    Most numbers are such, and that is seen at once: a regular expression takes each by itself.
    """
    _, offsets, data = texts.buffers()
    if data is None or texts.null_count:
        return False
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    chars = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    points = np.flatnonzero(chars == _POINT)
    digits = np.count_nonzero((chars - _ZERO) < 10)  # the digits
    if len(points) != len(texts) or len(points) + digits != len(chars):
        return False
    points = points.astype(np.int32) + ends[0]
    first, last = ends[:-1], ends[1:] - 1
    return bool(((first < points) & (points < last) & (last - first < _SHORT)).all())


def have_numbers(table: Table, messages: Sequence[Any]) -> bool:
    """Whether all numbers in `messages`, besides those of levels, have the form of one."""
    columns = [column.get for column in table.columns if column.kind is Kind.NUMBER]
    return are_numbers(pa.array([get(each) for get in columns for each in messages], pa.string()))


def misfit(table: Table, message: Any) -> str:
    """Return which column of `table` a message does not fit into, and why; empty if it fits."""
    for column in table.all_columns:
        if column in table.levels:
            continue
        value = column.get(message)
        if value is None or value == column.untold:
            continue
        if wrong := _wrong(column, value):
            return f"{column.name} is {_shown(value)}, expected {wrong}"
    return _wrong_level(message) if table.levels else ""


def _wrong(column: Column, value: Any) -> str:
    """Return what was expected of a value instead; empty if it fits."""
    if column.kind is Kind.NUMBER:
        return "" if is_number(value) else EXPECTED_NUMBER
    if column.kind in {Kind.ID, Kind.TIME}:
        scale = NS_PER_MS if column.kind is Kind.TIME else 1
        return "" if -_LARGEST <= value * scale <= _LARGEST else EXPECTED_WHOLE
    return ""


def _wrong_level(message: Any) -> str:
    for side, levels in (("bid", message.bids), ("ask", message.asks)):
        for name, numbers in zip(("price", "quantity"), zip(*levels, strict=True), strict=False):
            for number in numbers:
                if not is_number(number):
                    return f"{name} of a {side} is {_shown(number)}, expected {EXPECTED_NUMBER}"
    return ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_LINE = (
    r"^(?:https?://\S+ )?(?:"
    r'[^"0-9]'
    r"|[0-8]?[0-9]{1,12}[,}\]]"
    r'|"(?:u|U|pu|a|f|l|F|L|lastUpdateId)":[0-9]{1,18}[,}\]]'
    r'|"[A-Za-z_]+":'
    rf'|"{NUMBER}"'
    r'|"(?:e|s|S|X|ps|st|ct|stream|symbol|pair)":"[^"\\]*"'
    r'|"i":"[0-9]{1,2}[A-Za-z]"'
    r'|"(?:r|ap)":""'
    r")*$"
)
"""A line in which every number fits: all texts in it have the form of a number, besides names,
and all whole numbers fit into 64 bits: times as ns, ids as they are."""


def odd_messages(raws: Sequence[bytes]) -> list[int]:
    """Return which of recorded messages may hold a number that does not fit into its table.

    All that do are among them, if they can be read.  The others are rare: messages with texts in
    unusual places.  Takes some milliseconds before the first message: better called with many.
    """
    # Of a list, `pa.array` makes the same, but imports pandas first if that is installed.
    ends = np.zeros(len(raws) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, raws), np.int64, len(raws)), out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(raws))]
    messages = pa.Array.from_buffers(pa.large_binary(), len(raws), buffers)
    fits = pc.match_substring_regex(messages, _LINE)
    odd: list[int] = pc.indices_nonzero(pc.invert(fits)).to_pylist()
    return odd
