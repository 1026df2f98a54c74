"""Messages to Arrow, a column at a time, with exact numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.archive.tables import (
    COMMON,
    DECIMALS,
    DIGITS,
    VENUE,
    Column,
    Kind,
    Numbers,
    Table,
    TableName,
    level_count,
    levels_of,
    table_of,
)
from tickerplant.archive.validation import (
    EXPECTED_NUMBER,
    NUMBER,
    RejectedMessage,
    invalid_value,
)
from tickerplant.decode.inference import venue_of
from tickerplant.errors import ConfigError
from tickerplant.messages.message import Message
from tickerplant.suggestions import one_of

_DECIMAL = pa.decimal128(DIGITS, DECIMALS)
_TEXT = pa.string()
_LABEL = pa.dictionary(pa.int32(), pa.string())
_NUMBERS = {"decimal": _DECIMAL, "float": pa.float64(), "text": _TEXT}
_TIME = pa.timestamp("ns", tz="UTC")
_TYPES = {
    Kind.TIME: _TIME,
    Kind.ID: pa.int64(),
    Kind.TEXT: _LABEL,
    Kind.FLAG: pa.bool_(),
}
_SIDES = pa.array(["bid", "ask"])
_NEITHER = 2
_SIDE_CODES = np.arange(_NEITHER + 1)
_POINT, _ZERO = b".0"
_SHORT = DECIMALS + len("0.")
"""A text of this length does not have too many digits, wherever its point is."""
_CHUNK = 1 << 12
"""Texts that are checked together, few enough to stay in the processor's cache."""
_ANCHORED = rf"^{NUMBER}$"
_UNFIT = (ValueError, OverflowError)
"""Raised for numbers that are invalid, too large, or have too many decimals."""


class Converter:
    """Makes record batches of one table."""

    def __init__(self, table: Table, numbers: Numbers = "decimal") -> None:
        if numbers not in _NUMBERS:
            raise ConfigError("numbers", numbers, one_of(str(numbers), _NUMBERS))
        self.rejected = 0
        """Messages skipped so far because a number in them cannot be stored exactly."""
        self.first_rejected: RejectedMessage | None = None
        self._table = table
        self._number = _NUMBERS[numbers]
        self._columns = (*COMMON, *table.columns)
        named = [(column.name, self._type(column)) for column in table.all_columns]
        self.schema = pa.schema([(VENUE, _LABEL), *named])
        shown = {each.name for each in (*table.columns, *table.levels) if each.kind is Kind.NUMBER}
        self._numbers = [at for at, name in enumerate(self.schema.names) if name in shown]
        """The indices of the number columns."""

    def _type(self, column: Column) -> Any:
        return self._number if column.kind is Kind.NUMBER else _TYPES[column.kind]

    def batch(self, messages: Sequence[Message], venues: Sequence[str]) -> Any:
        """Return the rows of `messages` as a record batch.

        A message with a number that is invalid or does not fit is skipped and counted, however the
        table holds numbers.
        """
        try:
            return self._batch(messages, venues)
        except _UNFIT:
            fit = [not self._rejects(message) for message in messages]
        if not any(fit):
            return pa.RecordBatch.from_pylist([], self.schema)
        return self._batch(list(compress(messages, fit)), list(compress(venues, fit)))

    def _rejects(self, message: Message) -> bool:
        wrong = invalid_value(self._table, message)
        if not wrong:
            return False
        self.rejected += 1
        self.first_rejected = self.first_rejected or RejectedMessage(self._table, message, wrong)
        return True

    def _batch(self, messages: Sequence[Message], venues: Sequence[str]) -> Any:
        arrays = [_labels(venues), *(self._array(column, messages) for column in self._columns)]
        if self._table.levels:
            sides, counts = _sides(messages)
            rows = pa.array(np.repeat(np.arange(len(messages)), counts))
            arrays = [array.take(rows) for array in arrays]
            levels = chain.from_iterable(map(levels_of, messages))
            numbers = list(chain.from_iterable(levels))
            arrays += [sides, pa.array(numbers[::2], _TEXT), pa.array(numbers[1::2], _TEXT)]
        # For some texts the cast returns another number, and for some it crashes.
        if not all(are_numbers(arrays[at]) for at in self._numbers):
            raise ValueError(EXPECTED_NUMBER)
        for at in self._numbers:
            arrays[at] = pc.cast(arrays[at], self._number)
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _array(self, column: Column, messages: Sequence[Message]) -> Any:
        """Return a column; numbers are still text."""
        values = list(map(column.get, messages))
        missing = column.missing
        if column.kind is Kind.TIME:
            return _times(values, column)
        if missing is not None:
            values = [None if value == missing else value for value in values]
        if column.kind is Kind.NUMBER:
            return pa.array(values, _TEXT)
        if column.kind is Kind.TEXT:
            return _labels(values)
        return pa.array(values, _TYPES[column.kind])


class Batcher:
    """Makes record batches of the messages of several tables."""

    def __init__(self, tables: Iterable[Table], numbers: Numbers, batch_rows: int) -> None:
        self.converters = {table.name: Converter(table, numbers) for table in tables}
        self._batch_rows = batch_rows
        self._rows = 0
        self._waiting = defaultdict[TableName, list[Message]](list)
        self._venues = defaultdict[TableName, list[str]](list)

    @property
    def rejected(self) -> int:
        """Messages skipped so far, see `Converter.batch`."""
        return sum(each.rejected for each in self.converters.values())

    @property
    def first_rejected(self) -> RejectedMessage | None:
        """The first of them of a table."""
        return next(
            (each.first_rejected for each in self.converters.values() if each.rejected), None
        )

    def take(self, messages: Iterable[Message], venue: str) -> Iterator[tuple[TableName, Any]]:
        """Take messages in the order in which they were received; yield batches if there is enough."""
        for message in messages:
            table = table_of(message.stream)
            assert table is not None  # noqa: S101  # it is one of the tables
            self._waiting[table.name].append(message)
            self._venues[table.name].append(venue or venue_of(message.symbol).name)
            self._rows += level_count(message) if table.levels else 1
        if self._rows >= self._batch_rows:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[TableName, Any]]:
        """Yield batches of what is left."""
        for name, messages in self._waiting.items():
            yield name, self.converters[name].batch(messages, self._venues[name])
        self._waiting.clear()
        self._venues.clear()
        self._rows = 0


def _times(values: Sequence[int], column: Column) -> Any:
    """Return the times of a column; those that the exchange did not send become null."""
    array = pa.array(values, pa.int64())
    times = pc.multiply_checked(array, column.unit_ns).cast(_TIME)
    if column.missing is None:
        return times
    return pc.if_else(pc.equal(array, column.missing), pa.scalar(None, _TIME), times)


def _sides(messages: Sequence[Any]) -> tuple[Any, Any]:
    """Return the side of each level, and the number of rows of each message."""
    counts = np.array([(len(each.bids), len(each.asks), 0) for each in messages], np.int64)
    counts[:, _NEITHER] = counts.sum(axis=1) == 0
    sides = np.repeat(np.tile(_SIDE_CODES, len(messages)), counts.reshape(-1))
    codes = pa.array(sides, pa.int32(), mask=sides == _NEITHER)
    return pa.DictionaryArray.from_arrays(codes, _SIDES), counts.sum(axis=1)


def _labels(texts: Sequence[str | None]) -> Any:
    return pa.array(texts, pa.string()).dictionary_encode()


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
