"""What coins are worth, before anybody trades: values that jump with the news.

A coin's value moves by news: some of it moves every coin at once (the common factor), some only
one.  The sizes of news have fat tails, and its rate follows an activity that changes slowly, so
quiet and busy minutes alternate.  Trading moves the value too: who trades knows something.
"""

from __future__ import annotations

from math import exp, sqrt
from random import Random
from typing import Protocol

FACTOR_RATE_PER_S = 0.75
OWN_RATE_PER_S = 0.65
TAIL = 0.95
"""Standard deviation of the logarithm of the scale of a piece of news."""
LARGEST_SIGMA = 7.0
"""No single piece of news is larger than this many of its standard deviations."""
DAY_S = 86_400
PREMIUM = 0.00012
"""Perpetual contracts usually cost a little more than the index."""


class Activity:
    """How busy the market is, relative to an ordinary day: the exponential of a slow noise."""

    def __init__(self, random: Random, spread: float, memory_s: float) -> None:
        self._random = random
        self._spread = spread
        self._keep = exp(-1 / memory_s)
        self._noise = 0.0

    def step(self) -> None:
        """Let a second pass."""
        keep = self._keep
        shock = self._random.gauss(0, self._spread * sqrt(1 - keep * keep))
        self._noise = self._noise * keep + shock

    @property
    def level(self) -> float:
        """Present activity; its mean is 1."""
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
        """Draw its size."""
        gauss = self._random.gauss
        size = gauss(0, 1) * exp(gauss(0, TAIL)) * self._scale
        limit = LARGEST_SIGMA / sqrt(self._rate_per_s)
        return min(max(size, -limit), limit)


class FairValue:
    """The value of one coin in USD."""

    def __init__(self, price: float, daily_volatility: float, beta: float) -> None:
        volatility = daily_volatility / sqrt(DAY_S)
        self.price = price
        self.volatility = volatility
        """Standard deviation of one second's return."""
        self.factor_volatility = volatility * beta
        self.own_volatility = volatility * sqrt(1 - beta * beta)
        self.premium = PREMIUM
        """Logarithm of the perpetual contract's price over the index."""

    @property
    def index(self) -> float:
        """Index price in USD: what the coin costs where it is bought for good."""
        return self.price * exp(-self.premium)

    def move(self, relative: float) -> None:
        """Multiply the value by the exponential of `relative`."""
        self.price *= exp(relative)


class Valuation(Protocol):
    """What the makers of one contract think it is worth."""

    def price(self) -> float:
        """Return the worth in price units."""
        ...

    def add_impact(self, relative: float) -> None:
        """Let a trade move the worth."""
        ...


class LeaderValuation:
    """The contract where the coin's price is made: its worth is the coin's value."""

    def __init__(self, coin: FairValue, units: float) -> None:
        self._coin = coin
        self._units = units

    def price(self) -> float:
        """Return the coin's value in price units."""
        return self._coin.price * self._units

    def add_impact(self, relative: float) -> None:
        """Let a trade here move the coin's value."""
        self._coin.move(relative)


class FollowerValuation:
    """A contract whose makers look at the leading one: its price, a basis, and their own trades.

    What its own trades moved is forgotten little by little with every look at the leader.
    """

    FORGET = 0.96

    def __init__(self, price: float, basis: float) -> None:
        self._leader = price
        self._basis = exp(basis)
        self._own_news = 0.0

    def price(self) -> float:
        """Return the worth in price units."""
        return self._leader * self._basis * exp(self._own_news)

    def add_impact(self, relative: float) -> None:
        """Let a trade here move the worth."""
        self._own_news += relative

    def look(self, leader: float, basis: float) -> None:
        """Learn the leader's price, in this contract's price units, and the basis now."""
        self._leader = leader
        self._basis = exp(basis)
        self._own_news *= self.FORGET
