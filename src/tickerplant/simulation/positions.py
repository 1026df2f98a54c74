"""Who holds what in one contract: open interest, long and short, the risk of deleveraging."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

from tickerplant.events import Positioning
from tickerplant.instrument import Instrument
from tickerplant.simulation.holdings import (
    LONG_ACCOUNTS,
    LONG_SPREADS,
    OPEN_INTEREST_SPREAD,
    TOP_LONG_ACCOUNTS,
    TOP_LONG_POSITIONS,
    adl_risk,
    typical_open_interest,
)
from tickerplant.simulation.temper import Temper

INTERVAL_S = 5
"""Positions are told once in so many seconds."""
OPEN_KEEP = 0.9998
"""What the open interest keeps of its distance from the typical in one step."""
SHARE_KEEP = 0.9995
_WHOLE = 10**4


class Reverting:
    """A number that wanders around a mean and keeps returning to it."""

    def __init__(self, random: Random, mean: float, spread: float, keep: float) -> None:
        self._random = random
        self._mean = mean
        self._keep = keep
        self._shock = spread * float((1 - keep * keep) ** 0.5)
        self.level = random.gauss(mean, spread)

    def step(self, pace: float = 1.0) -> float:
        """Let one step pass, `pace` times as lively as usual; return the level."""
        shock = self._random.gauss(0, self._shock * pace)
        self.level = self._mean + (self.level - self._mean) * self._keep + shock
        return self.level


class Holders:
    """Everybody who has a position in one contract."""

    def __init__(
        self, instrument: Instrument, temper: Temper, activity: Callable[[], float], seed: int
    ) -> None:
        random = Random(f"{seed} holders {instrument.symbol}")
        self.slot = random.randrange(INTERVAL_S)
        """The second of five at which they are told."""
        self._instrument = instrument
        self._activity = activity
        self._typical = typical_open_interest(instrument, temper)
        self._open = Reverting(random, 0.0, OPEN_INTEREST_SPREAD, OPEN_KEEP)
        means = (LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS)
        self._shares = [
            Reverting(random, mean, spread, SHARE_KEEP)
            for mean, spread in zip(means, LONG_SPREADS, strict=True)
        ]

    def at(self, now_ms: int) -> Positioning:
        """Return who holds what one step later; the livelier the trading, the more it changes."""
        pace = self._activity() ** 0.5
        step = self._instrument.step_size
        held = self._typical * exp(self._open.step(pace))
        accounts, top_accounts, top_positions = (
            round(min(max(share.step(pace), 0.01 * _WHOLE), 0.99 * _WHOLE))
            for share in self._shares
        )
        return Positioning(
            symbol=self._instrument.symbol,
            open_interest=max(round(held / step), 1) * step,
            long_accounts=accounts,
            top_long_accounts=top_accounts,
            top_long_positions=top_positions,
            adl_risk=adl_risk(accounts),
            time_ms=now_ms,
        )
