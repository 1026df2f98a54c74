"""The manifest of a recording, read and checked.

How many lines of a manifest are certainly on disk, and the digest of all of them, is kept in a small
file of its own, `manifest.tail`, which is overwritten in place: after a crash it is a few lines behind
the manifest, and never ahead.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Raw, Struct, structs

from tickerplant.errors import RecordingError
from tickerplant.recording.line import Damage, Report
from tickerplant.recording.manifest_chain import chain_of
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    AnyEntry,
    InstrumentsListed,
    ManifestDamaged,
    ProfileReported,
    RecordingStarted,
    RunStarted,
    SegmentSealed,
    read_entry,
)
from tickerplant.regular_files import read_regular

MAX_BYTES = 1 << 28
"""Of a manifest: years of a recorder that loses its connection every minute."""
MAX_BAD_LINES = 1_000
"""Damaged lines that are reported one by one; the rest of the manifest is not read."""
TAIL = "manifest.tail"
"""The name of the file with the digest of the manifest, in the folder of a recording."""
MAX_TAIL_BYTES = 1 << 10


class Tail(Struct, frozen=True):
    """The extent of a manifest when it was last known to be on disk."""

    lines: int = 0
    size_bytes: int = 0
    sha256: str = ""
    """Of all these lines; empty in format 1."""
    ended: bool = False
    """Whether the recorder shut down after the last of them: then nothing may follow."""
    last: str = ""
    """In format 1, the digest of the last line."""

    def text(self) -> bytes:
        """Return the content of the file, which always has the same size and is written in place."""
        ended = b"true" if self.ended else b"false"
        return b'{"lines":%12d,"size_bytes":%16d,"sha256":"%-64b","ended":%5b}\n' % (
            *(self.lines, self.size_bytes, self.sha256.encode(), ended),
        )


class Manifest(Struct, kw_only=True):
    """The entries of a manifest."""

    path: str
    start: RecordingStarted
    entries: list[AnyEntry]
    size_bytes: int
    """The size of the complete lines."""
    torn_bytes: int = 0
    """The size of an incomplete last line, cut off by a crash."""
    tail: Tail = Tail()
    """The number, size and digest of the complete lines."""
    unproven_lines: int = 0
    """Lines at the beginning that no digest covers: nothing shows whether one of them is missing."""
    flaw: str = ""
    """How the manifest differs from what was written; empty if it does not."""

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
    try:
        return msgspec.json.decode(contract, type=_Named).symbol
    except (ValueError, RecursionError):
        return ""


def read_manifest(folder: str, report: Report = lambda _: None) -> Manifest:
    """Return the manifest in `folder`; damaged lines are reported.

    Raises:
        RecordingError: It is missing, is not a manifest, or is of an unknown format.
    """
    path = str(Path(folder, MANIFEST))
    flaws: list[Damage] = []
    tail = _tail(folder, flaws)  # first: the manifest is never behind it
    try:
        text = read_regular(path, MAX_BYTES)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        reason = "the manifest is missing" if is_missing else error.strerror or str(error)
        raise RecordingError(path, reason) from None
    complete, end, torn = text.rpartition(b"\n")
    text = complete + end
    lines = complete.split(b"\n") if end else []
    entries = _entries(path, lines, report)
    if not entries or not isinstance(entries[0], RecordingStarted):
        raise RecordingError(path, "its first line is not that of a manifest", line=1)
    if not 1 <= entries[0].format <= FORMAT:
        other = f"written in format {entries[0].format}, and this program reads up to {FORMAT}"
        raise RecordingError(path, other, line=1)
    unproven_lines = 0
    if tail and tail.sha256:
        flaws += _differences(path, text, len(lines), tail)
    elif entries[0].format == 1:
        unproven_lines = _follow_chain(path, lines, tail, flaws)
    elif not flaws:
        flaws.append(_without_tail(path))
    for flaw in flaws:
        report(flaw)
    if torn:
        report(Damage(path, len(lines) + 1, len(text), "the last line is cut off"))
    return Manifest(
        path=path,
        start=entries[0],
        entries=entries,
        size_bytes=len(text),
        torn_bytes=len(torn),
        tail=Tail(len(lines), len(text), sha256(text).hexdigest()),
        unproven_lines=unproven_lines,
        flaw=flaws[0].reason if flaws else "",
    )


def read_tail(folder: str | Path) -> Tail | None:
    """Return the tail of the manifest in `folder`; None if there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    try:
        return msgspec.json.decode(read_regular(Path(folder, TAIL), MAX_TAIL_BYTES), type=Tail)
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _tail(folder: str, flaws: list[Damage]) -> Tail | None:
    """Return the tail of a manifest; None if there is none, an empty one if it is damaged."""
    try:
        return read_tail(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"is not the tail of a manifest ({error})"
        flaws.append(Damage(str(Path(folder, TAIL)), 0, 0, reason))
        return Tail()


def _without_tail(path: str) -> Damage:
    reason = "is missing: nothing shows whether the manifest has all of its lines"
    return Damage(str(Path(path).with_name(TAIL)), 0, 0, reason)


def _differences(path: str, text: bytes, lines: int, tail: Tail) -> list[Damage]:
    proven = text[: tail.size_bytes]
    if sha256(proven).hexdigest() == tail.sha256:
        if (proven.count(b"\n"), len(proven)) != (tail.lines, tail.size_bytes):
            reason = "its number of lines, or their size, is not that of its digest"
            return [Damage(str(Path(path).with_name(TAIL)), 0, 0, reason)]
        if not tail.ended or proven == text:
            return []
        reason = f"lines follow the last one, by {TAIL}"
    elif lines < tail.lines:
        reason = _missing(tail.lines - lines)
    else:
        reason = f"a line before here was changed, moved, added or lost, by {TAIL}"
    return [Damage(path, lines + 1, len(text), reason)]


def _missing(lines: int) -> str:
    if lines <= 0:
        return f"its last line, by {TAIL}, is missing, or was changed"
    what = "line is" if lines == 1 else "lines are"
    return f"{lines} {what} missing before here, by {TAIL}"


def _follow_chain(path: str, lines: list[bytes], tail: Tail | None, flaws: list[Damage]) -> int:
    """Add what the digests in a manifest of format 1 show; return the number of lines without."""
    chain = chain_of(lines, tail.last.strip() if tail else "")
    found = chain.flaws
    if tail and tail.last and chain.last != tail.lines and not (found and chain.last):
        found.append((len(lines) + 1, _missing(tail.lines - (chain.last or len(lines)))))
    flaws += [
        Damage(path, number, sum(len(line) + 1 for line in lines[: number - 1]), reason)
        for number, reason in found[:MAX_BAD_LINES]
    ]
    if tail is None and chain.is_chained:
        flaws.append(_without_tail(path))
    return chain.unproven_lines


def _entries(path: str, lines: list[bytes], report: Report) -> list[AnyEntry]:
    """Return the entries of a manifest; none if the first line is damaged."""
    entries: list[AnyEntry] = []
    sealed: dict[str, SegmentSealed] = {}
    offset = bad = 0
    for number, line in enumerate(lines, 1):
        try:
            entry = read_entry(line)
            reason = _contradiction(entries, sealed, entry)
        except ValueError as error:
            if not entries:
                break
            entry = None
            bad += 1
            reason = f"{line[:40]!r} is not a line of a manifest ({error})"
        if reason:
            report(Damage(path, number, offset, reason))
        if bad == MAX_BAD_LINES:
            report(Damage(path, number, offset, f"{bad:,} lines are damaged; the rest is not read"))
            break
        if isinstance(entry, SegmentSealed):
            sealed[entry.name] = entry
        if entry is not None:
            entries.append(entry)
        offset += len(line) + 1
    return entries


def _contradiction(
    entries: list[AnyEntry], sealed: dict[str, SegmentSealed], entry: AnyEntry | None
) -> str:
    """Return how an entry contradicts those before it; empty if it does not."""
    if isinstance(entry, RecordingStarted) and entries:
        return "a second line that begins a manifest"
    if isinstance(entry, ManifestDamaged):
        return f"when a recorder continued here, it found the manifest damaged: {entry.reason}"
    if isinstance(entry, SegmentSealed):
        before = sealed.get(entry.name)
        if before is not None and structs.replace(before, time_ns=entry.time_ns) != entry:
            return f"the content of {entry.name} contradicts an earlier line"
    return ""
