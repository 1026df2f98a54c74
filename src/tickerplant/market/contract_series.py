"""The series of a pair's dated contracts of one type: each contract while it has or had the type."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from tickerplant.instrument import LARGEST, Instrument
from tickerplant.market.bar_arrays import NO_BARS, empty_bars
from tickerplant.market.bars import CLOSE, OPEN_TIME, Bars
from tickerplant.market.candles import Candles, PriceBars
from tickerplant.market.history import MarketHistory
from tickerplant.market.minutes import Minutes, PriceMinutes
from tickerplant.market.series import Positions
from tickerplant.units import HOUR_MS, MINUTE_MS

DATED_TYPES = ("CURRENT_QUARTER", "NEXT_QUARTER")
RETAINED_CONTRACTS = 8
"""Contracts of this run in one series: two years. What precedes a dropped one is gone too."""


class Contract(Struct, eq=False):
    """What is kept of a contract after its removal."""

    instrument: Instrument
    minutes: Minutes | PriceMinutes
    candles: Candles
    marks: PriceBars
    positions: Positions
    history: MarketHistory | None = None
    series: ContractSeries | None = None
    """The latest series of dated contracts that it continued."""


class Stretch(Struct, eq=False):
    """The whole minutes in which a contract has or had a type."""

    contract: Contract
    from_ms: int = 0
    until_ms: int = LARGEST


class ContractSeries:
    """The contracts that have or had one type on a pair, one after the other."""

    def __init__(
        self, contract_type: str, former: Callable[[Instrument, MarketHistory], Contract]
    ) -> None:
        self.present: Contract | None = None
        """The contract that has the type now."""
        self._type = contract_type
        self._former = former
        self._first: Contract | None = None
        """The first contract of this run, until its predecessors are known."""
        self._earlier: list[Stretch] = []
        self._live: list[Stretch] = []

    def begin(self, contract: Contract, minute_ms: int) -> None:
        """Continue with a contract that has the type from `minute_ms` on."""
        self.end(minute_ms)
        if not self._live:
            self._first, minute_ms = contract, 0
        self.present, contract.series = contract, self
        self._live.append(Stretch(contract, minute_ms))
        self._set_minutes(contract.minutes)
        if len(self._live) > RETAINED_CONTRACTS:
            del self._live[0], self._earlier[:]

    def end(self, minute_ms: int) -> None:
        """Note that no contract has the type from `minute_ms` on."""
        if self._live:
            last = self.stretches[-1]
            last.until_ms = min(last.until_ms, minute_ms)
            self._set_minutes(PriceMinutes(last.until_ms))
        self.present = self._first = None

    def _set_minutes(self, minutes: Minutes | PriceMinutes) -> None:
        self._candles = _SeriesCandles(self, minutes)

    @property
    def stretches(self) -> list[Stretch]:
        """When which contract had the type, oldest first."""
        history = None if self._first is None else self._first.history
        past = () if history is None else history.predecessors(self._type)
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
        return max(first.from_ms, first.contract.candles.begins_ms())

    @property
    def ends_ms(self) -> int:
        """Open time of the first minute that the present contract keeps."""
        return max(self._live[-1].from_ms, self._candles.live_ms(MINUTE_MS))

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        parts, reached_ms = [NO_BARS], from_ms
        for stretch in self.stretches:
            low_ms, high_ms = max(from_ms, reached_ms), min(until_ms, stretch.until_ms)
            if low_ms < high_ms:
                candles, begin_ms = stretch.contract.candles, max(low_ms, stretch.from_ms)
                found = candles.bars(length_ms, begin_ms, max(begin_ms, high_ms))
                opened_ms = int(found[0, OPEN_TIME]) if len(found) else high_ms
                if opened_ms > begin_ms and candles.gap(length_ms):
                    parts.clear()  # what precedes would precede a hole
                elif opened_ms > low_ms:  # no contract had the type, or it was not traded yet
                    parts.append(self._untraded(low_ms, opened_ms))
                parts.append(found)
            reached_ms = stretch.until_ms
        return np.concatenate(parts)

    def gap(self, length_ms: int) -> tuple[int, int] | None:
        """Return the time in which bars of this run that those of `length_ms` consist of are gone."""
        found = []
        for stretch in self._live:
            if gone := stretch.contract.candles.gap(length_ms):
                gap = max(gone[0], stretch.from_ms), min(gone[1], stretch.until_ms)
                found += [gap] if gap[0] < gap[1] else []
        return (found[0][0], found[-1][1]) if found else None

    def dropped(self, length_ms: int) -> int:
        """Return how often bars of this run that those of `length_ms` consist of were dropped."""
        return sum(stretch.contract.candles.dropped(length_ms) for stretch in self._live)

    def _untraded(self, from_ms: int, until_ms: int) -> Bars:
        """Return minutes that repeat the close before them, or none if it is unknown."""
        for stretch in reversed(self.stretches):
            candles, end_ms = stretch.contract.candles, min(stretch.until_ms, from_ms)
            for length_ms in (MINUTE_MS, HOUR_MS) if stretch.from_ms < from_ms else ():
                last = candles.bars(length_ms, end_ms - length_ms, end_ms)
                if len(last):
                    count = (until_ms - from_ms) // MINUTE_MS
                    return empty_bars(from_ms, count, int(last[-1, CLOSE]))
        return NO_BARS


class _SeriesCandles(Candles):
    """The candles of a series, over the minutes of its present contract."""

    def __init__(self, series: ContractSeries, minutes: Minutes | PriceMinutes) -> None:
        super().__init__(minutes)
        self.load(series)
        self._series = series

    def gap(self, length_ms: int) -> tuple[int, int] | None:
        """Return the time in which bars of this run that those of `length_ms` consist of are gone."""
        return self._series.gap(length_ms)

    def dropped(self, length_ms: int) -> int:
        """Return how often bars of this run that those of `length_ms` consist of were dropped."""
        return self._series.dropped(length_ms)


def former_contract(instrument: Instrument, history: MarketHistory) -> Contract:
    """Return a contract that was delivered before the first event."""
    delivered_ms = instrument.delivery_date_ms
    minutes, marks, positions = PriceMinutes(delivered_ms), PriceBars(delivered_ms), Positions()
    candles = Candles(minutes)
    candles.load(history)
    marks.load_history(history.marks)
    positions.load_history(history.positions)
    return Contract(instrument, minutes, candles, marks, positions)
