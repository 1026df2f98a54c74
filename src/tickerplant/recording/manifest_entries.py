"""The lines of a manifest: one JSON object each, appended and never changed.

They say what messages cannot show: what was requested, when it could be received, what is known to
be missing, which contracts there were, and what each finished segment holds.  A crash costs the
last line at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias, get_args

import msgspec
from msgspec import Meta, Raw, Struct

MANIFEST = "manifest.jsonl"
"""The name of the manifest in the folder of a recording."""
FORMAT = 2
"""The version of manifest, segments and blocks that is written here.  In format 1, each line of a
manifest had a digest of the line before it (`manifest_chain.py`)."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A count or time as recorders write them; a line with any other is damaged."""


class Entry(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """One line."""

    time_ns: Count
    """When it was written, ns since the epoch, by the clock of the recorder."""


class RecordingStarted(Entry, frozen=True, kw_only=True, tag="recording"):
    """The first line: what this is."""

    format: int
    """The version of manifest, segments and blocks."""
    venue: str
    """`usdm` or `coinm`."""
    software: str
    """The program that created the recording, such as `tickerplant 0.1.0`."""


class RunStarted(Entry, frozen=True, kw_only=True, tag="run"):
    """A recorder started."""

    run: Count
    """Number of the run, from 1."""
    url: str
    """What the recorder connects to."""
    profile: str
    """The period of the protocol; empty if it is not known."""
    streams: tuple[str, ...]
    """The streams that it subscribes to."""
    software: str
    """The program that records."""


class ManifestDamaged(Entry, frozen=True, kw_only=True, tag="damaged"):
    """A recorder that continues the recording found the manifest not as it was written."""

    reason: str
    """What was wrong with it."""


class ProfileReported(Entry, frozen=True, kw_only=True, tag="profile"):
    """The server reported its period of the protocol after the run had started."""

    profile: str


class InstrumentsListed(Entry, frozen=True, kw_only=True, tag="instruments"):
    """The contracts that the streams are about, at the start of a run and when they change."""

    symbols: tuple[Raw, ...]
    """The elements of `symbols` of the response to `exchangeInfo`, unchanged."""


class Connected(Entry, frozen=True, kw_only=True, tag="connected"):
    """These streams are received from now on."""

    streams: tuple[str, ...]
    """The streams."""
    connection: int = 0
    """The connection that delivers them, counted from 1 in each run."""
    blind_ms: Count = 0
    """How long they were not received, after a `disconnected`."""


class Disconnected(Entry, frozen=True, kw_only=True, tag="disconnected"):
    """These streams are no longer received."""

    streams: tuple[str, ...]
    """The streams."""
    reason: str
    """Why their connection ended."""


class Renewed(Entry, frozen=True, kw_only=True, tag="renewed"):
    """A connection was replaced by another one in time; nothing was lost."""

    streams: tuple[str, ...]
    """The streams that it delivers."""
    connection: int = 0
    """The new connection."""


class CopyLost(Entry, frozen=True, kw_only=True, tag="copy_lost"):
    """A connection was lost, and others delivered all of its streams; nothing is missing."""

    streams: tuple[str, ...]
    connection: int
    """The connection that was lost."""
    reason: str


class Silent(Entry, frozen=True, kw_only=True, tag="silent"):
    """A stream was connected, and sent nothing for longer than expected."""

    streams: tuple[str, ...]
    """The streams."""
    silent_ms: Count
    """How long nothing was received."""
    reason: str = ""
    """Why, if that is known."""


class Missing(Entry, frozen=True, kw_only=True, tag="gap"):
    """Messages of a stream are missing here, as their ids prove, or may be."""

    stream: str
    """The stream."""
    symbol: str
    """The symbol of the messages around the gap."""
    after_id: int
    """Id of the last message before the gap."""
    before_id: int
    """Id of the first message after it."""
    missing: int | None = None
    """How many messages are missing; none if the ids do not show it."""
    reason: str = ""
    """Why, if that is known."""


class Dropped(Entry, frozen=True, kw_only=True, tag="dropped"):
    """The recorder could not keep up, and dropped messages."""

    count: Count
    """How many."""
    reason: str
    """What it could not keep up with."""


class Refused(Entry, frozen=True, kw_only=True, tag="refused"):
    """The server rejected a subscription; the streams are not received."""

    streams: tuple[str, ...]
    """The streams."""
    code: int
    """The code of the error."""
    reason: str
    """Its text."""


class Unreadable(Entry, frozen=True, kw_only=True, tag="unreadable"):
    """A message that is not in the form of its stream was recorded or dropped."""

    streams: tuple[str, ...]
    """The streams that it may belong to."""
    reason: str
    """What is wrong with it."""


class SnapshotRecorded(Entry, frozen=True, kw_only=True, tag="snapshot"):
    """A snapshot of a book was recorded."""

    symbol: str
    """The symbol of the book."""
    question: str = "depth"
    """The REST request: `depth`, or `rpiDepth` for the book with RPI orders."""
    last_update_id: int
    """The last update that is in it."""
    levels: int
    """The number of levels of a side that were requested."""


class SnapshotFailed(Entry, frozen=True, kw_only=True, tag="snapshot_failed"):
    """A request for a snapshot of a book failed."""

    symbol: str
    """The symbol of the book."""
    reason: str
    """Why."""


class SegmentSealed(Entry, frozen=True, kw_only=True, tag="segment"):
    """A segment is finished, and does not change any more."""

    name: str
    """The name of the file."""
    first_ns: Count
    """Receive time of its first line."""
    last_ns: Count
    """Receive time of its last line."""
    lines: Count
    """How many lines are in it, REST responses included."""
    blocks: Count
    """How many blocks."""
    text_bytes: Count
    """Bytes of the lines, decompressed."""
    size_bytes: Count
    """Bytes of the file."""
    sha256: str
    """Of the complete file, in hexadecimal digits."""
    streams: dict[str, Count]
    """Messages by stream, without REST responses."""
    cut_bytes: Count = 0
    """How much was cut off its end when it was found after a crash."""


class RunEnded(Entry, frozen=True, kw_only=True, tag="end"):
    """A recorder shut down cleanly.  Without this line it was killed."""

    reason: str
    """`interrupted`, `the time is up`, or what went wrong."""


class RunOutage(Entry, frozen=True, kw_only=True, tag="hole"):
    """Nothing was recorded between two runs."""

    from_ns: Count
    """Receive time of the last line before, 0 if there is none."""
    reason: str
    """Why."""


AnyEntry: TypeAlias = (
    RecordingStarted
    | RunStarted
    | ManifestDamaged
    | ProfileReported
    | InstrumentsListed
    | Connected
    | Disconnected
    | Renewed
    | CopyLost
    | Silent
    | Missing
    | Dropped
    | Refused
    | Unreadable
    | SnapshotRecorded
    | SnapshotFailed
    | SegmentSealed
    | RunEnded
    | RunOutage
)

KINDS = frozenset(str(each.__struct_config__.tag) for each in get_args(AnyEntry))
"""The known kinds of lines."""
NESTED = "its values are nested too deeply"

encode_entry = msgspec.json.Encoder().encode
_decode_entry: Callable[[bytes], AnyEntry] = msgspec.json.Decoder(AnyEntry).decode


class _Header(Struct):
    kind: str = ""


def read_entry(line: bytes) -> AnyEntry | None:
    """Return the entry in a line of a manifest; None if its kind is unknown.

    Raises:
        ValueError: It is not a line of a manifest.
    """
    try:
        try:
            return _decode_entry(line)
        except msgspec.ValidationError:
            kind = msgspec.json.decode(line, type=_Header).kind
            if not kind or kind in KINDS:
                raise
            return None
    except RecursionError:
        raise ValueError(NESTED) from None
