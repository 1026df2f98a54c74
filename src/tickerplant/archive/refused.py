"""Messages that are left out of a table, and where they stand in a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from msgspec import Struct

from tickerplant.archive.fit import misfit
from tickerplant.archive.lanes import Lanes
from tickerplant.archive.selection import Selection
from tickerplant.archive.snapshot import read_snapshot
from tickerplant.archive.tables import Table, table_of
from tickerplant.errors import RecordingError
from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.message import Message
from tickerplant.recording.line import Line, Place, RecordedFile


class Refused(Struct, frozen=True):
    """A message that is left out of a table."""

    table: Table
    message: Message
    reason: str
    """Which column it does not fit into, and why."""

    def described(self, recordings: Iterable[RecordedFile]) -> str:
        """Return what is wrong with the message, and where it stands in `recordings`.

        They are read up to the message.
        """
        received_ns, lanes = self.message.received_ns, all_lanes()
        is_it = partial(self._is_in, lanes)
        places = (place_of(each, is_it, received_ns, received_ns) for each in recordings)
        place = next(filter(None, places), None)
        where = f"{place}, " if place else ""
        return (
            f"{where}received at {received_ns}: a message of {self.message.symbol!r} does not fit "
            f"into {self.table.name}: {self.reason}"
        )

    def _is_in(self, lanes: Lanes, line: Line) -> bool:
        found = refused_in(line, lanes)
        return found is not None and found.reason == self.reason


def place_of(
    recording: RecordedFile, is_it: Callable[[Line], bool], from_ns: int, to_ns: int
) -> Place | None:
    """Return where the first line stands that is the one, received from then to then; or None."""
    try:
        for lines in recording.batches(from_ns):
            for number, line in enumerate(lines, recording.stats.lines - len(lines)):
                if line[0] > to_ns:
                    return None
                if is_it(line):
                    return recording.place_of(number)
    except RecordingError:  # it is gone since
        pass
    return None


def all_lanes() -> Lanes:
    """Return what reads every message of a recording that a table may have."""
    return Lanes(Selection(), snapshots=True, payloads=False)


def refused_in(line: Line, lanes: Lanes) -> Refused | None:
    """Return the message in a line that does not fit into its table; None if there is none."""
    for message in tuple(lanes.read((line,))) or _snapshots(line):
        table = table_of(message.stream)
        if table is not None and (wrong := misfit(table, message)):
            return Refused(table, message, wrong)
    return None


def _snapshots(line: Line) -> tuple[DepthSnapshot, ...]:
    """Return the snapshot of a book in a line, even if nobody knows whose it is."""
    try:
        snapshot = read_snapshot(line[1], "?")
    except ValueError:
        return ()
    return () if snapshot is None else (snapshot,)
