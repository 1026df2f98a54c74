from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st
from stage import (
    BTCUSDT,
    START_MS,
    Listener,
    hear,
    listen,
    mark,
    open_plant,
    quote,
    snapshot,
    trade,
    update,
)

from tickerplant.events import BarClosed, Event, Trade
from tickerplant.market.bars import DAY_MS, MINUTE_MS
from tickerplant.profile import CURRENT
from tickerplant.streams import CATALOGUE

GAPS_MS = st.sampled_from([0, 0, 1, 99, 100, 250, 999, 3000, 59_999, 61_000])
EVENTS = st.lists(
    st.tuples(GAPS_MS, st.sampled_from(["trade", "quote", "depth", "mark"]), st.integers(1, 9)),
    max_size=25,
)
NAMES = [
    row.pattern.name(
        **{
            part: choices[0] if choices else "btcusdt"
            for part, choices in row.pattern.parts.items()
        }
    )
    for row in CATALOGUE
]


def script(steps: Sequence[tuple[int, str, int]]) -> list[tuple[int, Event]]:
    """Events and their times, made of `steps`."""
    times = accumulate(gap_ms for gap_ms, _, _ in steps)
    events: list[tuple[int, Event]] = [(START_MS, snapshot(0, [(100, 1)], [(200, 1)]))]
    last_id = 0
    for number, ((_, kind, size), after_ms) in enumerate(zip(steps, times, strict=True)):
        time_ms = START_MS + after_ms
        if kind == "trade":
            events.append((time_ms, trade(number, time_ms, 100 + size, size, sold=size > 5)))
        elif kind == "quote":
            events.append((time_ms, quote(number, (90, size), (110, 1), time_ms)))
        elif kind == "mark":
            events.append((time_ms, mark(time_ms)))
        else:
            change = update(last_id, last_id + 2 * size, [(100 + size, size % 3)], [], time_ms)
            events.append((time_ms, change))
            last_id += 2 * size
    return events


def heard(events: Sequence[tuple[int, Event]], stops: Sequence[int] = ()) -> list[bytes]:
    """The bytes that one subscriber of everything is sent, with stops of the clock between."""
    plant = open_plant([BTCUSDT], profile=CURRENT)
    listener = listen(plant, NAMES)
    plant.hubs["usdm"].set_combined(listener, True)
    end_ms = events[-1][0] + 7000
    clock: list[tuple[int, Event | None]] = [*events, *((START_MS + ms, None) for ms in stops)]
    for time_ms, event in sorted(clock, key=lambda each: each[0]):
        plant.advance(min(time_ms, end_ms))
        if event is not None:
            plant.publish(event)
    plant.advance(end_ms)
    plant.hubs["usdm"].flush()
    return listener.texts()


@given(EVENTS)
def test_the_same_events_at_the_same_times_give_the_same_bytes(
    steps: list[tuple[int, str, int]],
) -> None:
    assert heard(script(steps)) == heard(script(steps))


@given(EVENTS, st.lists(st.integers(0, 300_000), max_size=30))
def test_time_in_many_small_steps_gives_the_same_bytes_as_in_few_large_ones(
    steps: list[tuple[int, str, int]], stops: list[int]
) -> None:
    assert heard(script(steps), stops) == heard(script(steps))


@given(EVENTS)
def test_events_are_stamped_with_the_time_at_which_they_are_told(
    steps: list[tuple[int, str, int]],
) -> None:
    plant = open_plant([BTCUSDT])
    listener = listen(plant, NAMES)
    for time_ms, event in script(steps):
        plant.advance(time_ms)
        plant.publish(event)
    plant.advance(plant.now_ms + 7000)
    messages = [
        row
        for each in hear(plant, listener)
        for row in (each if isinstance(each, list) else [each])
    ]
    stamps = [message["E"] for message in messages]
    assert stamps == sorted(stamps), "in the order in which they were sent"
    for message in messages:
        if message["e"] != "markPriceUpdate" and "S" not in message:
            assert message["E"] >= message.get("T", 0), "nothing is sent before it happened"


def test_time_never_runs_backwards() -> None:
    plant = open_plant()
    plant.advance(START_MS + 500)
    plant.advance(START_MS)
    assert plant.now_ms == START_MS + 500


def test_events_are_counted_by_kind() -> None:
    plant = open_plant()
    plant.publish(trade(1, START_MS))
    plant.publish(trade(2, START_MS))
    plant.publish(quote(1))
    assert plant.published[Trade] == 2
    assert plant.published.total() == 3


def test_what_waits_goes_out_before_a_subscription_changes() -> None:
    plant = open_plant()
    listener = listen(plant, "btcusdt@trade")
    plant.publish(trade(1, START_MS))
    plant.hubs["usdm"].subscribe(listener, ["btcusdt@bookTicker"])
    assert len(listener.writes) == 1
    plant.hubs["usdm"].flush()
    assert len(listener.writes) == 1, "and not again"


def test_minutes_end_in_every_market_at_the_same_moment_traded_or_not() -> None:
    plant = open_plant(start_ms=START_MS + 17)
    told: list[tuple[int, str]] = []
    for market in plant.markets.values():
        market._tell = lambda market, event: told.append((plant.now_ms, f"{market.symbol} {event}"))
    plant.advance(START_MS + 2 * MINUTE_MS)
    expected = [
        (
            START_MS + minute * MINUTE_MS,
            f"{symbol} {BarClosed(symbol, START_MS + minute * MINUTE_MS)}",
        )
        for minute in (1, 2)
        for symbol in plant.markets
    ]
    assert told == expected


def test_a_day_of_silence_needs_no_memory() -> None:
    plant = open_plant([BTCUSDT])
    listener = Listener()
    plant.hubs["usdm"].subscribe(listener, ["btcusdt@depth", "!ticker@arr"])
    plant.publish(trade(1, START_MS))
    plant.advance(START_MS + DAY_MS)
    assert len(plant.timers) <= 3, "timers that fired are gone"
