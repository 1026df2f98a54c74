"""Leverage brackets: what positions of one size may do."""

from __future__ import annotations

from math import floor, log10

from tickerplant.events import Bracket
from tickerplant.instrument import Instrument
from tickerplant.simulation.temper import Temper

TIERS = (
    (1, 150),
    (5, 100),
    (12, 75),
    (40, 50),
    (120, 25),
    (300, 20),
    (700, 10),
    (1_500, 5),
    (3_000, 2),
    (6_000, 1),
)
"""Cap of a bracket, relative to the first one's, and its greatest leverage."""
MAINTENANCE_SHARE = 0.5
"""Part of the initial margin that must be kept."""
RATE_DECIMALS = 4
CAP_TOUCHES = 4
"""The first cap is this many times the usual best quantity."""
LEVERAGES = ((50_000, 125), (10_000, 75), (0, 50))
"""Usual best quantity in USD from which a contract allows so much leverage."""
_UNIT = int(10**RATE_DECIMALS)


def brackets(instrument: Instrument, temper: Temper, scale: float = 1.0) -> tuple[Bracket, ...]:
    """Return the brackets of a contract.

    The maintenance margin is continuous: each `cumulative` is the one before plus the floor times
    the step of the maintenance rate, so that no position is worse off just above a floor.

    Args:
        instrument: The contract; decides whether notionals are quote units or coins.
        temper: Decides how deep its market is.
        scale: Multiplies the notionals.
    """
    unit_usd = temper.price if instrument.venue.inverse else 1.0
    first_cap = CAP_TOUCHES * temper.touch_usd / unit_usd * scale
    greatest = next(most for least_usd, most in LEVERAGES if temper.touch_usd >= least_usd)
    tiers = [(share, min(leverage, greatest)) for share, leverage in TIERS]
    tiers = [
        tier
        for tier, following in zip(tiers, [*tiers[1:], (0, 0)], strict=True)
        if tier[1] > following[1]
    ]
    found: list[Bracket] = []
    lower_cap = rate = cumulative = 0
    for number, (share, leverage) in enumerate(tiers, 1):
        cap = max(_round(first_cap * share), lower_cap + 1)
        before, rate = rate, round(MAINTENANCE_SHARE / leverage * _UNIT)
        cumulative += lower_cap * (rate - before)
        least = tiers[number][1] + 1 if number < len(tiers) else 1
        found.append(
            Bracket(
                number=number,
                notional_floor=lower_cap,
                notional_cap=cap,
                maintenance_margin_rate=rate / _UNIT,
                cumulative=cumulative / _UNIT,
                min_leverage=least,
                max_leverage=leverage,
            )
        )
        lower_cap = cap
    return tuple(found)


def _round(notional: float) -> int:
    """Return about `notional`: a whole number of one significant digit or a half."""
    power = int(10 ** floor(log10(max(notional, 1.0))))
    halves = max(round(2 * notional / power), 1)
    return max(halves * power // 2, 1)
