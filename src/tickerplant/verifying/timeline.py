"""What a walk saw over time: messages and gaps of each stream, in bins of equal length.

The bins begin with the first line.  They become twice as long whenever there would be too many, so
their number is bounded, whatever the length of the recording.  The numbers are those that the checks
count, read at the end of each bin: their sums are those of the findings.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from tickerplant.archive.outage_log import Outage
from tickerplant.recording.line import Line
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.verifying.stream_check import StreamCheck, UncheckedStream

MOST_BINS = 512
"""Most bins; there are at least half as many unless the recording is shorter than as many ms."""
MOST_STREAMS = 2_000
"""Most streams whose own messages are kept; those of further ones are in the totals only."""
MOST_KINDS = 64
"""Most kinds of streams whose totals are kept; further ones are together `OTHER`."""
OTHER = "other"
FIRST_WIDTH_NS = 1_000_000


class StreamBins(Struct):
    """What was seen of one stream, bin by bin."""

    messages: array[int]
    gaps: array[int]
    """Gaps by the first message after them; a gap that late messages filled is no longer there."""
    outages: tuple[Outage, ...] = ()
    """The times in which it was not received, according to the manifest."""
    seen_messages: int = 0
    """Those up to the last bin."""
    seen_gaps: int = 0


class Timeline:
    """What a walk saw over time.

    Args:
        most_bins: Most bins, an even number.
        most_streams: Most streams whose own messages are kept.
    """

    def __init__(self, most_bins: int = MOST_BINS, most_streams: int = MOST_STREAMS) -> None:
        self.start_ns = 0
        """The beginning of the first bin: when the first line was received; 0 before that."""
        self.width_ns = FIRST_WIDTH_NS
        """The length of a bin."""
        self.streams: dict[str, StreamBins] = {}
        self.kinds: dict[str, array[int]] = {}
        """Messages by kind of stream, such as `trade`, those of all streams."""
        self.left_out = 0
        """Streams whose own messages are not kept."""
        self._most_bins = most_bins
        self._most_streams = most_streams
        self._bin = 0
        """The bin that is being filled."""
        self._checks: dict[str, StreamCheck] = {}
        self._seen_left_out: dict[str, int] = {}
        """Messages, up to the last bin, of the streams that are left out."""

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return self._bin + 1 if self.start_ns else 0

    def runs(
        self, lines: Sequence[Line], checks: dict[str, StreamCheck]
    ) -> Iterator[Sequence[Line]]:
        """Yield lines in runs that lie in one bin, each to be walked before the next is asked for.

        A line with a receive time before that of an earlier one is counted in the bin of that.

        Args:
            lines: The next lines.
            checks: The checks that count them, by stream.
        """
        self._checks = checks
        if not self.start_ns:
            self.start_ns = min(lines[0][0], LATEST_NS)
        begin = 0
        end_ns = self._end_ns
        for at, (time_ns, _) in enumerate(lines):
            if time_ns < end_ns:
                continue
            if at > begin:
                yield lines[begin:at]
            self._turn_to(min(time_ns, LATEST_NS))
            begin, end_ns = at, self._end_ns
            if end_ns > LATEST_NS:
                break
        yield lines[begin:] if begin else lines

    def finish(self) -> None:
        """Take note of what the last bin holds."""
        self._sample()

    def add_outages(self, stream: str, outages: Iterable[Outage]) -> None:
        """Take note of when a stream was not received."""
        bins = self.streams.get(stream)
        if bins is None:
            if len(self.streams) >= self._most_streams:
                return
            bins = self.streams[stream] = StreamBins(self._empty(), self._empty())
        bins.outages = tuple(outages)

    @property
    def _end_ns(self) -> int:
        return self.start_ns + (self._bin + 1) * self.width_ns

    def _turn_to(self, time_ns: int) -> None:
        """End the bin that is being filled; begin that of `time_ns`."""
        self._sample()
        while time_ns >= self.start_ns + self._most_bins * self.width_ns:
            self._double()
        self._bin = (time_ns - self.start_ns) // self.width_ns

    def _double(self) -> None:
        """Join each two bins."""
        self.width_ns *= 2
        for bins in self.streams.values():
            bins.messages, bins.gaps = _joined(bins.messages), _joined(bins.gaps)
        for kind, counts in self.kinds.items():
            self.kinds[kind] = _joined(counts)

    def _sample(self) -> None:
        """Add what the checks have counted since the last time to the bin that is being filled."""
        at = self._bin
        for stream, check in self._checks.items():
            if isinstance(check, UncheckedStream):
                continue
            bins = self.streams.get(stream)
            if bins is None:
                if len(self.streams) >= self._most_streams:
                    seen = self._seen_left_out.get(stream, 0)
                    self._kind_of(check)[at] += check.messages - seen
                    self._seen_left_out[stream] = check.messages
                    self.left_out = len(self._seen_left_out)
                    continue
                bins = self.streams[stream] = StreamBins(self._empty(), self._empty())
            if (more := check.messages - bins.seen_messages) > 0:
                bins.messages[at] += more
                self._kind_of(check)[at] += more
                bins.seen_messages = check.messages
            if gaps := check.found.gaps - bins.seen_gaps:
                _add_gaps(bins.gaps, at, gaps)
                bins.seen_gaps = check.found.gaps

    def _kind_of(self, check: StreamCheck) -> array[int]:
        kind = check.name.kind
        if kind not in self.kinds:
            kind = kind if len(self.kinds) < MOST_KINDS else OTHER
            self.kinds.setdefault(kind, self._empty())
        return self.kinds[kind]

    def _empty(self) -> array[int]:
        return array("Q", bytes(8 * self._most_bins))


def _joined(counts: array[int]) -> array[int]:
    half = array("Q", map(int.__add__, counts[::2], counts[1::2]))
    return half + array("Q", bytes(8 * (len(counts) - len(half))))


def _add_gaps(counts: array[int], at: int, more: int) -> None:
    """Add gaps to a bin; filled ones are taken from the latest bins that have some."""
    if more > 0:
        counts[at] += more
        return
    for number in range(at, -1, -1):
        filled = min(counts[number], -more)
        counts[number] -= filled
        more += filled
        if not more:
            return
