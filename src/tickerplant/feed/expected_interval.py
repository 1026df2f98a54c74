"""How long a stream may be silent before something is wrong.

A stream that tells every period is late after three of them.  One that tells changes has a rhythm
of its own, which is learned: how often it tells, and the longest pause that it made of late.  Until
enough of it was heard it has a quarter of a minute, and before anything was, a whole one.  One that
tells what seldom happens is never late.
"""

from __future__ import annotations

from copy import copy

from tickerplant.feed.settings import FeedSettings
from tickerplant.streams import resolve
from tickerplant.venue import Venue

PERIODS = 3
"""Messages in a row that must be missing from a steady stream."""
INTERVALS = 20
"""Usual pauses that the silence of a busy stream must last."""
KNOWN_INTERVALS = 10
"""And of one whose longest pauses are known."""
MEMORY = 0.8
"""Weight of the rhythm that was known, against what was heard since."""
LOOK_MS = 250
"""How often `hear` is called: pauses that are shorter are not seen."""
PAUSES = 3
"""The longest pause of late must be exceeded so many times."""
FADING = 0.5 ** (LOOK_MS / 300_000)
"""What is left of the longest pause from one look to the next: half of it after five minutes."""
KNOWN_MESSAGES = 50
"""After so many messages a stream is known well enough."""
KNOWN_MS = 20_000
"""And not sooner than after so long."""


class ExpectedInterval:
    """The expectation of one stream."""

    def __init__(self, venue: Venue, name: str, settings: FeedSettings) -> None:
        found = resolve(venue, name)
        self._settings = settings
        self._activity = "event" if found is None else found[0].activity
        self._period_ms = 0 if found is None else found[0].period(venue, found[1])
        self._interval_ms = 0.0
        self._longest_ms = 0.0
        """The longest pause of late."""
        self._silent_ms = 0
        """How long the stream was silent at the last look."""
        self._heard_ms = -1
        self._counted = 0
        """The count of messages at the last look."""
        self._messages = 0
        """Messages that came while the stream was followed."""
        self._known_ms = 0
        """For how long it was followed."""

    @property
    def steady(self) -> bool:
        """Whether silence is never right."""
        return self._activity == "periodic"

    @property
    def expected_ms(self) -> int:
        """How often a message is expected; 0 if that is not known."""
        return self._period_ms if self.steady else round(self._interval_ms)

    @property
    def patience_ms(self) -> int | None:
        """How long the stream may be silent before consumers get a notice; None for ever."""
        repair_ms = self.repair_ms
        is_known = self._messages >= KNOWN_MESSAGES and self._known_ms >= KNOWN_MS
        if repair_ms is None or self.steady or not is_known:
            return repair_ms
        pauses_ms = PAUSES * (self._longest_ms + LOOK_MS)
        usual_ms = max(pauses_ms, KNOWN_INTERVALS * self._interval_ms)
        return min(repair_ms, max(round(usual_ms), self._settings.quick_stale_ms))

    @property
    def repair_ms(self) -> int | None:
        """How long it may be silent before it is asked for again; None for ever."""
        settings = self._settings
        if self._activity == "rare":
            return None
        if self.steady:
            return max(PERIODS * self._period_ms, settings.stale_ms)
        if not self._messages:
            return settings.first_message_timeout_ms
        return max(round(INTERVALS * self._interval_ms), settings.event_stream_stale_ms)

    def hear(self, messages: int, heard_ms: int, silent_ms: int) -> None:
        """Learn from what is known at a look.

        Args:
            messages: How many came so far.
            heard_ms: When the last came.
            silent_ms: How long ago that was.
        """
        new = messages - self._counted
        if new > 0:
            if self._heard_ms >= 0:
                span_ms = heard_ms - self._heard_ms
                self._known_ms += span_ms
                interval_ms = span_ms / new
                known = self._interval_ms or interval_ms
                self._interval_ms = MEMORY * known + (1 - MEMORY) * interval_ms
                self._longest_ms = max(FADING * self._longest_ms, self._silent_ms)
            self._heard_ms = heard_ms
            self._counted = messages
            self._messages += new
        else:
            self._longest_ms *= FADING
        self._silent_ms = silent_ms

    def endure(self) -> None:
        """Take note that the stream came back by itself, after consumers got a notice of its silence."""
        if self.patience_ms is not None:
            self._longest_ms = max(self._longest_ms, self.patience_ms)

    def rest(self) -> None:
        """Forget when the last message was: what comes next ends a silence that was not its own."""
        self._heard_ms = -1
        self._silent_ms = 0

    def apart(self) -> ExpectedInterval:
        """Return one that knows as much, of a stream whose messages are counted from 0."""
        other = copy(self)
        other.rest()
        other._counted = 0  # noqa: SLF001  # it is of this class
        return other
