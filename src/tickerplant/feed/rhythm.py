"""How long a stream may be silent before something is wrong.

A stream that tells every period is late after three of them.  One that tells changes has a rhythm
of its own, which is learned; before anything was heard of it, a minute is allowed.  One that tells
what seldom happens is never late.
"""

from __future__ import annotations

from tickerplant.feed.settings import FeedSettings
from tickerplant.streams import resolve
from tickerplant.venue import Venue

PERIODS = 3
"""Messages in a row that must be missing from a steady stream."""
INTERVALS = 20
"""Usual pauses that the silence of a busy stream must last."""
MEMORY = 0.8
"""Weight of the rhythm that was known, against what was heard since."""


class Rhythm:
    """The expectation of one stream."""

    def __init__(self, venue: Venue, name: str, settings: FeedSettings) -> None:
        found = resolve(venue, name)
        self._settings = settings
        self._rhythm = "busy" if found is None else found[0].rhythm
        self._period_ms = 0 if found is None else found[0].period(venue, found[1])
        self._interval_ms = 0.0
        self._heard_ms = -1
        self._messages = 0

    @property
    def steady(self) -> bool:
        """Whether silence is never right."""
        return self._rhythm == "steady"

    @property
    def expected_ms(self) -> int:
        """How often a message is expected; 0 if that is not known."""
        return self._period_ms if self.steady else round(self._interval_ms)

    @property
    def patience_ms(self) -> int | None:
        """How long the stream may be silent; None for ever."""
        settings = self._settings
        if self._rhythm == "rare":
            return None
        if self.steady:
            return max(PERIODS * self._period_ms, settings.stale_ms)
        if not self._messages:
            return settings.unheard_ms
        return max(round(INTERVALS * self._interval_ms), settings.busy_stale_ms)

    def hear(self, messages: int, heard_ms: int) -> None:
        """Learn from the count of all messages so far and the time of the last."""
        new = messages - self._messages
        if new <= 0:
            return
        if self._heard_ms >= 0:
            interval_ms = (heard_ms - self._heard_ms) / new
            known = self._interval_ms or interval_ms
            self._interval_ms = MEMORY * known + (1 - MEMORY) * interval_ms
        self._heard_ms = heard_ms
        self._messages = messages

    def rest(self) -> None:
        """Forget when the last message was: what comes next ends a silence that was not its own."""
        self._heard_ms = -1
