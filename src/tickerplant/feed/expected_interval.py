"""How long a stream may be silent before something is wrong.

A periodic stream is late after three periods.  For a stream that sends changes, the typical
interval and the longest recent pause are learned; until enough messages came it has a quarter of a
minute, and a minute before the first one.  A stream of rare events is never late.
"""

from __future__ import annotations

from tickerplant.feed.settings import ClientSettings
from tickerplant.streams import resolve
from tickerplant.venue import Venue

PERIODS = 3
"""Consecutive messages of a periodic stream that must be missing."""
INTERVALS = 20
"""Typical intervals that the silence of a stream of changes must last."""
KNOWN_INTERVALS = 10
"""The same, once its longest pauses are known."""
MEMORY = 0.8
"""Weight of the known interval against a newly measured one."""
LOOK_MS = 250
"""How often `observe` is called; shorter pauses are not seen."""
PAUSES = 3
"""How many times the longest recent pause the silence must last."""
FADING = 0.5 ** (LOOK_MS / 300_000)
"""Decay of the longest pause from one look to the next: it halves in five minutes."""
KNOWN_MESSAGES = 50
"""Messages after which the interval of a stream counts as known."""
KNOWN_MS = 20_000
"""Minimum time for that."""


class ExpectedInterval:
    """The expected interval between the messages of one stream."""

    def __init__(self, venue: Venue, name: str, settings: ClientSettings) -> None:
        found = resolve(venue, name)
        self._settings = settings
        self._activity = "event" if found is None else found[0].activity
        self._period_ms = 0 if found is None else found[0].period(venue, found[1])
        self._interval_ms = 0.0
        self._longest_ms = 0.0
        """The longest recent pause."""
        self._silent_ms = 0
        """How long the stream had been silent at the last look."""
        self._received_ms = -1
        """When the last message came; -1: it does not count."""
        self._counted = 0
        """The count of messages at the last look."""
        self._messages = 0
        """Messages from which the interval was learned."""
        self._known_ms = 0
        """For how long it was learned."""

    @property
    def steady(self) -> bool:
        """Whether the stream sends at a fixed period."""
        return self._activity == "periodic"

    @property
    def expected_ms(self) -> int:
        """How often a message is expected; 0 if that is not known."""
        return self._period_ms if self.steady else round(self._interval_ms)

    @property
    def stale_after_ms(self) -> int | None:
        """How long the stream may be silent before consumers are notified; None: indefinitely."""
        repair_ms = self.repair_after_ms
        is_known = self._messages >= KNOWN_MESSAGES and self._known_ms >= KNOWN_MS
        if repair_ms is None or self.steady or not is_known:
            return repair_ms
        pauses_ms = PAUSES * (self._longest_ms + LOOK_MS)
        usual_ms = max(pauses_ms, KNOWN_INTERVALS * self._interval_ms)
        return min(repair_ms, max(round(usual_ms), self._settings.staleness.quick_stale_ms))

    @property
    def repair_after_ms(self) -> int | None:
        """How long it may be silent before it is subscribed to again; None: indefinitely."""
        settings = self._settings
        if self._activity == "rare":
            return None
        if self.steady:
            return max(PERIODS * self._period_ms, settings.staleness.stale_ms)
        if not self._messages:
            return settings.staleness.first_message_timeout_ms
        return max(round(INTERVALS * self._interval_ms), settings.staleness.event_stream_stale_ms)

    def observe(self, messages: int, received_ms: int, silent_ms: int) -> None:
        """Learn from the messages since the last look."""
        new = messages - self._counted
        if new > 0:
            if self._received_ms >= 0:
                span_ms = received_ms - self._received_ms
                self._known_ms += span_ms
                interval_ms = span_ms / new
                known = self._interval_ms or interval_ms
                self._interval_ms = MEMORY * known + (1 - MEMORY) * interval_ms
                self._longest_ms = max(FADING * self._longest_ms, self._silent_ms)
            self._received_ms = received_ms
            self._counted = messages
            self._messages += new
        else:
            self._longest_ms *= FADING
        self._silent_ms = silent_ms

    def tolerate(self) -> None:
        """Wait longer in future: the stream came back by itself after consumers were notified."""
        if self.stale_after_ms is not None:
            self._longest_ms = max(self._longest_ms, self.stale_after_ms)

    def restart(self) -> None:
        """Ignore the current pause: it is not one of the stream itself."""
        self._received_ms = -1
        self._silent_ms = 0
