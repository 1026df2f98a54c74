"""The manifest of a recording, read and checked.

The lines of a manifest are a chain: each but the first has a digest of the line before it.  The last
line known to be on disk is kept in a small file of its own, `manifest.tail`, which is overwritten in
place: after a crash it is a few lines behind the manifest, and never ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import msgspec
from msgspec import Raw, Struct, structs

from tickerplant.errors import RecordingError
from tickerplant.recording.line import Damage, Report
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    AnyEntry,
    InstrumentsListed,
    ProfileReported,
    RecordingStarted,
    RunStarted,
    SegmentSealed,
    prev_of,
    read_entry,
)
from tickerplant.regular_files import read_regular

MAX_BYTES = 1 << 28
"""Of a manifest: years of a recorder that loses its connection every minute."""
MAX_BAD_LINES = 1_000
"""Damaged lines that are reported one by one; the rest of the manifest is not read."""
TAIL = "manifest.tail"
"""The name of the file with the last line's digest, in the folder of a recording."""
MAX_TAIL_BYTES = 1 << 10
DIGITS = 16
"""Of a digest: it detects accidental loss, and is not a signature."""

MISSING_BEFORE = (
    "the line before it is not the one that preceded it when it was written: lines are missing "
    "or were changed"
)
NOT_CHAINED = "it has no digest of the line before it, and earlier lines do"


class Tail(Struct, frozen=True):
    """The extent of a manifest when it was last known to be on disk."""

    lines: int = 0
    size_bytes: int = 0
    last: str = ""
    """The digest of its last line; empty if there was none."""

    def text(self) -> bytes:
        """Return the content of the file, which always has the same size and is written in place."""
        return b'{"lines":%12d,"size_bytes":%16d,"last":"%-16b"}\n' % (
            self.lines,
            self.size_bytes,
            self.last.encode(),
        )


class Manifest(Struct, kw_only=True):
    """The entries of a manifest."""

    path: str
    start: RecordingStarted
    """The first entry."""
    entries: list[AnyEntry]
    """All entries, in order."""
    size_bytes: int
    """The size of the complete lines."""
    torn_bytes: int = 0
    """The size of an incomplete last line, cut off by a crash."""
    tail: Tail = Tail()
    """What the next line is chained to: the last line, or the one that should be the last."""
    unproven_lines: int = 0
    """Lines at the beginning without digests, written by an earlier version: nothing shows whether
    one of them is missing."""

    @property
    def venue(self) -> str:
        """The venue of its streams, `usdm` or `coinm`."""
        return self.start.venue

    @property
    def runs(self) -> list[RunStarted]:
        """The starts of all runs."""
        return [entry for entry in self.entries if isinstance(entry, RunStarted)]

    @property
    def profile(self) -> str:
        """The period of the protocol that was reported last; empty if none was."""
        profiles = (
            each.profile
            for each in reversed(self.entries)
            if isinstance(each, RunStarted | ProfileReported)
        )
        return next(filter(None, profiles), "")

    @property
    def streams(self) -> frozenset[str]:
        """All streams that any run subscribed to."""
        return frozenset(stream for run in self.runs for stream in run.streams)

    @property
    def sealed(self) -> dict[str, SegmentSealed]:
        """The finished segments, by name."""
        return {entry.name: entry for entry in self.entries if isinstance(entry, SegmentSealed)}

    @property
    def symbols(self) -> dict[str, Raw]:
        """The last listing of each contract, by symbol: elements of `symbols` of `exchangeInfo`."""
        contracts = (
            raw
            for entry in self.entries
            if isinstance(entry, InstrumentsListed)
            for raw in entry.symbols
        )
        return {symbol: raw for raw in contracts if (symbol := _symbol_of(raw))}

    @property
    def counts(self) -> Counter[str]:
        """Messages in the finished segments, by stream."""
        total: Counter[str] = Counter()
        for segment in self.sealed.values():
            total.update(segment.streams)
        return total


class _Named(Struct):
    symbol: str


def _symbol_of(contract: Raw) -> str:
    """Return the symbol of a contract; empty if it cannot be read."""
    try:
        return msgspec.json.decode(contract, type=_Named).symbol
    except (ValueError, RecursionError):
        return ""


def read_manifest(folder: str, report: Report = lambda _: None) -> Manifest:
    """Return the manifest in `folder`; damaged lines are reported.

    Raises:
        RecordingError: It is missing, is not a manifest, or is of a later version.
    """
    path = str(Path(folder, MANIFEST))
    tail = _read_tail(folder, report)  # first: the manifest is never behind it
    try:
        text = read_regular(path, MAX_BYTES)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        reason = "the manifest is missing" if is_missing else error.strerror or str(error)
        raise RecordingError(path, reason) from None
    complete, _, torn = text.rpartition(b"\n")
    size_bytes = len(text) - len(torn)
    chain = _Chain(tail)
    entries = _entries(path, BytesIO(text[:size_bytes]), chain, report)
    if not entries or not isinstance(entries[0], RecordingStarted):
        raise RecordingError(path, "its first line is not that of a manifest", line=1)
    if entries[0].format > FORMAT:
        newer = f"written in format {entries[0].format}, and this program reads up to {FORMAT}"
        raise RecordingError(path, newer, line=1)
    missing = chain.missing_at_end()
    if missing:
        report(Damage(path, chain.lines + 1, size_bytes, missing))
    if tail is None and chain.first_chained:
        reason = "is missing: nothing shows whether the manifest has all of its last lines"
        report(Damage(str(Path(folder, TAIL)), 0, 0, reason))
    if torn:
        report(Damage(path, complete.count(b"\n") + 2, size_bytes, "the last line is cut off"))
    last = tail.last if tail and missing else chain.last
    return Manifest(
        path=path,
        start=entries[0],
        entries=entries,
        size_bytes=size_bytes,
        torn_bytes=len(torn),
        tail=Tail(chain.lines, size_bytes, last),
        unproven_lines=chain.unproven_lines,
    )


def read_tail(folder: str | Path) -> Tail | None:
    """Return the tail of the manifest in `folder`; None if there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    try:
        text = read_regular(Path(folder, TAIL), MAX_TAIL_BYTES)
        tail = msgspec.json.decode(text, type=Tail)
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return Tail(tail.lines, tail.size_bytes, tail.last.strip())


def digest_of(line: bytes) -> str:
    """Return the digest of a line without its end."""
    return sha256(line).hexdigest()[:DIGITS]


def _read_tail(folder: str, report: Report) -> Tail | None:
    """Return the tail of a manifest; None if there is none, an empty one if it is damaged."""
    try:
        return read_tail(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"is not the tail of a manifest ({error})"
        report(Damage(str(Path(folder, TAIL)), 0, 0, reason))
        return Tail()


class _Chain:
    """Follows the digests in the lines of a manifest.

    Args:
        tail: The tail of the manifest; None if there is none.
    """

    def __init__(self, tail: Tail | None) -> None:
        self.lines = 0
        self.last = ""
        """The digest of the last line."""
        self.first_chained = 0
        """Number of the first line with a digest of the line before it; 0 if there is none."""
        self._tail = tail or Tail()
        self._tail_line = 0
        """Number of the line that the tail names; 0 if it was not found."""

    def follow(self, line: bytes, prev: str | None) -> str:
        """Add the next line; return what is wrong with its position, empty if nothing is.

        Args:
            line: The line without its end.
            prev: The digest in it; None if it cannot be read.
        """
        before, self.last = self.last, digest_of(line)
        self.lines += 1
        if self.last == self._tail.last:
            self._tail_line = self.lines
        if prev is None or (not prev and not self.first_chained):
            return ""
        self.first_chained = self.first_chained or self.lines
        if not prev:
            return NOT_CHAINED
        return "" if prev == before else MISSING_BEFORE

    def missing_at_end(self) -> str:
        """Return what is missing, by the tail, after the last line; empty if nothing is."""
        tail = self._tail
        if not tail.last or self._tail_line == tail.lines:
            return ""
        if self._tail_line:
            return "" if self.first_chained else self._missing_after(self._tail_line)
        return self._missing_after(self.lines)

    def _missing_after(self, lines: int) -> str:
        missing = self._tail.lines - lines
        if missing <= 0:
            return f"its last line, by {TAIL}, is missing, or was changed"
        what = "line is" if missing == 1 else "lines are"
        return f"{missing} {what} missing before here, by {TAIL}"

    @property
    def unproven_lines(self) -> int:
        """Lines at the beginning that an earlier version wrote, without digests."""
        if self.first_chained:
            return self.first_chained - 1 if self.first_chained > 2 else 0
        return 0 if self._tail.last and self.lines == 1 else self.lines


def _entries(path: str, lines: Iterable[bytes], chain: _Chain, report: Report) -> list[AnyEntry]:
    """Return the entries of a manifest; none if the first line is damaged."""
    entries: list[AnyEntry] = []
    sealed: dict[str, SegmentSealed] = {}
    offset = bad = 0
    for number, ended in enumerate(lines, 1):
        line = ended.removesuffix(b"\n")
        try:
            entry = read_entry(line)
            reasons = [chain.follow(line, entry.prev if entry else prev_of(line))]
        except ValueError as error:
            if not entries:
                break
            entry = None
            bad += 1
            chain.follow(line, None)
            reasons = [f"{line[:40]!r} is not a line of a manifest ({error})"]
            if bad == MAX_BAD_LINES:
                reasons.append(f"{bad:,} lines are damaged; the rest is not read")
        reasons.append(_contradiction(entries, sealed, entry))
        for reason in filter(None, reasons):
            report(Damage(path, number, offset, reason))
        if bad == MAX_BAD_LINES:
            break
        if isinstance(entry, SegmentSealed):
            sealed[entry.name] = entry
        if entry is not None:
            entries.append(entry)
        offset += len(ended)
    return entries


def _contradiction(
    entries: list[AnyEntry], sealed: dict[str, SegmentSealed], entry: AnyEntry | None
) -> str:
    """Return how an entry contradicts those before it; empty if it does not."""
    if isinstance(entry, RecordingStarted) and entries:
        return "a second line that begins a manifest"
    if isinstance(entry, SegmentSealed):
        before = sealed.get(entry.name)
        if (
            before is not None
            and structs.replace(before, time_ns=entry.time_ns, prev=entry.prev) != entry
        ):
            return f"the content of {entry.name} contradicts an earlier line"
    return ""
