"""What recordings do to a plant, line by line, and what there is to say about it.

It can begin anew, at any time of the market, with markets that know of nothing before.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import structs

from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.recording.event_clock import MISTIMED, EventClock
from tickerplant.recording.line import Line, RecordedFile
from tickerplant.replaying.player import UNDECODABLE, FastestDepth, Player
from tickerplant.replaying.rebase import rebased
from tickerplant.replaying.scan import SCANNED_LINES, FileScan, Scan
from tickerplant.replaying.verbatim import VerbatimPlayer
from tickerplant.sources.source import Status

SHOWN_SYMBOLS = 5
"""Symbols that a warning about many names."""


class Performance:
    """Plays the lines of recordings into a plant.

    Args:
        found: What `scan` found in the recordings.
        plant: Where the messages go; made from the instruments that were found.
        warn: Takes what is incomplete, and of what subject, empty for itself.
        recordings: What is played, in the order in which it was scanned.
        by_event: Whether lines have event times for receive times.
        verbatim: Send the lines and do nothing else with them.
    """

    def __init__(
        self,
        found: Scan,
        plant: Plant,
        warn: Callable[[str, str], None],
        recordings: Sequence[RecordedFile],
        *,
        by_event: bool = False,
        verbatim: bool = False,
    ) -> None:
        self.shift_ms = 0
        """How much later all times are than they were recorded."""
        self._found = found
        self._plant = plant
        self._warn = warn
        self._recordings = recordings
        self._by_event = by_event
        self._verbatim = verbatim
        self._reported: set[tuple[str, str]] = set()
        """The files of which a kind of damage was reported."""
        self._lines: Sequence[Line] = ()
        """What is being played, as it was recorded."""
        self._left_out: Counter[str] = Counter()
        """What was left out before the plant began anew."""
        self._players: list[Player | VerbatimPlayer] = []
        self._load()

    def begin(self, start_ms: int) -> None:
        """Begin anew: afterwards the plant knows of nothing, and market time is `start_ms`."""
        self._left_out = self.left_out()
        self._plant.restart(self._found.instruments, start_ms=start_ms)
        self._load()
        # Markets refer to themselves, and next to nothing else that is made here can: left alone,
        # the collector would not look for the old ones for hundreds of rounds of a loop.
        gc.collect()

    def open_books(self) -> None:
        """Load the snapshots that were recorded soon after the beginning, before it is played."""
        for player in self._players:
            player.open_books()

    def play(self, index: int, lines: Sequence[Line], *, prompt: bool = False) -> None:
        """Play `lines` of one recording, see `Player.play`."""
        self._lines = lines
        if self.shift_ms:
            lines = [(at_ns, rebased(raw, self.shift_ms)) for at_ns, raw in lines]
        self._players[index].play(lines, prompt=prompt)

    def left_out(self) -> Counter[str]:
        """Count the messages of which no market heard, by what was wrong with them."""
        counts = self._left_out + Counter(
            {
                UNDECODABLE: sum(player.undecodable for player in self._players),
                MISTIMED: sum(player.mistimed for player in self._players),
            }
        )
        for player in self._players:
            counts += player.decoder.unapplied
        return counts

    def look_for_silence(self) -> None:
        """Warn of symbols of which nothing was recorded, and of those without a book."""
        found = self._found
        unrecorded = found.unrecorded
        if unrecorded:
            partial = any(file.asked and not file.is_whole for file in found.files)
            among = f" among the first {SCANNED_LINES:,} of a file" * partial
            self._warn(
                f"{_shown(unrecorded)}: asked for by the collector, and no message was recorded"
                f"{among}: their streams are silent",
                "",
            )
        without = [
            symbol
            for symbol in self._plant.markets
            if symbol not in self._depth and symbol not in unrecorded
        ]
        if without and not self._verbatim:
            text = "book-derived streams are silent: no depth was recorded"
            self._warn(f"{_shown(without)}: {text}", "")

    def look_around(self, status: Status) -> None:
        """Say what was not applied, and which books are not whole, and why, or are again."""
        if self._verbatim:
            return
        for player in self._players:
            player.report_unapplied()
        for symbol, market in self._plant.markets.items():
            if market.unreadable or market.book.unreadable:
                self._warn(f"{symbol}: some numbers are not in the units of its first messages", "")
            if symbol not in self._depth:
                continue
            if not market.book_live:
                reason = market.book_sync.reason
                self._warn(f"{symbol}: book-derived streams are silent: {reason}", symbol)
            elif status.clear(symbol):
                logger().info(f"= {symbol}: the book is whole again")

    def _load(self) -> None:
        """Make players that remember nothing, and tell the plant what they will deliver."""
        found = self._found
        self._depth = FastestDepth(stream for file in found.files for stream in file.streams)
        self._players = [
            self._player(self._shifted(file), recording)
            for file, recording in zip(found.files, self._recordings, strict=True)
        ]
        for venue_name in self._plant.venues:
            self._plant.start_passthrough(venue_name, found.streams(venue_name))

    def _player(self, file: FileScan, recording: RecordedFile) -> Player | VerbatimPlayer:
        plant, found, report = self._plant, self._found, self._tell
        clock = EventClock((0 if self._by_event else file.ahead_ms) + self.shift_ms)
        if self._verbatim:
            return VerbatimPlayer(plant, found, file, report=report, clock=clock)

        def report_line(number: int, kind: str, text: str) -> None:
            if (file.path, kind) not in self._reported:
                self._reported.add((file.path, kind))
                place = recording.place_of_message(self._lines[number][1])
                report(f"{place}: left out {text}")

        return Player(
            plant,
            found,
            file,
            applied=self._depth,
            report=report,
            clock=clock,
            report_line=report_line,
        )

    def _shifted(self, file: FileScan) -> FileScan:
        if not self.shift_ms:
            return file
        answers = tuple(rebased(raw, self.shift_ms) for raw in file.answers)
        return structs.replace(file, answers=answers)

    def _tell(self, text: str) -> None:
        self._warn(text, "")


def _shown(symbols: Sequence[str]) -> str:
    """Return the first of some symbols, and how many more there are."""
    more = f" and {len(symbols) - SHOWN_SYMBOLS} more" * (len(symbols) > SHOWN_SYMBOLS)
    return ", ".join(symbols[:SHOWN_SYMBOLS]) + more
