"""Exports one unit: reads it and writes each message to its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec import Struct, field

from tickerplant.archive.message_reader import MessageReader
from tickerplant.archive.selection import Selection
from tickerplant.archive.tables import DEPTH_TABLE, Table, table_of
from tickerplant.decode.inference import venue_of
from tickerplant.errors import RecordingError
from tickerplant.exporting.buffers import LIMITS, Buffer, Buffers, Limits
from tickerplant.exporting.journal import MAX_KEPT_DAMAGE
from tickerplant.exporting.units import Unit
from tickerplant.exporting.writer import LAST_DAY, Writer, date_of
from tickerplant.messages.message import Message
from tickerplant.recording.line import Damage
from tickerplant.units import DAY_MS, NS_PER_MS

MAX_CACHED = 1 << 16
"""Buffers that are cached per stream, and streams; beyond it the cache is cleared."""


class UnitTotals(Struct):
    """What was exported of a unit."""

    messages: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    symbols: set[str] = field(default_factory=set)
    """Selected symbols that have rows."""
    unreadable: int = 0
    damage: list[str] = field(default_factory=list)


class _Route:
    """How the messages of a stream are written."""

    __slots__ = ("buffers", "rows_of", "stream", "table", "time_of")

    def __init__(self, stream: str, table: Table, time_of: Callable[[Any], int]) -> None:
        self.stream = stream
        self.table = table
        self.rows_of = table.rows_of
        self.time_of = time_of
        self.buffers: dict[tuple[str, int], Buffer[Message] | None] = {}
        """By symbol and day; None if no file can be named after them."""


class UnitExport:
    """The export of one unit.

    Args:
        unit: The unit to export.
        selection: The messages to export.
        tables: The tables to export.
        writer: Writes the rows; its `begin` was called.
        progress: Called regularly with the bytes of the unit and the messages read so far.
        warn: Called with each damage that is found.
        limits: How much is buffered.
    """

    def __init__(
        self,
        unit: Unit,
        selection: Selection,
        tables: frozenset[str],
        writer: Writer,
        progress: Callable[[int, int], object],
        warn: Callable[[str], object],
        limits: Limits = LIMITS,
    ) -> None:
        self.totals = UnitTotals()
        self._unit = unit
        self._selection = selection
        self._writer = writer
        self._progress = progress
        self._warn = warn
        self._further_damage = 0
        """Damage beyond `MAX_KEPT_DAMAGE`."""
        self._buffers = Buffers(self._write, limits.file_rows, limits.total_rows)
        self._routes: dict[str, _Route] = {}
        """By stream."""
        self._reader = MessageReader(
            selection,
            snapshots=DEPTH_TABLE in tables,
            payloads=False,
            wanted=partial(is_in_tables, tables),
            path=unit.path,
        )

    def run(self) -> None:
        """Export the unit.

        Raises:
            OSError: A file cannot be written.
        """
        end_ns = self._selection.end_ns
        recorded = self._unit.open(self._report)
        try:
            for lines in recorded.batches(self._selection.start_ns):
                is_over = lines[-1][0] >= end_ns
                wanted = [line for line in lines if line[0] < end_ns] if is_over else lines
                self._take(self._reader.read(wanted))
                self._progress(recorded.stats.position_bytes, self.totals.messages)
                if is_over:
                    break
        except RecordingError as error:
            self._report(Damage(error.path, error.line, error.offset_bytes, error.reason))
        self._buffers.flush()
        if self._further_damage:
            self._keep(f"{self._unit.path}: further damages: {self._further_damage:,}")
        self.totals.unreadable += self._reader.unreadable + self._writer.rejected
        if self.totals.unreadable:
            reason = self._reason()
            count = self.totals.unreadable
            self._keep(f"{self._unit.path}: messages left out: {count:,}; {reason}")

    def _reason(self) -> str:
        """Return why the first message was skipped."""
        rejected = self._writer.first_rejected
        if self._reader.reason or rejected is None:
            return self._reader.reason or "a symbol or a time in them does not fit"
        return rejected.describe([self._unit.open(lambda _: None)])

    def _take(self, messages: Iterable[Message]) -> None:
        routes, add, count = self._routes, self._buffers.add, 0
        for count, message in enumerate(messages, 1):  # noqa: B007  # used after the loop
            route = routes.get(message.stream) or self._route(message.stream)
            day = (route.time_of(message) or message.received_ns // NS_PER_MS) // DAY_MS
            try:
                buffer = route.buffers[message.symbol, day]
            except KeyError:
                buffer = self._buffer_of(route, message.symbol, day)
            if buffer is None:
                self.totals.unreadable += 1
                continue
            rows = 1 if route.rows_of is None else route.rows_of(message)
            add(buffer, message, rows, rows)
        self.totals.messages += count

    def _route(self, stream: str) -> _Route:
        if len(self._routes) >= MAX_CACHED:
            self._routes.clear()
        table = table_of(stream)
        assert table is not None  # noqa: S101  # the reader skips the others
        route = _Route(stream, table, self._writer.time_of(table))
        self._routes[stream] = route
        return route

    def _buffer_of(self, route: _Route, symbol: str, day: int) -> Buffer[Message] | None:
        if len(route.buffers) >= MAX_CACHED:
            route.buffers.clear()
        found = None
        if 0 <= day <= LAST_DAY:
            venue = self._unit.venue or venue_of(symbol).name
            with suppress(ValueError):
                place = self._writer.place(route.table, route.stream, venue, symbol, date_of(day))
                found = self._buffers.of(route.table, place)
        route.buffers[symbol, day] = found
        return found

    def _write(self, buffer: Buffer[Message]) -> None:
        rows = self._writer.write(buffer.table, buffer.place, buffer.items)
        if rows:
            self.totals.rows[buffer.table.name] += rows
            if self._selection.symbols:
                self.totals.symbols.add(buffer.items[0].symbol)

    def _report(self, damage: Damage) -> None:
        if len(self.totals.damage) < MAX_KEPT_DAMAGE:
            self._keep(str(damage))
        else:
            self._further_damage += 1

    def _keep(self, text: str) -> None:
        self.totals.damage.append(text)
        self._warn(text)


def is_in_tables(tables: frozenset[str], stream: str) -> bool:
    """Whether messages of a stream are rows of one of some tables."""
    table: Table | None = table_of(stream)
    return table is not None and table.name in tables
