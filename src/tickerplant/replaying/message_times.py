"""The times in recorded messages: read, used in place of receive times, and shifted.

Shifting changes the digits of times and nothing else of a message.  Which numbers are times follows
from the event type: `t` is the id of a `trade`, and the opening time in a `kline`.  Only numbers of
thirteen digits are times, so that a 0 for "none" stays 0.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from itertools import chain, islice
from re import Pattern

from tickerplant.recording.event_clock import (
    EARLIEST_MS,
    SAMPLE_LINES,
    clock_from,
    typical_ahead_ms,
)
from tickerplant.recording.line import Batched, Line
from tickerplant.units import MINUTE_MS, NS_PER_MS

SKEW_NS = 60_000_000_000
"""How much the offset between the two clocks of a line usually differs from that of its recording, at
most; if the market ran faster than its collector's clock, it differs by more."""

_EVENT_TIME = re.compile(rb'"E":\s?(\d{13})(?!\d)')
_EVENT_TYPE = re.compile(rb'"e":\s?"(\w+)"')
_TIME_KEYS: Mapping[bytes, bytes] = {
    b"trade": b"ET",
    b"aggTrade": b"ET",
    b"bookTicker": b"ET",
    b"depthUpdate": b"ET",
    b"forceOrder": b"ET",
    b"markPriceUpdate": b"ET",
    b"kline": b"EtT",
    b"continuous_kline": b"EtT",
    b"indexPrice_kline": b"EtT",
    b"markPrice_kline": b"EtT",
    b"24hrTicker": b"EOC",
    b"EquityUpdate": b"EtT",
    b"CommodityUpdate": b"EtT",
    b"KR_EquityUpdate": b"EtT",
    b"HK_EquityUpdate": b"EtT",
    b"CN_EquityUpdate": b"EtT",
}
"""The keys of times, one letter each, by event type; of other types that is `E` alone.

Delivery and listing times (`contractInfo`) belong to the contract, and are not shifted.
"""


def _times(letters: bytes) -> Pattern[bytes]:
    return re.compile(rb'"([%b])":(\s?)(\d{13})(?!\d)' % letters)


_TIMES_BY_TYPE = {event_type: _times(letters) for event_type, letters in _TIME_KEYS.items()}
_OTHER_TIMES = _times(b"E")
_SNAPSHOT = b'"lastUpdateId"'
_SNAPSHOT_TIMES = _times(b"ET")


def event_time_ms(raw: bytes) -> int:
    """Return the event time of a message in any envelope, ms since the epoch; 0 if it has none."""
    found = _EVENT_TIME.search(raw)
    return int(found[1]) if found else 0


def shift_times(raw: bytes, shift_ms: int) -> bytes:
    """Return a recorded message, in any envelope, with all its times `shift_ms` later."""
    event_type = _EVENT_TYPE.search(raw)
    if event_type is not None:
        pattern = _TIMES_BY_TYPE.get(event_type[1], _OTHER_TIMES)
    else:
        pattern = _SNAPSHOT_TIMES if _SNAPSHOT in raw else _OTHER_TIMES

    def shifted(time: re.Match[bytes]) -> bytes:
        key, space, digits = time.groups()
        return b'"%b":%b%d' % (key, space, int(digits) + shift_ms)

    return pattern.sub(shifted, raw)


def shift_to_ms(first_ms: int, now_ms: int, *, on_the_minute: bool, late: bool = False) -> int:
    """Return the shift in ms with which `first_ms` becomes `now_ms`.

    Args:
        first_ms: The time of the first message that is played.
        now_ms: The time it becomes.
        on_the_minute: Shift by full minutes, because candles must stay on their grid; the result
            is then up to a minute earlier than `now_ms`.
        late: In that case, up to a minute later instead.
    """
    shift_ms = now_ms - first_ms
    if not on_the_minute:
        return shift_ms
    return (shift_ms + (MINUTE_MS - 1 if late else 0)) // MINUTE_MS * MINUTE_MS


class ByEventTime:
    """A recording whose lines have event times, in ns, in place of receive times.

    The time of a line is the latest event time (`E`) up to and including its own: times never
    decrease, and a line without an event time has that of the line before.  Event times that cannot
    be true (`recording/event_clock.py`) are ignored.  The first line falls back to the time expected
    from its receive time.
    """

    def __init__(self, recording: Batched) -> None:
        self._recording = recording
        self._first_ns = 0
        """The first receive time, once `_ahead_ms` is known."""
        self._ahead_ms: int | None = None

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the lines whose time is `start_ns` or later, in batches.

        A batch is empty only with `pauses`, once for each that is skipped.
        """
        received_ns = yield from self._opening_ns(start_ns, pauses=pauses)
        latest_ms, clock = 0, None
        for lines in self._recording.batches(received_ns, pauses=pauses):
            if not lines:
                yield lines
                continue
            times_ms = [event_time_ms(raw) for _, raw in lines]
            if clock is None:
                times = [(ms, line_ns) for ms, (line_ns, _) in zip(times_ms, lines, strict=True)]
                clock = clock_from(self.ahead_ns // NS_PER_MS, times)
                latest_ms = clock.first_ms(*times[0])
            earliest_ms, last_ms = clock.bounds_ms(lines)
            timed: list[Line] = []
            for event_ms, (line_ns, raw) in zip(times_ms, lines, strict=True):
                if event_ms > latest_ms and (
                    earliest_ms <= event_ms <= last_ms
                    or clock.believes(event_ms, line_ns, latest_ms)
                ):
                    latest_ms = event_ms
                timed.append((latest_ms * NS_PER_MS, raw))
            if timed[0][0] < start_ns:
                timed = [line for line in timed if line[0] >= start_ns]
            if timed or pauses:
                yield timed

    @property
    def ahead_ns(self) -> int:
        """How far event times are ahead of receive times, by the first lines that have one."""
        if self._ahead_ms is None:
            lines = chain.from_iterable(self._recording.batches())
            first = next(lines, None)
            if first is not None:
                self._first_ns = first[0]
                lines = chain((first,), lines)
            times = ((event_time_ms(raw), received_ns) for received_ns, raw in lines)
            sample = islice((each for each in times if each[0]), SAMPLE_LINES)
            self._ahead_ms = typical_ahead_ms(sample)
        return self._ahead_ms * NS_PER_MS

    def _opening_ns(self, start_ns: int, *, pauses: bool) -> Generator[list[Line], None, int]:
        """Return a receive time up to which event times are earlier than `start_ns`.

        The offset of the first lines says where that is, unless the market ran faster than the clock
        of its collector: then it is farther back, and twice as far with each attempt.
        """
        received_ns = start_ns - self.ahead_ns - SKEW_NS
        step_ns = SKEW_NS
        while received_ns > self._first_ns:
            for lines in self._recording.batches(received_ns, pauses=pauses):
                if lines:
                    break
                yield lines
            else:
                lines = []
            times_ms = (event_time_ms(raw) for _, raw in lines)
            if any(EARLIEST_MS <= each < start_ns // NS_PER_MS for each in times_ms):
                return received_ns
            received_ns -= step_ns
            step_ns *= 2
        return 0
