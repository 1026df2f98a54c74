"""`tickerplant plot`: the market of a symbol over a span of a recording, as a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import click

from tickerplant.archive.coverage import Coverage, coverage_of, times_between
from tickerplant.archive.recording import Recording, open_recording
from tickerplant.config.settings import PlotSettings, is_quiet
from tickerplant.decode.inference import assets_of, venue_of
from tickerplant.errors import ConfigError, RecordingError
from tickerplant.formatting import count_text, duration_text, iso_text, printable
from tickerplant.logs import configure
from tickerplant.own_folder import OwnFolder
from tickerplant.plotting.columns import Columns
from tickerplant.plotting.picture import Units, columns_in, drawn
from tickerplant.plotting.style import png_of, style, svg_of
from tickerplant.plotting.tape import KINDS, Tape, known_outages, read_tape
from tickerplant.progress import Progress, StatusLine
from tickerplant.recording.line import RecordedFile, total_stats
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.stream_name import parse_stream_name, upper_case
from tickerplant.suggestions import suggestion
from tickerplant.units import NS_PER_MS

ENDINGS = (".svg", ".png")
"""The formats of pictures."""
DONE, FAILED = 0, 1
"""Exit statuses."""
MOST_HOLES = 20
"""Holes that are listed one by one."""
LEAST_SPAN_NS = NS_PER_MS
"""A shorter span cannot be drawn."""
MOST_NAMED = 2_000
"""Recorded symbols with which a missing one is compared."""


def plot(settings: PlotSettings, path: str, symbol: str) -> int:
    """Draw a symbol of the recording at `path`; return the exit status."""
    configure(level=settings.log_level)
    if settings.out is None:
        raise ConfigError("--out", None, f"a file that ends with {', '.join(ENDINGS)}")
    file = PictureFile(settings.out)
    work = _Plot(settings, path, upper_case(symbol))
    try:
        content = work.drawn(file.ending)
    finally:
        work.progress.clear()
    try:
        file.write(content)
    except OSError as error:
        reason = error.strerror or str(error)
        click.echo(printable(f"tickerplant: {file.path}: {reason}"), err=True)
        return FAILED
    if not is_quiet(settings.log_level):
        for line in work.report(str(file.path)):
            click.echo(printable(line), err=True)
    return DONE


class PictureFile:
    """The file that a picture is written to: all of it, or nothing.

    Raises:
        ConfigError: It has another ending, its folder does not exist, or it cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.ending = self.path.suffix.lower()
        folder = self.path.parent
        expected = ""
        if self.ending not in ENDINGS:
            expected = f"a file whose name ends with {' or '.join(ENDINGS)}"
            expected += suggestion(self.ending, ENDINGS)
        elif not folder.is_dir():
            expected = f"a file in a folder that exists; {folder} does not"
        elif self.path.exists() and not self.path.is_file():
            expected = "a file; that is something else"
        elif not os.access(folder, os.W_OK | os.X_OK):
            expected = f"a file in a folder that can be written; {folder} cannot"
        if expected:
            raise ConfigError("--out", path, expected)

    def write(self, content: bytes) -> None:
        """Write the file; a file that was there is replaced when everything is written.

        Raises:
            OSError: It cannot be written; nothing of it is left.
        """
        folder = OwnFolder(self.path.parent)
        unfinished = f".{self.path.name}.{os.getpid()}.part"
        with folder.open(unfinished, "wb") as file:
            try:
                file.write(content)
                file.flush()
                self.path.with_name(unfinished).replace(self.path)
            except BaseException:
                folder.remove(unfinished)
                raise


class _Plot:
    def __init__(self, settings: PlotSettings, path: str, symbol: str) -> None:
        self._settings = settings
        self._path = path
        self._symbol = symbol
        self._share = 0.0
        self._tape: Tape | None = None
        self.progress = Progress(
            "plot",
            lambda: self._share,
            status_line=StatusLine(is_quiet=is_quiet(settings.log_level)),
        )

    def drawn(self, ending: str) -> bytes:
        """Return the picture in the format of an ending.

        Raises:
            ConfigError: Nothing was recorded of the symbol in the span.
            RecordingError: The recording cannot be read.
        """
        recording = open_recording(self._path)
        streams = self._streams(recording)
        columns = self._columns()
        selected = Recording((self._path,)).select(
            streams=streams,
            symbols=[self._symbol],
            start=columns.start_ns,
            end=columns.end_ns,
        )
        tape = self._tape = self._read(selected, columns)
        width_px, height_px = self._settings.size
        with style():
            figure = drawn(tape, self._units(), width_px, height_px)
            if ending == ".png":
                return png_of(figure)
            return svg_of(figure).encode()

    def report(self, path: str) -> Iterator[str]:
        """Yield lines about the picture in the file at `path`."""
        tape = self._tape
        if tape is None:
            return
        length = duration_text((tape.columns.end_ns - tape.columns.start_ns) / NS_PER_MS)
        holes = len(tape.holes) + tape.more_holes
        missing = f", {count_text(holes, 'hole')}" if holes else ""
        yield (
            f"{path}: {tape.symbol} over {length}, {count_text(tape.messages, 'message')}"
            f"{missing}; {self.progress.seconds:.1f} s"
        )
        for hole in tape.holes[:MOST_HOLES]:
            length = duration_text((hole.to_ns - hole.from_ns) / NS_PER_MS)
            yield f"  {iso_text(hole.from_ns)}, {length}: {hole.what}, {hole.reason}"
        if (more := holes - MOST_HOLES) > 0:
            yield f"  and {count_text(more, 'more hole')}"
        trades = tape.trades.get(tape.trade_kind)
        if trades is not None and trades.copies:
            yield f"! {count_text(trades.copies, 'copy', 'copies')} of trades not counted again"
        if trades is not None and trades.odd:
            yield f"! {count_text(trades.odd, 'trade')} without a price or quantity left out"
        if tape.unreadable:
            yield f"! {count_text(tape.unreadable, 'unreadable message')} left out"

    def _streams(self, recording: Recording) -> list[str]:
        """Return the streams to read; none if it is not known which were recorded."""
        try:
            recording.select(symbols=[self._symbol])
        except ConfigError as error:
            raise ConfigError("SYMBOL", self._symbol, error.expected) from None
        listed = sorted(recording.streams)
        if not listed:
            return []
        names = [parse_stream_name(each) for each in listed]
        topic = self._symbol.lower()
        found = [
            name.text
            for name in names
            if name.kind in KINDS and (name.topic.lower() == topic or name.is_of_all)
        ]
        if not found:
            kinds = sorted({each.kind for each in names if each.topic.lower() == topic})
            has = f"; of this one it has {', '.join(kinds)}" if kinds else ""
            drawable = {each.symbol for each in names if each.topic and each.kind in KINDS}
            raise ConfigError(
                "SYMBOL",
                self._symbol,
                f"one with trades, best prices or depth in {self._path}{has}"
                f"{suggestion(self._symbol, sorted(drawable)[:MOST_NAMED])}",
            )
        return found

    def _columns(self) -> Columns:
        files = recorded_files([self._path])
        covered = self._covered(files)
        if covered is None:
            raise RecordingError(self._path, "contains no line, so there is nothing to draw")
        start_ns, end_ns = times_between(self._settings.begin, self._settings.end, covered)
        start_ns = max(start_ns, covered.first_ns)
        end_ns = max(min(end_ns, covered.last_ns + 1), start_ns + LEAST_SPAN_NS)
        return Columns(start_ns, end_ns, columns_in(self._settings.size[0]))

    def _covered(self, files: Sequence[RecordedFile]) -> Coverage | None:
        if all(isinstance(each, Segments) for each in files):
            return coverage_of(files)
        first_ns = last_ns = 0
        count = 0
        for lines in chain.from_iterable(each.batches() for each in files):
            first_ns = min(first_ns or lines[0][0], lines[0][0])
            last_ns = max(last_ns, lines[-1][0])
            count += len(lines)
            stats = total_stats(files)
            self._share = stats.position_bytes / max(stats.size_bytes, 1) / 2
            self.progress.report(count)
        return Coverage(first_ns, last_ns) if count else None

    def _read(self, recording: Recording, columns: Columns) -> Tape:
        begun = self._share

        def report(messages: int, time_ns: int) -> None:
            passed = (time_ns - columns.start_ns) / (columns.end_ns - columns.start_ns)
            self._share = begun + (1 - begun) * min(max(passed, 0.0), 1.0)
            self.progress.report(messages)

        tape = read_tape(recording, self._symbol, columns, report)
        if not tape.messages:
            raise self._nothing(recording, columns)
        tape.add_holes(known_outages([self._path], tape.streams, columns))
        return tape

    def _nothing(self, recording: Recording, columns: Columns) -> ConfigError:
        names = {parse_stream_name(each).symbol for each in recording.streams} - {""}
        if self._symbol not in names and recording.streams:
            known = sorted(names)[:MOST_NAMED]
            similar = suggestion(self._symbol, known)
            return ConfigError("SYMBOL", self._symbol, f"a symbol in {self._path}{similar}")
        span = f"{iso_text(columns.start_ns)} to {iso_text(columns.end_ns)}"
        return ConfigError(
            "SYMBOL", self._symbol, f"one with trades, best prices or depth from {span}"
        )

    def _units(self) -> Units:
        base, quote = assets_of(self._symbol)
        return Units(quote, "contracts" if venue_of(self._symbol).inverse else base)
