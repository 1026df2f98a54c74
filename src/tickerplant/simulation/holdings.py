"""What the holders of a contract tend to, and how far trading lets them get there.

Positions are opened and closed by trading: whatever the holders want, no change is larger than
what was traded meanwhile.  What they want is known at every moment, before the start and after it.
"""

from __future__ import annotations

from math import exp

from msgspec import Struct

from tickerplant.instrument import Instrument
from tickerplant.simulation.temper import DAY_S, Temper, usd_quantity
from tickerplant.simulation.volumes import ORDER_MEAN
from tickerplant.simulation.waves import Wave, wave

OPEN_INTEREST_DAYS = 0.55
"""Open positions relative to the volume of an ordinary day."""
OPEN_INTEREST_SPREAD = 0.04
"""Standard deviation of the logarithm of the open interest that is wanted."""
OPENING = 0.5
"""Largest part of what is traded that changes the open interest because it is wanted."""
CHANCE = 0.25
"""Largest part of it that changes the open interest by chance, either way."""
LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS = 5800, 5600, 5200
"""Usual shares of the long side, in 10^-4."""
LONG_SPREADS = (450, 520, 300)
"""Standard deviations of them, in 10^-4."""
LEAST_SHARE, LARGEST_SHARE = 1000, 9000
"""Bounds of the long shares, in 10^-4."""
ONE_SIDED = (900, 1500)
"""Distances of the long accounts' share from even that make the risk medium and high, in 10^-4."""


class Tendency(Struct, frozen=True):
    """What the holders of one contract want, at any time."""

    typical_steps: int
    """The usual open interest, in steps of the quantity."""
    swell: Wave
    shares: tuple[tuple[int, int, Wave], ...]
    """Usual value, spread and wave of each long share, in 10^-4."""


def tendency(instrument: Instrument, temper: Temper, seed: int) -> Tendency:
    """Return what the holders of a contract want: always the same for the same seed."""
    name = f"{seed} past {instrument.symbol} held"
    usual = (LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS)
    return Tendency(
        typical_open_interest(instrument, temper) // instrument.step_size,
        wave(f"{name} open"),
        tuple(
            (share, spread, wave(f"{name} {share}"))
            for share, spread in zip(usual, LONG_SPREADS, strict=True)
        ),
    )


def wanted_steps(tendency: Tendency, swell: float) -> float:
    """Return the open interest that is wanted, in steps, where the wave has the value `swell`."""
    return tendency.typical_steps * exp(OPEN_INTEREST_SPREAD * swell)


def moved(held: int, wanted: float, traded: int, chance: float) -> int:
    """Return the open interest once so much was traded; all in steps.

    The change has at most `OPENING` + `CHANCE` of what was traded.

    Args:
        held: The open interest before.
        wanted: What it tends to.
        traded: What was traded meanwhile.
        chance: Part of it that opens positions by chance, at most `CHANCE` either way.
    """
    most = OPENING * traded
    change = min(max(wanted - held, -most), most) + chance * traded
    return max(held + int(change), 0)


def typical_open_interest(instrument: Instrument, temper: Temper) -> int:
    """Return the usual open positions of one side, in quantity units and whole steps."""
    day_usd = temper.orders_per_s * DAY_S * temper.order_usd * ORDER_MEAN
    quantity = usd_quantity(instrument, temper.price, day_usd) * OPEN_INTEREST_DAYS
    step = instrument.step_size
    return max(int(quantity) // step, 1) * step


def adl_risk(long_accounts: int) -> str:
    """Return the risk of automatic deleveraging when that share of the accounts is long; 10^-4."""
    off = abs(long_accounts - 5000)
    medium, high = ONE_SIDED
    return "high" if off >= high else "medium" if off >= medium else "low"
