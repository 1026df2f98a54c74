"""Random tapes of trades, and the bars that a naive count makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from stage import START_MS, trade

from tickerplant.events import AggregateTrade, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.tape import AGGREGATE_ROW, TRADE_ROW, Rows
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

GAPS_MS = st.integers(0, 3 * MINUTE_MS) | st.sampled_from(
    [
        *(0, 1, 999, MINUTE_MS - 1, MINUTE_MS, MINUTE_MS + 1, 5 * MINUTE_MS),
        *(HOUR_MS - 1, HOUR_MS, 7 * HOUR_MS, DAY_MS - MINUTE_MS, DAY_MS, DAY_MS + MINUTE_MS),
    ]
)


@st.composite
def tapes(draw: st.DrawFn, max_size: int = 40, symbol: str = "BTCUSDT") -> list[Trade]:
    """Trades over minutes, hours or days, with gaps, on and next to the edges of minutes."""
    fills = st.tuples(GAPS_MS, st.integers(90, 110), st.integers(1, 9), st.booleans())
    time_ms, made = START_MS, []
    for number, (gap_ms, price, quantity, sold) in enumerate(
        draw(st.lists(fills, max_size=max_size))
    ):
        time_ms += gap_ms
        made.append(trade(number + 1, time_ms, price, quantity, sold=sold, symbol=symbol))
    return made


class KnownPast:
    """The rows of a list of events, and how often anything was asked of them."""

    def __init__(self, events: Sequence[Trade] | Sequence[AggregateTrade], next_id: int) -> None:
        self._events = events
        self._ids = range(next_id - len(events), next_id)
        self.asked = 0

    @property
    def ids(self) -> range:
        self.asked += 1
        return self._ids

    def id_at(self, time_ms: int) -> int:
        self.asked += 1
        return self._ids.start + sum(each.trade_time_ms < time_ms for each in self._events)

    def rows(self, first_id: int, stop_id: int) -> Rows:
        self.asked += 1
        assert self._ids.start <= first_id <= stop_id <= self._ids.stop
        some = self._events[first_id - self._ids.start : stop_id - self._ids.start]
        row = AGGREGATE_ROW if isinstance(next(iter(some), None), AggregateTrade) else TRADE_ROW
        names = row.names or ()
        return np.array([tuple(getattr(each, name) for name in names) for each in some], dtype=row)


class NaiveBar(NamedTuple):
    """A bar, with its numbers in the order of `bars.COLUMNS`."""

    open_time_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int
    trades: int
    taker_buy_volume: int
    taker_buy_turnover: int
    first_trade_id: int
    last_trade_id: int


def naive_bar(
    instrument: Instrument, inside: Sequence[Trade], open_time_ms: int, previous_close: int
) -> NaiveBar:
    """The bar of the trades `inside` it."""
    if not inside:
        prices = (previous_close,) * 4
        return NaiveBar(open_time_ms, *prices, 0, 0, 0, 0, 0, -1, -1)
    prices_inside = [each.price for each in inside]
    bought = [each for each in inside if not each.buyer_is_maker]
    return NaiveBar(
        open_time_ms,
        prices_inside[0],
        max(prices_inside),
        min(prices_inside),
        prices_inside[-1],
        sum(each.quantity for each in inside),
        sum(instrument.turnover(each.price, each.quantity) for each in inside),
        len(inside),
        sum(each.quantity for each in bought),
        sum(instrument.turnover(each.price, each.quantity) for each in bought),
        inside[0].trade_id,
        inside[-1].trade_id,
    )


def naive_minutes(instrument: Instrument, tape: Sequence[Trade], end_ms: int) -> list[NaiveBar]:
    """Every minute from the first trade to `end_ms`, including empty ones."""
    if not tape:
        return []
    by_minute: dict[int, list[Trade]] = {}
    for each in tape:
        by_minute.setdefault(each.trade_time_ms // MINUTE_MS * MINUTE_MS, []).append(each)
    bars: list[NaiveBar] = []
    close = tape[0].price
    for open_time_ms in range(min(by_minute), end_ms, MINUTE_MS):
        bars.append(naive_bar(instrument, by_minute.get(open_time_ms, ()), open_time_ms, close))
        close = bars[-1].close
    return bars
