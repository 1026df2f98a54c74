"""A first look at recordings: which streams they hold, and which contracts the streams are about.

Only the first lines of each file are read, so that a plant can be made before the replay begins.  A
manifest lists the contracts of its recording; those of other recordings are inferred from messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from msgspec import Struct

from tickerplant.archive.snapshots import only_book_of
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
from tickerplant.stream_name import parse_stream_name
from tickerplant.units import NS_PER_S
from tickerplant.venue import USDM, VENUES

SCANNED_LINES = 20_000
"""Lines of each file that are read."""

OPENING_NS = 10 * NS_PER_S
"""A book may open with a snapshot that was recorded this soon after the first line.

Collectors request a snapshot when the stream is already running, as the documented procedure asks,
and it may be a little ahead of the first updates.
"""


class SnapshotTime(Struct, frozen=True):
    """When a snapshot of a book was recorded."""

    symbol: str
    received_ns: int


class FileScan(Struct, frozen=True, kw_only=True):
    """What the first lines of one file, or its manifest, say."""

    path: str
    venue: str
    """The venue of all streams if there is a manifest, else that of most of them."""
    has_manifest: bool = False
    profile: str = ""
    """The protocol period in the manifest; empty if there is none."""
    snapshot_times: tuple[SnapshotTime, ...] | None = None
    """The snapshots in the manifest, oldest first; None without a manifest."""
    first_ns: int
    """Receive time of the first line."""
    streams: frozenset[str]
    requested: frozenset[str] = frozenset()
    """Symbols and pairs that the collector subscribed to or requested."""
    is_complete: bool = True
    """Whether `streams` are all streams: the file was read to its end, or a manifest lists them."""
    only_symbol: str
    """The symbol of the only book in the file, to which a snapshot without a symbol belongs."""
    ahead_ms: int = 0
    """How far event times are ahead of receive times, by the first messages."""
    first_ms: int
    """Market time of the first message; 0 if there is none."""
    companions: tuple[str, ...] = ()
    """Files that are read together with this one."""
    snapshots: tuple[bytes, ...]
    """The REST responses `depth` among the first lines, see `OPENING_NS`."""


class Scan(Struct, frozen=True):
    """What the first lines of some recordings say."""

    files: tuple[FileScan, ...]
    instruments: tuple[Instrument, ...]
    start_ms: int
    """Market time of the first message."""

    @property
    def profile(self) -> str:
        """The protocol period in the first manifest that names one; empty if none does."""
        return next((file.profile for file in self.files if file.profile), "")

    @property
    def unrecorded(self) -> list[str]:
        """Symbols and pairs that were requested and of which no file has a known stream.

        Recordings that may hold more streams than are known are not considered.
        """
        recorded = {_topic(stream) for file in self.files for stream in file.streams}
        files = (file for file in self.files if file.is_complete or not file.has_manifest)
        return sorted({each for file in files for each in file.requested} - recorded)

    def stream_venue(self, stream: str, file: FileScan) -> str:
        """Return the name of the venue that `stream` in `file` belongs to."""
        if file.has_manifest:
            return file.venue
        symbol = _topic(stream)
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
    paths: Sequence[str],
    max_lines: int = SCANNED_LINES,
    warn: Callable[[str], object] = lambda _: None,
) -> Scan:
    """Read the first lines of each recording, and its manifest.

    The contracts are those in manifests, then those in recorded responses to `exchangeInfo` that
    have messages; further ones are inferred from their messages.

    Raises:
        RecordingError: A file cannot be read, is not a recording, or is named twice, or there is
            no message of a stream.
    """
    inference = InstrumentInference()
    listed: dict[str, Instrument] = {}
    responses: list[tuple[str, Listing]] = []
    files = []
    recordings = recorded_files(paths)
    _refuse_repeated(recordings)
    for file in recordings:
        manifest = file.manifest() if isinstance(file, Segments) else None
        if manifest is not None:
            for instrument in _listed(manifest, warn):
                listed.setdefault(instrument.symbol, instrument)
        file_scan, listings = _scan_file(file, manifest, max_lines, inference)
        files.append(file_scan)
        responses += [(file.path, listing) for listing in listings]
    for path, listing in responses:  # they list all contracts of the exchange
        for instrument in listing.instruments:
            if instrument.symbol in inference:
                listed.setdefault(instrument.symbol, instrument)
        for text in listing.skipped:
            if text.partition(":")[0] in inference:
                warn(f"{path}: skipped the contract {text}")
    start_ms = min((file.first_ms for file in files if file.first_ms), default=0)
    unlisted = (observed for symbol, observed in inference.items() if symbol not in listed)
    inferred = (observed.instrument(start_ms) for observed in unlisted)
    found = tuple(instrument for instrument in inferred if instrument is not None)
    if not any(file.streams for file in files):
        raise RecordingError(", ".join(paths), f"no message of a stream, expected {EXPECTED}")
    return Scan(tuple(files), (*listed.values(), *found), start_ms)


def _refuse_repeated(recordings: Sequence[RecordedFile]) -> None:
    """Refuse a file that is named twice: each of its messages would be sent twice."""
    seen: set[Path] = set()
    for recording in recordings:
        paths = recording.files() if isinstance(recording, Segments) else [Path(recording.path)]
        resolved = {path.resolve() for path in paths}
        if not seen.isdisjoint(resolved):
            raise RecordingError(recording.path, "is named twice, by itself or within a folder")
        seen |= resolved


def _listed(manifest: Manifest, warn: Callable[[str], object]) -> list[Instrument]:
    venue = next((venue for venue in VENUES if venue.name == manifest.venue), None)
    if venue is None:
        names = ", ".join(venue.name for venue in VENUES)
        raise RecordingError(
            manifest.path, f"its venue is {manifest.venue!r}, expected one of {names}", line=1
        )
    response = b'{"symbols":[%b]}' % b",".join(bytes(raw) for raw in manifest.symbols.values())
    listing = instruments_of(response, venue)
    for text in listing.skipped:
        warn(f"{manifest.path}: skipped the contract {text}")
    return listing.instruments


def _scan_file(
    file: RecordedFile, manifest: Manifest | None, max_lines: int, inference: InstrumentInference
) -> tuple[FileScan, list[Listing]]:
    """Return the scan of a file, and the contracts in its responses to `exchangeInfo`."""
    decoder = Decoder({}, applied=lambda _: False)
    streams: set[str] = set()
    requested: set[str] = set()
    listings: list[Listing] = []
    snapshots: list[tuple[int, int, bytes]] = []
    times: list[tuple[int, int]] = []
    first_ns = line_count = 0
    for received_ns, raw in islice(chain.from_iterable(file.batches()), max_lines):
        line_count += 1
        first_ns = first_ns or received_ns
        try:
            stream, payload, time_ms, _ = decoder.decode(raw)
        except DecodeError:
            continue  # reported when it is played
        if len(times) < SAMPLE_LINES:
            times.append((time_ms, received_ns))
        if stream:
            streams.add(stream)
            inference.observe(stream, payload)
            continue
        address = raw[: -len(payload) - 1]
        if (venue := requested_listing(address)) is not None:
            with suppress(DecodeError):  # an error response
                listings.append(instruments_of(payload, venue))
        if requested_book(address):
            requested.add(requested_symbol(address))
        if b'"lastUpdateId"' in payload and received_ns - first_ns <= OPENING_NS:
            snapshots.append((time_ms, received_ns, raw))
    ahead_ms = typical_ahead_ms(times)
    first_ms = EventClock(ahead_ms).first_ms(*times[0]) if times else 0
    symbols = {_topic(stream) for stream in streams} & inference.keys()
    venues = Counter(venue_of(symbol).name for symbol in symbols) or Counter([USDM.name])
    is_complete = line_count < max_lines
    if manifest is not None and isinstance(file, Segments):
        is_complete |= {path.name for path in file.files()} <= manifest.sealed.keys()
        streams |= manifest.counts.keys()
    file_scan = FileScan(
        path=file.path,
        venue=manifest.venue if manifest else venues.most_common(1)[0][0],
        has_manifest=manifest is not None,
        profile=manifest.profile if manifest else "",
        snapshot_times=_snapshot_times(manifest) if manifest else None,
        first_ns=first_ns,
        streams=frozenset(streams),
        requested=frozenset(requested | _requested(file, manifest)),
        is_complete=is_complete,
        only_symbol=only if (only := only_book_of(streams)) in inference else "",
        ahead_ms=ahead_ms,
        first_ms=first_ms,
        companions=file.companions if isinstance(file, Capture) else (),
        snapshots=tuple(
            raw
            for time_ms, received_ns, raw in snapshots
            if not time_ms or EventClock(ahead_ms).believes(time_ms, received_ns, first_ms)
        ),
    )
    return file_scan, listings


def _topic(stream: str) -> str:
    """Return the symbol or pair that a stream is about, in upper case; empty for all symbols."""
    return parse_stream_name(stream).topic.upper()


def _requested(file: RecordedFile, manifest: Manifest | None) -> set[str]:
    streams = manifest.streams if manifest else frozenset[str]()
    if isinstance(file, LineFile | Capture):
        streams = file.requested
    return {topic for topic in map(_topic, streams) if 0 < len(topic) <= LONGEST_SYMBOL}


def _snapshot_times(manifest: Manifest) -> tuple[SnapshotTime, ...]:
    return tuple(
        SnapshotTime(entry.symbol, entry.time_ns)
        for entry in manifest.entries
        if isinstance(entry, SnapshotRecorded)
    )
