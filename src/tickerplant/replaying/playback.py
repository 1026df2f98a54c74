"""Recordings, the position in them, and the plant they are played into.

What the markets know depends on the position: to go back, the plant is restarted with empty markets
before the target, and the lines up to it are played.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from msgspec import structs

from tickerplant.decode.decoder import ANSWERS
from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.readiness import Readiness
from tickerplant.recording.event_clock import MISTIMED, SAMPLE_LINES, EventClock, clock_from
from tickerplant.recording.line import Line, total_stats
from tickerplant.recording.opening import recorded_files
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.replaying.line_cursor import LineCursor
from tickerplant.replaying.message_times import (
    ByEventTime,
    event_time_ms,
    shift_times,
    shift_to_ms,
)
from tickerplant.replaying.plan import Plan, span_of, views_of, warm_up_start_ns
from tickerplant.replaying.player import UNDECODABLE, FastestDepth, Player, VerbatimPlayer
from tickerplant.replaying.scan import SCANNED_LINES, FileScan, Scan
from tickerplant.units import NS_PER_MS

NOT_A_LINE = "not a recording line"
SHOWN_SYMBOLS = 5
"""Symbols that a warning about many of them names."""


class Playback:
    """Plays lines of recordings into a plant, in order of time, from any position.

    Raises:
        ConfigError: The plan leaves nothing to play.
        RecordingError: A file cannot be opened, or is not a recording.
    """

    def __init__(
        self, found: Scan, plant: Plant, plan: Plan, warn: Callable[[str, str], None]
    ) -> None:
        self.played_ns = -1
        """The time of the line that was played last."""
        self.shift_ms = 0
        """How much later all times are than they were recorded."""
        self._found = found
        self._plant = plant
        self._plan = plan
        self._warn = warn
        paths = [file.path for file in found.files]
        self.span = span_of(plan, recorded_files(paths))
        self.recordings = recorded_files(paths, lambda damage: warn(str(damage), ""))
        self._views = views_of(plan, self.recordings)
        self._cursor = LineCursor(self._views, self.span.end_ns)
        self._index = -1
        """Which recording the last line belongs to."""
        self._started: set[int] = set()
        """The recordings of which a line was played since the plant was restarted."""
        self._compared: set[tuple[int, int]] = set()
        self._reported: set[tuple[str, str]] = set()
        """The files and kinds of damage for which a skipped line was reported."""
        self._skipped: Counter[str] = Counter()
        """Messages skipped before the plant was restarted."""
        self._depth = FastestDepth(())
        self._players: list[Player | VerbatimPlayer] = []
        self._make_players()

    @property
    def next_ns(self) -> int | None:
        """The time of the next line; None at the end."""
        return self._cursor.next_ns

    @property
    def limit_ns(self) -> int:
        """The time that the position does not pass: that of the next line, at the end of the last."""
        next_ns = self._cursor.next_ns
        return max(self.played_ns, 0) if next_ns is None else next_ns

    @property
    def text_bytes(self) -> int:
        """How much text has been read."""
        return total_stats(self.recordings).text_bytes

    def play(self, until_ns: int, max_lines: int, *, prompt: bool = False) -> Sequence[Line]:
        """Play the next lines of one recording and return them.

        There is at least one line and at most `max_lines`; all but the first are not later than
        `until_ns`.  Must not be called at the end.
        """
        index, recorded = self._cursor.take(until_ns, max_lines)
        if index != self._index:
            self._change_recording(index)
        lines = recorded
        if self.shift_ms:
            lines = [(time_ns, shift_times(raw, self.shift_ms)) for time_ns, raw in lines]
        player = self._players[index]
        player.play(lines, prompt=prompt)
        if player.skipped:
            self._report_skipped(index, player, lines, recorded)
        self.played_ns = recorded[-1][0]
        return recorded

    def open(self, now_ms: int) -> Iterator[None]:
        """Move to where playing must begin to know everything at the beginning of the plan.

        The position is reached when the iterator ends; so it is with `seek` and `rebase`.
        """
        start_ns = self._start_ns(self.span.begin_ns)
        if self._plan.rebased:
            yield from self.rebase(now_ms)
        if start_ns or self._plan.rebased:
            yield from self._restart(start_ns)
        else:
            self._open_books()
            yield from self._cursor.seek_in_steps(0)

    def seek(self, target_ns: int) -> Iterator[None]:
        """Move to where playing must begin to know everything at `target_ns`.

        The position stays if it leads there.
        """
        start_ns = self._start_ns(target_ns)
        if target_ns <= self.played_ns or start_ns > self.played_ns >= 0:
            yield from self._restart(start_ns)

    def rebase(self, now_ms: int, *, late: bool = False) -> Iterator[None]:
        """Shift times so that the first message has the time `now_ms`, as far as candles allow.

        Takes effect with the next `open` or `seek`, which must follow.
        """
        self.played_ns = LATEST_NS  # every target is before it
        yield from self._cursor.seek_in_steps(self.span.begin_ns)
        streams = (stream for file in self._found.files for stream in file.streams)
        has_candles = any("kline" in stream.lower() for stream in streams)
        self.shift_ms = shift_to_ms(self._next_ms(), now_ms, on_the_minute=has_candles, late=late)

    def close(self) -> None:
        """Close the recordings; nothing more can be played."""
        self._cursor.close()

    def skipped(self) -> Counter[str]:
        """Return how many lines and messages were not applied, by reason."""
        bad_lines = total_stats(self.recordings).skipped
        return Counter({NOT_A_LINE: bad_lines}) + self._skipped_messages()

    def warn_of_missing_streams(self) -> None:
        """Warn of symbols of which nothing was recorded, and of those without a book."""
        found = self._found
        unrecorded = found.unrecorded
        if unrecorded:
            partial = any(file.requested and not file.is_complete for file in found.files)
            among = f" among the first {SCANNED_LINES:,} of a file" * partial
            self._warn(
                f"{_shown(unrecorded)}: requested by the collector, but no message was recorded"
                f"{among}: their streams are silent",
                "",
            )
        without_depth = [
            symbol
            for symbol in self._plant.markets
            if symbol not in self._depth and symbol not in unrecorded
        ]
        if without_depth and not self._plan.verbatim:
            reason = "book-derived streams are silent: no depth was recorded"
            self._warn(f"{_shown(without_depth)}: {reason}", "")

    def report_state(self, status: Readiness) -> None:
        """Warn of messages that are not applied, and of books that are not in sync.

        The warning about a book ends when it is in sync again.
        """
        if self._plan.verbatim:
            return
        for player, recording in zip(self._players, self.recordings, strict=True):
            for reason in player.decoder.unapplied.keys() - {ANSWERS}:
                self._warn(f"{recording.path}: sent but not applied: {reason}", "")
        for symbol, market in self._plant.markets.items():
            if market.unreadable or market.book.unreadable:
                self._warn(f"{symbol}: some numbers do not fit the scale of its first messages", "")
            if symbol not in self._depth:
                continue
            if not market.book_live:
                reason = market.book_reason
                self._warn(f"{symbol}: book-derived streams are silent: {reason}", symbol)
            elif status.clear(symbol):
                logger().info(f"= {symbol}: the book is in sync again")

    def _restart(self, start_ns: int) -> Iterator[None]:
        """Move before the first line from `start_ns` on, and restart the plant with empty markets."""
        self.played_ns = LATEST_NS
        yield from self._cursor.seek_in_steps(start_ns)
        start_ms = self._next_ms() if start_ns else self._found.start_ms
        self._skipped = self._skipped_messages()
        self._plant.restart(self._found.instruments, start_ms=start_ms + self.shift_ms)
        self._make_players()
        # Markets contain reference cycles, and almost nothing else that is made here does: on its own,
        # the garbage collector would not reach the old ones for hundreds of rounds of a loop.
        gc.collect()
        self.played_ns = start_ns - 1
        self._index = -1
        self._started.clear()
        if not start_ns:
            self._open_books()

    def _skipped_messages(self) -> Counter[str]:
        counts = self._skipped + Counter(
            {
                UNDECODABLE: sum(player.undecodable for player in self._players),
                MISTIMED: sum(player.mistimed for player in self._players),
            }
        )
        for player in self._players:
            counts += player.decoder.unapplied
        return counts

    def _make_players(self) -> None:
        found = self._found
        self._depth = FastestDepth(stream for file in found.files for stream in file.streams)
        self._players = [self._player(file) for file in found.files]
        for venue_name in self._plant.venues:
            self._plant.start_passthrough(venue_name, found.streams(venue_name))

    def _player(self, file: FileScan) -> Player | VerbatimPlayer:
        ahead_ms = 0 if self._plan.pace == "event" else file.ahead_ms
        clock = EventClock(ahead_ms + self.shift_ms)
        if self._plan.verbatim:
            return VerbatimPlayer(self._plant, self._found, file, clock=clock)
        if self.shift_ms:
            snapshots = tuple(shift_times(raw, self.shift_ms) for raw in file.snapshots)
            file = structs.replace(file, snapshots=snapshots)
        return Player(
            self._plant,
            self._found,
            file,
            applied=self._depth,
            clock=clock,
            shows_snapshots=self._plan.shows_snapshots,
        )

    def _open_books(self) -> None:
        for player in self._players:
            player.open_books()

    def _start_ns(self, target_ns: int) -> int:
        """Return where playing must begin to know everything at `target_ns`; 0 is the beginning."""
        if target_ns <= self.span.first_ns:
            return 0
        if self._plan.verbatim:
            return target_ns  # nothing has to be known
        ahead_ns = [view.ahead_ns if isinstance(view, ByEventTime) else 0 for view in self._views]
        start_ns = warm_up_start_ns(target_ns, self._plan.warm_up_ns, self._found.files, ahead_ns)
        return start_ns if start_ns > self.span.first_ns else 0

    def _next_ms(self) -> int:
        """Return the market time of the next line, as it was recorded.

        It is the event time, unless that is far from what the receive time lets expect.
        """
        index, lines = self._cursor.peek(SAMPLE_LINES)
        if not lines:
            return self.limit_ns // NS_PER_MS
        ahead_ms = 0 if self._plan.pace == "event" else self._found.files[index].ahead_ms
        times = [(event_time_ms(raw), received_ns) for received_ns, raw in lines]
        return clock_from(ahead_ms, times).first_ms(*times[0])

    def _change_recording(self, index: int) -> None:
        if index in self._started:
            self._compare(self._index, index)
        self._started.add(index)
        self._index = index

    def _compare(self, one: int, other: int) -> None:
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
                "same time: their messages are sent twice",
                "",
            )

    def _report_skipped(
        self,
        index: int,
        player: Player | VerbatimPlayer,
        lines: Sequence[Line],
        recorded: Sequence[Line],
    ) -> None:
        recording = self.recordings[index]
        for skipped in player.skipped:
            if (recording.path, skipped.kind) not in self._reported:
                self._reported.add((recording.path, skipped.kind))
                number = next(n for n, line in enumerate(lines) if line is skipped.line)
                place = recording.place_of(recorded[number][1])
                self._warn(f"{place}: skipped {skipped.reason}", "")
        player.skipped.clear()


def _shown(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - SHOWN_SYMBOLS} more" * (len(symbols) > SHOWN_SYMBOLS)
    return ", ".join(symbols[:SHOWN_SYMBOLS]) + more
