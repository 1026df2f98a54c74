"""The series of a pair's dated contracts of one type: each contract while it has or had the type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct

from tickerplant.instrument import LARGEST, Instrument
from tickerplant.market.bar_arrays import NO_BARS, ClosedMinutes, between
from tickerplant.market.bars import OPEN_TIME, Bar, Bars
from tickerplant.market.candles import Candles, LiveMinutes, PriceBars
from tickerplant.market.history import MarketHistory, Predecessor
from tickerplant.market.interval import LENGTHS_MS
from tickerplant.market.minutes import PriceMinutes
from tickerplant.market.series import Positions
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

DATED_TYPES = ("CURRENT_QUARTER", "NEXT_QUARTER")
RETAINED_CONTRACTS = 8
"""Contracts of this run in one series: two years. What precedes a dropped one is gone too."""
_INTERVALS = {length_ms: interval for interval, length_ms in LENGTHS_MS.items()}


class Contract(Struct, eq=False):
    """What is kept of a contract after its removal."""

    instrument: Instrument
    minutes: LiveMinutes
    candles: Candles
    marks: PriceBars
    positions: Positions


class Stretch(Struct, eq=False):
    """The whole minutes in which a contract has or had a type."""

    contract: Contract
    from_ms: int = 0
    until_ms: int = LARGEST


class Listed(Protocol):
    """The market of a contract that has a type."""

    kept: Contract
    series: ContractSeries | None

    def predecessors(self, contract_type: str) -> Sequence[Predecessor]:
        """Return the pair's contracts that had a type and have it no more, oldest first."""
        ...


class ContractSeries:
    """The contracts that have or had one type on a pair, one after the other.

    Args:
        contract_type: The type.
        former: Returns a contract that had it before the first event.
    """

    def __init__(
        self, contract_type: str, former: Callable[[Instrument, MarketHistory], Contract]
    ) -> None:
        self.present: Listed | None = None
        """The contract that has the type now."""
        self._type = contract_type
        self._former = former
        self._first: Listed | None = None
        """The first contract of this run, until its predecessors are known."""
        self._earlier: list[Stretch] = []
        self._live: list[Stretch] = []

    def begin(self, market: Listed, minute_ms: int) -> None:
        """Continue with a contract that has the type from `minute_ms` on."""
        self.end(minute_ms)
        if not self._live:
            self._first, minute_ms = market, 0
        self.present, market.series = market, self
        self._live.append(Stretch(market.kept, minute_ms))
        self._minutes = _StretchMinutes(self._live[-1])
        self._candles = Candles(self._minutes)
        self._candles.load(self)
        if len(self._live) > RETAINED_CONTRACTS:
            del self._live[0], self._earlier[:]

    def end(self, minute_ms: int) -> None:
        """Note that no contract has the type from `minute_ms` on."""
        if self._live:
            last = self.stretches[-1]
            last.until_ms = min(last.until_ms, minute_ms)
        self.present = self._first = None

    @property
    def stretches(self) -> list[Stretch]:
        """When which contract had the type, oldest first."""
        past = () if self._first is None else self._first.predecessors(self._type)
        if past:
            self._first = None
            self._live[0].from_ms = past[-1].until_ms
            self._earlier = [
                Stretch(self._former(each.instrument, each.history), each.from_ms, each.until_ms)
                for each in past
            ]
        return [*self._earlier, *self._live]

    @property
    def candles(self) -> Candles:
        """The candles of the series; one that begins before a delivery has the trades of both contracts."""
        first = self.stretches[0]
        return self._candles if first.until_ms < LARGEST else first.contract.candles

    # The bars before the minutes that the present contract keeps one by one

    @property
    def begins_ms(self) -> int:
        """Open time of the first minute."""
        first = self.stretches[0]
        return max(first.from_ms, first.contract.candles.begins_ms)

    @property
    def ends_ms(self) -> int:
        """Open time of the first minute that the present contract keeps."""
        return self._minutes.begins_ms

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        parts: list[Bars] = []
        for stretch in reversed(self.stretches):
            low_ms, high_ms = max(from_ms, stretch.from_ms), min(until_ms, stretch.until_ms)
            if low_ms < high_ms:
                parts[:0] = _cover(stretch.contract.candles, low_ms, high_ms, length_ms)
                if not len(parts[0]) or parts[0][0, OPEN_TIME] > low_ms:
                    break  # a part of this run is gone: what precedes it would precede a hole
        return np.concatenate(parts) if parts else NO_BARS


def _cover(candles: Candles, from_ms: int, until_ms: int, length_ms: int) -> list[Bars]:
    """Return candles of `length_ms`, and shorter ones at either end, that cover a time exactly."""
    step_ms = min(length_ms, DAY_MS)
    first_ms, last_ms = -(-from_ms // step_ms) * step_ms, until_ms // step_ms * step_ms
    shorter_ms = 2 * HOUR_MS if step_ms > 2 * HOUR_MS else MINUTE_MS
    if first_ms >= last_ms:
        return _cover(candles, from_ms, until_ms, shorter_ms)
    count = (last_ms - first_ms) // step_ms
    whole = candles.rows(_INTERVALS[step_ms], None, last_ms - 1, count)
    parts = [between(whole, first_ms, last_ms)]
    if from_ms < first_ms:
        parts[:0] = _cover(candles, from_ms, first_ms, shorter_ms)
    if last_ms < until_ms:
        parts += _cover(candles, last_ms, until_ms, shorter_ms)
    return parts


class _StretchMinutes:
    """The minutes of a contract while it has a type."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self.closed: ClosedMinutes = _ClosedMinutes(stretch)

    @property
    def begins_ms(self) -> int:
        """Open time of the first minute that is kept."""
        rows = self.closed.rows
        return int(rows[0, OPEN_TIME]) if len(rows) else self.open_time_ms

    @property
    def open_time_ms(self) -> int:
        """The open time of the current minute."""
        stretch = self._stretch
        return min(max(stretch.contract.minutes.open_time_ms, stretch.from_ms), stretch.until_ms)

    @property
    def running_bar(self) -> Bar | None:
        """The current minute; None before the first trade, and when another contract has the type."""
        stretch, minutes = self._stretch, self._stretch.contract.minutes
        inside = stretch.from_ms <= minutes.open_time_ms < stretch.until_ms
        return minutes.running_bar if inside else None


class _ClosedMinutes(ClosedMinutes):
    """The closed minutes of a stretch that its contract keeps one by one."""

    def __init__(self, stretch: Stretch) -> None:
        super().__init__(0)
        self._stretch = stretch

    @property
    def rows(self) -> Bars:
        """The closed minutes, oldest first: a view, not a copy."""
        stretch = self._stretch
        return between(stretch.contract.minutes.closed.rows, stretch.from_ms, stretch.until_ms)


class _FormerBars:
    """The bars of a contract that was delivered before the first event, up to its delivery.

    Args:
        history: Its history as if it had been traded until now.
        delivered_ms: When it was delivered.
    """

    def __init__(self, history: MarketHistory, delivered_ms: int) -> None:
        self._history = history
        self.begins_ms = history.begins_ms
        self.ends_ms = delivered_ms

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        history, ends_ms = self._history, self._history.ends_ms
        if until_ms % DAY_MS and length_ms % DAY_MS == 0:  # the day of the delivery is no whole one
            last_ms = until_ms // DAY_MS * DAY_MS
            parts = (length_ms, from_ms, last_ms), (2 * HOUR_MS, last_ms, until_ms)
            return np.concatenate([self.bars(*each) for each in parts])
        before = history.bars(length_ms, from_ms, min(until_ms, ends_ms))
        if until_ms <= ends_ms:
            return before
        return np.concatenate((before, between(history.day, from_ms, until_ms)))


def former_contract(instrument: Instrument, history: MarketHistory) -> Contract:
    """Return a contract that was delivered before the first event.

    Args:
        instrument: The contract.
        history: Its history as if it had been traded until now.
    """
    delivered_ms = instrument.delivery_date_ms
    minutes, marks, positions = PriceMinutes(delivered_ms), PriceBars(delivered_ms), Positions()
    candles = Candles(minutes)
    candles.load(_FormerBars(history, delivered_ms))
    marks.load_history(history.marks)
    positions.load_history(history.positions)
    return Contract(instrument, minutes, candles, marks, positions)
