"""What the manifest of a recording says, all in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import msgspec
from msgspec import Raw, Struct, structs

from tickerplant.errors import RecordingError
from tickerplant.recording.chain import TAIL, Chain, Tail, read_tail
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

MOST_BYTES = 1 << 28
"""Of a manifest: years of a recorder that loses its connection every minute."""
MOST_BAD_LINES = 1_000
"""Lines that are none of a manifest are reported one by one; behind so many it is not read on."""


class _Named(Struct):
    symbol: str


class Manifest(Struct, kw_only=True):
    """The journal of a recording, read."""

    path: str
    """The file."""
    begun: RecordingStarted
    entries: list[AnyEntry]
    """All of it, in order."""
    size_bytes: int
    """As far as it is whole."""
    torn_bytes: int = 0
    """What stands behind that: a line that a crash cut off."""
    tail: Tail = Tail()
    """What the next line is to be written behind: the last line, or what should have been it."""
    unproven_lines: int = 0
    """Lines at its beginning of which nothing shows whether one is missing: an earlier version
    wrote them."""

    @property
    def venue(self) -> str:
        """The venue of its streams, `usdm` or `coinm`."""
        return self.begun.venue

    @property
    def runs(self) -> list[RunStarted]:
        """Every time that somebody began to record into it."""
        return [entry for entry in self.entries if isinstance(entry, RunStarted)]

    @property
    def profile(self) -> str:
        """The period of the protocol, as the last run knew it; empty if none did."""
        told = (
            each.profile
            for each in reversed(self.entries)
            if isinstance(each, RunStarted | ProfileReported)
        )
        return next(filter(None, told), "")

    @property
    def streams(self) -> frozenset[str]:
        """All streams that were ever asked for."""
        return frozenset(stream for run in self.runs for stream in run.streams)

    @property
    def sealed(self) -> dict[str, SegmentSealed]:
        """The finished segments, by name."""
        return {entry.name: entry for entry in self.entries if isinstance(entry, SegmentSealed)}

    @property
    def symbols(self) -> dict[str, Raw]:
        """The contracts as they were last told, by symbol: elements of `symbols` of `exchangeInfo`."""
        told = (
            raw
            for entry in self.entries
            if isinstance(entry, InstrumentsListed)
            for raw in entry.symbols
        )
        return {symbol: raw for raw in told if (symbol := _symbol_of(raw))}

    @property
    def counts(self) -> Counter[str]:
        """Messages of the finished segments, by stream."""
        total: Counter[str] = Counter()
        for segment in self.sealed.values():
            total.update(segment.streams)
        return total


def _symbol_of(contract: Raw) -> str:
    """Return the symbol of a contract; empty if it is none."""
    try:
        return msgspec.json.decode(contract, type=_Named).symbol
    except (ValueError, RecursionError):
        return ""


def read_manifest(folder: str, report: Report = lambda _: None) -> Manifest:
    """Return what the manifest in `folder` says; a line that is cut off, or none, is reported.

    Raises:
        RecordingError: there is none, it is none, or it is of a later version.
    """
    path = str(Path(folder, MANIFEST))
    tail = _tail(folder, report)  # first: the manifest is never behind it
    try:
        text = read_regular(path, MOST_BYTES)
    except OSError as error:
        lost = isinstance(error, FileNotFoundError)
        reason = "the manifest is missing" if lost else error.strerror or str(error)
        raise RecordingError(path, reason) from None
    whole, _, torn = text.rpartition(b"\n")
    size_bytes = len(text) - len(torn)
    chain = Chain(tail)
    entries = _entries(path, BytesIO(text[:size_bytes]), chain, report)
    if not entries or not isinstance(entries[0], RecordingStarted):
        raise RecordingError(path, "its first line is not that of a manifest", line=1)
    if entries[0].format > FORMAT:
        newer = f"written in format {entries[0].format}, and this program reads up to {FORMAT}"
        raise RecordingError(path, newer, line=1)
    missing = chain.missing_at_end()
    if missing:
        report(Damage(path, chain.lines + 1, size_bytes, missing))
    if tail is None and chain.begins:
        reason = "is missing: nothing shows whether the last lines of the manifest are there"
        report(Damage(str(Path(folder, TAIL)), 0, 0, reason))
    if torn:
        report(Damage(path, whole.count(b"\n") + 2, size_bytes, "the last line is cut off"))
    last = tail.last if tail and missing else chain.last
    return Manifest(
        path=path,
        begun=entries[0],
        entries=entries,
        size_bytes=size_bytes,
        torn_bytes=len(torn),
        tail=Tail(chain.lines, size_bytes, last),
        unproven_lines=chain.unproven_lines,
    )


def _tail(folder: str, report: Report) -> Tail | None:
    """Return what the file beside a manifest says; None if it says nothing, which is reported."""
    try:
        return read_tail(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"is no tail of a manifest ({error})"
        report(Damage(str(Path(folder, TAIL)), 0, 0, reason))
        return Tail()


def _entries(path: str, lines: Iterable[bytes], chain: Chain, report: Report) -> list[AnyEntry]:
    """Return what the lines of a manifest say; none if not even the first one is of it."""
    entries: list[AnyEntry] = []
    sealed: dict[str, SegmentSealed] = {}
    offset = bad = 0
    for number, ended in enumerate(lines, 1):
        line = ended.removesuffix(b"\n")
        try:
            entry = read_entry(line)
            wrongs = [chain.follow(line, entry.prev if entry else prev_of(line))]
        except ValueError as error:
            if not entries:
                break
            entry = None
            bad += 1
            chain.follow(line, None)
            wrongs = [f"{line[:40]!r} is no line of a manifest ({error})"]
            if bad == MOST_BAD_LINES:
                wrongs.append(f"{bad:,} lines are none of a manifest; the rest is not read")
        wrongs.append(_contradiction(entries, sealed, entry))
        for wrong in filter(None, wrongs):
            report(Damage(path, number, offset, wrong))
        if bad == MOST_BAD_LINES:
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
    """Return what is wrong with a line after those before it; empty if nothing is."""
    if isinstance(entry, RecordingStarted) and entries:
        return "a second line that begins a manifest"
    if isinstance(entry, SegmentSealed):
        before = sealed.get(entry.name)
        if (
            before is not None
            and structs.replace(before, time_ns=entry.time_ns, prev=entry.prev) != entry
        ):
            return f"{entry.name} is said to hold something else than before"
    return ""
