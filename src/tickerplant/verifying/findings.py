"""The findings of a verification as data: the document that `--json` prints.

Times are receive times in nanoseconds since the epoch, 0 where there is none.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.archive.outage_log import Outage
from tickerplant.recording.line import Damage, Place

Proof: TypeAlias = Literal["ids by one", "chained ids", "closed candles", "rising ids", "none"]
"""What shows whether messages of a stream are missing."""

PROVEN: frozenset[Proof] = frozenset({"ids by one", "chained ids"})
"""The proofs that show every gap.  With the others a loss can go unnoticed: of candles, a missing
update that was followed by another before the candle was closed."""


class Gap(Struct, kw_only=True):
    """Messages of a stream are missing, as its ids prove."""

    symbol: str
    """The symbol whose ids have the gap."""
    from_ns: int
    """When the last message before the gap was received."""
    to_ns: int
    """When the first one after it was."""
    after_id: int
    """Id of the last message before the gap; of candles, open time of the candle, ms."""
    before_id: int
    """Id of the first message after it."""
    missing: int | None
    """How many; None if ids do not show it."""
    place: Place
    """The place of the first message after it."""
    cause: str = ""
    """What the manifest says about that time."""


class Break(Struct, kw_only=True):
    """A time in which the book is not known, after it was."""

    from_ns: int
    """When it broke."""
    to_ns: int = 0
    """When it was known again, or unknown for another reason; 0 if neither came."""
    cause: str = ""
    """Why: `gap`, `out of depth`, `crossed`, `ids restarted` or `unreadable`."""


class Unknown(Struct, kw_only=True):
    """For how long a book is not known for one reason."""

    updates: int = 0
    """Updates after which it is not."""
    ns: int = 0
    """The time in which it is not."""
    times: int = 0
    """How often it became unknown, after it was known."""


class BookFinding(Struct, kw_only=True):
    """For how long the book of a depth stream is known, from a snapshot and the updates.

    It is known after a snapshot that the updates continue, while each side has a level that the
    snapshot showed or that came between those.
    """

    in_sync_from_ns: int = 0
    """When it was first known; 0 if it never was."""
    from_start: bool = False
    """Whether that was within ten seconds of the first update."""
    in_sync_at_end: bool = False
    """Whether every update since the last snapshot is there at the end; the book may yet be out of
    depth."""
    known_at_end: bool = False
    """Whether it is known after the last update."""
    updates: int = 0
    """Updates of the book."""
    known_updates: int = 0
    """Those after which it is known."""
    total_ns: int = 0
    """The time from the first message of the book to the last."""
    known_ns: int = 0
    """The part of it in which the book is known."""
    unknown: dict[str, Unknown] = {}
    """For how long it is not, by the reason: `no snapshot yet`, `gap`, `out of depth`, `crossed`,
    `ids restarted` or `unreadable`."""
    breaks: int = 0
    """How often it became unknown, after it was known."""
    first_breaks: list[Break] = []
    """As many as `--gaps` says."""

    @property
    def is_known_throughout(self) -> bool:
        """Whether it is known from the start to the end."""
        return self.from_start and not self.breaks

    @property
    def known_share(self) -> float:
        """The share of its updates after which it is known."""
        return self.known_updates / self.updates if self.updates else 0.0


class StreamFinding(Struct, kw_only=True):
    """What was found of one stream."""

    stream: str
    """Its name."""
    proof: Proof = "none"
    """What shows whether messages are missing: `ids by one`, `chained ids`, `closed candles`,
    `rising ids` or `none`."""
    messages: int = 0
    """All messages, including duplicates and unreadable ones."""
    first_ns: int = 0
    """When the first was received."""
    last_ns: int = 0
    """When the last was received."""
    gaps: int = 0
    """Gaps in its ids."""
    missing: int = 0
    """Messages missing in gaps of known size."""
    unknown_gaps: int = 0
    """Gaps of unknown size."""
    first_gaps: list[Gap] = []
    """As many as `--gaps` says, 10 by default."""
    duplicates: int = 0
    """Messages with an id that came before."""
    late: int = 0
    """Messages recorded after newer ones."""
    restarts: int = 0
    """How often the ids restarted: another server, or a new count."""
    unreadable: int = 0
    """Messages that cannot be read."""
    inconsistent_ids: int = 0
    """Updates whose ids contradict each other: `U` is above `u`, or not above `pu`."""
    event_time_regressions: int = 0
    """Messages with an event time before that of an earlier one."""
    outages: int = 0
    """How often it was not received for a time."""
    outage_ns: int = 0
    """Their total length."""
    lossy_outages: int = 0
    """Those that may have lost messages."""
    first_outages: list[Outage] = []
    """As many as `--gaps` says."""
    book: BookFinding | None = None
    """Whether the book can be rebuilt; None for streams without depth updates."""
    remark: str = ""
    """Why no message was received, if that is known."""

    @property
    def is_incomplete(self) -> bool:
        """Whether messages are missing, or may be."""
        return bool(self.gaps or self.lossy_outages or self.unreadable or self.inconsistent_ids)


class RecordingFinding(Struct, kw_only=True):
    """What was found of one recording."""

    paths: list[str]
    """Its folder, or its files."""
    venue: str = ""
    """`usdm` or `coinm`, as the manifest says; empty without one."""
    runs: int = 0
    """How often recording began; 0 without a manifest."""
    segments: int = 0
    """Its segments."""
    first_ns: int = 0
    """When the first line was received."""
    last_ns: int = 0
    """When the last line was received."""
    messages: int = 0
    """Messages of the streams that were checked."""
    responses: int = 0
    """Responses of REST, and of the server to the recorder."""
    streams: list[StreamFinding] = []
    """Its streams, by name."""
    absent: list[str] = []
    """Streams that were named with `--streams` and are not in it."""
    damage: int = 0
    """Places that are damaged or differ from the manifest."""
    first_damage: list[Damage] = []
    """The first 1,000 of these."""
    first_unreadable: list[Damage] = []
    """The first message of each stream that cannot be read, and the first of no stream."""
    skipped_lines: int = 0
    """Lines lost to damage, as far as they can be counted."""
    unknown: int = 0
    """Lines that are neither a message of a stream nor a response."""
    dropped: int = 0
    """Messages that the recorder dropped, according to the manifest."""
    drop_reasons: list[str] = []
    """The reasons in the manifest, each once."""
    receive_time_regressions: int = 0
    """Lines with a receive time before that of an earlier one."""
    max_regression_ns: int = 0
    """The largest of these steps back."""
    remarks: list[str] = []
    """Information that does not make it incomplete."""

    @property
    def is_complete(self) -> bool:
        """Whether it has messages, and none is missing or damaged."""
        return bool(self.messages) and not (
            self.damage
            or self.skipped_lines
            or self.unknown
            or self.dropped
            or self.absent
            or any(stream.is_incomplete for stream in self.streams)
        )


class Findings(Struct, kw_only=True):
    """What was found in everything that was named."""

    complete: bool
    """Whether all recordings are complete and could be read."""
    interrupted: bool = False
    """Whether it was ended by Ctrl-C, so that the rest was not checked."""
    summary: str = ""
    """The last line that is printed without `--json`."""
    recordings: list[RecordingFinding] = []
    """The recordings that were checked."""
    unread: list[Damage] = []
    """Paths that could not be read."""
