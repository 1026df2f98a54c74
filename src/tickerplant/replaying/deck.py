"""Recordings, the place in them, and the markets that they are played to.

What is known of the markets belongs to the place: who goes back begins with markets that know of
nothing, before the moment, and plays up to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tickerplant.plant import Plant
from tickerplant.recording.block import LATEST_NS
from tickerplant.recording.event_clock import SAMPLE_LINES, clock_from
from tickerplant.recording.line import Damage, Line
from tickerplant.recording.opening import recorded_files
from tickerplant.replaying.event_time import ByEventTime, event_time_ms
from tickerplant.replaying.line_cursor import LineCursor
from tickerplant.replaying.performance import Performance
from tickerplant.replaying.plan import Plan, span_of, views_of, warm_up_start_ns
from tickerplant.replaying.rebase import shift_of
from tickerplant.replaying.scan import Scan
from tickerplant.sources.source import Status
from tickerplant.units import NS_PER_MS

SKIPPED = "no line of a recording"


class Deck:
    """Takes lines from recordings, in order of time, and plays them into a plant.

    Args:
        found: What `scan` found in the recordings.
        plant: Where the messages go; made from the instruments that were found.
        plan: What is played, by which of its times.
        warn: Takes what is incomplete, and of what subject, empty for itself.

    Raises:
        ConfigError: the plan leaves nothing to play.
        RecordingError: a file cannot be opened, or is no recording.
    """

    def __init__(
        self, found: Scan, plant: Plant, plan: Plan, warn: Callable[[str, str], None]
    ) -> None:
        self.played_ns = -1
        """The time of the line that was played last."""
        self._found = found
        self._plan = plan
        self._warn = warn
        paths = [file.path for file in found.files]
        self.span = span_of(plan, recorded_files(paths))
        self.recordings = recorded_files(paths, self._warn_of_flaw)
        self._views = views_of(plan, self.recordings)
        self._reel = LineCursor(self._views, self.span.end_ns)
        self._performance = Performance(
            found,
            plant,
            warn,
            self.recordings,
            by_event=plan.pace == "event",
            verbatim=plan.verbatim,
        )
        self._turn = -1
        """Which recording the last line was of."""
        self._begun: set[int] = set()
        """The recordings that have had a turn since the markets began."""
        self._compared: set[tuple[int, int]] = set()

    @property
    def next_ns(self) -> int | None:
        """The time of the next line; None at the end."""
        return self._reel.next_ns

    @property
    def edge_ns(self) -> int:
        """The time of the next line; at the end that of the last one."""
        next_ns = self._reel.next_ns
        return max(self.played_ns, 0) if next_ns is None else next_ns

    @property
    def shift_ms(self) -> int:
        """How much later all times are than they were recorded."""
        return self._performance.shift_ms

    @property
    def text_bytes(self) -> int:
        """How much text has been read."""
        return sum(recording.text_bytes for recording in self.recordings)

    def take(self, until_ns: int, most: int, *, prompt: bool = False) -> Sequence[Line]:
        """Play the next lines of one recording; return them, see `LineCursor.take` and `Player.play`."""
        index, lines = self._reel.take(until_ns, most)
        if index != self._turn:
            if index in self._begun:
                self._compare(self._turn, index)
            self._begun.add(index)
            self._turn = index
        self._performance.play(index, lines, prompt=prompt)
        self.played_ns = lines[-1][0]
        return lines

    def open(self, now_ms: int) -> Iterator[None]:
        """Be where one must begin to know all at the beginning of the plan.

        That, and what `advance_before` and `rebase` do, is done when the iterator has ended.

        Args:
            now_ms: Of when the first message is to be, if that is the plan.
        """
        start_ns = self._start_ns(self.span.begin_ns)
        if self._plan.rebased:
            yield from self.rebase(now_ms)
        if start_ns or self._plan.rebased:
            yield from self._rewind(start_ns)
        else:
            self._performance.open_books()
            yield from self._reel.winding(0)

    def advance_before(self, target_ns: int) -> Iterator[None]:
        """Be at or before a moment, where one must begin to know all there.

        The place stays if it is on the way.
        """
        start_ns = self._start_ns(target_ns)
        if target_ns <= self.played_ns or start_ns > self.played_ns >= 0:
            yield from self._rewind(start_ns)

    def close(self) -> None:
        """Close the recordings; nothing more is played."""
        self._reel.close()

    def rebase(self, now_ms: int, *, late: bool = False) -> Iterator[None]:
        """Shift times so that the first message is of now, as far as candles let it.

        That holds from the next `open` or `advance_before` on, which has to follow.
        """
        self.played_ns = LATEST_NS  # wherever somebody wants to be, that is back
        yield from self._reel.winding(self.span.begin_ns)
        streams = (stream for file in self._found.files for stream in file.streams)
        has_candles = any("kline" in stream.lower() for stream in streams)
        self._performance.shift_ms = shift_of(
            self._next_ms(), now_ms, on_the_minute=has_candles, late=late
        )

    def left_out(self) -> Counter[str]:
        """Count the lines and messages of which no market heard, by what was wrong with them."""
        skipped = sum(recording.skipped for recording in self.recordings)
        return Counter({SKIPPED: skipped}) + self._performance.left_out()

    def look_for_silence(self) -> None:
        """Warn of symbols of which nothing was recorded, and of those without a book."""
        self._performance.look_for_silence()

    def look_around(self, status: Status) -> None:
        """Say what was not applied, and which books are not whole, and why, or are again."""
        self._performance.look_around(status)

    def _compare(self, one: int, other: int) -> None:
        """Say of two recordings that take turns if they hold the same streams."""
        if (one, other) in self._compared:
            return
        self._compared |= {(one, other), (other, one)}
        files = self._found.files
        both = files[one].streams & files[other].streams
        venue = self._found.stream_venue
        shared = sorted(
            each for each in both if venue(each, files[one]) == venue(each, files[other])
        )
        if shared:
            more = f" and {len(shared) - 1} more streams" * (len(shared) > 1)
            self._warn(
                f"{files[one].path} and {files[other].path} both hold {shared[0]}{more} at the "
                "same time: what is in both is sent twice",
                "",
            )

    def _rewind(self, start_ns: int) -> Iterator[None]:
        """Be before the first line from `start_ns` on, with markets that know of nothing."""
        self.played_ns = LATEST_NS
        yield from self._reel.winding(start_ns)
        start_ms = self._next_ms() if start_ns else self._found.start_ms
        self._performance.begin(start_ms + self.shift_ms)
        self.played_ns = start_ns - 1
        self._turn = -1
        self._begun.clear()
        if not start_ns:
            self._performance.open_books()

    def _start_ns(self, target_ns: int) -> int:
        """Return from where on to play to know all at a moment; 0 is from the beginning."""
        if target_ns <= self.span.opening_ns:
            return 0
        if self._plan.verbatim:
            return target_ns  # nothing is to be known there
        ahead_ns = [view.ahead_ns if isinstance(view, ByEventTime) else 0 for view in self._views]
        start_ns = warm_up_start_ns(target_ns, self._plan.warm_up_ns, self._found.files, ahead_ns)
        return start_ns if start_ns > self.span.opening_ns else 0

    def _next_ms(self) -> int:
        """Return the market time of the next line, as it was recorded.

        That is its event time, if it is not far from what its receive time lets expect, by what is
        known of its file or of the lines that follow it.
        """
        index, coming = self._reel.coming(SAMPLE_LINES)
        if not coming:
            return self.edge_ns // NS_PER_MS
        ahead_ms = 0 if self._plan.pace == "event" else self._found.files[index].ahead_ms
        times = [(event_time_ms(raw), received_ns) for received_ns, raw in coming]
        return clock_from(ahead_ms, times).first_ms(*times[0])

    def _warn_of_flaw(self, flaw: Damage) -> None:
        self._warn(str(flaw), "")
