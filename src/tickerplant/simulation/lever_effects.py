"""What levers do over time: the path of a price shock, a premium that builds up, forced orders.

Everything random is drawn in advance from the lever's own source, so the agents draw what they
would have drawn.
"""

from __future__ import annotations

from random import Random

from tickerplant.simulation.mark_price import CLAMP, INTEREST_RATE

PATH_STEP_MS = 200
"""Time between two steps of a path."""
PATH_TAIL = 1.6
"""Exponent that makes some steps of a path much larger than others."""
MOST_ORDERS = 400
"""Most forced orders of a wave in one contract."""
CLUSTERS = 7
"""Times around which forced orders gather."""
CLUSTER_MS = 350.0
"""Mean distance of a forced order from the time it gathers around."""
SIZE_SPREAD = 1.1
"""Standard deviation of the logarithm of the size of a forced order."""


def path_shares(random: Random, over_ms: int) -> list[tuple[int, float]]:
    """Return the steps of a move: their times after its start, and shares that add up to 1."""
    count = max(over_ms // PATH_STEP_MS, 1)
    weights = [random.expovariate(1.0) ** PATH_TAIL for _ in range(count)]
    total = sum(weights)
    return [(number * over_ms // count, weight / total) for number, weight in enumerate(weights, 1)]


def premium_of_rate(rate: float, interval_hours: int) -> float:
    """Return the average premium from which the exchange's formula makes a funding rate."""
    over_eight_hours = rate * 8 / interval_hours
    if over_eight_hours > INTEREST_RATE:
        return over_eight_hours + CLAMP
    if over_eight_hours < INTEREST_RATE:
        return over_eight_hours - CLAMP
    return INTEREST_RATE


def wave(
    random: Random, over_ms: int, quantity: int, step: int, most: int
) -> list[tuple[int, int]]:
    """Return the forced orders of a wave: times after its start and sizes, in order of time.

    Args:
        random: The source of sizes and times.
        over_ms: The time in which they come.
        quantity: What they add up to, rounded down to steps.
        step: The smallest size, and the unit of all sizes.
        most: The largest size.
    """
    mean = max(quantity / (MOST_ORDERS / 4), step)
    centres = [random.random() ** 1.5 * over_ms for _ in range(CLUSTERS)]
    orders: list[tuple[int, int]] = []
    left = quantity
    while left >= step and len(orders) < MOST_ORDERS:
        is_last = len(orders) == MOST_ORDERS - 1
        drawn = left if is_last else int(mean * random.lognormvariate(0, SIZE_SPREAD))
        size = max(min(drawn, left, most) // step, 1) * step
        at_ms = int(random.choice(centres) + random.expovariate(1 / CLUSTER_MS))
        orders.append((min(at_ms, over_ms), size))
        left -= size
    return sorted(orders)
