"""Parquet in Hive partitions: `venue=usdm/table=trades/symbol=BTCUSDT/date=2024-08-08/part-….parquet`.

Every unit writes its own parts, whose names sort in the order of the units.  Venue, table, symbol and
date are in the path and are not columns of the files.

A row group costs a millisecond and some kilobytes whether it has ten rows or ten thousand.  With a
thousand symbols, each gets few rows at a time; they are buffered as columns, in little memory.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tickerplant.archive.arrow import Converter
from tickerplant.archive.tables import TABLES, Numbers, Table
from tickerplant.archive.validation import RejectedMessage
from tickerplant.exporting.buffers import LIMITS, Buffer, Buffers, Limits
from tickerplant.exporting.journal import UNFINISHED, Journal
from tickerplant.exporting.writer import path_part
from tickerplant.messages.message import Message
from tickerplant.own_folder import OwnFolder

COMPRESSION_LEVEL = 6
COLUMN_BYTES = 1 << 9
"""About the memory of a column of a batch in addition to its values."""


class ParquetWriter:
    """Writes units as Parquet into a folder."""

    patterns: tuple[str, ...] = tuple(
        f"venue=*/table=*/symbol=*/date=*/part-*.parquet{end}" for end in ("", UNFINISHED)
    )
    tables: frozenset[str] = frozenset(table.name for table in TABLES)

    def __init__(
        self,
        folder: Path,
        numbers: Numbers,
        limits: Limits = LIMITS,
    ) -> None:
        self._folder = folder
        self._own = OwnFolder(folder)
        self._numbers = numbers
        self._converters: dict[str, Converter] = {}
        self._groups = Buffers(self._write_group, limits.group_rows, limits.group_bytes)
        self._max_open_files = limits.open_files
        self._number = 0
        self._open: OrderedDict[str, tuple[Any, IO[bytes]]] = OrderedDict()
        """Parquet writers and their files by place, least recently used first."""
        self._begun: Counter[str] = Counter()
        """The number of parts, by place."""
        self._parts: list[str] = []

    @property
    def rejected(self) -> int:
        """Messages of this unit that were not written."""
        return sum(converter.rejected for converter in self._converters.values())

    @property
    def first_rejected(self) -> RejectedMessage | None:
        """The first of them."""
        rejected = (converter.first_rejected for converter in self._converters.values())
        return next(filter(None, rejected), None)

    def begin(self, number: int) -> None:
        """Begin a unit."""
        self._number = number
        self._converters.clear()
        self._groups.clear()
        self._open.clear()
        self._begun.clear()
        self._parts.clear()

    def time_of(self, _table: Table, /) -> Callable[[Any], int]:
        """Return a function from a message to its event time, ms."""
        return attrgetter("event_time_ms")

    def place(self, table: Table, _stream: str, venue: str, symbol: str, date: str) -> str:
        """Return the folder of a partition.

        Raises:
            ValueError: The symbol is invalid.
        """
        return f"venue={venue}/table={table.name}/symbol={path_part(symbol)}/date={date}"

    def write(self, table: Table, place: str, messages: Sequence[Message]) -> int:
        """Write messages, now or later in one row group with others; return the number of rows.

        Raises:
            OSError: A file cannot be written.
        """
        batch = self._converter(table).batch(messages)
        rows: int = batch.num_rows
        if rows:
            size = batch.nbytes + batch.num_columns * COLUMN_BYTES
            self._groups.add(self._groups.of(table, place), batch, rows, size)
        return rows

    def _write_group(self, group: Buffer[Any]) -> None:
        joined = pa.Table.from_batches(group.items).unify_dictionaries().combine_chunks()
        self._file(group.table, group.place).write_table(joined, row_group_size=group.rows)

    def _converter(self, table: Table) -> Converter:
        found = self._converters.get(table.name)
        if found is None:
            found = Converter(table, self._numbers, is_placed=True)
            self._converters[table.name] = found
        return found

    def _file(self, table: Table, place: str) -> Any:
        if place in self._open:
            self._open.move_to_end(place)
            return self._open[place][0]
        if len(self._open) >= self._max_open_files:
            self._close(last=False)
        self._begun[place] += 1
        part = f"{place}/part-{self._number:06d}-{self._begun[place]}.parquet"
        self._parts.append(part)
        file = self._own.open(f"{part}{UNFINISHED}", "wb")
        writer = pq.ParquetWriter(
            file,
            self._converter(table).schema,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
        )
        self._open[place] = writer, file
        return writer

    def _close(self, *, last: bool = True) -> None:
        """Close a file: that which was used last, or longest ago."""
        _, (writer, file) = self._open.popitem(last)
        with file:
            writer.close()

    def finish(self) -> dict[str, int]:
        """Finish the unit; return the sizes of its files by their paths in the folder.

        Raises:
            OSError: A file cannot be written.
        """
        self._groups.flush()
        while self._open:
            self._close()
        sizes = {}
        for part in self._parts:
            self._own.replace(f"{part}{UNFINISHED}", Path(part).name)
            sizes[part] = (self._folder / part).stat().st_size
        return sizes

    def abandon(self) -> None:
        """Remove the files of the unit."""
        self._groups.clear()
        while self._open:
            with suppress(OSError):
                self._close()
        for part in self._parts:
            self._own.remove(f"{part}{UNFINISHED}")

    def complete(self, journal: Journal) -> int:
        """Return the number of files; parts are not assembled."""
        return sum(len(each.parts) for each in journal.finished)
