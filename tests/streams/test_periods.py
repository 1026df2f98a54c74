"""When each stream sends messages, and about what."""

from __future__ import annotations

from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from stage import (
    BTCUSD_PERP,
    BTCUSDT,
    INSTRUMENTS,
    START_MS,
    Listener,
    listen,
    mark,
    open_plant,
    quote,
    sent_to,
    trade,
)

from tickerplant.events import AggregateTrade, Trade
from tickerplant.market.interval import INTERVALS, open_time
from tickerplant.plant import Plant
from tickerplant.units import DAY_MS, MINUTE_MS


def at(plant: Plant, after_ms: int) -> None:
    plant.advance(START_MS + after_ms)


def times(messages: list[Any]) -> list[int]:
    """Milliseconds from the start at which messages were sent."""
    return [message["E"] - START_MS for message in messages]


def trade_at(plant: Plant, after_ms: int, trade_id: int = 1, symbol: str = "BTCUSDT") -> None:
    at(plant, after_ms)
    plant.publish(trade(trade_id, plant.now_ms, symbol=symbol))


# Candles


def test_a_candle_is_sent_every_250_ms_while_there_are_trades() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@kline_1m")
    for number, after_ms in enumerate((10, 20, 600, 1000)):
        trade_at(plant, after_ms, number)
    at(plant, 5000)
    messages = sent_to(plant, listener)
    assert times(messages) == [250, 750, 1250], "neither aggregates nor silence cause a message"
    assert [message["k"]["n"] for message in messages] == [2, 3, 4]
    assert not any(message["k"]["x"] for message in messages)


def test_a_closed_candle_is_sent_once() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@kline_1m")
    trade_at(plant, 59_990)
    at(plant, 60_900)
    (closed,) = sent_to(plant, listener)
    assert times([closed]) == [60_000]
    assert (closed["k"]["x"], closed["k"]["n"], closed["k"]["T"]) == (True, 1, START_MS + 59_999)
    trade_at(plant, 61_000, 2)
    at(plant, 62_000)
    (opened,) = sent_to(plant, listener)
    assert (opened["k"]["t"], opened["k"]["n"], opened["k"]["x"]) == (START_MS + 60_000, 1, False)


def test_a_trade_at_the_end_of_a_minute_is_sent_in_longer_candles_too() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@kline_5m")
    trade_at(plant, 59_990)
    at(plant, 61_000)
    messages = sent_to(plant, listener)
    assert [(message["k"]["n"], message["k"]["x"]) for message in messages] == [(1, False)]
    assert times(messages) == [60_000]


def test_an_empty_candle_is_sent_only_when_it_closes() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@kline_1m")
    trade_at(plant, 1000)
    at(plant, 60_000)
    sent_to(plant, listener)
    at(plant, 180_000)
    messages = sent_to(plant, listener)
    assert [(each["k"]["x"], each["k"]["n"], each["k"]["v"]) for each in messages] == [
        (True, 0, "0.000")
    ] * 2
    assert times(messages) == [120_000, 180_000]


def test_no_candle_is_sent_before_the_first_trade() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@kline_1m")
    at(plant, 200_000)
    assert sent_to(plant, listener) == []


@pytest.mark.parametrize("interval", INTERVALS[:8])
def test_each_interval_closes_on_its_own_boundaries(interval: str) -> None:
    plant = open_plant()
    listener = listen(plant, f"btcusdt@kline_{interval}")
    trade_at(plant, 0)
    for hour in range(1, 7):  # a longer step is a leap, in which not every candle is closed
        at(plant, hour * 3_600_000)
    closed = [each["k"] for each in sent_to(plant, listener) if each["k"]["x"]]
    ends = range(START_MS + MINUTE_MS, START_MS + 6 * 3_600_000 + 1, MINUTE_MS)
    assert [each["T"] + 1 for each in closed] == [
        ms for ms in ends if open_time(interval, ms) == ms
    ]
    assert sum(each["n"] for each in closed) == 1


@covers("<symbol>@kline_<interval:1m|3m|5m|15m|30m|1h|2h|4h|6h|8h|12h|1d|3d|1w|1M>")
@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(90, 110)), max_size=30))
def test_the_last_word_on_every_candle_is_the_closed_one_and_it_is_complete(
    steps: list[tuple[int, int]],
) -> None:
    plant = open_plant()
    listeners = {each: listen(plant, f"btcusdt@kline_{each}") for each in ("1m", "3m")}
    tape = []
    for number, (gap_ms, price) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        tape.append(trade(number, plant.now_ms, price))
        plant.publish(tape[-1])
    plant.advance(plant.now_ms // 180_000 * 180_000 + 180_000)
    for interval, listener in listeners.items():
        reported: dict[int, Any] = {}
        for each in sent_to(plant, listener):
            candle = each["k"]
            assert not reported.get(candle["t"], {"x": False})["x"], (
                "nothing follows a closed candle"
            )
            reported[candle["t"]] = candle
        for opened_ms, candle in reported.items():
            inside = [t for t in tape if open_time(interval, t.trade_time_ms) == opened_ms]
            assert candle["x"], "every candle that was sent is closed in the end"
            assert candle["n"] == len(inside)
        assert sum(candle["n"] for candle in reported.values()) == len(tape)


# Tickers


@pytest.mark.parametrize(
    ("venue", "name", "period_ms"),
    [
        ("usdm", "btcusdt@miniTicker", 2000),
        ("usdm", "btcusdt@ticker", 2000),
        ("coinm", "btcusd_perp@miniTicker", 500),
        ("coinm", "btcusd_perp@ticker", 500),
    ],
)
def test_tickers_of_one_symbol_come_on_their_grid(venue: str, name: str, period_ms: int) -> None:
    plant = open_plant(start_ms=START_MS + 123)
    listener = listen(plant, name, venue)
    at(plant, 1000)
    assert sent_to(plant, listener) == [], "there are no statistics before the first trade"
    trade_at(plant, 1100, symbol="BTCUSDT" if venue == "usdm" else "BTCUSD_PERP")
    at(plant, 9000)
    expected = [ms for ms in range(0, 9001, period_ms) if ms > 1100]
    assert times(sent_to(plant, listener)) == expected, "a message a period, changed or not"


def test_a_ticker_changes_when_trades_leave_the_window() -> None:
    plant = open_plant([BTCUSDT])
    trade_at(plant, 500, 1)
    at(plant, DAY_MS - MINUTE_MS)
    listener = listen(plant, "!miniTicker@arr")
    at(plant, DAY_MS + 5 * MINUTE_MS)
    messages = sent_to(plant, listener)
    assert [(times(rows), rows[0]["v"]) for rows in messages] == [
        ([DAY_MS + MINUTE_MS + 1000], "0.000")
    ], "the minute of the trade leaves when it is a day old: told once, in the next period"


@pytest.mark.parametrize("name", ["!ticker@arr", "btcusdt@kline_1m"])
def test_an_off_book_print_changes_no_statistics(name: str) -> None:
    plant = open_plant()
    trade_at(plant, 100, 1)
    at(plant, 1000)
    listener = listen(plant, [name, "btcusdt@trade", "btcusdt@aggTrade"])
    plant.publish(trade(2, plant.now_ms, 1, origin="INSURANCE_FUND"))
    at(plant, 5000)
    (reported,) = sent_to(plant, listener)
    assert (reported["e"], reported["X"]) == ("trade", "INSURANCE_FUND"), (
        "it is in the trade stream only"
    )


def test_aggregates_count_where_the_source_has_no_trades() -> None:
    plant = open_plant([BTCUSDT])
    plant.start_passthrough("usdm", ["btcusdt@aggTrade"])
    listener = listen(plant, ["!ticker@arr", "btcusdt@kline_1m"])
    plant.publish(AggregateTrade("BTCUSDT", 9, 6_528_000, 5, 5, 11, 13, START_MS, False))
    at(plant, 2000)
    candle, (ticker,) = sent_to(plant, listener)
    assert (candle["k"]["n"], ticker["n"], ticker["F"], ticker["L"]) == (3, 3, 11, 13)


# Quotes and marks


@pytest.mark.parametrize(
    ("name", "period_ms"),
    [
        ("btcusdt@markPrice", 3000),
        ("btcusdt@markPrice@1s", 1000),
        ("!markPrice@arr", 3000),
        ("!markPrice@arr@1s", 1000),
    ],
)
def test_mark_prices_come_on_their_grid_whether_or_not_they_changed(
    name: str, period_ms: int
) -> None:
    plant = open_plant(start_ms=START_MS + 1)
    listener = listen(plant, name)
    plant.publish(mark())
    plant.publish(mark(symbol="ETHUSDT"))
    at(plant, 9000)
    messages = sent_to(plant, listener)
    rows = [message if isinstance(message, list) else [message] for message in messages]
    assert [times(each)[0] for each in rows] == list(range(period_ms, 9001, period_ms))
    symbols = {"BTCUSDT", "ETHUSDT"} if name.startswith("!") else {"BTCUSDT"}
    assert [{row["s"] for row in each} for each in rows] == [symbols] * len(rows)


# Trades


def test_an_aggregate_is_sent_after_100_ms_or_when_another_starts() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@aggTrade")
    for number, (after_ms, price) in enumerate([(0, 10), (30, 10), (60, 11), (400, 11)]):
        at(plant, after_ms)
        plant.publish(trade(number, plant.now_ms, price))
    at(plant, 1000)
    messages = sent_to(plant, listener)
    assert [(each["f"], each["l"], each["a"]) for each in messages] == [
        (0, 1, 1),
        (2, 2, 2),
        (3, 3, 3),
    ]
    assert times(messages) == [60, 160, 500]
    assert [each["T"] - START_MS for each in messages] == [0, 60, 400]


@covers("<symbol>@trade", "<symbol>@aggTrade")
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 50, 99, 100, 400]), st.integers(1, 2)), max_size=30)
)
def test_the_aggregates_of_a_stream_cover_its_trades(steps: list[tuple[int, int]]) -> None:
    plant = open_plant()
    trades, aggregates = listen(plant, "btcusdt@trade"), listen(plant, "btcusdt@aggTrade")
    for number, (gap_ms, price) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        plant.publish(trade(number, plant.now_ms, price))
    plant.advance(plant.now_ms + 100)
    reported = {each["t"]: each for each in sent_to(plant, trades)}
    covered = 0
    for each in sent_to(plant, aggregates):
        inside = [reported[number] for number in range(each["f"], each["l"] + 1)]
        assert each["E"] - each["T"] <= 100, "sent within 100 ms"
        assert {fill["p"] for fill in inside} == {each["p"]}
        assert sum(round(1000 * float(fill["q"])) for fill in inside) == 1000 * float(each["q"])
        covered += len(inside)
    assert covered == len(reported) == len(steps)


def test_a_stream_sends_nothing_about_other_symbols() -> None:
    plant = open_plant()
    names = ("trade", "aggTrade", "bookTicker", "miniTicker", "markPrice@1s", "kline_1m")
    listener = listen(plant, [f"ethusdt@{name}" for name in names])
    plant.publish(trade(1, START_MS))
    plant.publish(quote(1))
    plant.publish(mark())
    at(plant, 10_000)
    assert sent_to(plant, listener) == []


def test_a_stream_of_one_venue_says_nothing_of_the_other() -> None:
    plant = open_plant()
    usdm, coinm = Listener(), Listener()
    plant.hubs["usdm"].subscribe(usdm, ["!ticker@arr"])
    plant.hubs["coinm"].subscribe(coinm, ["!ticker@arr"])
    for instrument in INSTRUMENTS:
        plant.publish(trade(1, START_MS, symbol=instrument.symbol))
    at(plant, 1000)
    reported = {
        venue: {row["s"] for rows in sent_to(plant, listener) for row in rows}
        for venue, listener in (("usdm", usdm), ("coinm", coinm))
    }
    assert BTCUSD_PERP.symbol not in reported["usdm"]
    assert BTCUSDT.symbol not in reported["coinm"]
    assert len(reported["usdm"]) + len(reported["coinm"]) == len(INSTRUMENTS)


def test_off_book_trades_are_not_what_a_market_answers_with() -> None:
    plant = open_plant()
    plant.publish(Trade("BTCUSDT", 1, 5, 5, False, START_MS, "ADL"))
    market = plant.markets["BTCUSDT"]
    assert (list(market.trades), market.last_price, market.minutes.statistics()) == ([], 0, None)
