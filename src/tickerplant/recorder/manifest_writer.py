"""Writes into the manifest what happens to connections and streams.

A feed reports two sides: consumers get notices of everything that costs them messages, and the
observer learns which connection delivers which streams.  Here both become entries, each fact once:

- `connected` when a server confirms streams on a connection, and, with the length of the outage,
  when they are received again;
- `disconnected` and `silent` when streams are lost, once until they recover, however many attempts
  fail in between;
- `renewed` and `copy_lost` when a connection ended without loss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from msgspec import structs

from tickerplant.client.rest import is_json
from tickerplant.feed.context import Observer
from tickerplant.notices import (
    DecodeFailed,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.protocol.rate_limiter import TokenBucket
from tickerplant.recording import manifest_entries
from tickerplant.recording.manifest_entries import Missing
from tickerplant.units import NS_PER_MS

GAPS_PER_S, GAPS_AT_ONCE = 1, 60
"""Entries about the gaps of one stream; gaps between two entries are merged.  A manifest is read at
once, and a stream whose ids are inconsistent must not make it larger than the recording."""
SEVERAL_GAPS = "several gaps, and messages between them"

Note = Callable[[manifest_entries.Entry], object]
"""Adds an entry to the manifest."""


class ManifestWriter(Observer):
    """Turns notices and what the observer learns into entries of the manifest."""

    def __init__(
        self,
        note: Note,
        keep: Callable[[int, str, bytes], object],
        clock_ns: Callable[[], int],
    ) -> None:
        self.gaps = 0
        self.outages = 0
        """Times that streams were disconnected."""
        self._note = note
        self._gaps = GapEntries(note, clock_ns)
        self._keep = keep
        self._clock_ns = clock_ns
        self._connection: dict[str, int] = {}
        """The connection that delivers a stream, or did so last."""
        self._disconnected: set[str] = set()
        """Streams that are disconnected according to the manifest."""
        self._interrupted: set[str] = set()
        """These and the silent streams: a notice follows when they recover."""

    def tick(self) -> None:
        """Write the gaps that waited long enough; call it from time to time."""
        self._gaps.tick()

    def end(self) -> None:
        """Write all gaps that wait."""
        self._gaps.end()

    # As a consumer

    def take(self, notice: Notice) -> None:
        """Write an entry about a notice, unless the manifest says the same already."""
        time_ns = self._clock_ns()
        match notice:
            case Disconnected():
                self._take_disconnected(notice)
            case Stale():
                self._interrupted.update(notice.streams)
                self._note(
                    manifest_entries.Silent(
                        time_ns=time_ns,
                        streams=notice.streams,
                        silent_ms=notice.silent_ms,
                        reason=notice.reason,
                    )
                )
            case Recovered():
                self._interrupted.difference_update(notice.streams)
                self._disconnected.difference_update(notice.streams)
                late_ms = max(0, time_ns // NS_PER_MS - notice.time_ms)  # since the feed's tick
                self._note_connected(notice.streams, notice.outage_ms + late_ms)
            case Gap():
                self._take_gap(notice)
            case SubscriptionRejected():
                self._note(
                    manifest_entries.Refused(
                        time_ns=time_ns,
                        streams=notice.streams,
                        code=notice.code,
                        reason=notice.reason,
                    )
                )
            case DecodeFailed():
                self._note(
                    manifest_entries.Unreadable(
                        time_ns=time_ns, streams=notice.streams, reason=notice.reason
                    )
                )

    def _take_disconnected(self, notice: Disconnected) -> None:
        new = tuple(name for name in notice.streams if name not in self._disconnected)
        self._interrupted.update(notice.streams)
        if new:
            self.outages += 1
            self._disconnected.update(new)
            self._note(
                manifest_entries.Disconnected(
                    time_ns=self._clock_ns(), streams=new, reason=notice.reason
                )
            )

    def _take_gap(self, gap: Gap) -> None:
        self.gaps += 1
        for stream in gap.streams:
            self._gaps.add(
                Missing(
                    time_ns=self._clock_ns(),
                    stream=stream,
                    symbol=gap.symbol,
                    after_id=gap.after_id,
                    before_id=gap.before_id,
                    missing=gap.missing,
                    reason=gap.reason,
                )
            )

    def _note_connected(self, names: Iterable[str], outage_ms: int = 0) -> None:
        by_connection: defaultdict[int, list[str]] = defaultdict(list)
        for name in names:
            by_connection[self._connection.get(name, 0)].append(name)
        for connection, streams in by_connection.items():
            self._note(
                manifest_entries.Connected(
                    time_ns=self._clock_ns(),
                    streams=tuple(streams),
                    connection=connection,
                    blind_ms=outage_ms,
                )
            )

    # As an observer

    def delivering(self, connection: int, names: Iterable[str]) -> None:
        """Note streams of a connection; interrupted ones are noted when their notice follows."""
        names = tuple(names)
        self._connection.update(dict.fromkeys(names, connection))
        self._note_connected(name for name in names if name not in self._interrupted)

    def renewed(self, connection: int, names: Iterable[str]) -> None:
        """Note that a connection replaced another one in time."""
        names = tuple(names)
        self._connection.update(dict.fromkeys(names, connection))
        self._note(
            manifest_entries.Renewed(time_ns=self._clock_ns(), streams=names, connection=connection)
        )

    def covered(self, connection: int, names: Iterable[str], reason: str) -> None:
        """Note that one of several connections was lost."""
        self._note(
            manifest_entries.CopyLost(
                time_ns=self._clock_ns(), streams=tuple(names), connection=connection, reason=reason
            )
        )

    def unreadable(self, stream: str, payload: bytes, received_ns: int) -> None:
        """Record a message in an unknown format, if it is JSON; a notice says what is wrong."""
        if is_json(payload):
            self._keep(received_ns, stream, payload)


class GapEntries:
    """Writes entries about gaps at a limited rate per stream; merges the gaps in between."""

    def __init__(self, note: Callable[[Missing], object], clock_ns: Callable[[], int]) -> None:
        self._note = note
        self._clock_ns = clock_ns
        self._buckets: dict[str, TokenBucket] = {}
        self._waiting: dict[str, Missing] = {}
        """By stream, the gaps that are not written yet, merged into one."""

    def add(self, gap: Missing) -> None:
        """Write a gap, now or merged with the next ones."""
        waiting = self._waiting.get(gap.stream)
        if waiting is not None:
            self._waiting[gap.stream] = _merge(waiting, gap)
        elif self._may_write(gap.stream):
            self._note(gap)
        else:
            self._waiting[gap.stream] = gap

    def tick(self) -> None:
        """Write the gaps that waited long enough."""
        for stream in tuple(self._waiting):
            if self._may_write(stream):
                self._note(self._waiting.pop(stream))

    def end(self) -> None:
        """Write all gaps that wait."""
        for gap in self._waiting.values():
            self._note(gap)
        self._waiting.clear()

    def _may_write(self, stream: str) -> bool:
        now_ms = self._clock_ns() // NS_PER_MS
        bucket = self._buckets.get(stream)
        if bucket is None:
            bucket = self._buckets[stream] = TokenBucket(GAPS_PER_S, GAPS_AT_ONCE, now_ms)
        return bucket.take(now_ms)


def _merge(first: Missing, last: Missing) -> Missing:
    known = first.missing is not None and last.missing is not None
    return structs.replace(
        first,
        before_id=last.before_id,
        missing=(first.missing or 0) + (last.missing or 0) if known else None,
        reason=SEVERAL_GAPS,
    )
