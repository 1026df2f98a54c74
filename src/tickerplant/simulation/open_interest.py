"""Open interest and long/short positions, before the start and after it.

Trading opens and closes positions: the open interest moves towards a target, but never by more
than was traded. The targets are known at every time. Before the start, the open interest is
generated backwards; a contract that was listed within the last month began with none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from math import exp
from random import Random

import numpy as np
from numpy.typing import NDArray

from tickerplant.events import Positioning
from tickerplant.instrument import Instrument
from tickerplant.market.bars import OPEN_TIME, VOLUME
from tickerplant.market.series import POSITIONING_PERIOD_MS, RETAINED_ROWS
from tickerplant.simulation.bar_splits import STEPS
from tickerplant.simulation.contract_profile import DAY_S, ContractProfile, usd_quantity
from tickerplant.simulation.history_bars import ORDER_MEAN, day_bars
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.history_pieces import Floats, Ints, generator_named
from tickerplant.simulation.past_series import TradedSeries
from tickerplant.simulation.recent_trades import recent_trades
from tickerplant.simulation.smooth_noise import smooth_noise
from tickerplant.units import DAY_MS

OPEN_INTEREST_DAYS = 0.55
"""Usual open interest, relative to the volume of an ordinary day."""
OPEN_INTEREST_SPREAD = 0.04
"""Standard deviation of the logarithm of the target open interest."""
TARGETED_SHARE = 0.5
"""Largest share of the traded quantity that moves the open interest towards its target."""
RANDOM_SHARE = 0.25
"""Largest share of the traded quantity that moves the open interest randomly, either way."""
LONG_SHARES = {
    "long_accounts": (5800, 450),
    "top_long_accounts": (5600, 520),
    "top_long_positions": (5200, 300),
}
"""The fields of `Positioning` that are long shares: their usual values and standard deviations, in 10^-4."""
SHARES = tuple(LONG_SHARES)
LEAST_SHARE, LARGEST_SHARE = 1000, 9000
"""Bounds of the long shares, in 10^-4."""
ONE_SIDED = (900, 1500, 1700)
"""Distances of the long accounts' share from even, in 10^-4, from which each higher risk holds."""
ADL_RISKS = ("LOW", "MIDDLE", "HIGH", "EXTREMELY_HIGH")


class PositionTargets:
    """The target open interest and long shares of one contract, at any time."""

    def __init__(self, inputs: HistoryInputs) -> None:
        usual = usual_open_interest(inputs.instrument, inputs.contract_profile)
        self._usual_steps = usual // inputs.instrument.step_size
        self._name = f"{inputs.name} held"
        self._fluctuation = smooth_noise(f"{self._name} open")

    def steps(self, times_ms: Ints) -> list[float]:
        """Return the target open interest at many times, in steps of the quantity."""
        fluctuations = self._fluctuation.at(times_ms).tolist()
        return [self._usual_steps * exp(OPEN_INTEREST_SPREAD * each) for each in fluctuations]

    def share(self, field: str, times_ms: Ints) -> list[int]:
        """Return one of `SHARES` at many times, in 10^-4, within its bounds."""
        usual, spread = LONG_SHARES[field]
        noise = smooth_noise(f"{self._name} {usual}").at(times_ms)
        rounded = np.clip(np.round(usual + spread * noise), LEAST_SHARE, LARGEST_SHARE)
        share: list[int] = rounded.astype(np.int64).tolist()
        return share


def next_open_interest(open_interest: int, target: float, traded: int, chance: float) -> int:
    """Return the open interest after `traded`; all in steps.

    The change is at most `TARGETED_SHARE` + `RANDOM_SHARE` of the traded quantity.

    Args:
        open_interest: The open interest before.
        target: The open interest that it moves towards.
        traded: The quantity traded since.
        chance: The share of it that opens positions randomly, at most `RANDOM_SHARE` either way.
    """
    most, change = TARGETED_SHARE * traded, target - open_interest
    if change > most:  # as min and max, in half the time
        change = most
    elif change < -most:
        change = -most
    after = open_interest + int(change + chance * traded)
    return max(after, 0)


def usual_open_interest(instrument: Instrument, contract_profile: ContractProfile) -> int:
    """Return the usual open interest, in quantity units and whole steps."""
    day_usd = contract_profile.orders_per_s * DAY_S * contract_profile.order_usd * ORDER_MEAN
    quantity = usd_quantity(instrument, contract_profile.price, day_usd) * OPEN_INTEREST_DAYS
    step = instrument.step_size
    return max(int(quantity) // step, 1) * step


def adl_risk(long_accounts: int) -> str:
    """Return the risk of automatic deleveraging for a share of long accounts in 10^-4."""
    return ADL_RISKS[bisect_right(ONE_SIDED, abs(long_accounts - 5000))]


ANY_ID = 0
"""Any trade id: the traded quantity does not depend on it."""
EXACT_DAYS = 6
"""Whole days before the last 24 hours whose volumes are known for every five minutes."""
MAX_CACHED_CONTRACTS = 1_024
"""How many `past_steps` are cached: 35 kB each, 69 kB from 2^32 steps on."""
LATEST_ROWS = 1_024
"""Rows that are generated without those before them."""


class PastPositions:
    """The positioning at every five minutes of the month before the start."""

    def __init__(self, inputs: HistoryInputs) -> None:
        self._inputs = inputs
        self.times_ms = _times_ms(inputs)

    def column(self, field: str, times_ms: range) -> list[int]:
        """Return a number of `Positioning` at some of `times_ms`."""
        if field in SHARES:
            return PositionTargets(self._inputs).share(field, np.array(times_ms, np.int64))
        every = times_ms.step // POSITIONING_PERIOD_MS
        wanted = len(range(times_ms.start, self.times_ms.stop, POSITIONING_PERIOD_MS))
        is_late = wanted <= LATEST_ROWS and not _listed_lately(self._inputs)
        steps = past_steps(self._inputs, LATEST_ROWS if is_late else RETAINED_ROWS)
        first = len(steps) - wanted
        steps = steps[first : first + every * len(times_ms) : every]
        return [each * self._inputs.instrument.step_size for each in steps.tolist()]


@lru_cache(maxsize=MAX_CACHED_CONTRACTS)
def past_steps(inputs: HistoryInputs, count: int = RETAINED_ROWS) -> NDArray[np.unsignedinteger]:
    """Return the open interest in steps at the last `count` whole five minutes before the start."""
    every_ms = _times_ms(inputs)
    times_ms, chances = every_ms[-count:], _chances(inputs, len(every_ms))[-count:]
    traded = _traded_steps(inputs, times_ms)
    targets = PositionTargets(inputs).steps(np.array(times_ms, np.int64))
    steps, held = [], opening_open_interest(inputs)
    for row in zip(targets[::-1], traded[::-1].tolist(), chances[::-1].tolist(), strict=True):
        held = next_open_interest(held, *row)
        steps.append(held)
    steps.reverse()
    if _listed_lately(inputs):
        steps = [*map(min, steps, _upper_bounds(traded, chances))]
    return np.array(steps, np.min_scalar_type(max(steps, default=0)))


def publish_time_ms(inputs: HistoryInputs) -> int:
    """Return the time of the opening positioning: the whole second of the start."""
    return inputs.start_ms // 1000 * 1000


def opening_open_interest(inputs: HistoryInputs) -> int:
    """Return the open interest that the history leads to, in steps of the quantity."""
    target = round(PositionTargets(inputs).steps(np.array([publish_time_ms(inputs)]))[0])
    if not _listed_lately(inputs):
        return target
    traded = _traded_steps(inputs, _times_ms(inputs))
    return min(target, _upper_bounds(traded, _chances(inputs, len(traded)))[-1])


def _oldest_ms(inputs: HistoryInputs) -> int:
    """Return the first whole five minutes of the month before the start."""
    periods = (publish_time_ms(inputs) - 1) // POSITIONING_PERIOD_MS - (RETAINED_ROWS - 1)
    return periods * POSITIONING_PERIOD_MS


def _listed_lately(inputs: HistoryInputs) -> bool:
    return inputs.listed_ms(POSITIONING_PERIOD_MS) > _oldest_ms(inputs)


def _times_ms(inputs: HistoryInputs) -> range:
    """Return every whole five minutes of the month before the start, since the listing."""
    first_ms = max(_oldest_ms(inputs), inputs.listed_ms(POSITIONING_PERIOD_MS))
    return range(first_ms, publish_time_ms(inputs), POSITIONING_PERIOD_MS)


def _upper_bounds(traded: Ints, chances: Floats) -> list[int]:
    """Return upper bounds since the listing: before each five minutes, and at the end."""
    opened = np.floor((TARGETED_SHARE + chances) * traded).astype(np.int64)
    upper_bounds: list[int] = np.concatenate([[0], np.cumsum(opened)]).tolist()
    return upper_bounds


def _chances(inputs: HistoryInputs, count: int) -> Floats:
    """Draw the share of each five minutes' traded quantity that opens positions randomly."""
    generator = generator_named(f"{inputs.name} held chances")
    return generator.uniform(-RANDOM_SHARE, RANDOM_SHARE, count)


def _traded_steps(inputs: HistoryInputs, times_ms: range) -> Ints:
    """Return the steps traded in the five minutes from each time, up to the start.

    Before the last `EXACT_DAYS`, five minutes are a third of a quarter of an hour.
    """
    traded = np.zeros(len(times_ms), dtype=np.int64)
    if not len(times_ms):
        return traded
    step, day = inputs.instrument.step_size, day_bars(inputs)
    recent = recent_trades(inputs, ANY_ID)
    recent = recent[recent["trade_time_ms"] < publish_time_ms(inputs)]
    parts = [(day[:, OPEN_TIME], day[:, VOLUME] // step)]
    parts.append((recent["trade_time_ms"], recent["quantity"] // step))
    border_ms = max(times_ms.start, (inputs.path.day_ms // DAY_MS - EXACT_DAYS) * DAY_MS)
    quarter_ms = 3 * POSITIONING_PERIOD_MS
    for length_ms, from_ms, until_ms in (
        (quarter_ms, times_ms.start // quarter_ms * quarter_ms, border_ms),
        (POSITIONING_PERIOD_MS, border_ms, inputs.path.day_ms),
    ):
        for each_ms, rows in TradedSeries(inputs).pieces(length_ms, from_ms, until_ms):
            count = -(-each_ms // POSITIONING_PERIOD_MS)
            since_ms = rows[:, OPEN_TIME, None] + np.arange(count) * POSITIONING_PERIOD_MS
            steps = rows[:, STEPS].sum(axis=1) // count
            parts.append((since_ms.ravel(), np.repeat(steps, count)))
    for since_ms, steps in parts:
        slots = (since_ms - times_ms.start) // POSITIONING_PERIOD_MS
        inside = slots >= 0
        np.add.at(traded, slots[inside], steps[inside])
    return traded


POSITIONING_INTERVAL_S = 5
"""Period in which the positioning is published."""
SHARE_KEEP = 0.999986
"""Share of its distance from the usual value that a long share keeps after one step."""


class Reverting:
    """A number that wanders around a mean and keeps returning to it."""

    def __init__(self, random: Random, level: float, mean: float, spread: float) -> None:
        self._random = random
        self._mean = mean
        self._shock = spread * float((1 - SHARE_KEEP**2) ** 0.5)
        self.level = level

    def step(self, pace: float) -> None:
        """Advance by one step, `pace` times as fast as usual."""
        shock = self._random.gauss(0, self._shock * pace)
        self.level = self._mean + (self.level - self._mean) * SHARE_KEEP + shock


class Positions:
    """The positions in one contract; at the start those that the history leads to."""

    def __init__(self, inputs: HistoryInputs, activity: Callable[[], float]) -> None:
        instrument = inputs.instrument
        self._random = random = Random(f"{inputs.seed} holders {instrument.symbol}")
        self.slot = random.randrange(POSITIONING_INTERVAL_S)
        """The second of the period at which they are published."""
        self._symbol, self._step_size = instrument.symbol, instrument.step_size
        self._activity = activity
        self._targets = PositionTargets(inputs)
        self._open_interest = opening_open_interest(inputs)
        self._volume = 0
        self.target_factor = 1.0
        """Multiplies the open interest that trading moves it towards."""
        now_ms = np.array([publish_time_ms(inputs)])
        self._shares = [
            Reverting(random, self._targets.share(field, now_ms)[0], *LONG_SHARES[field])
            for field in SHARES
        ]

    def at(self, now_ms: int, volume: int) -> Positioning:
        """Return the positioning after `volume` was traded since the opening, in quantity units.

        Nothing changes if nothing was traded since the last call.
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
            open_interest=self._open_interest * self._step_size,
            long_accounts=accounts,
            top_long_accounts=top_accounts,
            top_long_positions=top_positions,
            adl_risk=adl_risk(accounts),
            time_ms=now_ms,
        )

    def _trade(self, now_ms: int, traded: int) -> None:
        """Open and close positions with the `traded` steps, and move the long shares."""
        chance = self._random.uniform(-RANDOM_SHARE, RANDOM_SHARE)
        target = self._targets.steps(np.array([now_ms]))[0] * self.target_factor
        self._open_interest = next_open_interest(self._open_interest, target, traded, chance)
        pace = self._activity() ** 0.5
        for share in self._shares:
            share.step(pace)
