"""Fair values, which move with news and trades.

News moves the fair value of every underlying of a sector (the common factor) or of a single one.
The sizes of news have fat tails. Their rate follows an activity that changes slowly, so quiet and
busy minutes alternate. Trades move the fair value too, because they carry information.
"""

from __future__ import annotations

from math import exp, sqrt
from random import Random
from typing import Protocol

from tickerplant.simulation.contract_profile import DAY_S

FACTOR_RATE_PER_S = 0.75
OWN_RATE_PER_S = 0.65
TAIL = 0.95
"""Standard deviation of the logarithm of the scale of a piece of news."""
LARGEST_SIGMA = 7.0
"""Largest piece of news, in standard deviations."""
BOUNDS = (1 / 50, 30)
"""Lowest and highest fair value relative to the first one; orders have wider bounds."""
PREMIUM = 0.00012
"""Usual premium of perpetual contracts over the index."""


class Activity:
    """How busy trading is, relative to an ordinary day: the exponential of a slow noise."""

    def __init__(self, random: Random, spread: float, memory_s: float) -> None:
        self._random = random
        self._spread = spread
        self._keep = exp(-1 / memory_s)
        self._noise = 0.0

    def step(self) -> None:
        """Advance by one second."""
        keep = self._keep
        shock = self._random.gauss(0, self._spread * sqrt(1 - keep * keep))
        self._noise = self._noise * keep + shock

    @property
    def level(self) -> float:
        """The current activity; its mean is 1."""
        return exp(self._noise - self._spread**2 / 2)


class News:
    """Arrivals and sizes of news, in standard deviations per square root of a second."""

    def __init__(self, random: Random, rate_per_s: float) -> None:
        self._random = random
        self._rate_per_s = rate_per_s
        self._scale = 1 / sqrt(rate_per_s) / exp(TAIL**2)

    def gap_ms(self, activity: float) -> int:
        """Draw the time to the next piece of news."""
        rate_per_ms = self._rate_per_s * activity / 1000
        return 1 + int(self._random.expovariate(rate_per_ms))

    def size(self) -> float:
        """Draw the size of a piece of news."""
        gauss = self._random.gauss
        size = gauss(0, 1) * exp(gauss(0, TAIL)) * self._scale
        limit = LARGEST_SIGMA / sqrt(self._rate_per_s)
        return min(max(size, -limit), limit)


class FairValue:
    """The fair value of one underlying in USD."""

    def __init__(self, price: float, daily_volatility: float, beta: float) -> None:
        volatility = daily_volatility / sqrt(DAY_S)
        self.price = price
        self._lowest, self._highest = (price * bound for bound in BOUNDS)
        self.volatility = volatility
        """Standard deviation of one second's return."""
        self.factor_volatility = volatility * beta
        self.own_volatility = volatility * sqrt(1 - beta * beta)
        self.premium = PREMIUM
        """Logarithm of the perpetual contract's price over the index."""

    @property
    def index(self) -> float:
        """Index price in USD: the price on spot markets."""
        return self.price * exp(-self.premium)

    def move(self, relative: float) -> None:
        """Multiply the value by the exponential of `relative`, within its bounds."""
        self.price = min(max(self.price * exp(relative), self._lowest), self._highest)


class Valuation(Protocol):
    """The fair value of one contract, as its makers see it."""

    def price(self) -> float:
        """Return the fair value in price units."""

    def add_impact(self, relative: float) -> None:
        """Move the fair value after a trade."""


class LeaderValuation:
    """The contract that sets the underlying's price: its fair value is the underlying's."""

    def __init__(self, coin: FairValue, units: float) -> None:
        self._coin = coin
        self._units = units

    def price(self) -> float:
        """Return the underlying's fair value in price units."""
        return self._coin.price * self._units

    def add_impact(self, relative: float) -> None:
        """Move the underlying's fair value after a trade here."""
        self._coin.move(relative)


class FollowerValuation:
    """A contract that follows the leading one: its price, a basis and the impact of own trades.

    The impact of its own trades decays with every update from the leader.
    """

    FORGET = 0.96

    def __init__(self, price: float, basis: float) -> None:
        self._leader = price
        self._basis = exp(basis)
        self._own_news = 0.0

    def price(self) -> float:
        """Return the fair value in price units."""
        return self._leader * self._basis * exp(self._own_news)

    def add_impact(self, relative: float) -> None:
        """Move the fair value after a trade here."""
        self._own_news += relative

    def update(self, leader: float, basis: float) -> None:
        """Take over the leader's price, in this contract's price units, and the current basis."""
        self._leader = leader
        self._basis = exp(basis)
        self._own_news *= self.FORGET
