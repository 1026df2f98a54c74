"""News, the underlyings and sectors that it moves, and the contracts that react."""

from __future__ import annotations

from functools import partial
from random import Random

from msgspec import Struct

from tickerplant.events import CompositeIndex
from tickerplant.instrument import COMPOSITE, RATE_DECIMALS, Instrument
from tickerplant.simulation.agents import Agents
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import BASIS_PER_YEAR, YEAR_MS, ContractProfile
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.indices import COIN_BUFFERS, Basket, Composite, index_weights
from tickerplant.simulation.mark_price import MarkPriceCalculator
from tickerplant.simulation.open_interest import Positions
from tickerplant.simulation.scheduler import Scheduler
from tickerplant.simulation.underlyings import underlying_named
from tickerplant.simulation.valuation import (
    FACTOR_RATE_PER_S,
    OWN_RATE_PER_S,
    Activity,
    FairValue,
    FollowerValuation,
    News,
)

ACTIVITY_SPREAD = 0.34
ACTIVITY_MEMORY_S = 150.0
OWN_ACTIVITY_SPREAD = 0.25


class ListedContract(Struct, eq=False):
    """One listed contract: its market, agents, mark price and positions."""

    inputs: HistoryInputs
    """What its history follows from, and its behaviour."""
    market: ContractMarket
    agents: Agents
    mark: MarkPriceCalculator
    positions: Positions
    basket: Basket | None
    """The spot markets of its index; None for a composite index."""
    delays: Random
    """The random source of the delays with which it follows."""

    @property
    def contract_profile(self) -> ContractProfile:
        """Its behaviour."""
        return self.inputs.contract_profile

    @property
    def instrument(self) -> Instrument:
        """The contract as it is now."""
        return self.market.instrument


class Sector:
    """Underlyings that move together, such as all coins: their activity and their news."""

    def __init__(self, random: Random) -> None:
        self.activity = Activity(random, ACTIVITY_SPREAD, ACTIVITY_MEMORY_S)
        self.news = News(random, FACTOR_RATE_PER_S)
        self.underlyings: dict[str, LiveUnderlying] = {}


class LiveUnderlying:
    """The current state of one underlying: its fair value, its news and the contracts on it."""

    def __init__(self, name: str, value: FairValue, sector: Sector, seed: int) -> None:
        random = Random(f"{seed} coin {name}")
        self.name = name
        self.value = value
        self.sector = sector
        self.delays = Random(f"{seed} coin {name} delays")
        """The random source of the delays of followers in USDT and on COIN-M."""
        self.news = News(random, OWN_RATE_PER_S)
        self.activity = Activity(random, OWN_ACTIVITY_SPREAD, ACTIVITY_MEMORY_S)
        self.leader: ListedContract | None = None
        self.followers: dict[ListedContract, FollowerValuation] = {}
        self.volatility = 1.0
        """Multiplies the news about it."""
        self.composite: Composite | None = None
        """The assets of its index, if that is a composite one."""
        self.composite_index: CompositeIndex | None = None
        """The latest composite index."""

    @property
    def index(self) -> float:
        """Index price in USD."""
        if self.composite_index is None:
            return self.value.index
        return self.composite_index.price / float(10**RATE_DECIMALS)

    def activity_level(self) -> float:
        """Return the trading activity, relative to an ordinary day."""
        return self.sector.activity.level * self.activity.level


NEWS_VOLATILITY = 0.9
"""Share of the volatility that comes from news; trading makes the rest."""
FOLLOW_MS = (9, 26)
"""Least delay of a follower's reaction to the leader, and the range of the random part."""
MARKET = "COIN"
"""The sector of all coins, and of composite indices of coins."""


class NewsFlow:
    """All underlyings that are traded or part of an index, and the news about them."""

    def __init__(self, scheduler: Scheduler, seed: int) -> None:
        self._scheduler = scheduler
        self._seed = seed
        self.sectors: dict[str, Sector] = {}
        self.underlyings: dict[str, LiveUnderlying] = {}
        self._assets = {name for name, _, _ in COIN_BUFFERS}

    def underlying(self, name: str) -> LiveUnderlying:
        """Return the state of an underlying; news about it starts with the first call."""
        underlying = self.underlyings.get(name)
        if underlying is not None:
            return underlying
        coin = underlying_named(name)
        composite = coin.underlying_type == COMPOSITE
        sector = self._sector(MARKET if composite else coin.underlying_type)
        value = FairValue(coin.price, coin.daily_volatility, coin.beta)
        underlying = LiveUnderlying(name, value, sector, self._seed)
        if composite:
            parts = [
                (part, weight, self.underlying(part).value) for part, weight in index_weights()
            ]
            underlying.composite = Composite(f"{name}USDT", parts)
        self.underlyings[name] = sector.underlyings[name] = underlying
        self._scheduler.after(
            underlying.news.gap_ms(1.0), self, partial(self._own_news, underlying)
        )
        return underlying

    def drop(self, underlying: LiveUnderlying) -> None:
        """Stop the news about an underlying, unless a contract or an index still needs it."""
        if underlying.leader is not None or underlying.followers or self._is_part(underlying):
            return
        del self.underlyings[underlying.name]
        del underlying.sector.underlyings[underlying.name]

    def _is_part(self, underlying: LiveUnderlying) -> bool:
        if underlying.name in self._assets:
            return True
        is_composed = any(each.composite for each in self.underlyings.values())
        return is_composed and underlying.name in {name for name, _ in index_weights()}

    def step(self) -> None:
        """Advance the activity by one second."""
        for sector in self.sectors.values():
            sector.activity.step()
        for underlying in self.underlyings.values():
            underlying.activity.step()

    def flush(self) -> None:
        """Do nothing: the markets of the contracts publish what news changes."""

    def _sector(self, name: str) -> Sector:
        sector = self.sectors.get(name)
        if sector is None:
            title = "market" if name == MARKET else f"market {name}"
            sector = self.sectors[name] = Sector(Random(f"{self._seed} {title}"))
            self._scheduler.after(sector.news.gap_ms(1.0), self, partial(self._sector_news, sector))
        return sector

    def _sector_news(self, sector: Sector, _: int) -> None:
        """Move every underlying of a sector."""
        size = sector.news.size()
        for underlying in sector.underlyings.values():
            self._apply_news(underlying, size, underlying.value.factor_volatility)
        gap_ms = sector.news.gap_ms(sector.activity.level)
        self._scheduler.after(gap_ms, self, partial(self._sector_news, sector))

    def _own_news(self, underlying: LiveUnderlying, _: int) -> None:
        """Move one underlying."""
        if self.underlyings.get(underlying.name) is not underlying:
            return
        self._apply_news(underlying, underlying.news.size(), underlying.value.own_volatility)
        self._scheduler.after(
            underlying.news.gap_ms(underlying.activity_level()),
            self,
            partial(self._own_news, underlying),
        )

    def _apply_news(self, underlying: LiveUnderlying, size: float, volatility: float) -> None:
        relative = size * volatility * NEWS_VOLATILITY * underlying.volatility
        surprise = size * volatility / underlying.value.volatility * underlying.volatility
        self.move(underlying, relative, surprise)

    def move(self, underlying: LiveUnderlying, relative: float, surprise: float) -> None:
        """Move the fair value of an underlying, and let its contracts react.

        Args:
            underlying: What the news is about.
            relative: The logarithm of the new value over the present one.
            surprise: The size of the news, in usual moves of a second; it decides who trades.
        """
        underlying.value.move(relative)
        leader = underlying.leader
        if leader is not None:
            leader.market.after(0, partial(_on_news, leader.agents, surprise))
        for contract in underlying.followers:
            delay_ms = _follow_ms(contract.delays)
            contract.market.after(delay_ms, partial(_on_news, contract.agents, surprise))
        self.notify_followers(underlying)

    def notify_followers(self, underlying: LiveUnderlying) -> None:
        """Let the followers of an underlying take over its price, each after its own delay."""
        for contract, valuation in underlying.followers.items():
            delay_ms = _follow_ms(contract.delays)
            contract.market.after(
                delay_ms, partial(self._follow_leader, underlying, contract, valuation)
            )

    def _follow_leader(
        self,
        underlying: LiveUnderlying,
        contract: ListedContract,
        valuation: FollowerValuation,
        _: int,
    ) -> None:
        instrument = contract.market.instrument
        units = 10**instrument.price.decimals
        basis = basis_to_delivery(instrument, self._scheduler.now_ms)
        valuation.update(underlying.value.price * units, basis)
        contract.agents.on_leader_moved()


def _follow_ms(random: Random) -> int:
    """Draw the delay of a follower's reaction to the leader."""
    least, most = FOLLOW_MS
    return least + int(random.random() * most)


def _on_news(agents: Agents, surprise: float, _: int) -> None:
    agents.on_news(surprise)


def basis_to_delivery(instrument: Instrument, now_ms: int) -> float:
    """Return the logarithm of a contract's price over the leader's: 0 for perpetuals."""
    if instrument.perpetual:
        return 0.0
    left_ms = max(instrument.delivery_date_ms - now_ms, 0)
    return BASIS_PER_YEAR * left_ms / YEAR_MS
