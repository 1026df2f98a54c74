"""What is usually held in a contract, and how one-sided that may be."""

from __future__ import annotations

from tickerplant.instrument import Instrument
from tickerplant.simulation.temper import DAY_S, Temper, usd_quantity
from tickerplant.simulation.volumes import ORDER_MEAN

OPEN_INTEREST_DAYS = 0.55
"""Open positions relative to the volume of an ordinary day."""
OPEN_INTEREST_SPREAD = 0.12
"""Standard deviation of the logarithm of the open interest."""
LONG_ACCOUNTS, TOP_LONG_ACCOUNTS, TOP_LONG_POSITIONS = 5800, 5600, 5200
"""Usual shares of the long side, in 10^-4."""
LONG_SPREADS = (450, 520, 300)
"""Standard deviations of them, in 10^-4."""
ONE_SIDED = (900, 1500)
"""Distances of the long accounts' share from even that make the risk medium and high, in 10^-4."""


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
