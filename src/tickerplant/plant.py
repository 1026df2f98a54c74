"""The spine: events and time come in here, and go to the markets and on to the hubs.

Read this first.  A source calls `advance` and `publish`, and hands messages that were recorded to
`Hub.pass_on`, always by plain function calls; nothing on the way from here to a subscriber's frame
waits for anything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from tickerplant.events import AggregateTrade, BookTicker, DepthUpdate, Event, MarkPrice, Trade
from tickerplant.hub import Hub
from tickerplant.instrument import Instrument
from tickerplant.market.bars import MINUTE_MS
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import MINUTE_RANK, Timers, next_on_grid
from tickerplant.printed import Printed
from tickerplant.profile import P2026Q1, Profile
from tickerplant.streams import resolve
from tickerplant.venue import VENUES

_KINDS = {
    "trade": Trade,
    "aggTrade": AggregateTrade,
    "bookTicker": BookTicker,
    "depthUpdate": DepthUpdate,
    "markPriceUpdate": MarkPrice,
}
"""The events that messages of a source are decoded to."""


class Plant:
    """Markets of both venues, their clock and their subscribers.

    Args:
        instruments: What is traded.
        start_ms: Market time at the beginning, milliseconds since the epoch.
        profile: The period of the protocol that messages are made for.
        strict_routing: Deliver a stream only on the path that the profile gives it.
        reserved_snapshot_ids: See `Market`.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        start_ms: int,
        profile: Profile = P2026Q1,
        strict_routing: bool = False,
        reserved_snapshot_ids: bool = False,
    ) -> None:
        self.profile = profile
        self.timers = Timers(start_ms)
        self.venues: dict[str, Markets] = {}
        self.hubs: dict[str, Hub] = {}
        self.markets: dict[str, Market] = {}
        self.published: Counter[type] = Counter()
        """Events published so far, by kind."""
        self._delivered: defaultdict[str, set[type]] = defaultdict(set)
        for venue in VENUES:
            markets = Markets(venue, profile, self.timers)
            self.venues[venue.name] = markets
            self.hubs[venue.name] = Hub(markets, self.timers, strict_routing=strict_routing)
        for instrument in instruments:
            venue_name = instrument.venue.name
            market = Market(
                instrument,
                profile,
                self.timers,
                self.hubs[venue_name].feed,
                self.hubs[venue_name].listens,
                reserved_snapshot_ids=reserved_snapshot_ids,
            )
            self.markets[instrument.symbol] = market
            self.venues[venue_name].by_symbol[instrument.symbol] = market
        self.timers.at(next_on_grid(start_ms, MINUTE_MS), MINUTE_RANK, self._end_minute)

    @property
    def now_ms(self) -> int:
        """Market time, milliseconds since the epoch."""
        return self.timers.now_ms

    def publish(self, event: Event | Printed) -> None:
        """Apply one event to its market and tell it, with what it causes, to who listens."""
        self.published[type(event)] += 1
        self.markets[event.symbol].apply(event)

    def advance(self, now_ms: int) -> None:
        """Let market time reach `now_ms`: whatever is due by then happens, in order."""
        self.timers.advance(now_ms)

    def deliver_verbatim(self, venue_name: str, names: Iterable[str]) -> None:
        """Expect the messages of `names`, and of what was named before, from the source.

        Only the other streams are derived from now on.
        """
        markets, hub = self.venues[venue_name], self.hubs[venue_name]
        for name in set(names) - hub.verbatim:
            hub.deliver(name)
            self._expect(markets, name)
        for market in markets:
            market.deliver(frozenset(self._delivered[market.symbol]))

    def _expect(self, markets: Markets, name: str) -> None:
        """Note whose events, and of which kind, come with the stream `name`."""
        resolved = resolve(markets.venue, name)
        if resolved is None:
            return
        stream, args = resolved
        if kind := _KINDS.get(stream.event):
            for symbol in [args["symbol"].upper()] if "symbol" in args else markets.by_symbol:
                self._delivered[symbol].add(kind)

    def _end_minute(self, minute_ms: int) -> None:
        for market in self.markets.values():
            market.roll(minute_ms)
        self.timers.at(minute_ms + MINUTE_MS, MINUTE_RANK, self._end_minute)
