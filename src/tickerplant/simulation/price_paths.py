"""The path of an underlying's value before the start.

It is drawn backwards from the start, so it ends where the simulation begins, and once per
underlying: all contracts, the index and the mark prices follow the same path. The 24 hours before
the start are drawn at once; what precedes them consists of pieces that are drawn on demand.
"""

from __future__ import annotations

from random import Random

import numpy as np
from msgspec import Struct

from tickerplant.market.bars import CLOSE, HIGH, LOW, OPEN
from tickerplant.simulation.history_pieces import Floats, Series, draws, generator_named, normals
from tickerplant.simulation.underlyings import BORN_MS
from tickerplant.units import DAY_MS, MINUTE_MS

REVERSION_PER_DAY = 0.002
"""Share of the distance from the mean that a value returns in a day."""
VOLATILITY_SPREAD = 0.5
"""Standard deviation of the logarithm of a bar's volatility."""
REACH = 0.6
"""How far a bar reaches beyond its open and close, relative to its usual return."""
OLDEST_DAYS = 250
"""Days before the start for which there is a path even if no contract was listed then."""
VOLATILITY = 0
"""The first column of the rows of a path, 1 on average; the next four are those of `market.bars`.

Its prices are logarithms relative to the value at the start.
"""


class PricePath(Struct, frozen=True):
    """The path of one underlying, identified by everything that it follows from."""

    seed: int
    coin: str
    daily_volatility: float
    start_ms: int

    @property
    def present_ms(self) -> int:
        """Open time of the minute in which the simulation begins."""
        return self.start_ms // MINUTE_MS * MINUTE_MS

    @property
    def day_ms(self) -> int:
        """Start of the 24 hours before that minute."""
        return self.present_ms - DAY_MS


def _backwards(returns: Floats, length_ms: int) -> Floats:
    """Return the distance of each edge from the latest, latest first: an autoregression."""
    keep = 1 - REVERSION_PER_DAY * length_ms / DAY_MS
    weights = keep ** np.arange(len(returns))
    return np.concatenate([[0.0], np.cumsum(returns / weights) * weights])


def present_value(path: PricePath) -> float:
    """Return the value where the minute of the start opens."""
    sigma = path.daily_volatility * float(((path.start_ms - path.present_ms) / DAY_MS) ** 0.5)
    return Random(f"{path.seed} past {path.coin}").gauss(0, 1) * sigma


class PathSeries(Series):
    """The rows of a path."""

    def __init__(self, path: PricePath) -> None:
        first_ms = min(BORN_MS, path.start_ms - OLDEST_DAYS * DAY_MS) // DAY_MS * DAY_MS
        super().__init__(path, first_ms, range(path.day_ms, path.present_ms))
        self._path = path
        self._name = f"{path.seed} past {path.coin}"

    def draw_minutes(self) -> Floats:
        """Return the minutes of the last 24 hours, drawn backwards."""
        path, count = self._path, DAY_MS // MINUTE_MS
        numbers = generator_named(f"{self._name} day").standard_normal((count, 4))
        volatilities = np.exp(VOLATILITY_SPREAD * numbers[:, 1] - VOLATILITY_SPREAD**2 / 2)
        sigma = path.daily_volatility * (MINUTE_MS / DAY_MS) ** 0.5 * volatilities
        edges = present_value(path) + _backwards(numbers[:, 0] * sigma, MINUTE_MS)
        return _bars(volatilities, edges, sigma, *numbers[:, 2:].T)

    def draw_days(self, first: int, stop: int) -> Floats:
        """Return all whole days, drawn backwards."""
        return self._drawn(first, stop - first, 1.0, self.after(self.whole_days))

    def draw_part(self, span: range) -> Floats:
        """Return one row for the part of a day that ends where the last 24 hours begin."""
        return self._drawn(span.start // DAY_MS, 1, len(span) / DAY_MS, self.after(span))

    def split(self, parents: Floats, from_ms: int, length_ms: int, count: int) -> Floats:
        """Return bridges from open to close that stay within low and high and reach both."""
        if count == 1:
            return parents
        usual = self._path.daily_volatility * (length_ms / DAY_MS) ** 0.5
        key = f"{self._name} {length_ms} of {count}"
        uniform = draws(key, from_ms // length_ms, len(parents) * count)
        return bridges(parents, uniform.reshape(-1, count, 8), usual)

    def _drawn(self, first_day: int, count: int, share: float, after: Floats) -> Floats:
        """Return days, or one with a `share` of a day's length, that lead to the row after them."""
        uniform = draws(f"{self._name} days", first_day, count)[::-1]
        returns, spread = normals(uniform[:, 0], uniform[:, 1])
        up, down = normals(uniform[:, 2], uniform[:, 3])
        volatilities = np.exp(VOLATILITY_SPREAD * spread - VOLATILITY_SPREAD**2 / 2)
        sigma = self._path.daily_volatility * share**0.5 * volatilities
        return _bars(
            volatilities, after[OPEN] + _backwards(returns * sigma, DAY_MS), sigma, up, down
        )


def last_day(path: PricePath) -> Floats:
    """Return the minutes of the 24 hours before the minute of the start."""
    series = PathSeries(path)
    return series.minutes_of(series.known)


def _bars(volatilities: Floats, edges: Floats, sigma: Floats, up: Floats, down: Floats) -> Floats:
    """Return rows, oldest first, of bars between edges, latest first."""
    opens, closes = edges[1:], edges[:-1]
    highs = np.maximum(closes, opens) + np.abs(up) * (REACH * sigma)
    lows = np.minimum(closes, opens) - np.abs(down) * (REACH * sigma)
    return np.stack((volatilities, opens, highs, lows, closes), axis=1)[::-1]


def bridges(parents: Floats, uniform: Floats, usual: float) -> Floats:
    """Return the children of rows of a path, calm ones and volatile ones.

    They meet the parents' average volatility and average price as well.

    Args:
        parents: Rows of a path.
        uniform: Random numbers of the shape (parents, children, 8).
        usual: The usual return of a child.
    """
    opens, highs, lows, closes = (parents[:, n, None] for n in (OPEN, HIGH, LOW, CLOSE))
    spread, step = normals(uniform[..., 0], uniform[..., 1])
    up, down = normals(uniform[..., 2], uniform[..., 3])
    volatilities = np.exp(VOLATILITY_SPREAD * spread)
    volatilities *= parents[:, VOLATILITY, None] / volatilities.mean(axis=1, keepdims=True)
    sigma = usual * volatilities
    walk = np.cumsum(step * sigma, axis=1)
    clock = np.cumsum(sigma * sigma, axis=1)
    walk -= clock / clock[:, -1:] * (walk[:, -1:] - (closes - opens))
    inner = opens + walk[:, :-1]
    place = 0.45 + 0.5 * uniform[:, :1, 4]
    for sign, bound, limit in (
        (1, np.maximum(opens, closes), highs),
        (-1, np.minimum(opens, closes), lows),
    ):  # compress what is beyond open and close
        beyond = np.maximum(sign * (inner - bound), 0)
        most = beyond.max(axis=1, keepdims=True)
        factor = np.minimum(sign * (limit - bound) * place / np.maximum(most, 1e-12), 2.5)
        inner += sign * beyond * (factor - 1)
    # Warp the inner edges within low and high until the average price is that of the parent.
    up, down = REACH * sigma * np.abs(up), REACH * sigma * np.abs(down)
    goal, span = (opens + highs + lows + closes)[:, 0] / 4, highs - lows + 1e-12
    weight = volatilities / volatilities.sum(axis=1, keepdims=True)
    inner = np.clip((inner - lows) / span, 0.002, 0.998)
    for turn in range(5):
        edges = np.concatenate([opens, lows + span * inner, closes], axis=1)
        first, last = edges[:, :-1], edges[:, 1:]
        if turn == 4:
            break
        tops = np.minimum(np.maximum(first, last) + up, highs)
        bottoms = np.maximum(np.minimum(first, last) - down, lows)
        mean = ((first + last + tops + bottoms) * weight).sum(axis=1) / 4
        slope = inner * (1 - inner)
        moves = (slope * (weight[:, 1:] + weight[:, :-1])).sum(axis=1) / 2 * span[:, 0] + 1e-12
        odds = np.exp(np.clip((goal - mean) / moves, -1.5, 1.5))[:, None]
        inner = inner * odds / (1 - inner + inner * odds)
    tops, bottoms = np.maximum(first, last) + up, np.minimum(first, last) - down
    every = np.arange(len(parents))
    tops[every, tops.argmax(axis=1)] = np.inf  # this child reaches the parent's high
    bottoms[every, bottoms.argmin(axis=1)] = -np.inf
    tops, bottoms = np.minimum(tops, highs), np.maximum(bottoms, lows)
    return np.stack((volatilities, first, tops, bottoms, last), axis=2).reshape(-1, 5)
