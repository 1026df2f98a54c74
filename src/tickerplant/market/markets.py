"""The markets of one venue, as streams and queries see them."""

from __future__ import annotations

from collections.abc import Iterator

from tickerplant.market.market import Market
from tickerplant.market.timers import Timers
from tickerplant.profile import Profile
from tickerplant.venue import Venue

REQUEST_WEIGHT_PER_MINUTE = 2400
"""The exchange's budget of request weight; the limits table takes its default from here."""


class Markets:
    """Every market of `venue`, by symbol, in the order of their instruments."""

    def __init__(self, venue: Venue, profile: Profile, timers: Timers) -> None:
        self.venue = venue
        self.profile = profile
        self.by_symbol: dict[str, Market] = {}
        self.request_weight_per_minute = REQUEST_WEIGHT_PER_MINUTE
        """What one address may ask for, as clients are told; who serves under other limits says so."""
        self._timers = timers

    @property
    def now_ms(self) -> int:
        """The market clock, milliseconds since the epoch."""
        return self._timers.now_ms

    def __iter__(self) -> Iterator[Market]:
        return iter(self.by_symbol.values())

    def __len__(self) -> int:
        return len(self.by_symbol)
