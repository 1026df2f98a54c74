"""A first look at recordings: what is traded in them, and which streams they hold.

Only the first lines of each file are read, so that a plant can be made before the replay begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice

from msgspec import Struct

from tickerplant.decode.decoder import Decoder
from tickerplant.decode.sketch import Sketches, venue_of
from tickerplant.errors import DecodeError, RecordingError
from tickerplant.instrument import Instrument
from tickerplant.recording.line import RecordedFile
from tickerplant.recording.line_file import EXPECTED
from tickerplant.recording.opening import recorded_files
from tickerplant.venue import USDM

SCANNED_LINES = 20_000
"""Lines of each file that are looked at."""

OPENING_NS = 10_000_000_000
"""A book may open with a snapshot that was recorded so soon after the first line.

Collectors ask for a snapshot when the stream runs already.  Who follows the documented procedure
asks for one at once, and can join to one that is a little ahead of the updates it has.
"""

_NS_PER_MS = 1_000_000


class FileScan(Struct, frozen=True):
    """What the first lines of one file tell."""

    path: str
    venue: str
    """The venue most of its streams belong to."""
    streams: frozenset[str]
    answered_symbol: str
    """Whose book a REST answer without a symbol must be: the file's only symbol, or empty."""
    first_ms: int
    """Market time of its first message, 0 if there is none."""
    answers: tuple[bytes, ...]
    """The REST answers `depth` among its first lines, see `OPENING_NS`."""


class Scan(Struct, frozen=True):
    """What the first lines of some recordings tell."""

    files: tuple[FileScan, ...]
    instruments: tuple[Instrument, ...]
    start_ms: int
    """Market time of the first message."""

    def stream_venue(self, stream: str, file: FileScan) -> str:
        """Return the name of the venue whose `stream` it is that `file` holds."""
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


def scan(paths: Sequence[str], lines: int = SCANNED_LINES) -> Scan:
    """Look at the first `lines` lines of each recording.

    Raises:
        RecordingError: a file cannot be read, is no recording, or none tells of a market.
    """
    sketches = Sketches()
    files = tuple(_scan_file(file, lines, sketches) for file in recorded_files(paths))
    start_ms = min((file.first_ms for file in files if file.first_ms), default=0)
    drawn = (sketch.instrument(start_ms) for sketch in sketches.values())
    instruments = tuple(instrument for instrument in drawn if instrument is not None)
    if not any(file.streams for file in files):
        raise RecordingError(", ".join(paths), f"no message of a stream, expected {EXPECTED}")
    return Scan(files, instruments, start_ms)


def _scan_file(file: RecordedFile, lines: int, sketches: Sketches) -> FileScan:
    decoder = Decoder({}, applied=lambda _: False)
    streams: Counter[str] = Counter()
    answers: list[bytes] = []
    first_ms = first_ns = 0
    batches = file.batches()
    for received_ns, raw in islice(chain.from_iterable(batches), lines):
        try:
            stream, payload, time_ms, _ = decoder.decode(raw)
        except DecodeError:
            continue  # reported when it is played
        first_ms = first_ms or time_ms or received_ns // _NS_PER_MS
        first_ns = first_ns or received_ns
        if not stream and b'"lastUpdateId"' in payload and received_ns - first_ns <= OPENING_NS:
            answers.append(raw)
        if stream:
            streams[stream] += 1
            sketches.see(stream, payload)
    symbols = {stream.partition("@")[0].upper() for stream in streams} & sketches.keys()
    venues = Counter(venue_of(symbol).name for symbol in symbols)
    return FileScan(
        path=file.path,
        venue=venues.most_common(1)[0][0] if venues else USDM.name,
        streams=frozenset(streams),
        answered_symbol=symbols.pop() if len(symbols) == 1 else "",
        first_ms=first_ms,
        answers=tuple(answers),
    )
