"""Exports one unit: reads it, and puts each message where it goes."""

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
from tickerplant.exporting.buffers import Buffers, Waiting
from tickerplant.exporting.journal import KEPT_FLAWS
from tickerplant.exporting.places import LAST_DAY, date_of
from tickerplant.exporting.units import Unit
from tickerplant.exporting.writer import Writer
from tickerplant.messages.message import Message
from tickerplant.recording.line import Damage
from tickerplant.units import DAY_MS, NS_PER_MS

MAX_PLACES = 1 << 16
"""Places that are remembered; beyond, all are forgotten and found anew."""


class Came(Struct):
    """What a unit came to."""

    messages: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    symbols: set[str] = field(default_factory=set)
    """Those that were asked for by name, and have rows."""
    unreadable: int = 0
    flaws: list[str] = field(default_factory=list)


class _Route:
    """The way of the messages of a stream."""

    __slots__ = ("places", "rows_of", "stream", "table", "time_of")

    def __init__(self, stream: str, table: Table, time_of: Callable[[Any], int]) -> None:
        self.stream = stream
        self.table = table
        self.rows_of = table.rows_of
        self.time_of = time_of
        self.places: dict[tuple[str, int], Waiting | None] = {}
        """By symbol and day; None where there is no place."""


class Piece:
    """The export of one unit.

    Args:
        unit: Which.
        selection: What of it is wanted.
        tables: Which tables are wanted.
        writer: Writes it; a unit was begun.
        tell: Is told now and then how many bytes of the unit, and messages, have been read.
        warn: Is told what is damaged, as it is met.
    """

    def __init__(
        self,
        unit: Unit,
        selection: Selection,
        tables: frozenset[str],
        writer: Writer,
        tell: Callable[[int, int], object],
        warn: Callable[[str], object],
    ) -> None:
        self.came = Came()
        self._unit = unit
        self._selection = selection
        self._writer = writer
        self._tell = tell
        self._warn = warn
        self._untold = 0
        """Flaws that were not kept."""
        self._buffers = Buffers(self._write)
        self._routes: dict[str, _Route] = {}
        """By stream."""
        self._lanes = MessageReader(
            selection,
            snapshots=DEPTH_TABLE in tables,
            payloads=False,
            wanted=partial(_is_wanted, tables),
        )

    def run(self) -> None:
        """Write all of the unit.

        Raises:
            OSError: something cannot be written.
        """
        end_ns = self._selection.end_ns
        recorded = self._unit.open(self._report)
        try:
            for lines in recorded.batches(self._selection.start_ns):
                is_over = lines[-1][0] >= end_ns
                wanted = [line for line in lines if line[0] < end_ns] if is_over else lines
                self._take(self._lanes.read(wanted))
                self._tell(recorded.stats.position_bytes, self.came.messages)
                if is_over:
                    break
        except RecordingError as error:
            self._report(Damage(error.path, error.line, error.offset_bytes, error.reason))
        self._buffers.flush()
        if self._untold:
            self._keep(f"{self._unit.path}: further damages: {self._untold:,}")
        self.came.unreadable += self._lanes.unreadable + self._writer.rejected
        if self.came.unreadable:
            reason = self._reason()
            count = self.came.unreadable
            self._keep(f"{self._unit.path}: messages left out: {count:,}; {reason}")

    def _reason(self) -> str:
        """Return what is wrong with the first message that is left out."""
        rejected = self._writer.first_rejected
        if self._lanes.reason or rejected is None:
            return self._lanes.reason or "a symbol or a time in them does not fit"
        return rejected.describe([self._unit.open(lambda _: None)])

    def _take(self, messages: Iterable[Message]) -> None:
        routes, add, count = self._routes, self._buffers.add, 0
        for count, message in enumerate(messages, 1):  # noqa: B007  # counted behind the loop
            route = routes.get(message.stream) or self._route(message.stream)
            day = (route.time_of(message) or message.received_ns // NS_PER_MS) // DAY_MS
            try:
                waiting = route.places[message.symbol, day]
            except KeyError:
                waiting = self._find(route, message.symbol, day)
            if waiting is None:
                self.came.unreadable += 1
                continue
            add(waiting, message, 1 if route.rows_of is None else route.rows_of(message))
        self.came.messages += count

    def _route(self, stream: str) -> _Route:
        if len(self._routes) >= MAX_PLACES:
            self._routes.clear()
        table = table_of(stream)
        assert table is not None  # noqa: S101  # others are not read
        route = _Route(stream, table, self._writer.time_of(table))
        self._routes[stream] = route
        return route

    def _find(self, route: _Route, symbol: str, day: int) -> Waiting | None:
        """Return where the messages of a stream, symbol and day wait."""
        if len(route.places) >= MAX_PLACES:
            route.places.clear()
        found = None
        if 0 <= day <= LAST_DAY:
            venue = self._unit.venue or venue_of(symbol).name
            with suppress(ValueError):
                place = self._writer.place(route.table, route.stream, venue, symbol, date_of(day))
                found = self._buffers.of(route.table, place)
        route.places[symbol, day] = found
        return found

    def _write(self, waiting: Waiting) -> None:
        rows = self._writer.write(waiting.table, waiting.place, waiting.messages)
        if rows:
            self.came.rows[waiting.table.name] += rows
            if self._selection.symbols:
                self.came.symbols.add(waiting.messages[0].symbol)

    def _report(self, flaw: Damage) -> None:
        if len(self.came.flaws) < KEPT_FLAWS:
            self._keep(str(flaw))
        else:
            self._untold += 1

    def _keep(self, text: str) -> None:
        self.came.flaws.append(text)
        self._warn(text)


def _is_wanted(tables: frozenset[str], stream: str) -> bool:
    table: Table | None = table_of(stream)
    return table is not None and table.name in tables
