"""The log of streams of which nothing will come: one warning a name, whoever wants notices."""

from __future__ import annotations

import logging

from tickerplant.feed.observer import Observer
from tickerplant.formatting import printable

_log = logging.getLogger(__name__)

MOST_NAMES = 1_000
"""Names that are warned of one by one; of more it is only said that there are."""


class DoubtLog(Observer):
    """Warns once of each name."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def doubted(self, stream: str, reason: str) -> None:
        """Warn that nothing is expected of a stream, unless that was said of this name."""
        if stream in self._names or len(self._names) > MOST_NAMES:
            return
        self._names.add(stream)
        if len(self._names) > MOST_NAMES:
            _log.warning("More than %d streams are doubtful; no more are named here", MOST_NAMES)
        else:
            _log.warning(
                "Nothing is expected of the stream %s: %s", printable(stream), printable(reason)
            )
