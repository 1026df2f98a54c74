"""What the holders of a contract tend to, and how far trading lets them get there.

Positions are opened and closed by trading: whatever the holders want, no change is larger than
what was traded meanwhile.  What they want is known at every moment, before the start and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp
from random import Random

import numpy as np
from msgspec import Struct

from tickerplant.events import Positioning
from tickerplant.instrument import Instrument
from tickerplant.market.bars import OPEN_TIME, VOLUME
from tickerplant.market.series import POSITIONING_PERIOD_MS, RETAINED_ROWS
from tickerplant.simulation.contract_profile import DAY_S, ContractProfile, usd_quantity
from tickerplant.simulation.history_bars import ORDER_MEAN, Ints, traded_bars
from tickerplant.simulation.history_inputs import HistoryInputs
from tickerplant.simulation.price_paths import DAY, HOURS, LENGTHS_MS, WEEK, Floats
from tickerplant.simulation.recent_trades import recent_trades
from tickerplant.simulation.smooth_noise import SmoothNoise, smooth_noise

OPEN_INTEREST_DAYS = 0.55
"""Open positions relative to the volume of an ordinary day."""
OPEN_INTEREST_SPREAD = 0.04
"""Standard deviation of the logarithm of the open interest that is wanted."""
TARGETED_SHARE = 0.5
"""Largest part of what is traded that changes the open interest because it is wanted."""
RANDOM_SHARE = 0.25
"""Largest part of it that changes the open interest by chance, either way."""
LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS = 5800, 5600, 5200
"""Usual shares of the long side, in 10^-4."""
LONG_SPREADS = (450, 520, 300)
"""Standard deviations of them, in 10^-4."""
LEAST_SHARE, LARGEST_SHARE = 1000, 9000
"""Bounds of the long shares, in 10^-4."""
ONE_SIDED = (900, 1500)
"""Distances of the long accounts' share from even that make the risk medium and high, in 10^-4."""


class PositionTargets(Struct, frozen=True):
    """What the holders of one contract want, at any time."""

    typical_steps: int
    """The usual open interest, in steps of the quantity."""
    swell: SmoothNoise
    shares: tuple[tuple[int, int, SmoothNoise], ...]
    """Usual value, spread and wave of each long share, in 10^-4."""


def position_targets(
    instrument: Instrument, contract_profile: ContractProfile, seed: int
) -> PositionTargets:
    """Return what the holders of a contract want: always the same for the same seed."""
    name = f"{seed} past {instrument.symbol} held"
    usual = (LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS)
    return PositionTargets(
        usual_open_interest(instrument, contract_profile) // instrument.step_size,
        smooth_noise(f"{name} open"),
        tuple(
            (share, spread, smooth_noise(f"{name} {share}"))
            for share, spread in zip(usual, LONG_SPREADS, strict=True)
        ),
    )


def target_steps(position_targets: PositionTargets, swell: float) -> float:
    """Return the open interest that is wanted, in steps, where the wave has the value `swell`."""
    return position_targets.typical_steps * exp(OPEN_INTEREST_SPREAD * swell)


def next_open_interest(held: int, wanted: float, traded: int, chance: float) -> int:
    """Return the open interest once so much was traded; all in steps.

    The change has at most `TARGETED_SHARE` + `RANDOM_SHARE` of what was traded.

    Args:
        held: The open interest before.
        wanted: What it tends to.
        traded: What was traded meanwhile.
        chance: Part of it that opens positions by chance, at most `RANDOM_SHARE` either way.
    """
    most = TARGETED_SHARE * traded
    change = min(max(wanted - held, -most), most) + chance * traded
    return max(held + int(change), 0)


def usual_open_interest(instrument: Instrument, contract_profile: ContractProfile) -> int:
    """Return the usual open positions of one side, in quantity units and whole steps."""
    day_usd = contract_profile.orders_per_s * DAY_S * contract_profile.order_usd * ORDER_MEAN
    quantity = usd_quantity(instrument, contract_profile.price, day_usd) * OPEN_INTEREST_DAYS
    step = instrument.step_size
    return max(int(quantity) // step, 1) * step


def adl_risk(long_accounts: int) -> str:
    """Return the risk of automatic deleveraging when that share of the accounts is long; 10^-4."""
    off = abs(long_accounts - 5000)
    medium, high = ONE_SIDED
    return "high" if off >= high else "medium" if off >= medium else "low"


ANY_ID = 0
"""How much was traded does not depend on the ids of trades."""
KEPT_POSITIONS = 8
"""Contracts whose past positions are remembered, at most 2 MB each."""


@lru_cache(maxsize=KEPT_POSITIONS)
def positions(inputs: HistoryInputs) -> tuple[Positioning, ...]:
    """Return who held what at every whole five minutes of a month before the start."""
    instrument = inputs.instrument
    times_ms = _times_ms(inputs)
    held = [steps * instrument.step_size for steps in _held_steps(inputs, times_ms)]
    accounts, top_accounts, top_positions = long_shares(inputs, times_ms)
    columns = (held, accounts, top_accounts, top_positions, times_ms.tolist())
    return tuple(
        Positioning(instrument.symbol, open_interest, long, top, top_long, adl_risk(long), time_ms)
        for open_interest, long, top, top_long, time_ms in zip(*columns, strict=True)
    )


def publish_time_ms(inputs: HistoryInputs) -> int:
    """Return when the positions of the start are told: at its whole second."""
    return inputs.start_ms // 1000 * 1000


def opening_open_interest(inputs: HistoryInputs) -> int:
    """Return the open interest that the past leads to, in steps of the quantity."""
    wanted = round(_wanted(inputs, np.array([publish_time_ms(inputs)]))[0])
    if not _listed_lately(inputs):
        return wanted
    times_ms = _times_ms(inputs)
    grown = _grown(_traded(inputs, times_ms), _chances(inputs, len(times_ms)))
    return min(wanted, grown[-1])


def long_shares(inputs: HistoryInputs, times_ms: Ints) -> tuple[list[int], ...]:
    """Return the three shares of the long side at many times, in 10^-4, within their bounds."""
    shares = position_targets(inputs.instrument, inputs.contract_profile, inputs.seed).shares
    return tuple(_share(usual + spread * each.at(times_ms)) for usual, spread, each in shares)


def _share(values: Floats) -> list[int]:
    rounded = np.clip(np.round(values), LEAST_SHARE, LARGEST_SHARE).astype(np.int64)
    share: list[int] = rounded.tolist()
    return share


def _oldest_ms(inputs: HistoryInputs) -> int:
    """Return the first whole five minutes of the month before the start."""
    return (publish_time_ms(inputs) - 1) // POSITIONING_PERIOD_MS * POSITIONING_PERIOD_MS - (
        RETAINED_ROWS - 1
    ) * POSITIONING_PERIOD_MS


def _listed_lately(inputs: HistoryInputs) -> bool:
    return inputs.listed_ms(POSITIONING_PERIOD_MS) > _oldest_ms(inputs)


def _times_ms(inputs: HistoryInputs) -> Ints:
    """Return every whole five minutes of the month before the start, since the listing."""
    first_ms = max(_oldest_ms(inputs), inputs.listed_ms(POSITIONING_PERIOD_MS))
    return np.arange(first_ms, publish_time_ms(inputs), POSITIONING_PERIOD_MS, dtype=np.int64)


def _wanted(inputs: HistoryInputs, times_ms: Ints) -> list[float]:
    """Return the open interest that was wanted at many times, in steps."""
    wanted = position_targets(inputs.instrument, inputs.contract_profile, inputs.seed)
    return [target_steps(wanted, swell) for swell in wanted.swell.at(times_ms).tolist()]


def _held_steps(inputs: HistoryInputs, times_ms: Ints) -> list[int]:
    """Return the open interest at many times, in steps."""
    traded, chances = _traded(inputs, times_ms), _chances(inputs, len(times_ms))
    held = [opening_open_interest(inputs)]
    before = zip(_wanted(inputs, times_ms), traded.tolist(), chances.tolist(), strict=True)
    for wanted, quantity, chance in reversed(list(before)):
        held.append(next_open_interest(held[-1], wanted, quantity, chance))
    rows = held[:0:-1]
    if not _listed_lately(inputs):
        return rows
    return [min(pair) for pair in zip(rows, _grown(traded, chances)[:-1], strict=True)]


def _grown(traded: Ints, chances: Floats) -> list[int]:
    """Return what was open at most since a listing: before each five minutes, and at the end."""
    opened = np.floor((TARGETED_SHARE + chances) * traded).astype(np.int64)
    grown: list[int] = np.concatenate([[0], np.cumsum(opened)]).tolist()
    return grown


def _chances(inputs: HistoryInputs, count: int) -> Floats:
    """Draw the part of what was traded that opened positions by chance, of each five minutes."""
    random = Random(f"{inputs.name} held chances")
    return np.random.default_rng(random.getrandbits(64)).uniform(-RANDOM_SHARE, RANDOM_SHARE, count)


def _traded(inputs: HistoryInputs, times_ms: Ints) -> Ints:
    """Return how many steps were traded in the five minutes since each time, before the start.

    Where only hours are known, five minutes are a twelfth of one.
    """
    traded = np.zeros(len(times_ms), dtype=np.int64)
    if not len(times_ms):
        return traded
    parts = [_of_tier(inputs, tier) for tier in (HOURS, WEEK, DAY)]
    trades = recent_trades(inputs, ANY_ID)
    trades = trades[trades["trade_time_ms"] < publish_time_ms(inputs)]
    parts.append((trades["trade_time_ms"], trades["quantity"]))
    for since_ms, volumes in parts:
        slots = (since_ms - times_ms[0]) // POSITIONING_PERIOD_MS
        inside = slots >= 0
        np.add.at(traded, slots[inside], volumes[inside])
    return traded // inputs.instrument.step_size


def _of_tier(inputs: HistoryInputs, tier: str) -> tuple[Ints, Ints]:
    """Return since when and how much was traded in parts of five minutes or less."""
    bars = traded_bars(inputs, tier, ANY_ID)
    parts = max(LENGTHS_MS[tier] // POSITIONING_PERIOD_MS, 1)
    since_ms = bars[:, OPEN_TIME, None] + np.arange(parts) * POSITIONING_PERIOD_MS
    return since_ms.ravel(), np.repeat(bars[:, VOLUME] // parts, parts)


POSITIONING_INTERVAL_S = 5
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


class Positions:
    """Everybody who has a position in one contract; at the start what the past leads to.

    Args:
        inputs: What decides the past of the contract.
        activity: Returns how lively the trading is, relative to an ordinary day.
    """

    def __init__(self, inputs: HistoryInputs, activity: Callable[[], float]) -> None:
        instrument = inputs.instrument
        self._random = random = Random(f"{inputs.seed} holders {instrument.symbol}")
        self.slot = random.randrange(POSITIONING_INTERVAL_S)
        """The second of five at which they are told."""
        self._symbol, self._step_size = instrument.symbol, instrument.step_size
        self._activity = activity
        self._tendency = position_targets(instrument, inputs.contract_profile, inputs.seed)
        self._held = opening_open_interest(inputs)
        self._volume = 0
        levels = long_shares(inputs, np.array([publish_time_ms(inputs)]))
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
        chance = self._random.uniform(-RANDOM_SHARE, RANDOM_SHARE)
        self._held = next_open_interest(
            self._held, target_steps(self._tendency, swell), traded, chance
        )
        pace = self._activity() ** 0.5
        for share in self._shares:
            share.step(pace)
