"""Recordings as files of hftbacktest: `<symbol>_<YYYYMMDD>.npz`, with the array `data`.

A file is a symbol on a day of UTC by receive time.  Its events wait in a file of their own until
the day is over, because hftbacktest wants them in two orders (`hftbacktest_order.py`); the finished
file appears whole or not at all.  What it was made from is kept in it, so that it is not made again
from the same.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

from msgspec import Struct

from tickerplant.errors import ConfigError, RecordingError
from tickerplant.exporting.hftbacktest_market import Market, is_symbol
from tickerplant.exporting.hftbacktest_messages import MAX_TIME_NS
from tickerplant.exporting.hftbacktest_order import write_in_order
from tickerplant.exporting.hftbacktest_rows import Waiting
from tickerplant.exporting.npz import comment_of
from tickerplant.recording.line import RecordedFile, merge
from tickerplant.recording.manifest_entries import SegmentSealed
from tickerplant.recording.segments import Segments
from tickerplant.suggestions import one_of

MAX_HELD_ROWS = 1 << 20
"""Events in memory, of all symbols together, before they are written to where they wait."""

LOOK_EVERY_LINES = 1 << 12
"""How often it is looked at how many events are in memory."""

EXTRAS = frozenset({"book_tickers", "mark_prices"})
"""What can be exported beside books and trades."""

WORKSHOP = ".hftbacktest.unfinished"
"""Where the unfinished files are; what an export that was killed left there is removed."""

_DAY_NS = 86_400 * 10**9
_MADE_BY = b"tickerplant hftbacktest 1 "
"""Begins what is kept in a file; the number changes when the same source makes another file."""


class Totals(Struct, frozen=True):
    """What an export came to."""

    files: int
    """Files that were made."""
    events: int
    """Rows in them."""
    kept: int = 0
    """Files that were there already, made from the same recordings."""
    left_out: Mapping[str, int] = {}
    """What could not be exported, by what is wrong with it."""
    symbols: frozenset[str] = frozenset()
    """Those of the symbols that were asked for of which there are files."""


def export_hftbacktest(
    recordings: Sequence[RecordedFile],
    out: Path,
    *,
    symbols: frozenset[str],
    start_ns: int,
    end_ns: int,
    base_latency_ns: int = 0,
    extras: frozenset[str] = frozenset(),
    progress: Callable[[int], object] = lambda _: None,
) -> Totals:
    """Write what is recorded from `start_ns` to before `end_ns` into files in the folder `out`.

    Args:
        recordings: Of one venue; read as one, by receive time.
        out: Is made if it is not there.
        symbols: Which, in capitals; all if empty.
        start_ns: In nanoseconds since the epoch, by receive time.
        end_ns: Likewise.
        base_latency_ns: Added to local times where these have to be corrected.
        extras: `book_tickers` adds events 103 and 104, `mark_prices` index prices, mark prices and
            funding rates as 100, 101 and 102.
        progress: Is told now and then how many messages have been read.

    Raises:
        ConfigError: `extras` names something else, the latency is negative, or another export
            writes into the folder.
        RecordingError: a recording cannot be read, or a file not be written; then none is left half.
    """
    for name in sorted(extras - EXTRAS):
        raise ConfigError("--extras", name, one_of(name, sorted(EXTRAS)))
    if base_latency_ns < 0:
        raise ConfigError("--base-latency-ns", base_latency_ns, "0 or more nanoseconds")
    try:
        with _workshop(out) as workshop:
            export = _Export(recordings, workshop, out, symbols, base_latency_ns, extras)
            return export.run(start_ns, end_ns, progress)
    except OSError as error:
        path = str(error.filename or out)
        raise RecordingError(path, error.strerror or str(error)) from None


class _Export:
    """An export under way."""

    def __init__(
        self,
        recordings: Sequence[RecordedFile],
        workshop: Path,
        out: Path,
        symbols: frozenset[str],
        base_latency_ns: int,
        extras: frozenset[str],
    ) -> None:
        self._recordings = recordings
        self._workshop = workshop
        self._out = out
        self._symbols = symbols
        self._base_latency_ns = base_latency_ns
        self._extras = extras
        self._sources = [_Source(recording) for recording in recordings]
        self._left_out: Counter[str] = Counter()
        self._files = self._events = self._kept = 0
        self._exported: set[str] = set()
        """The symbols of which there are files."""
        self._day: dict[str, Waiting | None] = {}
        """By symbol what waits of the day, and None where nothing is wanted."""
        self._date = ""
        self._fingerprint = b""

    def run(self, start_ns: int, end_ns: int, progress: Callable[[int], object]) -> Totals:
        """Export everything."""
        markets = [
            Market(self._sink_of, self._extras, each.path, self._left_out)
            for each in self._recordings
        ]
        lines_read = looked = 0
        day_end_ns = 0
        for index, lines in merge(self._recordings, start_ns):
            take = markets[index].take
            for received_ns, raw in lines:
                if received_ns >= day_end_ns:
                    if received_ns >= MAX_TIME_NS:
                        self._left_out["messages from a receive time after 2099 on"] += 1
                    if received_ns >= min(end_ns, MAX_TIME_NS):
                        break
                    self._end_day()
                    day_end_ns = min(self._begin_day(received_ns, start_ns, end_ns), end_ns)
                take(received_ns, raw)
            else:
                lines_read += len(lines)
                if lines_read - looked >= LOOK_EVERY_LINES:
                    looked = lines_read
                    progress(lines_read)
                    self._write_if_many()
                continue
            break
        self._end_day()
        progress(lines_read)
        return Totals(
            self._files,
            self._events,
            self._kept,
            dict(self._left_out),
            self._symbols & self._exported,
        )

    def _begin_day(self, received_ns: int, start_ns: int, end_ns: int) -> int:
        """Begin the day of a receive time, and return when it ends."""
        first_ns = received_ns // _DAY_NS * _DAY_NS
        last_ns = first_ns + _DAY_NS
        self._date = datetime.fromtimestamp(first_ns // 10**9, UTC).strftime("%Y%m%d")
        said = [source.of_day(first_ns, last_ns) for source in self._sources]
        between = max(start_ns, first_ns), min(end_ns, last_ns)
        text = repr((said, between, self._base_latency_ns, sorted(self._extras)))
        self._fingerprint = _MADE_BY + sha256(text.encode()).hexdigest().encode()
        return last_ns

    def _target(self, symbol: str) -> Path:
        return self._out / f"{symbol}_{self._date}.npz"

    def _sink_of(self, symbol: str) -> Waiting | None:
        """Return what takes the events of `symbol` on this day; None if they are not wanted."""
        try:
            return self._day[symbol]
        except KeyError:
            waiting = self._day[symbol] = self._waiting_of(symbol)
            return waiting

    def _waiting_of(self, symbol: str) -> Waiting | None:
        if not is_symbol(symbol):
            self._left_out["a symbol that cannot be the name of a file"] += 1
            return None
        if self._symbols and symbol not in self._symbols:
            return None
        if comment_of(self._target(symbol)) == self._fingerprint:
            self._kept += 1
            self._exported.add(symbol)
            return None
        return Waiting(self._workshop / f"{symbol}.rows")

    def _write_if_many(self) -> None:
        waiting = [each for each in self._day.values() if each is not None]
        if sum(each.held for each in waiting) >= MAX_HELD_ROWS:
            for each in waiting:
                each.write()

    def _end_day(self) -> None:
        """Make the files of the day."""
        for symbol, waiting in self._day.items():
            if waiting is not None:
                waiting.write()
                if waiting.dropped:
                    self._left_out[
                        "a price or quantity that is no number, or too large or too fine"
                    ] += waiting.dropped
                self._finish(symbol, waiting)
        self._day.clear()

    def _finish(self, symbol: str, waiting: Waiting) -> None:
        if waiting.rows:
            made = waiting.path.with_suffix(".npz")
            latency_ns = self._base_latency_ns
            self._events += write_in_order(waiting.path, made, latency_ns, self._fingerprint)
            made.replace(self._target(symbol))
            self._files += 1
            self._exported.add(symbol)
        waiting.path.unlink()


class _Source:
    """What identifies the part of a recording that a day is made from."""

    def __init__(self, recording: RecordedFile) -> None:
        self._path = Path(recording.path)
        self._segments: list[tuple[Path, SegmentSealed | None]] = []
        if isinstance(recording, Segments):
            manifest = recording.manifest()
            sealed = manifest.sealed if manifest else {}
            self._segments = [(path, sealed.get(path.name)) for path in recording.files()]

    def of_day(self, first_ns: int, end_ns: int) -> list[object]:
        """Return something that is equal as long as a day would be made from the same."""
        if not self._segments:
            return _of_file(self._path)
        said: list[object] = []
        for path, sealed in self._segments:
            if sealed is None:
                said += _of_file(path)
            elif sealed.first_ns < end_ns and sealed.last_ns >= first_ns:
                said += [sealed.name, sealed.sha256]
        return said


def _of_file(path: Path) -> list[object]:
    found = path.stat()
    return [path.name, found.st_size, found.st_mtime_ns]


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """Make the folder for unfinished files, empty; it is gone afterwards."""
    folder = out / WORKSHOP
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("--out", str(out), "a folder that no other export uses") from None
        for path in folder.iterdir():
            path.unlink()
        try:
            yield folder
        finally:
            rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)
