"""The past of a simulated contract: days, hours, minutes and the last trades.

Everything is drawn backwards from the opening price, so the last trade before the start meets the
first price after it.  Tiers follow each other without overlap: days up to a midnight, hours up to
a whole hour, minutes up to the last trades, each opening where the one before closed.  Trade ids
are counted backwards too, and go on from one tier to the next without a hole.
"""

from __future__ import annotations

from functools import cached_property
from random import Random

import numpy as np
from numpy.typing import NDArray

from tickerplant.events import Delivered, FundingPaid, Positioning, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.bars import COLUMNS, DAY_MS, HOUR_MS, MINUTE_MS, Bars
from tickerplant.simulation.sizes import Sizes
from tickerplant.simulation.temper import Temper, usd_quantity

MINUTE_DAYS = 7
HOUR_DAYS = 250
LAST_TRADES = 1000
LONGEST_TAIL_MS = 15 * MINUTE_MS
TRADES_PER_ORDER = 3.6
MEAN_TO_MEDIAN_ORDER = 13.0
TRADES_PER_AGGREGATE = 2.4
REVERSION_PER_DAY = 0.002
"""Prices do not wander off without end: the part of the distance they come back in a day."""
VOLUME_SPREAD = 0.7
"""Standard deviation of the logarithm of a minute's volume."""
LEAST_TICKS = 20
"""No price of the past is less than this many ticks."""
ID_MARGIN = 3
"""First trade id of the simulation, relative to the expected number of trades before it."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def trades_so_far(instrument: Instrument, temper: Temper, start_ms: int) -> int:
    """Return the id of the first trade after the start: many enough for all of the past."""
    lived_s = (start_ms - instrument.onboard_date_ms) / 1000
    rate_per_s = temper.orders_per_s * TRADES_PER_ORDER
    return int(ID_MARGIN * rate_per_s * max(lived_s, DAY_MS / 1000)) + 1_000_000


class SimulatedPast:
    """Bars and trades before the start, all agreeing with each other; made when asked for.

    Args:
        instrument: Whose past it is.
        temper: Its volatility and activity.
        seed: Decides what is drawn.
        start_ms: When the simulation begins.
        last_price: Price that the past leads to.
    """

    def __init__(
        self, instrument: Instrument, temper: Temper, seed: int, start_ms: int, last_price: int
    ) -> None:
        self._instrument = instrument
        self._temper = temper
        self._name = f"{seed} past {instrument.symbol}"
        self._coin = f"{seed} past {instrument.base_asset}"
        self._start_ms = start_ms
        self._last_price = last_price
        self._trades_per_ms = temper.orders_per_s * TRADES_PER_ORDER / 1000
        self._next_id = trades_so_far(instrument, temper, start_ms)

        tail_ms = min(int(LAST_TRADES / self._trades_per_ms), LONGEST_TAIL_MS)
        end_ms = (start_ms - max(tail_ms, 1)) // MINUTE_MS * MINUTE_MS
        first_ms = -(-instrument.onboard_date_ms // DAY_MS) * DAY_MS
        self._minutes_end_ms = end_ms
        self._minutes_ms = max((end_ms - MINUTE_DAYS * DAY_MS) // HOUR_MS * HOUR_MS, first_ms)
        self._hours_ms = max((end_ms - HOUR_DAYS * DAY_MS) // DAY_MS * DAY_MS, first_ms)
        self._hours_ms = min(self._hours_ms, self._minutes_ms)
        self._days_ms = min(first_ms, self._hours_ms)

    # What a market asks for

    @property
    def day(self) -> Bars:
        """Minutes that cover the 24 hours before the start and up to a minute more."""
        opened_ms = (self._start_ms - DAY_MS) // MINUTE_MS * MINUTE_MS
        return self._minutes[-((self._minutes_end_ms - opened_ms) // MINUTE_MS) :]

    def minutes(self) -> Bars:
        """Return the minutes of the last week."""
        return self._minutes

    def hours(self) -> Bars:
        """Return the hours before the first minute."""
        return self._hours

    def days(self) -> Bars:
        """Return the days before the first hour, back to the listing."""
        return self._tier("days", DAY_MS, self._days_ms, self._hours_ms, self._before(self._hours))

    @cached_property
    def trades(self) -> tuple[Trade, ...]:
        """The last trades before the start, later than every bar."""
        random = Random(f"{self._name} trades")
        generator = np.random.default_rng(random.getrandbits(64))
        span_ms = self._start_ms - self._minutes_end_ms
        count = min(max(int(span_ms * self._trades_per_ms), 1), LAST_TRADES)
        times = self._minutes_end_ms + np.sort(generator.integers(0, span_ms, count))
        noise = generator.normal(0, self._sigma(span_ms / count), count)
        prices = self._walk_back(noise, self._last_price, REVERSION_PER_DAY / DAY_MS * span_ms)
        sells = generator.random(count) < 0.5
        sizes = Sizes(random, self._instrument, self._temper)
        first_id = self._next_id - count
        symbol = self._instrument.symbol
        rows = zip(prices.tolist(), sells.tolist(), times.tolist(), strict=True)
        return tuple(
            Trade(symbol, trade_id, price, sizes.order(), sell, time_ms)
            for trade_id, (price, sell, time_ms) in enumerate(rows, first_id)
        )

    @property
    def first_aggregate_id(self) -> int:
        """Id of the aggregate that the first of `trades` opens."""
        return int(self.trades[0].trade_id / TRADES_PER_AGGREGATE)

    @property
    def marks(self) -> SimulatedPast:
        """Bars of the mark price."""
        return self

    indices = premiums = marks

    def fundings(self) -> tuple[FundingPaid, ...]:
        """Return what was paid at every funding time since the listing."""
        return ()

    def deliveries(self) -> tuple[Delivered, ...]:
        """Return the settlements of the pair's dated contracts since the listing."""
        return ()

    def positions(self) -> tuple[Positioning, ...]:
        """Return who held what, every five minutes of the last month."""
        return ()

    # How it is made

    @cached_property
    def _minutes(self) -> Bars:
        first = self.trades[0]
        after = (first.price, first.trade_id)
        return self._tier("minutes", MINUTE_MS, self._minutes_ms, self._minutes_end_ms, after)

    @cached_property
    def _hours(self) -> Bars:
        after = self._before(self._minutes)
        return self._tier("hours", HOUR_MS, self._hours_ms, self._minutes_ms, after)

    def _before(self, later: Bars) -> tuple[int, int]:
        """Opening price and first trade id of the tier that follows."""
        if not len(later):
            return self._before(self._minutes)
        traded = later[later[:, COLUMNS.index("count")] > 0]
        first_id = traded[0, COLUMNS.index("first_trade_id")] if len(traded) else self._next_id
        return int(later[0, COLUMNS.index("open")]), int(first_id)

    def _sigma(self, length_ms: float) -> float:
        return self._temper.daily_volatility * float(np.sqrt(length_ms / DAY_MS))

    def _walk_back(self, noise: _Floats, last: float, reversion: float) -> _Ints:
        """Return prices that end at `last`, a step of `noise` apart, in units and on ticks."""
        count = len(noise)
        keep = 1 - reversion
        if reversion * count > 0.01:
            weights = keep ** np.arange(count)
            logs = np.cumsum(noise / weights) * weights  # an autoregression, from the end
        else:
            logs = np.cumsum(noise)
        return self._on_ticks(last * np.exp(np.concatenate([[0.0], logs[:-1]]))[::-1])

    def _on_ticks(self, prices: _Floats) -> _Ints:
        tick = self._instrument.tick_size
        ticks = np.maximum(np.round(prices / tick), LEAST_TICKS)
        return ticks.astype(np.int64) * tick

    def _tier(
        self, name: str, length_ms: int, start_ms: int, end_ms: int, after: tuple[int, int]
    ) -> Bars:
        """Return bars of one length from `start_ms` to `end_ms`.

        Args:
            name: Names what is drawn.
            length_ms: Length of a bar.
            start_ms: Open time of the first bar.
            end_ms: End of the last bar.
            after: Opening price and first trade id of what follows.
        """
        count = max((end_ms - start_ms) // length_ms, 0)
        generator = np.random.default_rng(Random(f"{self._name} {name}").getrandbits(64))
        days = length_ms / DAY_MS
        noise, restless = self._coin_noise(name, length_ms, end_ms, count)
        price_after, id_after = after
        # `edges` are the opens of all bars and the close of the last.
        edges = self._walk_back(np.append(noise, 0.0), price_after, REVERSION_PER_DAY * days)
        restless = restless[::-1]
        opens, closes = edges[:-1], edges[1:]
        reach = np.abs(generator.normal(0, self._sigma(length_ms) * 0.6, (2, count))) * restless
        highs = self._on_ticks(np.maximum(opens, closes) * (1 + reach[0]))
        lows = self._on_ticks(np.minimum(opens, closes) * (1 - reach[1]))
        highs = np.maximum(highs, np.maximum(opens, closes))
        lows = np.minimum(lows, np.minimum(opens, closes))

        spread = VOLUME_SPREAD / (1 + days)
        busy = restless * np.exp(generator.normal(-(spread**2) / 2, spread, count))
        counts = generator.poisson(self._trades_per_ms * length_ms * np.minimum(busy, 6.0))
        volumes = self._volumes(generator, counts, closes)
        turnovers = self._turnovers(generator, volumes, lows, highs)
        bought = np.clip(generator.normal(0.5, 0.12, count), 0.05, 0.95)
        buy_volumes = self._whole(volumes * bought)
        buy_volumes = np.minimum(buy_volumes, volumes)
        share = np.divide(buy_volumes, volumes, out=np.zeros(count), where=volumes > 0)
        buy_turnovers = np.floor(turnovers * share).astype(np.int64)

        quiet = counts == 0
        last_ids = id_after - 1 - np.concatenate([np.cumsum(counts[::-1])[::-1][1:], [0]])[:count]
        first_ids = last_ids - counts + 1
        bars = np.column_stack(
            [
                start_ms + np.arange(count, dtype=np.int64) * length_ms,
                opens,
                highs,
                lows,
                closes,
                volumes,
                turnovers,
                counts,
                buy_volumes,
                buy_turnovers,
                np.where(quiet, -1, first_ids),
                np.where(quiet, -1, last_ids),
            ]
        ).astype(np.int64)
        return _carry_over_quiet(bars, quiet)

    def _coin_noise(
        self, name: str, length_ms: int, end_ms: int, count: int
    ) -> tuple[_Floats, _Floats]:
        """Return the returns of bars before `end_ms`, latest first, and how restless each is.

        They belong to the coin: at the same time all its contracts have the same ones.
        """
        skipped = (self._start_ms // length_ms * length_ms - end_ms) // length_ms
        random = Random(f"{self._coin} {name}")
        rows = np.random.default_rng(random.getrandbits(64)).normal(size=(skipped + count, 2))
        restless = np.exp(0.5 * rows[skipped:, 1] - 0.125)
        return rows[skipped:, 0] * self._sigma(length_ms) * restless, restless

    def _volumes(self, generator: np.random.Generator, counts: _Ints, prices: _Ints) -> _Ints:
        """Return volumes in quantity units, at least a step per trade."""
        usd = counts / TRADES_PER_ORDER * self._temper.order_usd * MEAN_TO_MEDIAN_ORDER
        usd = usd * np.exp(generator.normal(0, 0.3, len(counts)))
        per_usd = usd_quantity(self._instrument, 1.0, 1.0)
        if not self._instrument.venue.inverse:
            usd = usd / (prices / 10**self._instrument.price.decimals)
        return np.maximum(self._whole(usd * per_usd), counts * self._instrument.step_size)

    def _whole(self, quantities: _Floats) -> _Ints:
        step = self._instrument.step_size
        return np.floor(quantities / step).astype(np.int64) * step

    def _turnovers(
        self, generator: np.random.Generator, volumes: _Ints, lows: _Ints, highs: _Ints
    ) -> _Ints:
        """Return turnovers whose average price lies between low and high."""
        place = generator.uniform(0.25, 0.75, len(volumes))
        prices = lows + (highs - lows) * place
        if self._instrument.venue.inverse:
            scale = float(self._instrument.contract_size * 10**8)
            scale *= 10**self._instrument.price.decimals
            turnovers: _Ints = np.round(volumes * scale / prices).astype(np.int64)
        else:
            turnovers = volumes * np.clip(np.round(prices).astype(np.int64), lows, highs)
        return turnovers


def _carry_over_quiet(bars: Bars, quiet: NDArray[np.bool_]) -> Bars:
    """Let bars without trades repeat the previous close, and the bars after them open there."""
    if not quiet.any():
        return bars
    opened, high, low, close = (COLUMNS.index(name) for name in ("open", "high", "low", "close"))
    last_traded = np.maximum.accumulate(np.where(quiet, 0, np.arange(len(bars))))
    carried = bars[last_traded, close]
    for column in (opened, high, low, close):
        bars[:, column] = np.where(quiet, carried, bars[:, column])
    bars[1:, opened] = bars[:-1, close]
    bars[:, high] = np.maximum(bars[:, high], bars[:, opened])
    bars[:, low] = np.minimum(bars[:, low], bars[:, opened])
    return bars
