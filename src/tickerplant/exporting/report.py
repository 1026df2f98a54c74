"""What an export wrote and left out, and what is missing in its recordings by their manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from tickerplant.archive.outage_log import NEVER, Hole, holes_by
from tickerplant.archive.recording import manifest_of
from tickerplant.formatting import count_text, encodable, iso_text, names_text
from tickerplant.recording.opening import recorded_files

SHOWN_HOLES = 5
"""Holes that are printed, the longest ones."""


class ExportReport(Struct, kw_only=True):
    """What `tickerplant export --json` prints."""

    out: str
    """The folder."""
    rows: dict[str, int] = {}
    """Rows that were written, by table."""
    files: int = 0
    """Parts that hold what was asked for, also those of earlier exports."""
    kept: int = 0
    """Segments and files of lines that were exported before, and not read again."""
    damage: list[str] = []
    """Where what was read is damaged, and what was left out."""
    holes: list[Hole] = []
    """Times in which messages of the exported streams are missing, or may be, by the manifests."""
    unproven: list[str] = []
    """Recordings without a manifest: only `verify` knows what is missing in them."""
    missing_tables: list[str] = []
    """Tables that were asked for and have no rows."""
    missing_symbols: list[str] = []
    """Symbols that were asked for and have no rows."""
    interrupted: bool = False
    """Whether Ctrl-C ended it; the same command resumes it."""
    seconds: float = 0.0
    """How long it took."""

    @property
    def is_complete(self) -> bool:
        """Whether everything that was asked for is there, and there is something."""
        missing = self.damage or self.missing_tables or self.missing_symbols
        return bool(self.files) and not missing and not self.interrupted

    def add_holes(self, paths: Sequence[str], is_exported: Callable[[Hole], bool]) -> None:
        """Add what is missing in the recordings at `paths`."""
        for recording in recorded_files(paths):
            if manifest := manifest_of(recording):
                found = holes_by(manifest)
                self.holes += (each for each in found if each.reason != NEVER and is_exported(each))
            else:
                self.unproven.append(encodable(recording.path))
        self.holes.sort(key=lambda each: each.from_ns)

    def lines(self, units: int) -> Iterator[str]:
        """Yield it as text, of an export of so many segments and files."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        yield f"rows: {counts or 'none'}, in {count_text(self.files, 'file')}; {self.seconds:.1f} s"
        if self.kept:
            yield f"{self.kept} of {units} files were exported before"
        if self.holes:
            missing = sum(each.missing or 0 for each in self.holes)
            yield (
                f"! {count_text(len(self.holes), 'hole')} by the manifest: "
                f"{count_text(missing, 'message')} missing, as far as it says"
            )
        for each in sorted(self.holes, key=lambda each: each.from_ns - each.to_ns)[:SHOWN_HOLES]:
            when = f"{iso_text(each.from_ns)} to {iso_text(each.to_ns)}"
            yield f"!   {each.stream or 'any stream'}: {when} ({each.reason})"
        if self.unproven:
            where = names_text(self.unproven)
            yield f"= {where}: no manifest, only verify knows what is missing"
        for of, names in (("for", self.missing_tables), ("of", self.missing_symbols)):
            if names:
                yield f"nothing was recorded {of} {', '.join(names)}"
        if not (self.files or self.interrupted or self.missing_tables or self.missing_symbols):
            yield "the recording contains nothing that can be exported"
