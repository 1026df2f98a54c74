"""Kept texts of candles are what a plain encoder writes now, whatever was asked before."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from drawn_tapes import tapes
from hypothesis import given
from hypothesis import strategies as st
from stage import BTCUSDT, START_MS, trade

from tickerplant.events import Trade
from tickerplant.instrument import decimal_text
from tickerplant.market import bar_arrays, candle_texts, minutes
from tickerplant.market.bars import CLOSE, OPEN_TIME
from tickerplant.market.candle_texts import CandleTexts
from tickerplant.market.candle_window import CLOSE_TIME, CandleWindow
from tickerplant.market.candles import Candles
from tickerplant.market.interval import INTERVALS, close_time
from tickerplant.market.minutes import Minutes
from tickerplant.market.row_form import Number, RowForm, row_form
from tickerplant.units import DAY_MS, HOUR_MS, MINUTE_MS

FORM = row_form('[{},"{}",{}]', Number(OPEN_TIME), Number(CLOSE, 2), Number(CLOSE_TIME))


def plain(candles: Candles, window: CandleWindow) -> bytes:
    """The candles of `window`, encoded afresh."""
    rows = candle_texts.rows(candles, window).tolist()
    interval = window.interval
    return msgspec.json.encode(
        [
            (row[OPEN_TIME], decimal_text(row[CLOSE], 2), close_time(interval, row[0]))
            for row in rows
        ]
    )


def add(into: Minutes, each: Trade) -> None:
    into.close_minutes(each.trade_time_ms // MINUTE_MS * MINUTE_MS)
    into.add(each.price, each.quantity, not each.buyer_is_maker, each.trade_id, each.trade_id)


times = st.none() | st.integers(-90, 3 * 1440).map(lambda minute: START_MS + minute * MINUTE_MS)
windows = st.builds(
    CandleWindow, st.sampled_from(INTERVALS), times, times, st.integers(1, 40), st.booleans()
)


@given(tapes(), st.lists(st.tuples(st.integers(0, 40), windows), max_size=12))
def test_a_page_is_what_a_plain_encoder_writes(
    tape: list[Trade], asked: list[tuple[int, CandleWindow]]
) -> None:
    lived = Minutes(BTCUSDT.turnover, START_MS)
    candles, texts = Candles(lived), CandleTexts()
    for number, each in enumerate((None, *tape)):
        if each is not None:
            add(lived, each)
        for when, window in asked:
            if when % (len(tape) + 1) == number:
                assert texts.page(candles, window, FORM) == plain(candles, window)


@pytest.mark.heavy
@given(
    st.lists(st.integers(1, 9) | st.integers(50, 500), min_size=1, max_size=30),
    st.lists(windows, min_size=1, max_size=4),
)
def test_candles_that_are_no_longer_kept_are_not_in_a_page(
    pauses: list[int], asked: list[CandleWindow]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minutes, "RETAINED_MINUTES", 150)
        patch.setattr(bar_arrays, "RETAINED_HOURS", 30)
        lived = Minutes(BTCUSDT.turnover, START_MS)
    candles, texts = Candles(lived), CandleTexts()
    now_ms = START_MS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bar_arrays, "RETAINED_HOURS", 30)
        for number, pause in enumerate(pauses):
            now_ms += pause * MINUTE_MS
            add(lived, trade(number + 1, now_ms, 100 + number % 7, 1))
            for window in asked:
                moved = msgspec.structs.replace(window, start_ms=None, end_ms=None)
                for each in (window, moved):
                    assert texts.page(candles, each, FORM) == plain(candles, each)


def month_of_minutes(count: int) -> tuple[Minutes, Candles]:
    lived = Minutes(BTCUSDT.turnover, START_MS)
    candles = Candles(lived)
    add(lived, trade(1, START_MS, 100, 1))
    lived.close_minutes(START_MS + count * MINUTE_MS)
    return lived, candles


def latest(limit: int, interval: str = "1m") -> CandleWindow:
    return CandleWindow(interval, None, None, limit)


def test_an_ended_candle_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write: Callable[..., list[bytes]] = candle_texts.candle_texts

    def counting(interval: str, bars: np.ndarray, form: RowForm) -> list[bytes]:
        written.append(len(bars))
        return write(interval, bars, form)

    monkeypatch.setattr(candle_texts, "candle_texts", counting)
    lived, candles = month_of_minutes(100)
    texts = CandleTexts()
    texts.page(candles, latest(60), FORM)
    texts.page(candles, latest(60), FORM)
    texts.page(candles, latest(5), FORM)
    lived.close_minutes(START_MS + 103 * MINUTE_MS)
    texts.page(candles, latest(60), FORM)
    assert written == [59, 3]


def test_the_series_not_asked_for_longest_makes_room() -> None:
    _, candles = month_of_minutes(2_000)
    texts = CandleTexts(max_bytes=100_000)
    for interval in ("1m", "3m", "1m", "5m", "15m", "30m"):
        texts.page(candles, latest(500, interval), FORM)
        assert texts.size_bytes <= 100_000
    assert texts.evicted > 0
    assert len(texts) > 0
    texts.clear()
    assert (len(texts), texts.size_bytes) == (0, 0)


def test_a_series_keeps_no_more_candles_than_a_question_can_ask_for() -> None:
    lived, candles = month_of_minutes(2_000)
    texts = CandleTexts()
    texts.page(candles, latest(candle_texts.MAX_CANDLES), FORM)
    full_bytes = texts.size_bytes
    for day in range(1, 4):
        lived.close_minutes(START_MS + 2_000 * MINUTE_MS + day * DAY_MS // 2 + HOUR_MS)
        window = latest(candle_texts.MAX_CANDLES)
        assert texts.page(candles, window, FORM) == plain(candles, window)
    assert texts.size_bytes <= full_bytes * 1.01
