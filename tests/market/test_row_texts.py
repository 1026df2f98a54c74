from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.instrument import decimal_text
from tickerplant.market.bars import COLUMNS
from tickerplant.market.row_form import Number, RowForm
from tickerplant.market.row_texts import FEW, row_texts

WIDTH = len(COLUMNS)
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(10**5), 10**5),
    st.builds(lambda exponent, near: 10**exponent + near, st.integers(0, 18), st.integers(-1, 1)),
)
words = st.text("[]{},:\"'0 ", max_size=4).map(str.encode)
forms = st.lists(
    words | st.builds(Number, st.integers(0, WIDTH - 1), st.integers(0, 20)), max_size=9
).map(tuple)


def plain(bar: list[int], form: RowForm) -> bytes:
    """The bar in `form`, part by part."""
    texts = [
        part.decode() if isinstance(part, bytes) else decimal_text(bar[part.column], part.decimals)
        for part in form
    ]
    return "".join(texts).encode()


@given(st.data(), forms, st.integers(0, 2 * FEW))
def test_many_bars_are_written_as_one_by_one(
    data: st.DataObject, form: RowForm, count: int
) -> None:
    kinds = data.draw(st.lists(numbers, min_size=1, max_size=6))
    rows = [
        [kinds[(place * WIDTH + column) * 7 % len(kinds)] for column in range(WIDTH)]
        for place in range(count)
    ]
    bars = np.array(rows, dtype=np.int64).reshape(count, WIDTH)
    assert row_texts(bars, form) == [plain(row, form) for row in rows]
