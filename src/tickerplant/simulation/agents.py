"""All agents that trade one contract, and how they react to each other."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

from tickerplant.events import Level, RpiUpdate
from tickerplant.simulation.conditions import ORDINARY, Conditions
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import ContractProfile
from tickerplant.simulation.depth_makers import SWEEP_SPREAD, DepthMakers
from tickerplant.simulation.leverage import LeveragedPositions
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.rpi_makers import RpiMakers
from tickerplant.simulation.takers import Takers
from tickerplant.simulation.touch_makers import TouchMakers
from tickerplant.simulation.valuation import Valuation

REACTIONS = ((0.35, 0.6), (0.40, 6.0), (0.17, 60.0), (0.08, 500.0))
"""How makers react: the share of the reactions, and their mean delay in milliseconds."""
BURST = 12.0
"""Mean number of changes of best quantities in one burst."""
SLOW_SHARE = 0.4
SLOW_BURST = 7.0
"""Share of the bursts that are slow, and their mean number of changes."""
IDLE_BURST = 4.0
MAX_FOLLOWED_MOVES = 4.0
"""The farthest that makers follow an emptied best price, in moves of the best prices."""
FOLLOW_CHANCE = 0.9
"""Chance that the other side follows an emptied best price, instead of a refill."""
LEADER_MOVE_BURSTS = 0.12
"""Quote bursts in reaction to a move of the leading contract."""
NOTIFY_CHANCE = 0.3
"""Chance that an order makes the followers of this contract check its price."""


MIN_RATE_PER_MS = 1e-6
"""Lowest rate of spontaneous activity, per millisecond."""


class Agents:
    """The takers and makers of one contract."""

    def __init__(
        self,
        random: Random,
        market: ContractMarket,
        contract_profile: ContractProfile,
        valuation: Valuation,
        activity: Callable[[], float],
        intensity: float,
    ) -> None:
        self.market = market
        self.valuation = valuation
        self._random = random.random
        self._exponential = random.expovariate
        self._activity = activity
        style = contract_profile.style
        sizes = OrderSizes(random, market.instrument, contract_profile)
        price = valuation.price()
        impact = style.impact * contract_profile.volatility_bp / 1e4
        self.takers = Takers(
            random,
            market,
            sizes,
            valuation,
            impact,
            contract_profile.orders_per_s,
            activity,
            intensity,
        )
        self.touch_makers = TouchMakers(random, market, sizes, contract_profile, valuation)
        self.depth_makers = DepthMakers(random, market, sizes, style, int(price))
        self.leverage = LeveragedPositions(random, market, sizes, price)
        self.conditions = ORDINARY
        self._pace = self._kept = 1.0
        """The spontaneous activity is the product, as for takers."""
        self.rpi_makers: RpiMakers | None = None
        if market.rpi_orders is not None:
            own = Random(random.getrandbits(64))
            self.rpi_makers = RpiMakers(
                own, market, market.rpi_orders, sizes, self.touch_makers.move_threshold
            )
        self.opening_rpi_orders: RpiUpdate | None = None
        """The RPI orders at the opening; their update ids are below that of the opening book."""
        self.takers.on_trade = self._on_trade
        self.touch_makers.on_stale = self._on_stale_quotes
        self.touch_makers.on_moved = self._on_quotes_moved
        self.followers: list[Callable[[], None]] = []
        """Called after the best prices moved."""

        reacting_share = 1 - style.idle_share
        per_sweep = style.sweep_levels * exp(SWEEP_SPREAD**2 / 2)
        self._sniping_chance = contract_profile.sniping_chance
        self._bursts = style.bursts_per_order
        self._move_bursts = style.bursts_per_move * contract_profile.requote_activity
        self._sweeps = style.levels_per_order / per_sweep
        self._move_sweeps = style.levels_per_move / per_sweep * contract_profile.requote_activity
        self._leader_move_bursts = LEADER_MOVE_BURSTS * contract_profile.requote_activity
        idle = (
            2 * contract_profile.orders_per_s * intensity / 1000 * style.idle_share / reacting_share
        )
        self._idle_bursts = max(idle * self._bursts * BURST / IDLE_BURST, MIN_RATE_PER_MS)
        self._idle_sweeps = max(idle * self._sweeps, MIN_RATE_PER_MS)

    def open(self) -> tuple[list[Level], list[Level]]:
        """Fill the book around the fair value, start trading, and return the book."""
        tick, touch = self.market.instrument.tick_size, self.touch_makers
        fair_value = self.valuation.price()
        bid = int(fair_value) // tick * tick
        ask = bid + tick
        bids = [(bid, touch.opening_quantity()), *self.depth_makers.opening(bid, True)]
        asks = [(ask, touch.opening_quantity()), *self.depth_makers.opening(ask, False)]
        if self.rpi_makers is not None:
            self.opening_rpi_orders = self.rpi_makers.open(bid, ask)
        self.market.open(bids, asks, bid)
        self.takers.start()
        self._plan_quote()
        self._plan_sweep()
        return bids, asks

    # Conditions

    def apply(self, conditions: Conditions) -> None:
        """Trade under other conditions from now on."""
        self.conditions = conditions
        self.takers.set_flow(conditions.flow)
        self._pace, self._kept = max(conditions.flow, 1.0), min(conditions.flow, 1.0)
        self.touch_makers.set_conditions(conditions)
        self.depth_makers.set_conditions(conditions)
        self.leverage.on_forced = self._on_forced if conditions.is_stressed else None
        self.adapt()

    def adapt(self) -> None:
        """Let the makers adapt the book to the conditions."""
        self.market.after(0, self._adapt)

    def _adapt(self, _: int) -> None:
        self.touch_makers.adapt()
        self.depth_makers.adapt()
        if self.rpi_makers is not None:
            self.rpi_makers.react()

    # Spontaneous activity

    def _idle_quote(self, changes: int) -> None:
        if self._kept == 1.0 or self._random() < self._kept:
            self.touch_makers.quote(changes)
        self._plan_quote()

    def _plan_quote(self) -> None:
        rate = self._idle_bursts * self._activity() * self._pace
        self.market.after(
            1 + int(self._exponential(rate)), self._idle_quote, -self._burst_size(IDLE_BURST)
        )

    def _idle_sweep(self, _: int) -> None:
        if self._kept == 1.0 or self._random() < self._kept:
            self.depth_makers.sweep()
        self._plan_sweep()

    def _plan_sweep(self) -> None:
        rate = self._idle_sweeps * self._activity() * self._pace
        self.market.after(1 + int(self._exponential(rate)), self._idle_sweep)

    # Reactions

    def on_news(self, surprise: float) -> None:
        """React to news of the relative size `surprise`, which the fair value includes already."""
        self.takers.on_news(surprise)
        engine = self.market.engine
        if engine.bids.keys and engine.asks.keys:
            self.check_quotes()
        else:
            self.touch_makers.react(int(self._exponential(1 / 3)))

    def check_quotes(self) -> None:
        """Let the touch makers compare their quotes with the fair value soon."""
        if abs(self.touch_makers.distance()) > self.touch_makers.move_threshold:
            self.touch_makers.react(int(self._exponential(1 / 3)))

    def on_leader_moved(self) -> None:
        """React to a move of the leading contract, which the fair value includes already."""
        self.check_quotes()
        self._react(self._leader_move_bursts, 0.0)

    def _on_stale_quotes(self, up: bool) -> None:
        """Let a taker trade with the stale quote before the makers withdraw it, by chance."""
        if self._random() < self._sniping_chance:
            self.takers.send(up)

    def _on_trade(self, buy: bool, quantity: int, price: int) -> None:
        engine = self.market.engine
        self.leverage.opened(buy, quantity, price)
        if not engine.bids.keys or not engine.asks.keys:
            self.touch_makers.react(1 + int(self._exponential(1 / 6)))
            return
        tick = self.market.instrument.tick_size
        spread = -engine.asks.keys[-1] - engine.bids.keys[-1]
        if spread > self.touch_makers.spread:
            distance = self.touch_makers.distance()
            if (distance < 0) == buy and self._random() < FOLLOW_CHANCE:
                followed = min(
                    abs(distance) + tick / 2, MAX_FOLLOWED_MOVES * self.touch_makers.move_threshold
                )
                self.valuation.add_impact((followed if buy else -followed) / price)
            self.touch_makers.react(
                0 if self._random() < 0.5 else 1 + int(self._exponential(1 / 6))
            )
        else:
            self.check_quotes()
        self._react(self._bursts, self._sweeps)
        if self.rpi_makers is not None:
            self.rpi_makers.react()
        if self._random() < NOTIFY_CHANCE:
            self._notify_followers()

    def _on_forced(self, buy: bool, quantity: int) -> None:
        """React to a forced order as to a trade that nobody expected."""
        self.takers.press(buy, quantity)
        self.touch_makers.react(1 + int(self._exponential(1 / 6)))
        self._react(self._bursts, self._sweeps)
        self._notify_followers()

    def _on_quotes_moved(self) -> None:
        if self.rpi_makers is not None:
            self.rpi_makers.react()
        self._react(self._move_bursts, self._move_sweeps)
        self._notify_followers()

    def _notify_followers(self) -> None:
        for follower in self.followers:
            follower()

    def _react(self, bursts: float, sweeps: float) -> None:
        """Schedule about `bursts` bursts at the best prices and `sweeps` sweeps behind them."""
        random, after = self._random, self.market.after
        for _ in range(int(bursts + random())):
            slow = random() < SLOW_SHARE
            burst = -self._burst_size(SLOW_BURST) if slow else self._burst_size(BURST)
            after(self._delay_ms(), self.touch_makers.quote, burst)
        for _ in range(int(sweeps + random())):
            after(self._delay_ms(), self.depth_makers.sweep)

    def _burst_size(self, mean: float) -> int:
        return 1 + int(self._exponential(1 / mean))

    def _delay_ms(self) -> int:
        number = self._random()
        for share, mean_ms in REACTIONS:
            if number < share:
                return int(self._exponential(1 / mean_ms))
            number -= share
        return 0
