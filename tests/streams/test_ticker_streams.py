"""Tickers and quotes against a count of all trades and quotes so far."""

from __future__ import annotations

from typing import Any

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from stage import (
    BTCUSD_260626,
    BTCUSD_PERP,
    BTCUSDT,
    ETHUSDT,
    listen,
    open_plant,
    quote,
    sent_to,
    trade,
)

from tickerplant.events import BookTicker, Trade
from tickerplant.instrument import Instrument

CONTRACTS = {"usdm": (BTCUSDT, ETHUSDT), "coinm": (BTCUSD_PERP, BTCUSD_260626)}
PERIODS_MS = {"usdm": 2000, "coinm": 500}
QUOTE_PERIODS_MS = {"usdm": 5000, "coinm": 0}
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 300, 999, 1000, 2300]),
        st.integers(0, 1),
        st.integers(90, 110),
        st.integers(1, 9),
    ),
    max_size=20,
)


def short(instrument: Instrument, tape: list[Trade]) -> dict[str, object]:
    """The numbers of a mini ticker, recomputed."""
    price, quantity = instrument.price.text, instrument.quantity.text
    prices = [each.price for each in tape]
    return {
        "s": instrument.symbol,
        "c": price[prices[-1]],
        "o": price[prices[0]],
        "h": price[max(prices)],
        "l": price[min(prices)],
        "v": quantity[sum(each.quantity for each in tape)],
    }


def long(instrument: Instrument, tape: list[Trade]) -> dict[str, object]:
    """The numbers of a ticker except the averages, recomputed."""
    return short(instrument, tape) | {
        "Q": instrument.quantity.text[tape[-1].quantity],
        "F": tape[0].trade_id,
        "L": tape[-1].trade_id,
        "n": len(tape),
    }


def until(tape: list[Trade], symbol: str, end_ms: int, start_ms: int = 0) -> list[Trade]:
    """Trades before the end, without those of that millisecond."""
    return [
        each for each in tape if each.symbol == symbol and start_ms <= each.trade_time_ms < end_ms
    ]


@covers("<symbol>@miniTicker", "<symbol>@ticker", "!miniTicker@arr", "!ticker@arr")
@pytest.mark.parametrize("venue", CONTRACTS)
@given(STEPS)
def test_tickers_are_what_was_traded_so_far(
    venue: str, steps: list[tuple[int, int, int, int]]
) -> None:
    contracts = CONTRACTS[venue]
    plant = open_plant(contracts)
    one = {
        kind: listen(plant, f"{contracts[0].symbol.lower()}@{kind}", venue)
        for kind in ("miniTicker", "ticker")
    }
    every = {kind: listen(plant, f"!{kind}@arr", venue) for kind in one}
    start_ms, tape = plant.now_ms, []
    for number, (gap_ms, which, price, quantity) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        symbol = contracts[which].symbol
        tape.append(trade(number, plant.now_ms, price, quantity, symbol=symbol))
        plant.publish(tape[-1])
    plant.advance(plant.now_ms + 2000)
    for kind, count in (("miniTicker", short), ("ticker", long)):
        expected: list[Any] = [
            (end_ms, count(contracts[0], so_far))
            for end_ms in range(start_ms, plant.now_ms + 1, PERIODS_MS[venue])
            if (so_far := until(tape, contracts[0].symbol, end_ms))
        ]
        keys = count(BTCUSDT, [trade(0, 0)])
        assert rows_with(sent_to(plant, one[kind]), keys) == expected
        arrays = [
            {
                each.symbol: count(each, until(tape, each.symbol, end_ms))
                for each in contracts
                if until(tape, each.symbol, end_ms, end_ms - 1000)
            }
            for end_ms in range(start_ms + 1000, plant.now_ms + 1, 1000)
        ]
        received = [
            {str(numbers["s"]): numbers for _, numbers in rows_with(rows, keys)}
            for rows in sent_to(plant, every[kind])
        ]
        assert received == [each for each in arrays if each]


def rows_with(rows: list[Any], keys: dict[str, object]) -> list[tuple[int, dict[str, object]]]:
    """When each row was sent, and its numbers of the same `keys`."""
    return [(row["E"], {key: row[key] for key in keys}) for row in rows]


@covers("!bookTicker")
@pytest.mark.parametrize("venue", CONTRACTS)
@given(STEPS)
def test_quotes_of_all_symbols_are_the_latest_of_a_period_or_every_one(
    venue: str, steps: list[tuple[int, int, int, int]]
) -> None:
    contracts, period_ms = CONTRACTS[venue], QUOTE_PERIODS_MS[venue]
    plant = open_plant(contracts)
    listener = listen(plant, "!bookTicker", venue)
    latest: dict[tuple[int, str], BookTicker] = {}
    for number, (gap_ms, which, _, _) in enumerate(steps):
        plant.advance(plant.now_ms + gap_ms)
        event = quote(number, time_ms=plant.now_ms, symbol=contracts[which].symbol)
        plant.publish(event)
        due_ms = plant.now_ms // period_ms * period_ms + period_ms if period_ms else plant.now_ms
        latest[due_ms, event.symbol if period_ms else str(number)] = event
    plant.advance(plant.now_ms + 5000)
    assert {(each["E"], each["s"], each["u"]) for each in sent_to(plant, listener)} == {
        (due_ms, event.symbol, event.update_id) for (due_ms, _), event in latest.items()
    }
