"""Whether the values of a message fit into its table, checked before they are converted.

Libraries accept many more forms of numbers than the exchange sends, such as `1e-999999999`, and
some of them crash on these or return another number.  So the form is checked first: a plain decimal
whose digits a column can hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec import Struct

from tickerplant.archive.message_reader import MessageReader
from tickerplant.archive.selection import Selection
from tickerplant.archive.snapshots import read_snapshot
from tickerplant.archive.tables import DECIMALS, DIGITS, Column, Kind, Table, table_of
from tickerplant.errors import RecordingError
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.message import Message
from tickerplant.recording.line import Line, Place, RecordedFile

INTEGER_DIGITS = DIGITS - DECIMALS
"""The maximum number of digits before the point."""
EXTRA_ZEROS = 24
"""Zeros that may follow the last decimal that a column holds."""
NUMBER = rf"-?[0-9]{{1,{INTEGER_DIGITS}}}(?:\.[0-9]{{1,{DECIMALS}}}0{{0,{EXTRA_ZEROS}}})?"
"""The form of a number, as a regular expression for both Python and RE2."""
EXPECTED_NUMBER = (
    f"a plain decimal with up to {INTEGER_DIGITS} digits before the point and {DECIMALS} after it"
)
EXPECTED_INTEGER = "a whole number of 64 bits"

_LARGEST = (1 << 63) - 1
_SHOWN_CHARS = 40
"""Characters of an invalid value that are shown."""
is_number = re.compile(NUMBER).fullmatch
"""Returns a true value for a valid number."""


def invalid_value(table: Table, message: Any) -> str:
    """Return the first value of `message` that does not fit into `table`, and why; empty if all do."""
    for column in table.all_columns:
        if column in table.levels:
            continue
        value = column.get(message)
        if value is None or value == column.missing:
            continue
        if expected := _expected(column, value):
            return f"{column.name} is {_shown(value)}, expected {expected}"
    return _invalid_level(message) if table.levels else ""


def _expected(column: Column, value: Any) -> str:
    """Return what is expected instead of a value; empty if it fits."""
    if column.kind is Kind.NUMBER:
        return "" if is_number(value) else EXPECTED_NUMBER
    if column.kind in {Kind.ID, Kind.TIME}:
        scale = column.unit_ns if column.kind is Kind.TIME else 1
        return "" if -_LARGEST <= value * scale <= _LARGEST else EXPECTED_INTEGER
    return ""


def _invalid_level(message: Any) -> str:
    for side, levels in (("bid", message.bids), ("ask", message.asks)):
        for name, numbers in zip(("price", "quantity"), zip(*levels, strict=True), strict=False):
            for number in numbers:
                if not is_number(number):
                    return f"{name} of a {side} is {_shown(number)}, expected {EXPECTED_NUMBER}"
    return ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


class RejectedMessage(Struct, frozen=True):
    """A message that is left out of a table."""

    table: Table
    message: Message
    reason: str
    """The column that it does not fit into, and why."""

    def describe(self, recordings: Iterable[RecordedFile]) -> str:
        """Return what is wrong with the message and where it is, reading up to it to find it."""
        received_ns, reader = self.message.received_ns, unfiltered_reader()
        is_it = partial(self._is_in, reader)
        places = (find_line(each, is_it, received_ns, received_ns) for each in recordings)
        place = next(filter(None, places), None)
        where = f"{place}, " if place else ""
        return (
            f"{where}received at {received_ns}: a message of {self.message.symbol!r} does not fit "
            f"into {self.table.name}: {self.reason}"
        )

    def _is_in(self, reader: MessageReader, line: Line) -> bool:
        found = rejected_in(line, reader)
        return found is not None and found.reason == self.reason


def find_line(
    recording: RecordedFile, is_it: Callable[[Line], bool], from_ns: int, to_ns: int
) -> Place | None:
    """Return the place of the first matching line received between two times; None if none does."""
    try:
        for lines in recording.batches(from_ns):
            for line in lines:
                if line[0] > to_ns:
                    return None
                if is_it(line):
                    return recording.place_of(line[1])
    except RecordingError:  # it has been removed since
        pass
    return None


def unfiltered_reader() -> MessageReader:
    """Return a reader of every message that a table may hold."""
    return MessageReader(Selection(), snapshots=True, payloads=False)


def rejected_in(line: Line, reader: MessageReader) -> RejectedMessage | None:
    """Return the message in a line that does not fit into its table; None if all fit."""
    for message in tuple(reader.read((line,))) or _snapshot_in(line):
        table = table_of(message.stream)
        if table is not None and (reason := invalid_value(table, message)):
            return RejectedMessage(table, message, reason)
    return None


def _snapshot_in(line: Line) -> tuple[DepthSnapshot, ...]:
    """Return the depth snapshot in a line, even if its symbol is unknown."""
    try:
        snapshot = read_snapshot(line[1], lambda: "?")
    except ValueError:
        return ()
    return () if snapshot is None else (snapshot,)
