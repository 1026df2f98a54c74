"""The trading floor: the contracts that are traded now, and all that is told about them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from random import Random
from typing import TypeAlias

from tickerplant.events import (
    BookSnapshot,
    Bracket,
    ContractChanged,
    Delivered,
    Event,
    Level,
    MarkPrice,
)
from tickerplant.instrument import Instrument
from tickerplant.market.positions import GRID_MS
from tickerplant.simulation.agenda import Agenda
from tickerplant.simulation.baskets import INTERVAL_S as BASKET_S
from tickerplant.simulation.baskets import Basket
from tickerplant.simulation.brackets import brackets
from tickerplant.simulation.crowd import Crowd
from tickerplant.simulation.desk import CoinDesk, Listing
from tickerplant.simulation.listings import Planned
from tickerplant.simulation.marks import Mark
from tickerplant.simulation.newsroom import Newsroom, basis_to_delivery
from tickerplant.simulation.origin import Origin
from tickerplant.simulation.pit import Pit
from tickerplant.simulation.positions import INTERVAL_S as POSITIONS_S
from tickerplant.simulation.positions import Holders
from tickerplant.simulation.temper import temper
from tickerplant.simulation.value import FollowingValuation, LeadingValuation, Valuation

UPDATE_ID_START = 4_000_000_000_000
UPDATES_PER_SECOND = 2_000
FIRST_TRADE_ID = 1
"""Of contracts that are listed while the simulation runs."""
PULL = 0.3
"""Part of its distance from its index that a contract on a composite index comes back a second."""

Opening: TypeAlias = tuple[BookSnapshot, MarkPrice, *tuple[Event, ...]]
"""All that is told of a contract when it opens."""


class TradingFloor:
    """Where contracts are listed, traded and settled.

    Args:
        agenda: The exchange's clockwork.
        tape: Where events are written.
        seed: Decides everything that is drawn.
        intensity: Multiplies the rate of orders.
    """

    def __init__(self, agenda: Agenda, tape: list[Event], seed: int, intensity: float) -> None:
        self.news = Newsroom(agenda, seed)
        self.listings: dict[str, Listing] = {}
        self._agenda = agenda
        self._tape = tape
        self._seed = seed
        self._intensity = intensity
        self._plans: dict[int, list[Planned]] = {}
        self._former_operations = 0

    @property
    def traded(self) -> list[Instrument]:
        """The contracts that are traded now."""
        return [listing.instrument for listing in self.listings.values()]

    @property
    def operations(self) -> int:
        """Orders, cancellations and cuts so far, those of opening books included."""
        present = (listing.pit.engine.operations for listing in self.listings.values())
        return self._former_operations + sum(present)

    # Opening

    def enter(self, instrument: Instrument, trade_id: int) -> Opening:
        """Let a contract be traded from now on and return how it opens, untold."""
        traits, now_ms, seed = temper(instrument), self._agenda.now_ms, self._seed
        desk = self.news.desk(instrument.base_asset)
        units = float(10**instrument.price.decimals)
        valuation: Valuation
        if traits.leads:
            valuation = LeadingValuation(desk.value, units)
        else:
            basis = basis_to_delivery(instrument, now_ms)
            valuation = FollowingValuation(desk.value.price * units, basis)
        update_id = UPDATE_ID_START + (now_ms // 1000 % 10**9) * UPDATES_PER_SECOND
        pit = Pit(instrument, self._agenda, self._tape, update_id, trade_id)
        random = Random(f"{seed} {instrument.symbol}")
        crowd = Crowd(random, pit, traits, valuation, desk.busy, self._intensity)
        bids, asks = crowd.open()
        origin = Origin(instrument, traits, seed, now_ms, bids[0][0])
        listing = Listing(
            pit,
            crowd,
            Mark(instrument, now_ms),
            Holders(origin, desk.busy),
            None if desk.composite else Basket(instrument, seed),
            traits,
        )
        self.listings[instrument.symbol] = listing
        opening = self._opening(listing, desk, bids, asks)
        if isinstance(valuation, FollowingValuation):
            desk.followers[listing] = valuation
        else:
            desk.leader = listing
            crowd.followers.append(lambda: self.news.lead(desk))
        return opening

    def _opening(
        self, listing: Listing, desk: CoinDesk, bids: list[Level], asks: list[Level]
    ) -> Opening:
        now_ms, symbol = self._agenda.now_ms, listing.pit.symbol
        second_ms = now_ms // 1000 * 1000
        further: list[Event] = []
        if desk.composite is not None:
            desk.composed = desk.composite.at(second_ms)
            further.append(desk.composed)
        mark = self._mark(listing, desk, second_ms)
        further.append(listing.holders.at(second_ms, listing.pit.volume))
        if listing.basket is not None:
            further.append(listing.basket.at(mark.index_price, second_ms))
        changed = brackets(listing.instrument, listing.temper)
        further.append(ContractChanged(symbol, listing.instrument, changed, second_ms))
        retail = listing.crowd.retail_opening()
        if retail is not None:
            further.append(retail)
        snapshot = BookSnapshot(symbol, listing.pit.engine.update_id, bids, asks, now_ms)
        return (snapshot, mark, *further)

    # Every second

    def second(self, now_ms: int) -> None:
        """Let a whole second strike for every contract, then do what was planned for it."""
        second, tape = now_ms // 1000, self._tape
        desks = self.news.desks
        for desk in desks.values():
            if desk.composite is not None:
                self._compose(desk, now_ms)
        for listing in self.listings.values():
            instrument, basket = listing.pit.instrument, listing.basket
            if now_ms >= instrument.delivery_date_ms:
                continue
            mark = self._mark(listing, desks[instrument.base_asset], now_ms)
            if listing.mark.paid is not None:
                tape.append(listing.mark.paid)
            tape.append(mark)
            listing.crowd.leverage.mark(mark.mark_price * 10**instrument.price.decimals / 10**8)
            if second % POSITIONS_S == listing.holders.slot or now_ms % GRID_MS == 0:
                tape.append(listing.holders.at(now_ms, listing.pit.volume))
            if basket is not None and second % BASKET_S == basket.slot:
                tape.append(basket.at(mark.index_price, now_ms))
        for action in self._plans.pop(now_ms, ()):
            action(now_ms)

    def _compose(self, desk: CoinDesk, now_ms: int) -> None:
        """Tell the composite index, and let its contract follow."""
        if desk.composite is None or desk.leader is None:
            return
        desk.composed = desk.composite.at(now_ms)
        self._tape.append(desk.composed)
        desk.value.move(PULL * log(desk.index / desk.value.index))
        desk.leader.crowd.look()

    def _mark(self, listing: Listing, desk: CoinDesk, now_ms: int) -> MarkPrice:
        engine = listing.pit.engine
        bid, ask = engine.bids.best, engine.asks.best
        last = listing.pit.last_price
        return listing.mark.at(
            now_ms,
            desk.index,
            bid[0] if bid else last,
            ask[0] if ask else last,
            last,
        )

    # What becomes of contracts

    def plan(self, time_ms: int, action: Planned) -> None:
        """Let `action(time_ms)` happen at a whole second, after the mark prices."""
        self._plans.setdefault(time_ms, []).append(action)

    def announce(self, instrument: Instrument) -> None:
        """Tell that a contract is going to be listed, and its brackets."""
        self._tell(instrument, brackets(instrument, temper(instrument)))

    def open(self, instrument: Instrument) -> None:
        """Tell that a contract is traded from now on, and with which book it opens."""
        opening = self.enter(instrument, FIRST_TRADE_ID)
        changed = [event for event in opening if isinstance(event, ContractChanged)]
        self._tape += changed
        self._tape += [event for event in opening if event not in changed]

    def change(self, instrument: Instrument) -> None:
        """Tell that a contract that is traded has changed."""
        self.listings[instrument.symbol].pit.instrument = instrument
        self._tell(instrument)

    def change_brackets(self, symbol: str, scale: float) -> None:
        """Change the brackets of a contract that is traded, and tell them."""
        listing = self.listings[symbol]
        instrument = listing.instrument
        self._tell(instrument, brackets(instrument, listing.temper, scale))

    def stop(self, instrument: Instrument) -> int:
        """End the trading of a contract, tell how it is now, and return its settlement price."""
        listing = self.listings.pop(instrument.symbol)
        self._agenda.leave(listing.pit)
        self._former_operations += listing.pit.engine.operations
        desk = self.news.desks[instrument.base_asset]
        desk.followers.pop(listing, None)
        if desk.leader is listing:
            self.news.drop(desk)
        self._tell(instrument)
        return listing.mark.settlement

    def deliver(self, instrument: Instrument, price: int) -> None:
        """Tell the settlement price of a contract that was stopped, and that it is delivered."""
        venue, symbol, pair = instrument.venue, instrument.symbol, instrument.pair
        due_ms = instrument.delivery_date_ms
        self._tape.append(Delivered(venue, symbol, pair, price, due_ms))
        self._tell(instrument)

    def close(self, instrument: Instrument) -> None:
        """Tell that a contract that was stopped is gone."""
        self._tell(instrument)

    def _tell(self, instrument: Instrument, changed: Sequence[Bracket] = ()) -> None:
        now_ms = self._agenda.now_ms
        event = ContractChanged(instrument.symbol, instrument, tuple(changed), now_ms)
        self._tape.append(event)
