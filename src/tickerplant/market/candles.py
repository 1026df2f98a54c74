"""Candles of every interval, combined from minutes on demand."""

from __future__ import annotations

import numpy as np

from tickerplant.market.bar_arrays import NO_BARS, between, combine, open_times, rows_of
from tickerplant.market.bars import OPEN_TIME, Bar, Bars, join
from tickerplant.market.history import BarHistory
from tickerplant.market.interval import LENGTHS_MS, next_open_time, open_time
from tickerplant.market.minutes import Minutes, PriceMinutes
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

LONGEST_MONTH_MS = 31 * DAY_MS


class Candles:
    """Candles of any interval over a market's live minutes and its history."""

    def __init__(self, minutes: Minutes | PriceMinutes) -> None:
        self._minutes = minutes
        self._history: BarHistory | None = None
        self._loaded = 0
        """How often the history was set."""
        self._before: dict[str, tuple[int, int, Bar | None]] = {}
        """For each interval, the open candle as of its last read.

        Its open time, the current minute then, and the part of the candle before that minute.
        """

    def load(self, history: BarHistory) -> None:
        """Set the history, which ends where the minutes begin."""
        self._history = history
        self._loaded += 1
        self._before.clear()

    @property
    def open_time_ms(self) -> int:
        """The open time of the current minute."""
        return self._minutes.open_time_ms

    def begins_ms(self, interval: str = "1h") -> int:
        """Return the open time of the first bar that candles of `interval` are made of."""
        history = self._history
        return self.live_ms(_bars_ms(interval)) if history is None else history.begins_ms

    def generation(self, interval: str) -> tuple[int, int]:
        """Return a mark that changes when candles of `interval` that had ended change or are gone."""
        return self._loaded, self.dropped(_bars_ms(interval))

    def dropped(self, length_ms: int) -> int:
        """Return how often bars of this run that those of `length_ms` consist of were dropped."""
        closed = self._minutes.closed
        return closed.minutes_dropped if length_ms % HOUR_MS else closed.hours_dropped

    def rows(self, interval: str, start_ms: int | None, end_ms: int | None, limit: int) -> Bars:
        """Return up to `limit` candles that open in [`start_ms`, `end_ms`], oldest first.

        With a start the first ones, otherwise the latest ones, including the open candle. There is
        no hole between them: where minutes of this run are gone, they begin after it or end before.
        """
        now_ms = self._minutes.open_time_ms
        until_ms = next_open_time(interval, open_time(interval, now_ms))  # nothing is later
        if end_ms is not None and end_ms < now_ms:
            until_ms = next_open_time(interval, open_time(interval, end_ms))
        width_ms = (limit + 1) * (LENGTHS_MS[interval] or LONGEST_MONTH_MS)
        begins_ms, gap = self.begins_ms(interval), self.gap(_bars_ms(interval))
        if gap is not None:
            ends_ms = open_time(interval, gap[0])
            if until_ms <= gap[1] if start_ms is None else start_ms < ends_ms:
                until_ms = min(until_ms, ends_ms)
            else:
                begins_ms = gap[1]
        if start_ms is None:
            first_ms = max(until_ms - width_ms, open_time(interval, begins_ms))
            return self._within(interval, first_ms, until_ms)[-limit:]
        first_ms = open_time(interval, min(max(start_ms, begins_ms), now_ms))
        found = self._within(interval, first_ms, min(until_ms, first_ms + width_ms))
        return found[np.searchsorted(found[:, OPEN_TIME], start_ms) :][:limit]

    def gap(self, length_ms: int) -> tuple[int, int] | None:
        """Return the time in which bars of this run that those of `length_ms` consist of are gone."""
        if self._history is None:
            return (0, self.live_ms(length_ms)) if self.dropped(length_ms) else None
        is_cut = self._is_cut(length_ms)
        return (self._history.ends_ms, self.live_ms(length_ms)) if is_cut else None

    def _is_cut(self, length_ms: int) -> bool:
        """Whether bars between the history and what is kept of this run are gone."""
        history, hours = self._history, self._minutes.closed.hours
        return history is not None and len(hours) > 0 and self.live_ms(length_ms) > history.ends_ms

    def live_ms(self, length_ms: int) -> int:
        """Return the open time of the oldest bar of this run for bars of `length_ms`."""
        closed = self._minutes.closed
        for bars in (closed.hours if length_ms % HOUR_MS == 0 else NO_BARS, closed.rows):
            if len(bars):
                return int(bars[0, OPEN_TIME])
        return self._minutes.open_time_ms

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return bars that those of `length_ms` in [`from_ms`, `until_ms`) consist of."""
        minutes, history, parts, ends_ms = self._minutes, self._history, [], 0
        if history is not None:
            ends_ms = history.ends_ms
            if from_ms < ends_ms and (until_ms <= ends_ms or not self._is_cut(length_ms)):
                parts.append(history.bars(length_ms, from_ms, min(until_ms, ends_ms)))
        if length_ms % HOUR_MS == 0:  # the first hour may have begun before the history ended
            after_ms = max(from_ms, ends_ms - HOUR_MS + 1)
            parts.append(between(minutes.closed.hours, after_ms, until_ms))
        live = minutes.closed.rows, rows_of(minutes.running_bar)
        parts += [between(each, max(from_ms, ends_ms), until_ms) for each in live]
        return np.concatenate(parts)

    def _within(self, interval: str, from_ms: int, until_ms: int) -> Bars:
        """Return the candles of the bars that open in [`from_ms`, `until_ms`)."""
        return _candles(interval, self.bars(_bars_ms(interval), from_ms, until_ms))

    def _part(self, interval: str, opened_ms: int, end_ms: int) -> Bar | None:
        """Return the candle of `interval` over the closed part of [`opened_ms`, `end_ms`).

        What is known of it since its last read is joined with the minutes after that.
        """
        known = self._before.get(interval)
        if known is not None and known[0] == opened_ms:
            _, known_ms, before = known
            if known_ms == end_ms:
                return before
            after = between(self._minutes.closed.rows, known_ms, end_ms)
            if len(after) == (end_ms - known_ms) // MINUTE_MS:
                for bar in after.tolist():
                    before = join(opened_ms, before, bar)
                return before
        rows: list[Bar] = self._within(interval, opened_ms, end_ms).tolist()
        return rows[0] if rows else None

    def running(self, interval: str) -> Bar | None:
        """Return the open candle of `interval`; None before the first trade."""
        now = self._minutes.running_bar
        if now is None:
            return None
        minute_ms = self._minutes.open_time_ms
        opened_ms = open_time(interval, minute_ms)
        before = self._part(interval, opened_ms, minute_ms)
        self._before[interval] = (opened_ms, minute_ms, before)
        return join(opened_ms, before, now)

    def ended(self, interval: str, boundary_ms: int) -> Bar | None:
        """Return the candle of `interval` that ended exactly at `boundary_ms`, or None."""
        if open_time(interval, boundary_ms) != boundary_ms:
            return None
        return self._part(interval, open_time(interval, boundary_ms - 1), boundary_ms)


class PriceBars:
    """Minutes of one price, in integers of 10^-8, and the candles over them."""

    def __init__(self, now_ms: int) -> None:
        self._minutes = PriceMinutes(now_ms)
        self.candles = Candles(self._minutes)

    def load_history(self, history: BarHistory) -> None:
        """Set the history, which ends where the current minute begins or before."""
        self.candles.load(history)

    def add(self, price: int, time_ms: int) -> None:
        """Add one data point."""
        self._minutes.add(price, time_ms)

    def close_minutes(self, now_ms: int) -> None:
        """Close the minutes before that of `now_ms`."""
        self._minutes.close_minutes(now_ms)


def _bars_ms(interval: str) -> int:
    """Return the length of the longest bars that candles of `interval` consist of."""
    return min(LENGTHS_MS[interval] or DAY_MS, DAY_MS)


def _candles(interval: str, *parts: Bars) -> Bars:
    bars = np.concatenate(parts)
    return combine(bars, open_times(interval, bars[:, OPEN_TIME]))
