"""What an export wrote and left out, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec
from msgspec import Struct

from tickerplant.config.settings import ExportSettings, is_quiet
from tickerplant.exporting.holes import Hole, Holes, lines_of
from tickerplant.formatting import count_text, printable


class ExportReport(Struct, kw_only=True):
    """What `tickerplant export --json` prints."""

    format: str
    """`parquet` or `csv`."""
    out: str
    """The folder."""
    rows: dict[str, int]
    """Rows by table."""
    files: int | None
    """Files of the export, null if it was interrupted."""
    damage: list[str] = []
    """Where a recording is damaged."""
    hole_count: int = 0
    """Times in which messages of the exported streams are missing in the recording, or may be."""
    missing_messages: int = 0
    """Messages missing in them, as far as ids show it."""
    dropped_messages: int = 0
    """Messages that the recorder dropped, of whatever stream and time."""
    holes: list[Hole] = []
    """The first 1,000 of each stream, in order of time."""
    missing_tables: list[str] = []
    """Tables that were asked for and have no rows."""
    missing_symbols: list[str] = []
    """Symbols that were asked for and have no rows."""
    interrupted: bool = False
    """Whether Ctrl-C ended it; the same command resumes it."""
    seconds: float
    """How long it took."""

    @property
    def is_complete(self) -> bool:
        """Whether everything that was asked for is there, and there is something."""
        missing = self.damage or self.missing_tables or self.missing_symbols
        return any(self.rows.values()) and not missing and not self.interrupted


def print_report(
    report: ExportReport, settings: ExportSettings, holes: Holes | None = None
) -> None:
    """Print a report with what is missing in the recording.

    It is JSON on standard output, or lines on standard error unless they are unwanted.
    """
    holes = holes or Holes()
    report.hole_count, report.missing_messages = holes.count, holes.missing
    report.dropped_messages, report.holes = holes.dropped, holes.listed
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    elif not is_quiet(settings.log_level):
        for line in _lines(report, holes):
            click.echo(printable(line), err=True)


def _lines(report: ExportReport, holes: Holes) -> Iterator[str]:
    counts = ", ".join(f"{name} {count:,}" for name, count in report.rows.items() if count)
    written = "" if report.files is None else f", in {count_text(report.files, 'file')}"
    yield f"rows: {counts or 'none'}{written}; {report.seconds:.1f} s"
    yield from lines_of(holes)
    if report.missing_tables:
        yield f"nothing was recorded for {', '.join(report.missing_tables)}"
    if report.missing_symbols:
        yield f"nothing was recorded of {', '.join(report.missing_symbols)}"
    is_told = report.interrupted or report.missing_tables or report.missing_symbols
    if not (is_told or any(report.rows.values())):
        yield "the recording contains nothing that can be exported"
