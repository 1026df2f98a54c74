"""The entry point for events and time, which pass through the markets to the hubs.

Read this first.  A source calls `advance_before` and `publish` for each event, `Hub.broadcast` for
messages that it sends as they are, and `advance` when time passes without events.  All of these are
plain function calls: nothing between here and a subscriber's frame waits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from tickerplant.events import (
    AggregateTrade,
    AssetIndex,
    BookTicker,
    ContractChanged,
    Delivered,
    DepthUpdate,
    Event,
    InsuranceFund,
    Trade,
)
from tickerplant.hub.hub import Hub
from tickerplant.hub.publishers import Publishers
from tickerplant.instrument import Instrument
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import MINUTE_RANK, Timers, next_on_grid
from tickerplant.profile import P2026Q1, Profile
from tickerplant.raw_events import RawEvent
from tickerplant.streams import LOOKUPS, resolve
from tickerplant.streams.lookup import Lookup
from tickerplant.streams.publisher import ALL
from tickerplant.units import MINUTE_MS
from tickerplant.venue import USDM, VENUES

GONE = frozenset({"DELIVERED", "CLOSE"})
"""The status of contracts that are not listed any more."""
_DERIVABLE = {
    "trade": Trade,
    "aggTrade": AggregateTrade,
    "bookTicker": BookTicker,
    "depthUpdate": DepthUpdate,
}
"""The kinds of events that are derived unless the source delivers them, by the `e` of messages."""


OnEvent: TypeAlias = Callable[[Market, Event], None]
_HasSubscribers: TypeAlias = Callable[[type, str], bool]


class _DerivedKind(NamedTuple):
    """A derivable kind of events of one symbol, or of all symbols (`ALL`)."""

    venue_name: str
    symbol: str
    kind: type


class Plant:
    """Markets of both venues, their clock and their subscribers.

    Args:
        instruments: The listed contracts; if two have the same symbol, the first one counts.
        start_ms: Market time at the start, milliseconds since the epoch.
        profile: The protocol version of the messages.
        strict_routing: Deliver a stream only on the path that the profile gives it.
        reserved_snapshot_ids: See `Market`.
        lookups: Finds the streams of each venue, by its name.
        witness: Called with each event that a market has applied, before it is sent.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        start_ms: int,
        profile: Profile = P2026Q1,
        strict_routing: bool = False,
        reserved_snapshot_ids: bool = False,
        lookups: Mapping[str, Lookup] = LOOKUPS,
        witness: OnEvent | None = None,
    ) -> None:
        self.profile = profile
        self.timers = Timers(start_ms)
        self.venues: dict[str, Markets] = {}
        self.hubs: dict[str, Hub] = {}
        self.markets: dict[str, Market] = {}
        self.published: Counter[type] = Counter()
        """Events published so far, by kind."""
        self._delivering: defaultdict[_DerivedKind, set[str]] = defaultdict(set)
        """The passthrough streams that contain a derivable kind of events."""
        self._partial_venues: set[str] = set()
        """The venues whose source has named the streams that it delivers."""
        self._reserved_snapshot_ids = reserved_snapshot_ids
        self._witness = witness
        for venue in VENUES:
            markets = Markets(venue, profile, self.timers)
            self.venues[venue.name] = markets
            self.hubs[venue.name] = Hub(
                markets, self.timers, lookups[venue.name], strict_routing=strict_routing
            )
        if profile.merged_universe:
            for markets in self.venues.values():
                others = (each for each in self.venues.values() if each is not markets)
                markets.others = tuple(others)
        self._of_venue: dict[type, Callable[[Any], None]] = {
            ContractChanged: self._change_contract,
            Delivered: self._add_delivery,
            AssetIndex: self._set_asset_index,
            InsuranceFund: self._set_insurance_fund,
        }
        """Handlers of the events that concern more than one listed contract."""
        self._open(instruments)

    @property
    def now_ms(self) -> int:
        """Market time, milliseconds since the epoch."""
        return self.timers.now_ms

    def restart(self, instruments: Iterable[Instrument], *, start_ms: int) -> None:
        """Reset the plant to `instruments` at `start_ms`, even if that is earlier.

        Subscribers stay subscribed.  The source has to start its passthroughs again.
        """
        for hub in self.hubs.values():
            hub.reset()
        self._delivering.clear()
        self._partial_venues.clear()
        self.markets.clear()
        for markets in self.venues.values():
            markets.clear()
        self.timers.restart(start_ms)
        self._open(instruments)
        self._relist()

    def mute(self) -> None:
        """Send nothing until `unmute`."""
        for hub in self.hubs.values():
            hub.mute()

    def unmute(self) -> None:
        """Send again, beginning with the next event."""
        for hub in self.hubs.values():
            hub.unmute()

    def has_elsewhere(self, instrument: Instrument) -> bool:
        """Return whether a contract of another venue already has the symbol."""
        market = self.markets.get(instrument.symbol)
        return market is not None and market.instrument.venue is not instrument.venue

    def publish(self, event: Event | RawEvent) -> None:
        """Apply one event to its market, and send it and the events that it causes."""
        kind = type(event)
        self.published[kind] += 1
        if kind in self._of_venue:
            self._of_venue[kind](event)
        else:
            self.markets[event.symbol].apply(event)

    def advance(self, now_ms: int) -> None:
        """Advance market time to `now_ms`; everything due by then happens, in order."""
        self.timers.advance(now_ms)

    def advance_before(self, now_ms: int) -> None:
        """Advance market time to `now_ms`, whose events are about to be published.

        Everything due before then happens.  Messages due at `now_ms` itself wait until time
        advances further, so that they contain the events of `now_ms`.
        """
        self.timers.advance_before(now_ms)

    def start_passthrough(self, venue_name: str, names: Iterable[str]) -> None:
        """Expect the messages of `names`, in addition to those named before, from the source.

        From now on only the other streams are derived.
        """
        publishers, changed = self.hubs[venue_name].publishers, set()
        if venue_name not in self._partial_venues:
            self._partial_venues.add(venue_name)
            changed.add(ALL)
        for name in set(names) - publishers.passthrough:
            publishers.start_passthrough(name)
            if kind := self._derived_kind(venue_name, name):
                self._delivering[kind].add(name)
                changed.add(kind.symbol)
        self._set_delivered(venue_name, changed)

    def stop_passthrough(self, venue_name: str, names: Iterable[str]) -> None:
        """Expect no messages of `names` any more; derive them again if possible."""
        publishers, changed = self.hubs[venue_name].publishers, set()
        for name in set(names) & publishers.passthrough:
            publishers.stop_passthrough(name)
            if kind := self._derived_kind(venue_name, name):
                self._delivering[kind].discard(name)
                changed.add(kind.symbol)
        self._set_delivered(venue_name, changed)

    def _derived_kind(self, venue_name: str, name: str) -> _DerivedKind | None:
        """Return the derivable kind of events in the stream `name`; None if there is none."""
        resolved = resolve(self.venues[venue_name].venue, name)
        if resolved is None:
            return None
        stream, args = resolved
        kind = _DERIVABLE.get(stream.events[0])
        symbol = args["symbol"].upper() if "symbol" in args else ALL
        return None if kind is None else _DerivedKind(venue_name, symbol, kind)

    def _set_delivered(self, venue_name: str, symbols: set[str]) -> None:
        """Let the markets of `symbols` derive only the events that the source does not deliver."""
        by_symbol = self.venues[venue_name].by_symbol
        for symbol in by_symbol if ALL in symbols else symbols & by_symbol.keys():
            by_symbol[symbol].set_source_events(
                frozenset(
                    kind
                    for kind in _DERIVABLE.values()
                    for topic in (symbol, ALL)
                    if self._delivering.get(_DerivedKind(venue_name, topic, kind))
                )
            )

    def _open(self, instruments: Iterable[Instrument]) -> None:
        """Open the markets of `instruments` and schedule the end of the first minute."""
        for instrument in instruments:
            if not self.has_elsewhere(instrument):
                self._list(instrument)
        due_ms = next_on_grid(self.timers.now_ms, MINUTE_MS)
        self.timers.at(due_ms, MINUTE_RANK, self._end_minute)

    def _list(self, instrument: Instrument) -> Market:
        """Open the market of a contract."""
        markets = self.venues[instrument.venue.name]
        publishers = [self.hubs[each.venue.name].publishers for each in (markets, *markets.others)]
        market = Market(
            instrument,
            self.profile,
            self.timers,
            *_combine(publishers, self._witness),
            reserved_snapshot_ids=self._reserved_snapshot_ids,
        )
        self.markets[instrument.symbol] = market
        markets.add(market)
        if instrument.venue.name in self._partial_venues:
            self._set_delivered(instrument.venue.name, {instrument.symbol})
        return market

    def _change_contract(self, change: ContractChanged) -> None:
        """Apply the change; open the market of a new contract, close that of one that is gone.

        Raises:
            ValueError: the symbol is that of another venue's contract.
        """
        symbol, instrument = change.symbol, change.instrument
        if self.has_elsewhere(instrument):
            raise ValueError(
                f"{symbol} is a contract of another venue, not of {instrument.venue.title}"
            )
        market = self.markets.get(symbol)
        same = market is not None and market.instrument == instrument  # its brackets changed
        (market or self._list(instrument)).apply(change)
        if instrument.status in GONE:
            del self.markets[symbol]
            self.venues[instrument.venue.name].remove(symbol)
        elif not same:
            self.venues[instrument.venue.name].contract_changed(self.markets[symbol])
        if not same:
            self._relist()

    def _set_asset_index(self, index: AssetIndex) -> None:
        markets = self.venues[USDM.name]
        known = index.symbol in markets.asset_indices
        markets.asset_indices[index.symbol] = index
        if not known:
            self._relist()

    def _set_insurance_fund(self, fund: InsuranceFund) -> None:
        self.venues[USDM.name].insurance_funds[fund.symbol] = fund

    def _relist(self) -> None:
        for hub in self.hubs.values():
            hub.publishers.relist()

    def _add_delivery(self, delivered: Delivered) -> None:
        self.venues[delivered.venue.name].add_delivery(delivered)

    def _end_minute(self, minute_ms: int) -> None:
        self.timers.at(minute_ms + MINUTE_MS, MINUTE_RANK, self._end_minute)
        for market in self.markets.values():
            market.close_minutes(minute_ms)


def _combine(
    publishers: Sequence[Publishers], witness: OnEvent | None
) -> tuple[OnEvent, _HasSubscribers]:
    """Return `on_event` and `has_subscribers` of all `publishers` together, and of a witness."""
    if len(publishers) == 1 and witness is None:
        return publishers[0].on_event, publishers[0].has_subscribers
    takers = [each.on_event for each in publishers]
    first, others = takers[0], takers[1:]

    def on_event(market: Market, event: Event) -> None:
        if witness is not None:
            witness(market, event)
        first(market, event)
        for take in others:
            take(market, event)

    def has_subscribers(kind: type, symbol: str) -> bool:
        return witness is not None or any(each.has_subscribers(kind, symbol) for each in publishers)

    return on_event, has_subscribers
