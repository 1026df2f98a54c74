"""The crowd of one pit: its takers and makers, and how they answer each other."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

from tickerplant.events import Level, RpiUpdate
from tickerplant.simulation.contract_market import ContractMarket
from tickerplant.simulation.contract_profile import ContractProfile
from tickerplant.simulation.depth_makers import SWEEP_SPREAD, DepthMakers
from tickerplant.simulation.leverage import LeveragedPositions
from tickerplant.simulation.order_sizes import OrderSizes
from tickerplant.simulation.rpi_makers import RpiMakers
from tickerplant.simulation.takers import Takers
from tickerplant.simulation.touch_makers import TouchMakers
from tickerplant.simulation.valuation import Valuation

ANSWERS = ((0.35, 0.6), (0.40, 6.0), (0.17, 60.0), (0.08, 500.0))
"""How makers answer: share of the answers, and their mean delay in milliseconds."""
TRAIN = 12.0
"""Mean number of changes of best quantities in one train."""
SLOW_SHARE = 0.4
SLOW_TRAIN = 7.0
"""Part of the trains that is slow, and their mean number of changes."""
IDLE_TRAIN = 4.0
LEARNT_HOPS = 4.0
"""Farthest that makers follow an emptied best price, in hops."""
FOLLOWED = 0.9
"""Chance that an emptied best price is followed by the other side instead of refilled."""
GLANCE_TRAINS = 0.12
"""Trains of quotes that answer a look at the leading contract."""
LOOK = 0.3
"""Chance that an order makes those who follow this contract look at it."""


SLOWEST = 1e-6
"""Least rate of what happens without a cause, per millisecond."""


class Agents:
    """Everybody who trades one contract."""

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
        self.touch = TouchMakers(random, market, sizes, contract_profile, valuation)
        self.ladder = DepthMakers(random, market, sizes, style, int(price))
        self.leverage = LeveragedPositions(random, market, sizes, price)
        self.rpi_makers: RpiMakers | None = None
        if market.rpi_orders is not None:
            own = Random(random.getrandbits(64))
            self.rpi_makers = RpiMakers(
                own, market, market.rpi_orders, sizes, self.touch.move_threshold
            )
        self._opening_rpi_orders: RpiUpdate | None = None
        self.takers.traded = self._traded
        self.touch.on_stale = self._stale
        self.touch.next_open_interest = self._moved
        self.followers: list[Callable[[], None]] = []
        """Called after the best prices moved."""

        answers = 1 - style.idle_share
        per_sweep = style.sweep_levels * exp(SWEEP_SPREAD**2 / 2)
        self._overtaken = contract_profile.sniping_chance
        self._trains = style.trains_per_order
        self._hop_trains = style.trains_per_hop * contract_profile.attention
        self._sweeps = style.levels_per_order / per_sweep
        self._hop_sweeps = style.levels_per_hop / per_sweep * contract_profile.attention
        self._glance_trains = GLANCE_TRAINS * contract_profile.attention
        idle = 2 * contract_profile.orders_per_s * intensity / 1000 * style.idle_share / answers
        self._idle_trains = max(idle * self._trains * TRAIN / IDLE_TRAIN, SLOWEST)
        self._idle_sweeps = max(idle * self._sweeps, SLOWEST)

    def open(self) -> tuple[list[Level], list[Level]]:
        """Fill the pit's book around the worth and let the day begin; return the book."""
        tick, touch = self.market.instrument.tick_size, self.touch
        worth = self.valuation.price()
        bid = int(worth) // tick * tick
        ask = bid + tick
        bids = [(bid, touch.opening_quantity()), *self.ladder.opening(bid, True)]
        asks = [(ask, touch.opening_quantity()), *self.ladder.opening(ask, False)]
        if self.rpi_makers is not None:
            self._opening_rpi_orders = self.rpi_makers.open(bid, ask)
        self.market.open(bids, asks, bid)
        self.takers.start()
        self._plan_quote()
        self._plan_sweep()
        return bids, asks

    def opening_rpi_orders(self) -> RpiUpdate | None:
        """Return the RPI orders the contract opened with; None where there are none.

        Their ids are below the one of the opening book.
        """
        return self._opening_rpi_orders

    # What happens without a cause

    def _idle_quote(self, changes: int) -> None:
        self.touch.quote(changes)
        self._plan_quote()

    def _plan_quote(self) -> None:
        rate = self._idle_trains * self._activity()
        self.market.after(
            1 + int(self._exponential(rate)), self._idle_quote, -self._train(IDLE_TRAIN)
        )

    def _idle_sweep(self, _: int) -> None:
        self.ladder.sweep()
        self._plan_sweep()

    def _plan_sweep(self) -> None:
        rate = self._idle_sweeps * self._activity()
        self.market.after(1 + int(self._exponential(rate)), self._idle_sweep)

    # How they answer

    def on_news(self, surprise: float) -> None:
        """React to news; `surprise` is in units of its usual size, already in the worth."""
        self.takers.on_news(surprise)
        self.look()

    def look(self) -> None:
        """Let the touch makers compare their quotes with the worth soon."""
        if abs(self.touch.distance()) > self.touch.move_threshold:
            self.touch.react(int(self._exponential(1 / 3)))

    def on_leader_moved(self) -> None:
        """React to a look at the leading contract, already in the worth."""
        self.look()
        self._answer(self._glance_trains, 0.0)

    def _stale(self, up: bool) -> None:
        """Let a taker be faster than the makers, or not."""
        if self._random() < self._overtaken:
            self.takers.send(up)

    def _traded(self, buy: bool, quantity: int, price: int) -> None:
        engine = self.market.engine
        self.leverage.opened(buy, quantity, price)
        if not engine.bids.keys or not engine.asks.keys:
            return
        tick = self.market.instrument.tick_size
        spread = -engine.asks.keys[-1] - engine.bids.keys[-1]
        if spread > tick:
            distance = self.touch.distance()
            if (distance < 0) == buy and self._random() < FOLLOWED:
                learnt = min(abs(distance) + tick / 2, LEARNT_HOPS * self.touch.move_threshold)
                self.valuation.add_impact((learnt if buy else -learnt) / price)
            self.touch.react(0 if self._random() < 0.5 else 1 + int(self._exponential(1 / 6)))
        else:
            self.look()
        self._answer(self._trains, self._sweeps)
        if self.rpi_makers is not None:
            self.rpi_makers.react()
        if self._random() < LOOK:
            self._tell()

    def _moved(self) -> None:
        if self.rpi_makers is not None:
            self.rpi_makers.react()
        self._answer(self._hop_trains, self._hop_sweeps)
        self._tell()

    def _tell(self) -> None:
        for follower in self.followers:
            follower()

    def _answer(self, trains: float, sweeps: float) -> None:
        """Requote: about `trains` trains of best quantities and `sweeps` sweeps."""
        random, after = self._random, self.market.after
        for _ in range(int(trains + random())):
            slow = random() < SLOW_SHARE
            train = -self._train(SLOW_TRAIN) if slow else self._train(TRAIN)
            after(self._delay_ms(), self.touch.quote, train)
        for _ in range(int(sweeps + random())):
            after(self._delay_ms(), self.ladder.sweep)

    def _train(self, mean: float) -> int:
        return 1 + int(self._exponential(1 / mean))

    def _delay_ms(self) -> int:
        number = self._random()
        for share, mean_ms in ANSWERS:
            if number < share:
                return int(self._exponential(1 / mean_ms))
            number -= share
        return 0
