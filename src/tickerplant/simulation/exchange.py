"""The simulated exchange: all pits, the news that moves them, and the clock.

Everything is drawn from generators seeded by the seed and a name (the symbol, the coin, the
market), so the same seed, start and contracts give the same events, and a contract's events hardly
depend on which others are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

from tickerplant.errors import ConfigError
from tickerplant.events import BookSnapshot, Event, MarkPrice
from tickerplant.instrument import Instrument
from tickerplant.simulation.agenda import Agenda
from tickerplant.simulation.crowd import Crowd
from tickerplant.simulation.history import SimulatedPast, trades_so_far
from tickerplant.simulation.marks import Mark
from tickerplant.simulation.pit import Pit
from tickerplant.simulation.temper import BASIS_PER_YEAR, Temper, temper
from tickerplant.simulation.value import (
    FACTOR_RATE_PER_S,
    OWN_RATE_PER_S,
    Activity,
    CoinValue,
    FollowingValuation,
    LeadingValuation,
    News,
    Valuation,
)

ACTIVITY_SPREAD = 0.34
ACTIVITY_MEMORY_S = 150.0
OWN_ACTIVITY_SPREAD = 0.25
NEWS_VOLATILITY = 0.9
"""Part of a coin's volatility that comes with news; trading makes the rest."""
FOLLOW_MS = (9, 26)
"""Delay of a look at the leader: least, and least plus most."""
YEAR_MS = 365 * 86_400_000
UPDATE_ID_START = 4_000_000_000_000
UPDATES_PER_SECOND = 2_000


class Listing:
    """One contract on the exchange: its pit, its crowd, its mark price."""

    def __init__(self, pit: Pit, crowd: Crowd, mark: Mark) -> None:
        self.pit = pit
        self.crowd = crowd
        self.mark = mark


class CoinDesk:
    """One coin: its value, its news, and the contracts on it."""

    def __init__(self, value: CoinValue, random: Random, delays: Random) -> None:
        self.value = value
        self.delays = delays
        """What the delays of those who follow are drawn from."""
        self.news = News(random, OWN_RATE_PER_S)
        self.activity = Activity(random, OWN_ACTIVITY_SPREAD, ACTIVITY_MEMORY_S)
        self.leader: Listing | None = None
        self.followers: list[tuple[Listing, FollowingValuation]] = []


class SimulatedExchange:
    """An exchange of matching engines on which seeded agents trade.

    Args:
        instruments: The contracts to list, as `instruments.instruments` makes them.
        seed: Decides everything that is drawn.
        start_ms: Time of the opening, in milliseconds.
        intensity: Multiplies the rate of orders.

    Raises:
        ConfigError: `intensity` is not positive or there is nothing to list.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        seed: int = 1,
        start_ms: int = 0,
        intensity: float = 1.0,
    ) -> None:
        if intensity <= 0:
            raise ConfigError("intensity", intensity, "a number above 0")
        if not instruments:
            raise ConfigError("symbols", instruments, "at least one symbol")
        self.instruments = tuple(instruments)
        self._seed = seed
        self._start_ms = start_ms
        self._intensity = intensity
        self._agenda = Agenda(start_ms)
        self._tape: list[Event] = []
        self._random = Random(f"{seed} market")
        self._activity = Activity(self._random, ACTIVITY_SPREAD, ACTIVITY_MEMORY_S)
        self._news = News(self._random, FACTOR_RATE_PER_S)
        self._coins: dict[str, CoinDesk] = {}
        self._listings: dict[str, Listing] = {}
        self._openings: dict[str, tuple[BookSnapshot, MarkPrice]] = {}
        for instrument in sorted(self.instruments, key=lambda each: not temper(each).leads):
            self._list(instrument, temper(instrument))
        self._agenda.after(1000 - start_ms % 1000, self, self._second)
        self._agenda.after(self._news.gap_ms(1.0), self, self._factor)
        for desk in self._coins.values():
            self._agenda.after(desk.news.gap_ms(1.0), self, partial(self._own, desk))

    # Listing

    def _list(self, instrument: Instrument, traits: Temper) -> None:
        symbol, now_ms = instrument.symbol, self._start_ms
        desk = self._coins.get(instrument.base_asset)
        if desk is None:
            value = CoinValue(traits.price, traits.daily_volatility, traits.beta)
            name = f"{self._seed} coin {instrument.base_asset}"
            desk = CoinDesk(value, Random(name), Random(f"{name} delays"))
            self._coins[instrument.base_asset] = desk
        units = float(10**instrument.price.decimals)
        valuation: Valuation
        if traits.leads:
            valuation = LeadingValuation(desk.value, units)
        else:
            basis = basis_to_delivery(instrument, now_ms)
            valuation = FollowingValuation(desk.value.price * units, basis)
        update_id = UPDATE_ID_START + (now_ms // 1000 % 10**9) * UPDATES_PER_SECOND
        trade_id = trades_so_far(instrument, traits, now_ms)
        pit = Pit(instrument, self._agenda, self._tape, update_id, trade_id)
        random = Random(f"{self._seed} {symbol}")
        activity = partial(self._activity_of, desk)
        crowd = Crowd(random, pit, traits, valuation, activity, self._intensity)
        listing = Listing(pit, crowd, Mark(instrument, now_ms))
        self._listings[symbol] = listing
        bids, asks = crowd.open()
        snapshot = BookSnapshot(symbol, pit.engine.update_id, bids, asks, now_ms)
        self._openings[symbol] = (snapshot, self._mark(listing, desk, now_ms // 1000 * 1000))
        if isinstance(valuation, FollowingValuation):
            desk.followers.append((listing, valuation))
        else:
            desk.leader = listing
            crowd.followers.append(partial(self._lead, desk))

    def _activity_of(self, desk: CoinDesk) -> float:
        return self._activity.level * desk.activity.level

    # What was before

    def past(self, symbol: str) -> SimulatedPast:
        """Return the bars and trades before the start; they end where trading begins.

        Raises:
            KeyError: `symbol` is not listed.
        """
        listing, (snapshot, _) = self._listings[symbol], self._openings[symbol]
        instrument = listing.pit.instrument
        return SimulatedPast(
            instrument, temper(instrument), self._seed, self._start_ms, snapshot.bids[0][0]
        )

    def opening(self, symbol: str) -> tuple[BookSnapshot, MarkPrice]:
        """Return the book and the mark price at the start.

        Raises:
            KeyError: `symbol` is not listed.
        """
        return self._openings[symbol]

    # What happens

    @property
    def next_time_ms(self) -> int:
        """Time of the next batch; there always is one."""
        return self._agenda.next_time_ms

    def step(self) -> tuple[int, list[Event]]:
        """Let the next millisecond in which something is planned happen.

        Returns:
            Its time and its events in causal order; none if agents looked and did nothing.
        """
        self._agenda.step()
        events = self._tape[:]
        self._tape.clear()
        return self._agenda.now_ms, events

    @property
    def order_count(self) -> int:
        """Orders, cancellations and cuts since the start, opening books included."""
        return sum(each.pit.engine.operations for each in self._listings.values())

    def flush(self) -> None:
        """Tell nothing: what concerns all pits is told by them."""

    def _factor(self, _: int) -> None:
        """Let news move every coin."""
        size = self._news.size()
        for desk in self._coins.values():
            self._surprise(desk, size, desk.value.factor_volatility)
        self._agenda.after(self._news.gap_ms(self._activity.level), self, self._factor)

    def _own(self, desk: CoinDesk, _: int) -> None:
        """Let news move one coin."""
        self._surprise(desk, desk.news.size(), desk.value.own_volatility)
        gap_ms = desk.news.gap_ms(self._activity_of(desk))
        self._agenda.after(gap_ms, self, partial(self._own, desk))

    def _surprise(self, desk: CoinDesk, size: float, volatility: float) -> None:
        relative = size * volatility * NEWS_VOLATILITY
        desk.value.move(relative)
        surprise = size * volatility / desk.value.volatility
        leader = desk.leader
        if leader is not None:
            leader.pit.after(0, partial(_hear, leader.crowd, surprise))
        for listing, _ in desk.followers:
            delay_ms = _follow_ms(desk.delays)
            listing.pit.after(delay_ms, partial(_hear, listing.crowd, surprise))
        self._lead(desk)

    def _lead(self, desk: CoinDesk) -> None:
        """Let the followers of a coin look at its price, each after its own delay."""
        for listing, valuation in desk.followers:
            delay_ms = _follow_ms(desk.delays)
            listing.pit.after(delay_ms, partial(self._look, desk, listing, valuation))

    def _look(
        self, desk: CoinDesk, listing: Listing, valuation: FollowingValuation, _: int
    ) -> None:
        instrument = listing.pit.instrument
        units = 10**instrument.price.decimals
        basis = basis_to_delivery(instrument, self._agenda.now_ms)
        valuation.look(desk.value.price * units, basis)
        listing.crowd.glance()

    def _second(self, _: int) -> None:
        """Let a whole second strike: activities change, mark prices are told."""
        self._activity.step()
        now_ms = self._agenda.now_ms
        for desk in self._coins.values():
            desk.activity.step()
        for listing in self._listings.values():
            instrument = listing.pit.instrument
            if now_ms < instrument.delivery_date_ms:
                mark = self._mark(listing, self._coins[instrument.base_asset], now_ms)
                self._tape.append(mark)
                price = mark.mark_price * 10**instrument.price.decimals / 10**8
                listing.crowd.leverage.mark(price)
        self._agenda.after(1000, self, self._second)

    def _mark(self, listing: Listing, desk: CoinDesk, now_ms: int) -> MarkPrice:
        engine = listing.pit.engine
        bid, ask = engine.bids.best, engine.asks.best
        last = listing.pit.last_price
        return listing.mark.at(
            now_ms,
            desk.value.index,
            bid[0] if bid else last,
            ask[0] if ask else last,
            last,
        )


def _follow_ms(random: Random) -> int:
    """Draw the delay of a look at the leader."""
    least, most = FOLLOW_MS
    return least + int(random.random() * most)


def _hear(crowd: Crowd, surprise: float, _: int) -> None:
    crowd.hear(surprise)


def basis_to_delivery(instrument: Instrument, now_ms: int) -> float:
    """Return the logarithm of a contract's price over the leader's: 0 for perpetuals."""
    if instrument.perpetual:
        return 0.0
    left_ms = max(instrument.delivery_date_ms - now_ms, 0)
    return BASIS_PER_YEAR * left_ms / YEAR_MS
