"""The manifest of a recording: a journal, one JSON object a line, to which is only ever added.

It says what cannot be seen in the messages themselves: what was asked for, when it could be heard,
what is known to be missing, which contracts there were, and what each finished segment holds.
Nothing in it is ever changed, so that a crash costs its last line at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias, get_args

import msgspec
from msgspec import Meta, Raw, Struct

MANIFEST = "manifest.jsonl"
"""The name of the journal in the folder of a recording."""
FORMAT = 1
"""The version of manifest, segments and blocks that is written here."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number or a time as recorders write them; a line with any other is none of a journal."""


class Entry(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """One line of the journal."""

    time_ns: Count
    """When it was written, ns since the epoch, by the clock of the recorder."""
    prev: str = ""
    """The first 16 hexadecimal digits of the SHA-256 of the line before it, without its end; empty
    in the first line, and in those of versions that did not write it."""


class RecordingStarted(Entry, frozen=True, kw_only=True, tag="recording"):
    """The first line: what this is."""

    format: int
    """The version of manifest, segments and blocks."""
    venue: str
    """`usdm` or `coinm`."""
    software: str
    """Who began it, such as `tickerplant 0.1.0`."""


class RunStarted(Entry, frozen=True, kw_only=True, tag="run"):
    """A recorder began to record."""

    run: Count
    """Number of the run, from 1."""
    url: str
    """What it is connected to."""
    profile: str
    """The period of the protocol, as far as it is known; empty if it is not."""
    streams: tuple[str, ...]
    """What it asks for."""
    software: str
    """Who records."""


class ProfileReported(Entry, frozen=True, kw_only=True, tag="profile"):
    """The server said later than at the beginning of the run which period of the protocol it has."""

    profile: str


class InstrumentsListed(Entry, frozen=True, kw_only=True, tag="instruments"):
    """The contracts that the streams are about, at the beginning of a run and when they change."""

    symbols: tuple[Raw, ...]
    """The elements of `symbols` of the answer to `exchangeInfo`, as they came."""


class Connected(Entry, frozen=True, kw_only=True, tag="connected"):
    """These streams are heard from now on."""

    streams: tuple[str, ...]
    """The streams."""
    connection: int = 0
    """Which connection carries them, counted from 1 in each run."""
    blind_ms: Count = 0
    """For how long they were not, after a `disconnected`."""


class Disconnected(Entry, frozen=True, kw_only=True, tag="disconnected"):
    """These streams are not heard any more."""

    streams: tuple[str, ...]
    """The streams."""
    reason: str
    """What ended their connection."""


class Renewed(Entry, frozen=True, kw_only=True, tag="renewed"):
    """A connection was replaced by another in time, and nothing was lost."""

    streams: tuple[str, ...]
    """The streams that it carries."""
    connection: int = 0
    """The new one."""


class CopyLost(Entry, frozen=True, kw_only=True, tag="copy lost"):
    """A connection was lost, and others told all of its streams: nothing is missing."""

    streams: tuple[str, ...]
    connection: int
    """The one that was lost."""
    reason: str


class Silent(Entry, frozen=True, kw_only=True, tag="silent"):
    """A stream was connected, and told nothing for longer than it should."""

    streams: tuple[str, ...]
    """The streams."""
    silent_ms: Count
    """For how long nothing came."""
    reason: str = ""
    """Why, if that is known."""


class Missing(Entry, frozen=True, kw_only=True, tag="gap"):
    """Messages of a stream are missing here, as their ids prove, or may be."""

    stream: str
    """The stream."""
    symbol: str
    """What the messages around it are about."""
    after_id: int
    """Id of the last message before the gap."""
    before_id: int
    """Id of the first one after it."""
    missing: int | None = None
    """How many; none where ids do not tell."""
    reason: str = ""
    """Why, if that is known."""


class Dropped(Entry, frozen=True, kw_only=True, tag="dropped"):
    """The recorder itself could not keep up, and left out messages."""

    count: Count
    """How many."""
    reason: str
    """What it could not keep up with."""


class Refused(Entry, frozen=True, kw_only=True, tag="refused"):
    """The server answered a subscription with an error; the streams are not heard."""

    streams: tuple[str, ...]
    """The streams."""
    code: int
    """The code of the error."""
    reason: str
    """Its text."""


class Unreadable(Entry, frozen=True, kw_only=True, tag="unreadable"):
    """A message was recorded, or left out, that is not in the form of its stream."""

    streams: tuple[str, ...]
    """Those it may have been of."""
    reason: str
    """What is wrong with it."""


class SnapshotRecorded(Entry, frozen=True, kw_only=True, tag="snapshot"):
    """A snapshot of a book was recorded."""

    symbol: str
    """Whose book."""
    question: str = "depth"
    """What was asked over REST: `rpiDepth` is the book with RPI orders."""
    last_update_id: int
    """The last update that is in it."""
    levels: int
    """Levels of a side that were asked for."""


class SnapshotFailed(Entry, frozen=True, kw_only=True, tag="no snapshot"):
    """A snapshot of a book could not be had."""

    symbol: str
    """Whose book."""
    reason: str
    """Why not."""


class SegmentSealed(Entry, frozen=True, kw_only=True, tag="segment"):
    """A segment is finished, and does not change any more."""

    name: str
    """The name of the file."""
    first_ns: Count
    """Receive time of its first line."""
    last_ns: Count
    """Receive time of its last line."""
    lines: Count
    """How many lines are in it, answers of REST included."""
    blocks: Count
    """How many blocks."""
    text_bytes: Count
    """Bytes of the lines, decompressed."""
    size_bytes: Count
    """Bytes of the file."""
    sha256: str
    """Of the whole file, in hexadecimal digits."""
    streams: dict[str, Count]
    """Messages by stream; answers of REST are not among them."""
    cut_bytes: Count = 0
    """How much was cut off its end when it was found after a crash."""


class RunEnded(Entry, frozen=True, kw_only=True, tag="end"):
    """A recorder ended on purpose.  Without this line it was killed."""

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

encode_entry = msgspec.json.Encoder().encode
_decode_entry: Callable[[bytes], AnyEntry] = msgspec.json.Decoder(AnyEntry).decode


class _Kind(Struct):
    kind: str = ""
    prev: str = ""


NESTED = "its values are nested too deeply"
KINDS = frozenset(str(each.__struct_config__.tag) for each in get_args(AnyEntry))
"""The kinds of lines that are known."""


def read_entry(line: bytes) -> AnyEntry | None:
    """Return what a line of the journal says; None for a kind that is not known here.

    Raises:
        ValueError: it is no line of a journal.
    """
    try:
        return _decode_entry(line)
    except msgspec.ValidationError:
        kind = _bare(line).kind
        if not kind or kind in KINDS:
            raise
        return None
    except RecursionError:
        raise ValueError(NESTED) from None


def prev_of(line: bytes) -> str:
    """Return the digest that a line of any kind carries; empty if it has none.

    Raises:
        ValueError: it is no line of a journal.
    """
    return _bare(line).prev


def _bare(line: bytes) -> _Kind:
    try:
        return msgspec.json.decode(line, type=_Kind)
    except RecursionError:
        raise ValueError(NESTED) from None
