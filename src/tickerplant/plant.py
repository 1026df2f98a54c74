"""The spine: events and time come in here, and go to the markets and on to the hubs.

Read this first.  A source calls `advance_before` and `publish`, hands messages that were recorded to
`Hub.pass_on`, and calls `advance` when nothing more happens for a while, always by plain function
calls; nothing on the way from here to a subscriber's frame waits for anything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

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
from tickerplant.hub import Hub
from tickerplant.instrument import Instrument
from tickerplant.market.market import Market
from tickerplant.market.markets import Markets
from tickerplant.market.timers import MINUTE_RANK, Timers, next_on_grid
from tickerplant.profile import P2026Q1, Profile
from tickerplant.raw_events import RawEvent
from tickerplant.streams import resolve
from tickerplant.streams.publisher import ALL
from tickerplant.units import MINUTE_MS
from tickerplant.venue import USDM, VENUES

GONE = frozenset({"DELIVERED", "CLOSE"})
"""The status of contracts that are listed no longer."""
_KINDS = {
    "trade": Trade,
    "aggTrade": AggregateTrade,
    "bookTicker": BookTicker,
    "depthUpdate": DepthUpdate,
}
"""The events that messages of a source are decoded to, of those that could else be derived."""


class _Told(NamedTuple):
    """What a stream tells: a kind of events of one symbol, or of every one (`ALL`)."""

    venue_name: str
    symbol: str
    kind: type


class Plant:
    """Markets of both venues, their clock and their subscribers.

    Args:
        instruments: What is traded; of a symbol that two venues have, the first contract counts.
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
        self._delivered: defaultdict[_Told, set[str]] = defaultdict(set)
        """The streams that come from the source, by what they tell."""
        self._partly: set[str] = set()
        """The venues of which the source has said what it delivers."""
        self._reserved_snapshot_ids = reserved_snapshot_ids
        for venue in VENUES:
            markets = Markets(venue, profile, self.timers)
            self.venues[venue.name] = markets
            self.hubs[venue.name] = Hub(markets, self.timers, strict_routing=strict_routing)
        if profile.merged_universe:
            for markets in self.venues.values():
                others = (each for each in self.venues.values() if each is not markets)
                markets.others = tuple(others)
        self._of_venue: dict[type, Callable[[Any], None]] = {
            ContractChanged: self._change_contract,
            Delivered: self._add_delivery,
            AssetIndex: self._set_asset_index,
            InsuranceFund: self.venues[USDM.name].set_insurance_fund,
        }
        """Who takes the events that are not about one listed contract alone."""
        self._open(instruments)

    @property
    def now_ms(self) -> int:
        """Market time, milliseconds since the epoch."""
        return self.timers.now_ms

    def restart(self, instruments: Iterable[Instrument], *, start_ms: int) -> None:
        """Begin anew with `instruments` at `start_ms`, even if that is earlier.

        Afterwards the plant is as one that was just made, but for its subscribers: they stay, and
        hear what follows.  What the source delivers it has to say again.
        """
        for hub in self.hubs.values():
            hub.forget()
        self._delivered.clear()
        self._partly.clear()
        self.markets.clear()
        for markets in self.venues.values():
            markets.clear()
        self.timers.restart(start_ms)
        self._open(instruments)
        self._relist()

    def mute(self) -> None:
        """Send nothing until `unmute`, whatever happens."""
        for hub in self.hubs.values():
            hub.mute()

    def unmute(self) -> None:
        """Send again, beginning with what happens next."""
        for hub in self.hubs.values():
            hub.unmute()

    def has_elsewhere(self, instrument: Instrument) -> bool:
        """Whether the symbol is that of another venue's contract: it stands for one alone."""
        market = self.markets.get(instrument.symbol)
        return market is not None and market.instrument.venue is not instrument.venue

    def publish(self, event: Event | RawEvent) -> None:
        """Apply one event to its market and tell it, with what it causes, to who listens."""
        kind = type(event)
        self.published[kind] += 1
        if kind in self._of_venue:
            self._of_venue[kind](event)
        else:
            self.markets[event.symbol].apply(event)

    def advance(self, now_ms: int) -> None:
        """Let market time reach `now_ms`: whatever is due by then happens, in order."""
        self.timers.advance(now_ms)

    def advance_before(self, now_ms: int) -> None:
        """Let market time reach `now_ms`, whose events are about to be published.

        What is due before then happens; messages that are due at `now_ms` itself wait until time
        goes on, so that they contain its events.
        """
        self.timers.advance_before(now_ms)

    def start_passthrough(self, venue_name: str, names: Iterable[str]) -> None:
        """Expect the messages of `names`, and of what was named before, from the source.

        Only the other streams are derived from now on.
        """
        hub, changed = self.hubs[venue_name], set()
        if venue_name not in self._partly:
            self._partly.add(venue_name)
            changed.add(ALL)
        for name in set(names) - hub.passthrough:
            hub.start_passthrough(name)
            if told := self._told_by(venue_name, name):
                self._delivered[told].add(name)
                changed.add(told.symbol)
        self._expect(venue_name, changed)

    def stop_passthrough(self, venue_name: str, names: Iterable[str]) -> None:
        """Expect the messages of `names` no longer; derive them again, as far as they can be."""
        hub, changed = self.hubs[venue_name], set()
        for name in set(names) & hub.passthrough:
            hub.stop_passthrough(name)
            if told := self._told_by(venue_name, name):
                self._delivered[told].discard(name)
                changed.add(told.symbol)
        self._expect(venue_name, changed)

    def _told_by(self, venue_name: str, name: str) -> _Told | None:
        """Return what the stream `name` tells, None if it is nothing that could be derived."""
        resolved = resolve(self.venues[venue_name].venue, name)
        if resolved is None:
            return None
        stream, args = resolved
        kind = _KINDS.get(stream.events[0])
        symbol = args["symbol"].upper() if "symbol" in args else ALL
        return None if kind is None else _Told(venue_name, symbol, kind)

    def _expect(self, venue_name: str, symbols: set[str]) -> None:
        """Tell the markets of `symbols` which of their events come from the source."""
        by_symbol = self.venues[venue_name].by_symbol
        for symbol in by_symbol if ALL in symbols else symbols & by_symbol.keys():
            by_symbol[symbol].deliver(
                frozenset(
                    kind
                    for kind in _KINDS.values()
                    for whose in (symbol, ALL)
                    if self._delivered.get(_Told(venue_name, whose, kind))
                )
            )

    def _open(self, instruments: Iterable[Instrument]) -> None:
        """Open the markets of `instruments` and wait for the end of the first minute."""
        for instrument in instruments:
            if not self.has_elsewhere(instrument):
                self._list(instrument)
        due_ms = next_on_grid(self.timers.now_ms, MINUTE_MS)
        self.timers.at(due_ms, MINUTE_RANK, self._end_minute)

    def _list(self, instrument: Instrument) -> Market:
        """Open the market of a contract."""
        markets = self.venues[instrument.venue.name]
        hubs = [self.hubs[instrument.venue.name]]
        hubs += [self.hubs[each.venue.name] for each in markets.others]
        market = Market(
            instrument,
            self.profile,
            self.timers,
            hubs[0].feed if len(hubs) == 1 else _feed_all(hubs),
            hubs[0].listens if len(hubs) == 1 else _any_listens(hubs),
            reserved_snapshot_ids=self._reserved_snapshot_ids,
        )
        self.markets[instrument.symbol] = market
        markets.add(market)
        if instrument.venue.name in self._partly:
            self._expect(instrument.venue.name, {instrument.symbol})
        return market

    def _change_contract(self, change: ContractChanged) -> None:
        """Tell the change; open the market of a new contract, close that of one that is gone.

        Raises:
            ValueError: the symbol is that of another venue's contract.
        """
        symbol, instrument = change.symbol, change.instrument
        if self.has_elsewhere(instrument):
            raise ValueError(f"{symbol} is no contract of {instrument.venue.title}, but of another")
        market = self.markets.get(symbol)
        same = market is not None and market.instrument == instrument  # its brackets changed
        (market or self._list(instrument)).apply(change)
        self.venues[instrument.venue.name].contracts_changed()
        if instrument.status in GONE:
            del self.markets[symbol]
            self.venues[instrument.venue.name].remove(symbol)
        if not same:
            self._relist()

    def _set_asset_index(self, index: AssetIndex) -> None:
        markets = self.venues[USDM.name]
        known = index.symbol in markets.asset_indices
        markets.set_asset_index(index)
        if not known:
            self._relist()

    def _relist(self) -> None:
        for hub in self.hubs.values():
            hub.relist()

    def _add_delivery(self, delivered: Delivered) -> None:
        self.venues[delivered.venue.name].add_delivery(delivered)

    def _end_minute(self, minute_ms: int) -> None:
        self.timers.at(minute_ms + MINUTE_MS, MINUTE_RANK, self._end_minute)
        for market in self.markets.values():
            market.roll(minute_ms)


def _feed_all(hubs: Sequence[Hub]) -> Callable[[Market, Event], None]:
    """Return what tells an event to every one of `hubs`."""

    def tell(market: Market, event: Event) -> None:
        for hub in hubs:
            hub.feed(market, event)

    return tell


def _any_listens(hubs: Sequence[Hub]) -> Callable[[type, str], bool]:
    """Return what tells whether any of `hubs` follows a kind of events of a symbol."""

    def listens(kind: type, symbol: str) -> bool:
        return any(hub.listens(kind, symbol) for hub in hubs)

    return listens
