"""What an export wrote and left out, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec
from msgspec import Struct

from tickerplant.config.settings import ExportSettings, is_quiet
from tickerplant.formatting import count_text, printable


class ExportReport(Struct, kw_only=True):
    """What `tickerplant export --json` prints."""

    format: str
    """`parquet`, `csv` or `hftbacktest`."""
    out: str
    """The folder."""
    rows: dict[str, int]
    """Rows by table; `events` of hftbacktest."""
    files: int | None
    """Files of the export, null if it was interrupted; of hftbacktest those written now."""
    files_kept: int = 0
    """hftbacktest: files that already existed, made from the same recordings."""
    left_out: dict[str, int] = {}
    """hftbacktest: messages that could not be exported, by reason."""
    damage: list[str] = []
    """Where a recording is damaged."""
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
        has_rows = bool(self.files_kept or any(self.rows.values()))
        missing = self.damage or self.left_out or self.missing_tables or self.missing_symbols
        return has_rows and not missing and not self.interrupted


def print_report(report: ExportReport, settings: ExportSettings) -> None:
    """Print a report: JSON on standard output, or lines on standard error unless they are unwanted."""
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    elif not is_quiet(settings.log_level):
        for line in _lines(report):
            click.echo(printable(line), err=True)


def _lines(report: ExportReport) -> Iterator[str]:
    counts = ", ".join(f"{name} {count:,}" for name, count in report.rows.items() if count)
    written = "" if report.files is None else f", in {count_text(report.files, 'file')}"
    kept = f"; {report.files_kept:,} more already existed" if report.files_kept else ""
    yield f"rows: {counts or 'none'}{written}{kept}; {report.seconds:.1f} s"
    if report.missing_tables:
        yield f"nothing was recorded for {', '.join(report.missing_tables)}"
    if report.missing_symbols:
        yield f"nothing was recorded of {', '.join(report.missing_symbols)}"
    is_empty = not (report.files_kept or any(report.rows.values()))
    if is_empty and not (report.interrupted or report.missing_tables or report.missing_symbols):
        yield "the recording contains nothing that can be exported"
