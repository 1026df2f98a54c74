"""Recordings as a source: what was recorded is served again, in the time it took, or faster.

Two clocks were recorded with every line: when the collector received it, and `E`, when the
exchange sent it.  They are seconds apart on real machines.  The replay is paced by the receive
time, because that is the rhythm in which the messages arrived and every line has it; the market's
clock is `E`, because the messages that are derived must carry times in line with those that were
recorded.  Market time moves only with messages, so the same recording gives the same bytes at
every speed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.recording.line import Flaw, Line
from tickerplant.recording.merging import merge
from tickerplant.recording.opening import recorded_files
from tickerplant.sources.player import FastestDepth, Player
from tickerplant.sources.progress import Progress
from tickerplant.sources.scan import Scan
from tickerplant.sources.source import Readers, Status, wait_for_subscribers

SLICE_MESSAGES = 2_000
"""Most messages played without a turn of the event loop."""
SLICE_BYTES = 1 << 19
"""Text played without a turn, more or less: far less than a subscriber may leave unread."""
LONGEST_WAIT_S = 1.0
"""The source wakes so often while a recording is quiet."""

SHOWN_SYMBOLS = 5
"""Symbols that a warning about many names."""

SKIPPED = "no line of a recording"
UNDECODABLE = "no message"

_NS_PER_S = 1_000_000_000

_received: Callable[[Line], int] = itemgetter(0)


class RecordingSource:
    """Plays recordings into a plant.

    Args:
        found: What `scan` found in the recordings.
        plant: Where the messages go; made from the instruments that were found.
        speed: Recorded seconds per second; 0 is as fast as the machine and the subscribers go.
        wait_for: Connections that must have subscribed before the clock starts.
    """

    def __init__(self, found: Scan, plant: Plant, *, speed: float = 1.0, wait_for: int = 1) -> None:
        self.messages = 0
        """Lines played so far."""
        self._plant = plant
        self._speed = speed
        self._wait_for = wait_for
        self._status: Status
        self._log = logger()
        self._recordings = recorded_files([file.path for file in found.files], self._warn_of_flaw)
        self._depth = FastestDepth(stream for file in found.files for stream in file.streams)
        self._players = [
            Player(plant, found, file, applied=self._depth, report=self._warn)
            for file in found.files
        ]
        for venue_name in plant.venues:
            plant.deliver_verbatim(venue_name, found.streams(venue_name))

    async def run(self, readers: Readers, status: Status) -> None:
        """Play the recordings to their end, or until cancelled.

        Raises:
            RecordingError: a file cannot be opened, or is no recording.
        """
        self._status = status
        status.left_out = self.left_out
        self._look_for_depth()
        for player in self._players:
            player.open_books()
        await wait_for_subscribers(self._wait_for, readers, status)
        runs = _slices(merge(self._recordings))
        with Progress(self._recordings) as progress:
            if self._speed:
                await self._play_in_step(runs, status, progress)
            else:
                await self._play_freely(runs, readers, progress)
        self._plant.advance(self._plant.now_ms)
        self.look_around()
        await readers.wait_clear()
        status.ready(False, "the recording is over")
        self._log.info(
            "= the recording is over",
            messages=self.messages,
            left_out=self.left_out().total(),
        )

    def left_out(self) -> Counter[str]:
        """Count the lines and messages of which no market heard, by what was wrong with them."""
        counts = Counter(
            {
                SKIPPED: sum(recording.skipped for recording in self._recordings),
                UNDECODABLE: sum(player.undecodable for player in self._players),
            }
        )
        for player in self._players:
            counts += player.decoder.unapplied
        return counts

    async def _play_freely(
        self, runs: Iterator[tuple[int, list[Line]]], readers: Readers, progress: Progress
    ) -> None:
        played, turned_bytes = 0, 0
        for index, lines in runs:
            self._play(index, lines)
            played += len(lines)
            text_bytes = sum(recording.text_bytes for recording in self._recordings)
            if played >= SLICE_MESSAGES or text_bytes - turned_bytes >= SLICE_BYTES:
                played, turned_bytes = 0, text_bytes
                await asyncio.sleep(0)  # the server flushes
                if readers.congested:
                    await readers.wait_clear()
                if progress.tell(self.messages):
                    self.look_around()

    async def _play_in_step(
        self, runs: Iterator[tuple[int, list[Line]]], status: Status, progress: Progress
    ) -> None:
        clock = asyncio.get_running_loop().time
        began_s, began_ns = clock(), -1
        for index, lines in runs:
            start = 0
            while start < len(lines):
                if began_ns < 0:
                    began_ns = lines[0][0]
                due_s = (lines[start][0] - began_ns) / _NS_PER_S / self._speed
                wait_s = began_s + due_s - clock()
                status.lag_ms = max(0, int(-wait_s * 1_000))
                if wait_s > 0:
                    await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
                    if wait_s > LONGEST_WAIT_S:
                        continue
                elapsed_ns = int((clock() - began_s) * self._speed * _NS_PER_S)
                end = bisect_right(lines, began_ns + elapsed_ns, lo=start + 1, key=_received)
                self._play(index, lines[start:end])
                start = end
                if wait_s <= 0:
                    await asyncio.sleep(0)
                if progress.tell(self.messages):
                    self.look_around()

    def _play(self, index: int, lines: Sequence[Line]) -> None:
        self._players[index].play(lines)
        self.messages += len(lines)

    def _look_for_depth(self) -> None:
        """Say which symbols have no book because none was recorded."""
        without = [symbol for symbol in self._plant.markets if symbol not in self._depth]
        if without:
            more = f" and {len(without) - SHOWN_SYMBOLS} more" * (len(without) > SHOWN_SYMBOLS)
            shown = ", ".join(without[:SHOWN_SYMBOLS]) + more
            self._warn(f"{shown}: book-derived streams are silent: no depth was recorded")

    def look_around(self) -> None:
        """Say what was not applied, and which books are not whole, and why, or are again."""
        for player in self._players:
            player.report_unapplied()
        for symbol, market in self._plant.markets.items():
            if market.unreadable or market.book.unreadable:
                self._warn(f"{symbol}: some numbers are not in the units of its first messages")
            if symbol not in self._depth:
                continue
            if not market.book_live:
                reason = market.book_sync.reason
                self._warn(f"{symbol}: book-derived streams are silent: {reason}", symbol)
            elif self._status.clear(symbol):
                self._log.info(f"= {symbol}: the book is whole again")

    def _warn_of_flaw(self, flaw: Flaw) -> None:
        self._warn(str(flaw))

    def _warn(self, text: str, subject: str = "") -> None:
        """Show a warning on `/readyz` and log it; without a subject it stands to the end."""
        if self._status.warn(subject or text, text):
            self._log.warning(f"! {text}")


def _slices(
    runs: Iterator[tuple[int, list[Line]]],
) -> Iterator[tuple[int, list[Line]]]:
    """Cut long runs, so that a turn of the event loop comes after each slice."""
    for index, lines in runs:
        if len(lines) <= SLICE_MESSAGES:
            yield index, lines
        else:
            for start in range(0, len(lines), SLICE_MESSAGES):
                yield index, lines[start : start + SLICE_MESSAGES]
