"""How a contract behaves: who trades it, how often, and what its book looks like."""

from __future__ import annotations

from math import sqrt

from msgspec import Struct
from msgspec.structs import replace

from tickerplant.instrument import Instrument
from tickerplant.simulation.underlyings import COINS, underlying_named
from tickerplant.units import DAY_MS

MINOR_ORDERS = 0.17
"""Orders of a perpetual on COIN-M or in USDC, relative to the main contract of its underlying."""
MINOR_TOUCH = 0.6
MINOR_ORDER_USD = 0.9
DATED_ORDERS = 0.035
DATED_TOUCH = 0.2
DATED_REQUOTE_ACTIVITY = 0.35
DAY_S = DAY_MS // 1000
BUSIEST = COINS[0]
MOVE_EXPONENT = 0.25
SNIPER_SHARE = 0.2
YEAR_MS = 365 * DAY_MS
BASIS_PER_YEAR = 0.06
"""Premium of dated contracts over the index, per year to delivery."""


class MakerStyle(Struct, frozen=True, kw_only=True):
    """How the makers of one kind of contracts quote."""

    near_levels: int
    """Levels that a side keeps within ten basis points, if there are enough ticks."""
    near_thinning: float
    """Share of these levels that is kept in the first basis point."""
    distance_shares: tuple[tuple[float, float, float], ...]
    """Ranges of distances from the best price in basis points, and their shares of the changes."""
    drop_share: float
    """Chance that a maker who visits an order withdraws it instead of resizing it."""
    round_wall: float
    """Quantity at multiples of a hundred ticks, relative to other prices."""
    near_quantity: float
    """Quantity of levels in the first basis point, relative to those behind it."""
    level_share: float
    """Median quantity of a level near the best, relative to the usual best quantity."""
    move_threshold_bp: float
    """Distance between fair value and mid that moves the best prices of the busiest contract."""
    impact: float
    """Move of the fair value after a typical order, relative to a second's volatility."""
    sniping_chance: float
    """Chance that a taker trades with a stale quote before its maker withdraws it."""
    bursts_per_order: float
    """Bursts of changes of best quantities in reaction to an order, and to a move."""
    bursts_per_move: float
    levels_per_order: float
    """Levels behind the best that are requoted in reaction to an order, and to a move."""
    levels_per_move: float
    sweep_levels: float
    """Median number of levels that one maker requotes at once."""
    idle_share: float
    """Share of the quoting that reacts to nothing."""
    touch_share: float
    """Best quantity of a side just after a move, relative to the usual."""


LEADER = MakerStyle(
    near_levels=320,
    near_thinning=0.55,
    distance_shares=(
        (0.0, 0.25, 0.06),
        (0.25, 1.0, 0.09),
        (1.0, 2.0, 0.10),
        (2.0, 5.0, 0.22),
        (5.0, 10.0, 0.16),
        (10.0, 20.0, 0.13),
        (20.0, 50.0, 0.10),
        (50.0, 200.0, 0.08),
        (200.0, 900.0, 0.06),
    ),
    drop_share=0.17,
    round_wall=9.0,
    near_quantity=0.9,
    level_share=0.006,
    move_threshold_bp=0.13,
    impact=0.045,
    sniping_chance=0.68,
    bursts_per_order=0.55,
    bursts_per_move=0.5,
    levels_per_order=42.0,
    levels_per_move=30.0,
    sweep_levels=12.0,
    idle_share=0.22,
    touch_share=0.1,
)
FOLLOWER = MakerStyle(
    near_levels=140,
    near_thinning=0.6,
    distance_shares=(
        (0.0, 0.25, 0.07),
        (0.25, 1.0, 0.12),
        (1.0, 2.0, 0.12),
        (2.0, 5.0, 0.24),
        (5.0, 10.0, 0.17),
        (10.0, 20.0, 0.11),
        (20.0, 50.0, 0.07),
        (50.0, 200.0, 0.06),
        (200.0, 900.0, 0.04),
    ),
    drop_share=0.55,
    round_wall=1.0,
    near_quantity=0.4,
    level_share=0.012,
    move_threshold_bp=0.16,
    impact=0.2,
    sniping_chance=0.1,
    bursts_per_order=0.7,
    bursts_per_move=0.5,
    levels_per_order=90.0,
    levels_per_move=70.0,
    sweep_levels=4.0,
    idle_share=0.22,
    touch_share=0.12,
)


class ContractProfile(Struct, frozen=True, kw_only=True):
    """The trading behaviour of one contract."""

    style: MakerStyle
    leads: bool
    """Whether its trades set the price of the underlying, which other contracts follow."""
    price: float
    """USD at the start."""
    daily_volatility: float
    beta: float
    orders_per_s: float
    order_usd: float
    touch_usd: float
    requote_activity: float
    """How much its makers requote, relative to those of perpetual contracts."""

    @property
    def volatility_bp(self) -> float:
        """Standard deviation of one second's return, in basis points."""
        return self.daily_volatility / sqrt(DAY_S) * 1e4

    @property
    def move_threshold_bp(self) -> float:
        """Distance between fair value and mid that moves the best prices.

        Thinly traded and volatile contracts move in larger steps.
        """
        activity_level = self.orders_per_s / BUSIEST.orders_per_s
        volatilities = self.daily_volatility / BUSIEST.daily_volatility
        return self.style.move_threshold_bp * max(
            volatilities * float(activity_level**-MOVE_EXPONENT), 1.0
        )

    @property
    def sniping_chance(self) -> float:
        """Chance that a taker trades with a stale quote before its maker withdraws it.

        Bounded, so that such takers stay a minority in thinly traded contracts.
        """
        moves_per_s = (self.volatility_bp / self.move_threshold_bp) ** 2 / 16
        return min(self.style.sniping_chance, SNIPER_SHARE * self.orders_per_s / moves_per_s)

    def quoting(self, share: float) -> ContractProfile:
        """Return the profile of a contract whose makers quote only a share of what they usually do.

        They change fewer quotes after orders and moves, and move the best prices less often and
        further at a time.  A share of 1 changes nothing.
        """
        style = self.style
        return replace(
            self,
            requote_activity=self.requote_activity * share,
            style=replace(
                style,
                bursts_per_order=style.bursts_per_order * share,
                levels_per_order=style.levels_per_order * share,
                move_threshold_bp=style.move_threshold_bp / sqrt(share),
            ),
        )


def contract_profile(instrument: Instrument) -> ContractProfile:
    """Return the profile of a contract; an underlying without a row is generated from its name."""
    coin = underlying_named(instrument.base_asset)
    is_minor = instrument.quote_asset != "USDT"
    orders, touch_usd, order_usd = coin.orders_per_s, coin.touch_usd, coin.order_usd
    if is_minor:
        orders *= MINOR_ORDERS
        touch_usd *= MINOR_TOUCH
        order_usd *= MINOR_ORDER_USD
    if not instrument.perpetual:
        orders *= DATED_ORDERS if not is_minor else DATED_ORDERS / MINOR_ORDERS
        touch_usd *= DATED_TOUCH
    leads = instrument.perpetual and not is_minor
    return ContractProfile(
        style=LEADER if leads else FOLLOWER,
        leads=leads,
        price=coin.price,
        daily_volatility=coin.daily_volatility,
        beta=coin.beta,
        orders_per_s=orders,
        order_usd=order_usd,
        touch_usd=touch_usd,
        requote_activity=1.0 if instrument.perpetual else DATED_REQUOTE_ACTIVITY,
    )


def usd_quantity(instrument: Instrument, price_usd: float, usd: float) -> float:
    """Return the quantity that `usd` buys, in quantity units, not rounded to steps."""
    if instrument.venue.inverse:
        return usd / instrument.contract_size
    return usd / price_usd * float(10**instrument.quantity.decimals)
