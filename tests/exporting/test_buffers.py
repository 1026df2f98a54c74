"""Buffers against a naive model: what goes to each file, in order, and how much is buffered."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from tickerplant.archive.tables import TABLES
from tickerplant.exporting.buffers import Buffer, Buffers

ADDS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 9)), max_size=60)
ITEM_SIZE = 1_000


@given(ADDS)
def test_every_file_gets_its_items_in_order_and_few_are_buffered(
    adds: list[tuple[str, int]],
) -> None:
    written: defaultdict[str, list[int]] = defaultdict(list)
    expected: defaultdict[str, list[int]] = defaultdict(list)
    waiting = 0

    def write(buffer: Buffer[int]) -> None:
        nonlocal waiting
        assert buffer.size == len(buffer.items) * ITEM_SIZE
        waiting -= buffer.rows
        written[buffer.place] += buffer.items

    buffers = Buffers(write, full_rows=20, max_size=8 * ITEM_SIZE)
    for item, (place, rows) in enumerate(adds):
        waiting += rows
        expected[place].append(item)
        buffers.add(buffers.of(TABLES[0], place), item, rows, ITEM_SIZE)
        assert waiting < 8 * 9, "no more rows than items of the maximum size have"
    buffers.flush()
    assert written == expected
    assert waiting == 0


def test_what_is_cleared_is_not_written() -> None:
    written: list[int] = []
    buffers = Buffers[int](lambda buffer: written.append(buffer.rows), 20, 8_000)
    buffers.add(buffers.of(TABLES[0], "a"), 0, 5, 1)
    buffers.clear()
    buffers.add(buffers.of(TABLES[0], "a"), 1, 2, 1)
    buffers.flush()
    assert written == [2]
