"""Rows in Hive partitions: `venue=usdm/table=trades/symbol=BTCUSDT/date=2024-08-08`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tickerplant.archive.arrow import Batcher
from tickerplant.archive.tables import TABLES, VENUE, Numbers, TableName
from tickerplant.decode.exchange_info import LONGEST_SYMBOL
from tickerplant.exporting.parts import UNFINISHED, Unit
from tickerplant.messages.message import Message
from tickerplant.own_folder import OwnFolder
from tickerplant.recording.opening import recorded_files

COMPRESSION_LEVEL = 6
MESSAGE_ROWS = 1 << 18
"""Rows that wait as messages."""
WAITING_BYTES = 1 << 27
"""Memory of rows that wait as columns; beyond it the largest partitions are written, each as a part:
with a thousand symbols, each gets few rows at a time."""
BATCH_BYTES = 1 << 12
"""About the memory of a batch in addition to its values."""
GROUP_ROWS = 1 << 16
MAX_NAME_BYTES = 200
"""The maximum length of a symbol in a path: file systems allow 255, with its prefix."""
_IN_PATH = [VENUE, "symbol"]
"""The columns that are in the path, and not in the files."""


class Partitions:
    """Writes the parts of a unit, with some metadata; they get their names when it is finished."""

    def __init__(
        self, folder: OwnFolder, unit: Unit, numbers: Numbers, metadata: dict[bytes, bytes]
    ) -> None:
        self.rows = Counter[TableName]()
        self._folder = folder
        self._unit = unit
        self._metadata = metadata
        self._batcher = Batcher(TABLES, numbers, MESSAGE_ROWS)
        self._misplaced = 0
        """Messages without a partition: their symbol is invalid, or their time is before 1970."""
        self._waiting = defaultdict[str, list[Any]](list)
        """Batches, by place."""
        self._sizes = Counter[str]()
        """Their memory, by place."""
        self._waiting_bytes = 0
        self._parts: list[str] = []
        """The paths of unfinished parts."""

    def left_out(self) -> tuple[int, str]:
        """Return how many messages were left out, and why; the unit is read to find the first."""
        count, rejected = self._misplaced + self._batcher.rejected, self._batcher.first_rejected
        if rejected is not None:
            return count, rejected.describe(recorded_files([self._unit.path]))
        return count, "a symbol or a time in them does not fit"

    def take(self, messages: Iterable[Message]) -> None:
        """Take messages in the order in which they were received."""
        self._place_all(self._batcher.take(self._placeable(messages), self._unit.venue))

    def flush(self) -> None:
        """Make columns of all messages."""
        self._place_all(self._batcher.rest())

    def _placeable(self, messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            if message.event_time_ms >= 0 and path_part(message.symbol):
                yield message
            else:
                self._misplaced += 1

    def _place_all(self, batches: Iterable[tuple[TableName, Any]]) -> None:
        for table, batch in batches:
            self.rows[table] += batch.num_rows
            if batch.num_rows:
                self._place(table, batch)
            if self._waiting_bytes >= WAITING_BYTES:
                for place, _ in self._sizes.most_common():
                    if self._waiting_bytes > WAITING_BYTES // 2:
                        self._write(place)

    def _place(self, table: TableName, batch: Any) -> None:
        columns, (venue, symbol) = batch.drop_columns(_IN_PATH), map(batch.column, _IN_PATH)
        times = pc.coalesce(batch["event_time"], batch["received_time"])
        dates = times.to_numpy(zero_copy_only=False).astype("datetime64[D]")
        codes, days = symbol.indices.to_numpy(), dates.astype(np.int64)
        order = np.lexsort((days, codes))  # stable: rows stay in the order in which they came
        ends = np.flatnonzero(np.diff(codes[order]) | np.diff(days[order])) + 1
        for rows in np.split(order, ends):
            first = int(rows[0])
            name = path_part(symbol[first].as_py())
            place = f"venue={venue[first]}/table={table}/symbol={name}/date={dates[first]}"
            taken = columns.take(pa.array(rows))  # a slice would keep the whole batch
            self._waiting[place].append(taken)
            size_bytes = columns.nbytes * len(rows) // len(order) + BATCH_BYTES
            self._sizes[place] += size_bytes
            self._waiting_bytes += size_bytes

    def _write(self, place: str) -> None:
        self._waiting_bytes -= self._sizes.pop(place)
        joined = pa.Table.from_batches(self._waiting.pop(place))
        columns = [_encoded(column) for column in joined.columns]
        schema = joined.schema.with_metadata(self._metadata)
        name = self._unit.part_name(len(self._parts) + 1, 0)
        self._parts.append(f"{place}/{name}{UNFINISHED}")
        with self._folder.open(self._parts[-1], "wb") as file:
            pq.write_table(
                pa.Table.from_arrays(columns, schema=schema),
                file,
                row_group_size=GROUP_ROWS,
                compression="zstd",
                compression_level=COMPRESSION_LEVEL,
            )

    def finish(self, outdated: Iterable[str]) -> list[str]:
        """Finish the unit, in the place of outdated parts; return the paths of its parts."""
        for place in list(self._waiting):
            self._write(place)
        for path in outdated:
            self._folder.remove(path)
        finished = []
        for number, part in enumerate(self._parts, 1):
            name = self._unit.part_name(number, len(self._parts))
            self._folder.replace(part, name)
            finished.append(str(Path(part).with_name(name)))
        return finished

    def abandon(self) -> None:
        """Remove the unfinished parts."""
        for part in self._parts:
            self._folder.remove(part)


def _encoded(column: Any) -> Any:
    """Return a column; labels with a dictionary of theirs, not of all symbols."""
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string()).dictionary_encode()
    return column


@lru_cache(1 << 16)
def path_part(symbol: str) -> str:
    """Return a symbol as part of a path: all but letters, digits, `_` and `-` is percent-encoded.

    The part is empty if there is no symbol, or one that is longer than any.
    """
    part = re.sub(r"[^\w-]", _escaped, symbol[: LONGEST_SYMBOL + 1])
    return part if len(symbol) <= LONGEST_SYMBOL and len(part.encode()) <= MAX_NAME_BYTES else ""


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="replace"))
