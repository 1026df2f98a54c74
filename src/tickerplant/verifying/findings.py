"""What a verification finds, as data: the document that `--json` prints.

Times are receive times in nanoseconds since the epoch, 0 where there is none.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.recording.line import Damage, Place

Proof: TypeAlias = Literal["ids by one", "chained ids", "closed candles", "rising ids", "none"]
"""By what it is known whether messages of a stream are missing."""

PROVEN: frozenset[Proof] = frozenset({"ids by one", "chained ids"})
"""The proofs that show every gap; by the others a loss can go unnoticed.  Of candles nothing shows
that an update is missing which was followed by another before the candle was closed."""


class Gap(Struct, kw_only=True):
    """Messages of a stream are missing, as its ids prove."""

    symbol: str
    from_ns: int
    """When the last message before the gap was received."""
    to_ns: int
    """When the first one after it was."""
    after_id: int
    """Id of the last message before the gap; of candles, open time of the candle, ms."""
    before_id: int
    """Id of the first message after it."""
    missing: int | None
    """How many; None where ids do not tell."""
    place: Place
    """Where the first message after it stands."""
    cause: str = ""
    """What the manifest says of that time."""


class Outage(Struct, kw_only=True):
    """A time in which a stream was not heard, as the manifest says."""

    from_ns: int
    to_ns: int
    cause: str
    verdict: Literal["nothing lost", "lost", "may have lost"] = "nothing lost"
    """`lost`: there is a gap, and the gap is what counts.  `may have lost`: nothing proves that
    the stream is complete here, and this counts as a hole."""

    @property
    def length_ns(self) -> int:
        """How long it was."""
        return max(0, self.to_ns - self.from_ns)


class Break(Struct, kw_only=True):
    """A time without a whole book, after a gap."""

    from_ns: int
    to_ns: int = 0
    """When it was whole again; 0 if it never was."""


class BookFinding(Struct, kw_only=True):
    """Whether the book of a depth stream can be built: a snapshot joins its updates."""

    in_sync_from_ns: int = 0
    """When it first was; 0 if it never was."""
    from_start: bool = False
    """Whether that was within ten seconds of the first update."""
    in_sync_at_end: bool = False
    breaks: int = 0
    """How often it broke after that."""
    first_breaks: list[Break] = []
    """As many as gaps are listed of a stream."""


class StreamFinding(Struct, kw_only=True):
    """What was found of one stream."""

    stream: str
    proof: Proof = "none"
    messages: int = 0
    """Messages, each repetition and each that cannot be read among them."""
    first_ns: int = 0
    last_ns: int = 0
    gaps: int = 0
    missing: int = 0
    """Messages that are missing in gaps whose ids tell how many."""
    unknown_gaps: int = 0
    """Gaps whose ids do not tell how many messages are missing."""
    first_gaps: list[Gap] = []
    duplicates: int = 0
    """Messages whose id was there before."""
    late: int = 0
    """Messages that were recorded after younger ones, and are not missing."""
    restarts: int = 0
    """How often the ids began anew: another server, or a new count."""
    unreadable: int = 0
    inconsistent_ids: int = 0
    """Updates whose ids contradict each other: `U` is above `u`, or not above `pu`."""
    event_time_regressions: int = 0
    """Messages with an event time before that of an earlier one."""
    outages: int = 0
    """Times in which it was not heard."""
    outage_ns: int = 0
    """How long these were, together."""
    lossy_outages: int = 0
    """Those of them in which messages may be lost."""
    first_outages: list[Outage] = []
    """As many as gaps are listed of a stream."""
    book: BookFinding | None = None
    """Of depth streams that tell changes."""
    remark: str = ""
    """Why it was never heard, as far as that is known."""

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
    segments: int = 0
    first_ns: int = 0
    last_ns: int = 0
    messages: int = 0
    """Messages of the streams that were looked at."""
    responses: int = 0
    """Answers of REST, and of the server to the recorder."""
    streams: list[StreamFinding] = []
    absent: list[str] = []
    """Streams that were asked for by name, and are not in it."""
    damage: int = 0
    first_damage: list[Damage] = []
    """What is damaged or contradicts the manifest."""
    first_unreadable: list[Damage] = []
    """The first message of each stream that cannot be read, and the first of no stream."""
    skipped_lines: int = 0
    """Lines that are lost with flaws, as far as they can be counted."""
    unknown: int = 0
    """Lines that are no message of a stream and no answer."""
    dropped: int = 0
    """Messages that the recorder left out, as the manifest says."""
    drop_reasons: list[str] = []
    """Why, as far as the manifest says; each reason once."""
    receive_time_regressions: int = 0
    """Lines with a receive time before that of an earlier one."""
    max_regression_ns: int = 0
    remarks: list[str] = []
    """What is worth knowing, and no hole."""

    @property
    def is_complete(self) -> bool:
        """Whether there is something in it, no hole and no damage."""
        return bool(self.messages) and not (
            self.damage
            or self.skipped_lines
            or self.unknown
            or self.dropped
            or self.absent
            or any(stream.is_incomplete for stream in self.streams)
        )


class Findings(Struct, kw_only=True):
    """What was found of all that was named."""

    complete: bool
    interrupted: bool = False
    """It was ended by Ctrl-C: the rest was not looked at."""
    summary: str = ""
    """The last line that is printed without `--json`."""
    recordings: list[RecordingFinding] = []
    unread: list[Damage] = []
    """Paths of which nothing could be read."""
