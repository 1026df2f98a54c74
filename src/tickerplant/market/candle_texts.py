"""The candles that clients ask for, as text: a candle that has ended is written once.

Clients ask again and again for the latest candles, of which only the open one has changed. So the
texts of the latest ended candles are kept, series by series, from the first question on; the series
not asked for longest makes room. Candles further in the past are written for each question.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict

import numpy as np

from tickerplant.market.bar_arrays import open_times
from tickerplant.market.bars import OPEN_TIME, Bar, Bars
from tickerplant.market.candle_window import CandleWindow
from tickerplant.market.candles import LONGEST_MONTH_MS, Candles
from tickerplant.market.interval import LENGTHS_MS, close_time
from tickerplant.market.row_form import RowForm
from tickerplant.market.row_texts import row_text, row_texts

MAX_BYTES = 32 << 20
"""Most bytes that the kept texts take."""
MAX_CANDLES = 1_500
"""Most candles of one series that are kept between questions."""
TEXT_BYTES = 96
"""What a kept text takes besides its characters: two objects and their places in two lists."""


class _Series:
    """The texts of the latest ended candles of one interval, oldest first, without a gap."""

    def __init__(self, interval: str, form: RowForm, generation: tuple[int, int]) -> None:
        self.interval = interval
        self.form = form
        self.generation = generation
        self.opened_ms: list[int] = []
        self.texts: list[bytes] = []
        self.is_whole = False
        """Whether there is no earlier candle."""
        self.size_bytes = 0

    def append(self, bars: Bars) -> None:
        """Append candles that follow, and drop the oldest if there are too many."""
        texts = candle_texts(self.interval, bars, self.form)
        self.opened_ms += bars[:, OPEN_TIME].tolist()
        self.texts += texts
        self.size_bytes += sum(map(len, texts)) + TEXT_BYTES * len(texts)
        if len(self.texts) > MAX_CANDLES:
            self.size_bytes -= sum(map(len, self.texts[:-MAX_CANDLES]))
            self.size_bytes -= TEXT_BYTES * (len(self.texts) - MAX_CANDLES)
            del self.texts[:-MAX_CANDLES], self.opened_ms[:-MAX_CANDLES]
            self.is_whole = False

    def chosen(self, window: CandleWindow, *, with_open: bool) -> list[bytes] | None:
        """Return the ended candles of `window`; None if some are not kept.

        Args:
            window: What is asked for.
            with_open: Whether the open candle is inside the window.
        """
        opened_ms, start_ms, end_ms = self.opened_ms, window.start_ms, window.end_ms
        stop = len(opened_ms) if end_ms is None else bisect_right(opened_ms, end_ms)
        begins_before = self.is_whole or (
            start_ms is not None and bool(opened_ms) and opened_ms[0] <= start_ms
        )
        first = 0 if start_ms is None else bisect_left(opened_ms, start_ms)
        if window.is_from_start:
            return self.texts[first : min(stop, first + window.limit)] if begins_before else None
        latest = stop - (window.limit - with_open)
        if latest < 0 and not begins_before:
            return None
        return self.texts[max(latest, first, 0) : stop]


class CandleTexts:
    """Writes candles, and keeps the texts of the latest ones."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.evicted = 0
        """Series that made room for others."""
        self.size_bytes = 0
        """Bytes that the kept texts take."""
        self._max_bytes = max_bytes
        self._series: OrderedDict[tuple[Candles, str], _Series] = OrderedDict()

    def __len__(self) -> int:
        return len(self._series)

    def clear(self) -> None:
        """Forget all texts."""
        self._series.clear()
        self.size_bytes = 0

    def page(self, candles: Candles, window: CandleWindow, form: RowForm) -> bytes:
        """Return the candles of `window` as a JSON array, oldest first, the open one included."""
        interval = window.interval
        running = candles.running(interval)
        if running is None:  # nothing is traded now, but a former contract may have been
            return _array(candle_texts(interval, rows(candles, window), form))
        with_open = window.includes(running[OPEN_TIME])
        series = self._updated(candles, window, form, running[OPEN_TIME])
        texts = None if series is None else series.chosen(window, with_open=with_open)
        if texts is None:
            return _array(candle_texts(interval, rows(candles, window), form))
        if with_open and len(texts) < window.limit:
            texts.append(_candle_text(interval, running, form))
        return _array(texts)

    def _updated(
        self, candles: Candles, window: CandleWindow, form: RowForm, open_ms: int
    ) -> _Series | None:
        """Return the kept series with everything that has ended; None if there is none.

        A question for the latest candles begins it, or makes it longer.
        """
        interval = window.interval
        series = self._kept(candles, interval, form, open_ms)
        wanted = window.limit - 1
        is_enough = series is not None and (series.is_whole or len(series.texts) >= wanted)
        is_latest = not window.is_from_start and window.includes(open_ms)
        if is_latest and not is_enough and 0 < wanted <= MAX_CANDLES:
            ended = candles.rows(interval, None, open_ms - 1, wanted)
            series = _Series(interval, form, candles.generation(interval))
            series.append(ended)
            is_first = not len(ended) or ended[0, OPEN_TIME] <= candles.begins_ms(interval)
            series.is_whole = len(ended) < wanted and is_first
        if series is not None and series.texts:
            self._series[candles, interval] = series
            self.size_bytes += series.size_bytes
            self._make_room()
        return series

    def _kept(self, candles: Candles, interval: str, form: RowForm, open_ms: int) -> _Series | None:
        """Remove and return the series with what has ended since; None if it is of no use."""
        series = self._series.pop((candles, interval), None)
        if series is None:
            return None
        self.size_bytes -= series.size_bytes
        if series.generation != candles.generation(interval) or series.form != form:
            return None
        after_ms = close_time(interval, series.opened_ms[-1]) + 1
        if after_ms < open_ms:
            ended = candles.rows(interval, after_ms, open_ms - 1, MAX_CANDLES + 1)
            if len(ended) > MAX_CANDLES:
                return None
            series.append(ended)
        return series

    def _make_room(self) -> None:
        """Forget the series that were not asked for longest."""
        while self.size_bytes > self._max_bytes:
            _, oldest = self._series.popitem(last=False)
            self.size_bytes -= oldest.size_bytes
            self.evicted += 1


def rows(candles: Candles, window: CandleWindow) -> Bars:
    """Return the candles of `window`, oldest first."""
    if window.is_from_start or window.start_ms is None:
        return candles.rows(window.interval, window.start_ms, window.end_ms, window.limit)
    bars = candles.rows(window.interval, None, window.end_ms, window.limit)
    return bars[np.searchsorted(bars[:, OPEN_TIME], window.start_ms) :]


def candle_texts(interval: str, bars: Bars, form: RowForm) -> list[bytes]:
    """Return the text of each candle of `interval`."""
    opened_ms = bars[:, OPEN_TIME]
    length_ms = LENGTHS_MS[interval]
    if length_ms:
        closed_ms = opened_ms + (length_ms - 1)
    else:
        closed_ms = open_times(interval, opened_ms + LONGEST_MONTH_MS) - 1
    return row_texts(np.column_stack((bars, closed_ms)), form)


def _candle_text(interval: str, bar: Bar, form: RowForm) -> bytes:
    return row_text([*bar, close_time(interval, bar[OPEN_TIME])], form)


def _array(texts: list[bytes]) -> bytes:
    return b"[%b]" % b",".join(texts)
