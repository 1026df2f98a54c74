"""What is traded, and on what: contracts, the coins under them, and what moves together."""

from __future__ import annotations

from random import Random

from tickerplant.events import CompositeIndex
from tickerplant.instrument import RATE_DECIMALS, Instrument
from tickerplant.simulation.baskets import Basket
from tickerplant.simulation.crowd import Crowd
from tickerplant.simulation.indices import Composite
from tickerplant.simulation.marks import Mark
from tickerplant.simulation.pit import Pit
from tickerplant.simulation.positions import Holders
from tickerplant.simulation.temper import Temper
from tickerplant.simulation.value import (
    FACTOR_RATE_PER_S,
    OWN_RATE_PER_S,
    Activity,
    CoinValue,
    FollowingValuation,
    News,
)

ACTIVITY_SPREAD = 0.34
ACTIVITY_MEMORY_S = 150.0
OWN_ACTIVITY_SPREAD = 0.25


class Listing:
    """One contract on the exchange: its pit, its crowd, its mark price, who holds it."""

    def __init__(
        self,
        pit: Pit,
        crowd: Crowd,
        mark: Mark,
        holders: Holders,
        basket: Basket | None,
        temper: Temper,
    ) -> None:
        self.pit = pit
        self.crowd = crowd
        self.mark = mark
        self.holders = holders
        self.basket = basket
        """The spot markets of its index; None for a composite one."""
        self.temper = temper

    @property
    def instrument(self) -> Instrument:
        """The contract as it is now."""
        return self.pit.instrument


class Sector:
    """What moves together, such as all coins: how busy it is, and the news that moves all of it."""

    def __init__(self, random: Random) -> None:
        self.activity = Activity(random, ACTIVITY_SPREAD, ACTIVITY_MEMORY_S)
        self.news = News(random, FACTOR_RATE_PER_S)
        self.desks: dict[str, CoinDesk] = {}


class CoinDesk:
    """One coin: its value, its news, and the contracts on it."""

    def __init__(self, name: str, value: CoinValue, sector: Sector, seed: int) -> None:
        random = Random(f"{seed} coin {name}")
        self.name = name
        self.value = value
        self.sector = sector
        self.delays = Random(f"{seed} coin {name} delays")
        """What the delays of those who follow are drawn from."""
        self.news = News(random, OWN_RATE_PER_S)
        self.activity = Activity(random, OWN_ACTIVITY_SPREAD, ACTIVITY_MEMORY_S)
        self.leader: Listing | None = None
        self.followers: dict[Listing, FollowingValuation] = {}
        self.composite: Composite | None = None
        """What the index is made of, if it is made of other coins."""
        self.composed: CompositeIndex | None = None
        """The composite index as it was told last."""

    @property
    def index(self) -> float:
        """Index price in USD."""
        if self.composed is None:
            return self.value.index
        return self.composed.price / float(10**RATE_DECIMALS)

    def busy(self) -> float:
        """Return how much is going on, relative to an ordinary day."""
        return self.sector.activity.level * self.activity.level
