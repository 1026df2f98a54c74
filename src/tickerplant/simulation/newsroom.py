"""The news: what moves the coins, and who looks at whom when they move."""

from __future__ import annotations

from functools import partial
from random import Random

from tickerplant.instrument import COMPOSITE, Instrument
from tickerplant.simulation.agenda import Agenda
from tickerplant.simulation.coins import coin_named
from tickerplant.simulation.crowd import Crowd
from tickerplant.simulation.desk import CoinDesk, Listing, Sector
from tickerplant.simulation.indices import Composite, index_weights
from tickerplant.simulation.temper import BASIS_PER_YEAR, YEAR_MS
from tickerplant.simulation.value import CoinValue, FollowingValuation

NEWS_VOLATILITY = 0.9
"""Part of a coin's volatility that comes with news; trading makes the rest."""
FOLLOW_MS = (9, 26)
"""Delay of a look at the leader: least, and least plus most."""
MARKET = "COIN"
"""The sector that is the market itself; composite indices of coins move with it."""


class Newsroom:
    """The coins that are traded or that indices are made of, and the news about them."""

    def __init__(self, agenda: Agenda, seed: int) -> None:
        self._agenda = agenda
        self._seed = seed
        self.sectors: dict[str, Sector] = {}
        self.desks: dict[str, CoinDesk] = {}

    def desk(self, name: str) -> CoinDesk:
        """Return the desk of a coin; from the first time on there is news about it."""
        desk = self.desks.get(name)
        if desk is not None:
            return desk
        coin = coin_named(name)
        composite = coin.underlying_type == COMPOSITE
        sector = self._sector(MARKET if composite else coin.underlying_type)
        value = CoinValue(coin.price, coin.daily_volatility, coin.beta)
        desk = CoinDesk(name, value, sector, self._seed)
        if composite:
            parts = [(part, weight, self.desk(part).value) for part, weight in index_weights()]
            desk.composite = Composite(f"{name}USDT", parts)
        self.desks[name] = sector.desks[name] = desk
        self._agenda.after(desk.news.gap_ms(1.0), self, partial(self._own, desk))
        return desk

    def drop(self, desk: CoinDesk) -> None:
        """Let there be no more news about a coin."""
        del self.desks[desk.name]
        del desk.sector.desks[desk.name]

    def step(self) -> None:
        """Let a second pass: it grows busier or quieter."""
        for sector in self.sectors.values():
            sector.activity.step()
        for desk in self.desks.values():
            desk.activity.step()

    def flush(self) -> None:
        """Tell nothing: what news does is told by the pits."""

    def _sector(self, name: str) -> Sector:
        sector = self.sectors.get(name)
        if sector is None:
            title = "market" if name == MARKET else f"market {name}"
            sector = self.sectors[name] = Sector(Random(f"{self._seed} {title}"))
            self._agenda.after(sector.news.gap_ms(1.0), self, partial(self._factor, sector))
        return sector

    # News

    def _factor(self, sector: Sector, _: int) -> None:
        """Let news move everything of a sector."""
        size = sector.news.size()
        for desk in sector.desks.values():
            self._surprise(desk, size, desk.value.factor_volatility)
        gap_ms = sector.news.gap_ms(sector.activity.level)
        self._agenda.after(gap_ms, self, partial(self._factor, sector))

    def _own(self, desk: CoinDesk, _: int) -> None:
        """Let news move one coin."""
        if self.desks.get(desk.name) is not desk:
            return
        self._surprise(desk, desk.news.size(), desk.value.own_volatility)
        self._agenda.after(desk.news.gap_ms(desk.busy()), self, partial(self._own, desk))

    def _surprise(self, desk: CoinDesk, size: float, volatility: float) -> None:
        relative = size * volatility * NEWS_VOLATILITY
        desk.value.move(relative)
        surprise = size * volatility / desk.value.volatility
        leader = desk.leader
        if leader is not None:
            leader.pit.after(0, partial(_hear, leader.crowd, surprise))
        for listing in desk.followers:
            delay_ms = _follow_ms(desk.delays)
            listing.pit.after(delay_ms, partial(_hear, listing.crowd, surprise))
        self.lead(desk)

    def lead(self, desk: CoinDesk) -> None:
        """Let the followers of a coin look at its price, each after its own delay."""
        for listing, valuation in desk.followers.items():
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
