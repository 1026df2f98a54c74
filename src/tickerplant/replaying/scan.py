"""A first look at recordings: what is traded in them, and which streams they hold.

Only the first lines of each file are read, so that a plant can be made before the replay begins.
A recording with a manifest tells by itself; of others the messages let guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from msgspec import Struct

from tickerplant.decode.decoder import Decoder
from tickerplant.decode.exchange_info import LONGEST_SYMBOL, Listing, instruments_of
from tickerplant.decode.inference import InstrumentInference, venue_of
from tickerplant.decode.requests import requested_book, requested_listing, requested_symbol
from tickerplant.errors import DecodeError, RecordingError
from tickerplant.instrument import Instrument
from tickerplant.recording.capture import Capture
from tickerplant.recording.event_clock import (
    SAMPLE_LINES,
    EventClock,
    typical_ahead_ms,
)
from tickerplant.recording.line import RecordedFile
from tickerplant.recording.line_file import EXPECTED, LineFile
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import SnapshotRecorded
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.segments import Segments
from tickerplant.venue import USDM, VENUES

SCANNED_LINES = 20_000
"""Lines of each file that are looked at."""

OPENING_NS = 10_000_000_000
"""A book may open with a snapshot that was recorded so soon after the first line.

Collectors ask for a snapshot when the stream runs already.  Who follows the documented procedure
asks for one at once, and can join to one that is a little ahead of the updates it has.
"""


class Anchor(Struct, frozen=True):
    """A snapshot of a book that is in a recording."""

    symbol: str
    received_ns: int


class FileScan(Struct, frozen=True, kw_only=True):
    """What the first lines of one file, or its manifest, tell."""

    path: str
    venue: str
    """The venue most of its streams belong to."""
    is_told: bool = False
    """Whether a manifest tells the venue; all streams are of it then."""
    profile: str = ""
    """The period of the protocol that a manifest tells; empty if none does."""
    anchors: tuple[Anchor, ...] | None = None
    """The snapshots that a manifest tells of, oldest first; None without a manifest."""
    first_ns: int
    """Receive time of its first line."""
    streams: frozenset[str]
    asked: frozenset[str] = frozenset()
    """Symbols and pairs of which somebody wanted to record something."""
    is_whole: bool = True
    """Whether it has no other streams than `streams`: all of it was looked at, or a manifest tells."""
    answered_symbol: str
    """Whose book a REST answer without a symbol must be: the file's only symbol, or empty."""
    ahead_ms: int = 0
    """How far its event times are ahead of its receive times, as most of its first messages are."""
    first_ms: int
    """Market time of its first message, 0 if there is none."""
    companions: tuple[str, ...] = ()
    """Files beside it that are read with it."""
    answers: tuple[bytes, ...]
    """The REST answers `depth` among its first lines, see `OPENING_NS`."""


class Scan(Struct, frozen=True):
    """What the first lines of some recordings tell."""

    files: tuple[FileScan, ...]
    instruments: tuple[Instrument, ...]
    start_ms: int
    """Market time of the first message."""

    @property
    def profile(self) -> str:
        """The period of the protocol that the first manifest with one tells; empty if none does."""
        return next((file.profile for file in self.files if file.profile), "")

    @property
    def unrecorded(self) -> list[str]:
        """Symbols and pairs that were asked for and of which no stream is known in any file.

        Folders that may hold more streams than are known are left out.
        """
        recorded = {_topic(stream) for file in self.files for stream in file.streams}
        files = (file for file in self.files if file.is_whole or not file.is_told)
        return sorted({each for file in files for each in file.asked} - recorded)

    def stream_venue(self, stream: str, file: FileScan) -> str:
        """Return the name of the venue whose `stream` it is that `file` holds."""
        if file.is_told:
            return file.venue
        symbol = stream.partition("@")[0].upper()
        known = any(symbol == instrument.symbol for instrument in self.instruments)
        return venue_of(symbol).name if known else file.venue

    def streams(self, venue_name: str) -> frozenset[str]:
        """Return the recorded streams of a venue."""
        return frozenset(
            stream
            for file in self.files
            for stream in file.streams
            if self.stream_venue(stream, file) == venue_name
        )


def scan(
    paths: Sequence[str], lines: int = SCANNED_LINES, warn: Callable[[str], object] = lambda _: None
) -> Scan:
    """Look at the first `lines` lines of each recording, and at its manifest.

    Args:
        paths: The recordings.
        lines: How much of each is read.
        warn: Takes what a manifest tells that cannot be used.

    Contracts are those that manifests list, then those of recorded answers to `exchangeInfo` that
    there are messages of; others are guessed from their messages.

    Raises:
        RecordingError: a file cannot be read, is no recording, or is named twice, or none tells of
            a market.
    """
    sketches = InstrumentInference()
    listed: dict[str, Instrument] = {}
    answered: list[tuple[str, Listing]] = []
    files = []
    recordings = recorded_files(paths)
    _refuse_repeated(recordings)
    for file in recordings:
        manifest = file.manifest() if isinstance(file, Segments) else None
        if manifest is not None:
            for instrument in _listed(manifest, warn):
                listed.setdefault(instrument.symbol, instrument)
        listings: list[Listing] = []
        files.append(_scan_file(file, manifest, lines, sketches, listings))
        answered += [(file.path, listing) for listing in listings]
    for path, listing in answered:  # they list all contracts that there were
        for instrument in listing.instruments:
            if instrument.symbol in sketches:
                listed.setdefault(instrument.symbol, instrument)
        for text in listing.left_out:
            if text.partition(":")[0] in sketches:
                warn(f"{path}: left out the contract {text}")
    start_ms = min((file.first_ms for file in files if file.first_ms), default=0)
    sketched = (sketch for symbol, sketch in sketches.items() if symbol not in listed)
    drawn = (sketch.instrument(start_ms) for sketch in sketched)
    found = tuple(instrument for instrument in drawn if instrument is not None)
    if not any(file.streams for file in files):
        raise RecordingError(", ".join(paths), f"no message of a stream, expected {EXPECTED}")
    return Scan(tuple(files), (*listed.values(), *found), start_ms)


def _refuse_repeated(recordings: Sequence[RecordedFile]) -> None:
    """Refuse a file that is named twice: each of its messages would come twice."""
    seen: set[Path] = set()
    for recording in recordings:
        paths = recording.files() if isinstance(recording, Segments) else [Path(recording.path)]
        resolved = {path.resolve() for path in paths}
        if not seen.isdisjoint(resolved):
            raise RecordingError(recording.path, "is named twice, by itself or within a folder")
        seen |= resolved


def _listed(manifest: Manifest, warn: Callable[[str], object]) -> list[Instrument]:
    """Return the contracts that a manifest lists."""
    venue = next((venue for venue in VENUES if venue.name == manifest.venue), None)
    if venue is None:
        names = ", ".join(venue.name for venue in VENUES)
        raise RecordingError(
            manifest.path, f"its venue is {manifest.venue!r}, expected one of {names}", line=1
        )
    answer = b'{"symbols":[%b]}' % b",".join(bytes(raw) for raw in manifest.symbols.values())
    listing = instruments_of(answer, venue)
    for text in listing.left_out:
        warn(f"{manifest.path}: left out the contract {text}")
    return listing.instruments


def _scan_file(
    file: RecordedFile,
    manifest: Manifest | None,
    lines: int,
    sketches: InstrumentInference,
    listings: list[Listing],
) -> FileScan:
    decoder = Decoder({}, applied=lambda _: False)
    streams: set[str] = set()
    asked: set[str] = set()
    answers: list[tuple[int, int, bytes]] = []
    times: list[tuple[int, int]] = []
    first_ns = 0
    looked_at = 0
    for received_ns, raw in islice(chain.from_iterable(file.batches()), lines):
        looked_at += 1
        first_ns = first_ns or received_ns
        try:
            stream, payload, time_ms, _ = decoder.decode(raw)
        except DecodeError:
            continue  # reported when it is played
        if len(times) < SAMPLE_LINES:
            times.append((time_ms, received_ns))
        question = b"" if stream else raw[: -len(payload) - 1]
        if (venue := requested_listing(question)) is not None:
            with suppress(DecodeError):  # an error, which the collector was told instead
                listings.append(instruments_of(payload, venue))
        if requested_book(question):
            asked.add(requested_symbol(question))
        if not stream and b'"lastUpdateId"' in payload and received_ns - first_ns <= OPENING_NS:
            answers.append((time_ms, received_ns, raw))
        if stream:
            streams.add(stream)
            sketches.see(stream, payload)
    ahead_ms = typical_ahead_ms(times)
    first_ms = EventClock(ahead_ms).first_ms(*times[0]) if times else 0
    symbols = {stream.partition("@")[0].upper() for stream in streams} & sketches.keys()
    venues = Counter(venue_of(symbol).name for symbol in symbols)
    is_whole = looked_at < lines or (isinstance(file, Segments) and _is_sealed(file, manifest))
    if manifest is not None:
        streams |= manifest.counts.keys()
    return FileScan(
        path=file.path,
        venue=manifest.venue if manifest else _most_common(venues) or USDM.name,
        is_told=manifest is not None,
        profile=manifest.profile if manifest else "",
        anchors=_anchors(manifest) if manifest else None,
        first_ns=first_ns,
        streams=frozenset(streams),
        asked=frozenset(asked | _asked(file, manifest)),
        is_whole=is_whole,
        answered_symbol=symbols.pop() if len(symbols) == 1 else "",
        ahead_ms=ahead_ms,
        first_ms=first_ms,
        companions=file.companions if isinstance(file, Capture) else (),
        answers=tuple(
            raw
            for time_ms, received_ns, raw in answers
            if not time_ms or EventClock(ahead_ms).believes(time_ms, received_ns, first_ms)
        ),
    )


def _topic(stream: str) -> str:
    """Return the symbol or pair that a stream is about."""
    return stream.partition("@")[0].upper()


def _asked(file: RecordedFile, manifest: Manifest | None) -> set[str]:
    """Return of which symbols and pairs a collector wanted to hear something."""
    streams = manifest.streams if manifest else frozenset[str]()
    if isinstance(file, LineFile | Capture):
        streams = file.asked
    topics = {_topic(stream) for stream in streams if not stream.startswith("!")}
    return {each for each in topics if 0 < len(each) <= LONGEST_SYMBOL}


def _is_sealed(file: Segments, manifest: Manifest | None) -> bool:
    """Whether a manifest tells of all segments what they hold."""
    return manifest is not None and {path.name for path in file.files()} <= manifest.sealed.keys()


def _most_common(venues: Counter[str]) -> str:
    return venues.most_common(1)[0][0] if venues else ""


def _anchors(manifest: Manifest) -> tuple[Anchor, ...]:
    return tuple(
        Anchor(entry.symbol, entry.time_ns)
        for entry in manifest.entries
        if isinstance(entry, SnapshotRecorded)
    )
