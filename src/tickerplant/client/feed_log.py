"""Outages, gaps, silence and unknown streams in the log, for programs that read no notices."""

from __future__ import annotations

import logging

from tickerplant.feed.observer import Observer
from tickerplant.formatting import count_text, printable
from tickerplant.notices import (
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)

_log = logging.getLogger(__name__)

MAX_LOGGED_NAMES = 1_000
"""Unknown streams that are logged one by one; of further ones only that there are more."""
MAX_PER_MINUTE = 10
"""Lines about outages, gaps and silence in a minute; further ones are counted."""
MINUTE_MS = 60_000


class FeedLog(Observer):
    """Logs what consumers may miss, once per occurrence, whether or not they receive notices."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._minute_ms = 0
        """When the minute began in which lines are counted."""
        self._logged = 0
        self._left_out = 0

    def unknown(self, stream: str, reason: str) -> None:
        """Log a warning, unless one was logged for this name."""
        if stream in self._names or len(self._names) > MAX_LOGGED_NAMES:
            return
        self._names.add(stream)
        if len(self._names) > MAX_LOGGED_NAMES:
            _log.warning("More than %d streams are unknown; no more are logged", MAX_LOGGED_NAMES)
        else:
            _log.warning("Unknown stream %s: %s", printable(stream), printable(reason))

    def noticed(self, notice: Notice) -> None:
        """Log a notice: a recovery as INFO, anything else as WARNING."""
        if not self._has_room(notice.time_ms):
            self._left_out += 1
            return
        if isinstance(notice, Recovered):
            _log.info("%s", notice.text)
        elif isinstance(notice, Disconnected | Stale | Gap | SubscriptionRejected):
            _log.warning("%s", notice.text)

    def flush(self) -> None:
        """Log how many notices were not logged, if there are any."""
        if self._left_out:
            more = count_text(
                self._left_out,
                "more outage, gap or silence was",
                "more outages, gaps and silences were",
            )
            _log.warning("%s not logged: at most %d are in a minute", more, MAX_PER_MINUTE)
            self._left_out = 0

    def _has_room(self, time_ms: int) -> bool:
        """Count a line; return whether it may be logged in this minute."""
        if not 0 <= time_ms - self._minute_ms < MINUTE_MS:
            self.flush()
            self._minute_ms, self._logged = time_ms, 0
        self._logged += 1
        return self._logged <= MAX_PER_MINUTE
