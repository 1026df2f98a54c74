"""The outages of streams, according to a manifest: when they were not received, and why.

A stream whose ids prove what is missing lost nothing in an outage unless there is a gap.  Any other
stream may have lost messages.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from tickerplant.formatting import count_text
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import (
    AnyEntry,
    Connected,
    Disconnected,
    Dropped,
    Missing,
    Refused,
    RunEnded,
    RunOutage,
    RunStarted,
    Silent,
    SnapshotFailed,
    Unreadable,
)
from tickerplant.streams import resolve
from tickerplant.streams.spelling import unknown_reason
from tickerplant.units import NS_PER_MS, NS_PER_S
from tickerplant.venue import VENUES, Venue

_FROM = attrgetter("from_ns")
NEVER = "it was never received"
UNREADABLE = "a message that cannot be read was left out"
MAX_REASONS = 20
"""Maximum number of reasons for dropped messages to list."""
BETWEEN = "nothing was recorded between two runs"
NOT_EXPLAINED = "messages are missing, as their ids show"
EXPLAINED_NS = 5 * NS_PER_S
"""For so long after an outage, it explains what is missing."""
_DROPPED = re.compile(r", from (\d{19}) to (\d{19})$")


class Outage(Struct, kw_only=True):
    """A time in which a stream was not received, according to the manifest."""

    from_ns: int
    """When it began."""
    to_ns: int
    """When it ended."""
    cause: str
    """What the manifest says about it."""
    verdict: Literal["nothing lost", "lost", "may have lost"] = "nothing lost"
    """`lost`: there is a gap, which is what counts.  `may have lost`: nothing proves that the
    stream is complete here, so the recording counts as incomplete."""

    @property
    def length_ns(self) -> int:
        """How long it was."""
        return max(0, self.to_ns - self.from_ns)


class _Since(NamedTuple):
    """Since when a stream is not received, and why."""

    time_ns: int
    cause: str

    def joined(self, other: _Since) -> _Since:
        """Return an outage that covers both."""
        cause = "; ".join(dict.fromkeys((self.cause, other.cause)))
        return _Since(min(self.time_ns, other.time_ns), cause)


class OutageLog:
    """The outages of all streams."""

    def __init__(self, manifest: Manifest | None) -> None:
        self.outages: dict[str, list[Outage]] = {}
        """By stream, in order of time."""
        self.subscribed: set[str] = set()
        self.refused: dict[str, str] = {}
        """Streams that the server rejected, and why."""
        self.dropped = 0
        """Number of messages that the recorder dropped."""
        self.drop_reasons: dict[str, None] = {}
        """The reasons, each once; at most `MAX_REASONS`."""
        self.failed_snapshots: Counter[str] = Counter()
        """Number of failed snapshot requests, by symbol."""
        self.is_ended = True
        """Whether the last run was shut down cleanly."""
        self._venue = _venue(manifest)
        self._since: dict[str, _Since] = {}
        """Streams in an outage."""
        self._before: dict[str, _Since] = {}
        """Streams that were in an outage when the last run ended."""
        self._never: dict[str, int] = {}
        """Streams that were subscribed to and not received yet, and since when."""
        self._reasons: dict[tuple[str, int], str] = {}
        self._latest_ns = 0
        self._has_just_started = False
        """Whether the run has just started: no other entry followed."""
        readers: dict[type[AnyEntry], Callable[[Any], None]] = {
            RunStarted: self._begin,
            RunEnded: self._note_end,
            RunOutage: self._note_run_outage,
            Connected: self._connect,
            Disconnected: self._disconnect,
            Silent: self._note_silence,
            Refused: self._refuse,
            Missing: self._note_missing,
            Dropped: self._drop,
            SnapshotFailed: self._note_failed_snapshots,
            Unreadable: self._note_unreadable,
        }
        for entry in manifest.entries if manifest else ():
            read = readers.get(type(entry))
            if read is not None:
                read(entry)
            self._latest_ns = max(self._latest_ns, entry.time_ns)
        if not self.is_ended:
            self._finish(self._latest_ns)
        for stream, since in self._since.items():
            self._add(stream, since, self._latest_ns)
        for spans in self.outages.values():
            spans.sort(key=_FROM)

    def cause(self, stream: str, from_ns: int, to_ns: int, before_id: int) -> str:
        """Return why messages are missing; mark the outages at that time as having lost them."""
        causes = []
        for each in self._at(stream, from_ns, to_ns):
            if each.verdict == "nothing lost":
                each.verdict = "lost"
            causes.append(each.cause)
        return "; ".join(dict.fromkeys(reversed(causes))) or self._reasons.get(
            (stream, before_id), ""
        )

    def mark_unproven(self, stream: str, from_ns: int, to_ns: int) -> None:
        """Note that the ids of a stream restarted, so that they prove nothing about that time."""
        for each in self._at(stream, from_ns, to_ns):
            each.verdict = "may have lost"

    def _at(self, stream: str, from_ns: int, to_ns: int) -> Iterator[Outage]:
        """Yield the outages of a stream that overlap a time, the last one first."""
        spans = self.outages.get(stream, [])
        for number in range(bisect_right(spans, to_ns, key=_FROM) - 1, -1, -1):
            if spans[number].to_ns < from_ns:
                break  # neither do earlier ones: outages hardly ever overlap each other
            yield spans[number]

    def reason_for_silence(self, stream: str) -> str:
        """Return why no message of a subscribed stream came; empty if it was just quiet."""
        if stream in self.refused:
            return f"the server rejected it: {self.refused[stream]}"
        return unknown_reason(self._venue, stream) if self._venue else ""

    def _begin(self, run: RunStarted) -> None:
        """Begin a run: streams of earlier runs were not received since the last one."""
        if not self.is_ended:
            self._finish(self._latest_ns)
        self.is_ended, self._has_just_started = False, True
        self._before, self._since = self._since, {}
        asked = frozenset(run.streams)
        for stream, since in self._before.items():
            if stream not in asked:  # it is no longer recorded
                self._add(stream, since, self._latest_ns)
        for stream in run.streams:
            if stream not in self.subscribed:
                self._never[stream] = run.time_ns
        again = [stream for stream in run.streams if stream in self.subscribed]
        self._add_between(again, _Since(self._latest_ns, BETWEEN))
        self.subscribed.update(run.streams)

    def _note_run_outage(self, outage: RunOutage) -> None:
        if self._has_just_started and outage.from_ns:  # 0: there is no line before it
            self._add_between(tuple(self._since), _Since(outage.from_ns, outage.reason))

    def _add_between(self, streams: Iterable[str], since: _Since) -> None:
        """Note that streams were not received between two runs, or since before the last one ended."""
        for stream in streams:
            before = self._before.get(stream)
            self._since[stream] = since if before is None else before.joined(since)

    def _connect(self, entry: Connected) -> None:
        self._has_just_started = False
        for stream in entry.streams:
            self._never.pop(stream, None)
            self.refused.pop(stream, None)
            since = self._since.pop(stream, None)
            if since is not None:  # it may have been lost before its connection was
                blind = _Since(entry.time_ns - entry.blind_ms * NS_PER_MS, since.cause)
                self._add(stream, since.joined(blind), entry.time_ns)

    def _disconnect(self, entry: Disconnected) -> None:
        self._has_just_started = False
        since = _Since(entry.time_ns, f"disconnected: {entry.reason}")
        for stream in entry.streams:
            if stream not in self._never:
                self._since.setdefault(stream, since)

    def _note_silence(self, entry: Silent) -> None:
        """Note a silence, which is an outage only for a stream that updates periodically."""
        since = _Since(entry.time_ns - entry.silent_ms * NS_PER_MS, entry.reason or "silent")
        for stream in entry.streams:
            if stream not in self._never and self._is_periodic(stream):
                self._since.setdefault(stream, since)

    def _refuse(self, entry: Refused) -> None:
        for stream in entry.streams:
            self.refused[stream] = f"{entry.code} {entry.reason}"
            self._never.pop(stream, None)
            self._since.pop(stream, None)

    def _note_missing(self, entry: Missing) -> None:
        if entry.reason:
            self._reasons[entry.stream, entry.before_id] = entry.reason

    def _drop(self, entry: Dropped) -> None:
        self.dropped += max(1, entry.count)
        if len(self.drop_reasons) < MAX_REASONS:
            self.drop_reasons[entry.reason] = None

    def _note_unreadable(self, entry: Unreadable) -> None:
        since = _Since(entry.time_ns, f"{UNREADABLE}: {entry.reason}")
        for stream in entry.streams:
            if stream not in self._since and stream not in self._never:
                self._add(stream, since, entry.time_ns)

    def _note_failed_snapshots(self, entry: SnapshotFailed) -> None:
        self.failed_snapshots[entry.symbol] += 1

    def _note_end(self, entry: RunEnded) -> None:
        self._finish(entry.time_ns)
        self.is_ended = True

    def _finish(self, time_ns: int) -> None:
        """End a run; its outages may continue in the next one."""
        for stream, began_ns in self._never.items():
            self._add(stream, _Since(began_ns, NEVER), time_ns)
        self._never.clear()
        self._has_just_started = False

    def _add(self, stream: str, since: _Since, to_ns: int) -> None:
        spans = self.outages.setdefault(stream, [])
        spans.append(Outage(from_ns=since.time_ns, to_ns=to_ns, cause=since.cause))

    def _is_periodic(self, stream: str) -> bool:
        found = resolve(self._venue, stream) if self._venue else None
        return found is not None and found[0].activity == "periodic"


class Hole(Struct, frozen=True, kw_only=True):
    """A time in which messages are missing, or may be, by what the recorder wrote into the manifest."""

    stream: str
    """Empty: any stream of the recording."""
    from_ns: int
    """When it began, ns since the epoch."""
    to_ns: int
    """When it ended; the same if it is only known that messages are missing there."""
    reason: str
    missing: int | None = None
    """How many messages; null if that is not known."""


def holes_by(manifest: Manifest) -> Iterator[Hole]:
    """Yield what is missing by a manifest: outages, gaps that no outage explains, dropped messages."""
    outages = OutageLog(manifest).outages
    explained: dict[tuple[str, int], int | None] = {}
    """Messages missing after outages, by stream and begin."""
    for entry in manifest.entries:
        if isinstance(entry, Missing):
            before = outages.get(entry.stream, ())
            at = bisect_right(before, entry.time_ns, key=_FROM) - 1
            if at >= 0 and entry.time_ns <= before[at].to_ns + EXPLAINED_NS:
                explained[entry.stream, before[at].from_ns] = entry.missing
                continue
            yield Hole(
                stream=entry.stream,
                from_ns=entry.time_ns,
                to_ns=entry.time_ns,
                reason=entry.reason or NOT_EXPLAINED,
                missing=entry.missing,
            )
        elif isinstance(entry, Dropped):
            times = _DROPPED.search(entry.reason)
            from_ns, to_ns = (int(times[1]), int(times[2])) if times else (entry.time_ns,) * 2
            why = _DROPPED.sub("", entry.reason)
            reason = f"the recorder left out {count_text(entry.count, 'message')}: {why}"
            yield Hole(stream="", from_ns=from_ns, to_ns=to_ns, reason=reason, missing=entry.count)
    for stream, spans in outages.items():
        for each in spans:
            yield Hole(
                stream=stream,
                from_ns=each.from_ns,
                to_ns=each.to_ns,
                reason=each.cause,
                missing=explained.get((stream, each.from_ns)),
            )


def _venue(manifest: Manifest | None) -> Venue | None:
    name = manifest.venue if manifest else ""
    return next((venue for venue in VENUES if venue.name == name), None)
