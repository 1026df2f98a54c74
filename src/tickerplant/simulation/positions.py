"""Who holds what in one contract: open interest, long and short, the risk of deleveraging."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from tickerplant.events import Positioning
from tickerplant.simulation.held import held_at_start, long_shares, told_ms
from tickerplant.simulation.holdings import (
    CHANCE,
    LARGEST_SHARE,
    LEAST_SHARE,
    adl_risk,
    moved,
    tendency,
    wanted_steps,
)
from tickerplant.simulation.origin import Origin

INTERVAL_S = 5
"""Positions are told once in so many seconds."""
SHARE_KEEP = 0.999986
"""What a share keeps of its distance from the usual in one step: it moves as fast as in the past."""


class Reverting:
    """A number that wanders around a mean and keeps returning to it."""

    def __init__(self, random: Random, level: float, mean: float, spread: float) -> None:
        self._random = random
        self._mean = mean
        self._shock = spread * float((1 - SHARE_KEEP**2) ** 0.5)
        self.level = level

    def step(self, pace: float) -> None:
        """Let one step pass, `pace` times as lively as usual."""
        shock = self._random.gauss(0, self._shock * pace)
        self.level = self._mean + (self.level - self._mean) * SHARE_KEEP + shock


class Holders:
    """Everybody who has a position in one contract; at the start what the past leads to.

    Args:
        origin: What decides the past of the contract.
        activity: Returns how lively the trading is, relative to an ordinary day.
    """

    def __init__(self, origin: Origin, activity: Callable[[], float]) -> None:
        instrument = origin.instrument
        self._random = random = Random(f"{origin.seed} holders {instrument.symbol}")
        self.slot = random.randrange(INTERVAL_S)
        """The second of five at which they are told."""
        self._symbol, self._step_size = instrument.symbol, instrument.step_size
        self._activity = activity
        self._tendency = tendency(instrument, origin.temper, origin.seed)
        self._held = held_at_start(origin)
        self._volume = 0
        levels = long_shares(origin, np.array([told_ms(origin)]))
        self._shares = [
            Reverting(random, level, usual, spread)
            for (level,), (usual, spread, _) in zip(levels, self._tendency.shares, strict=True)
        ]

    def at(self, now_ms: int, volume: int) -> Positioning:
        """Return who holds what once `volume` was traded since the opening, in quantity units.

        Nothing changes if nothing was traded since the last time.
        """
        traded = (volume - self._volume) // self._step_size
        self._volume = volume
        if traded:
            self._trade(now_ms, traded)
        accounts, top_accounts, top_positions = (
            min(max(round(share.level), LEAST_SHARE), LARGEST_SHARE) for share in self._shares
        )
        return Positioning(
            symbol=self._symbol,
            open_interest=self._held * self._step_size,
            long_accounts=accounts,
            top_long_accounts=top_accounts,
            top_long_positions=top_positions,
            adl_risk=adl_risk(accounts),
            time_ms=now_ms,
        )

    def _trade(self, now_ms: int, traded: int) -> None:
        """Let them open and close positions with the `traded` steps; some change sides."""
        swell = float(self._tendency.swell.at(np.array([now_ms]))[0])
        chance = self._random.uniform(-CHANCE, CHANCE)
        self._held = moved(self._held, wanted_steps(self._tendency, swell), traded, chance)
        pace = self._activity() ** 0.5
        for share in self._shares:
            share.step(pace)
