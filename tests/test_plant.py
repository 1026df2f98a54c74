from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from stage import (
    BRACKETS,
    BTCUSD_PERP,
    BTCUSDT,
    DEFIUSDT,
    ETHUSDT,
    START_MS,
    Listener,
    asset_index,
    composite,
    liquidation,
    listen,
    mark,
    name_of,
    open_plant,
    quote,
    retail,
    sent_to,
    snapshot,
    trade,
    update,
)

from tickerplant.events import ContractChanged, Event, Trade
from tickerplant.profile import CURRENT
from tickerplant.queries import find_path
from tickerplant.streams import CATALOGUE
from tickerplant.units import DAY_MS, MINUTE_MS
from tickerplant.venue import USDM

GAPS_MS = st.sampled_from([0, 0, 1, 99, 100, 250, 999, 3000, 59_999, 61_000])
KINDS = (
    *("trade", "quote", "depth", "retail", "mark", "pair mark", "liquidation"),
    *("composite", "asset", "contract"),
)
EVENTS = st.lists(
    st.tuples(GAPS_MS, st.sampled_from(KINDS), st.integers(1, 9)),
    max_size=15,
)
LISTED = (BTCUSDT, DEFIUSDT, BTCUSD_PERP)


def spoken_names() -> list[str]:
    """Every stream that may be had on USDⓈ-M since the integration."""
    plant = open_plant(LISTED, profile=CURRENT)
    plant.publish(asset_index())
    names = [name_of(plant, row, "usdm") for row in CATALOGUE]
    return [name for name in names if name is not None]


NAMES = spoken_names()


def script(steps: Sequence[tuple[int, str, int]]) -> list[tuple[int, Event]]:
    """Events and their times, made of `steps`."""
    times = accumulate(gap_ms for gap_ms, _, _ in steps)
    events: list[tuple[int, Event]] = [(START_MS, snapshot(0, [(100, 1)], [(200, 1)]))]
    last_id = book_id = 0
    for number, ((_, kind, size), after_ms) in enumerate(zip(steps, times, strict=True)):
        time_ms = START_MS + after_ms
        last_id += 2 * size
        if kind == "depth":
            change = update(book_id, last_id, [(100 + size, size % 3)], [], time_ms)
            events.append((time_ms, change))
            book_id = last_id
        else:
            events.append((time_ms, happening(kind, number, size, last_id, time_ms)))
    return events


def happening(kind: str, number: int, size: int, last_id: int, time_ms: int) -> Event:
    """An event of any kind but a change of the book."""
    made: dict[str, Callable[[], Event]] = {
        "trade": lambda: trade(number, time_ms, 100 + size, size, sold=size > 5),
        "quote": lambda: quote(number, (90, size), (110, 1), time_ms),
        "retail": lambda: retail(last_id, [(97 + size, size)], [(198 + size, size % 3)], time_ms),
        "mark": lambda: mark(time_ms),
        "pair mark": lambda: mark(time_ms, "BTCUSD_PERP"),
        "liquidation": lambda: liquidation(time_ms, quantity=size),
        "composite": lambda: composite(time_ms),
        "asset": lambda: asset_index(("ADAUSD", "XRPUSD")[size % 2], time_ms),
        "contract": lambda: ContractChanged("BTCUSDT", BTCUSDT, BRACKETS[: size % 3], time_ms),
    }
    return made[kind]()


def received(events: Sequence[tuple[int, Event]], stops: Sequence[int] = ()) -> list[bytes]:
    """The bytes that one subscriber of everything is sent, with stops of the clock between."""
    plant = open_plant(LISTED, profile=CURRENT)
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


@pytest.mark.heavy
@given(EVENTS, st.lists(st.integers(0, 300_000), max_size=30))
def test_the_bytes_depend_on_events_and_their_times_not_on_the_steps_of_the_clock(
    steps: list[tuple[int, str, int]], stops: list[int]
) -> None:
    assert received(script(steps), stops) == received(script(steps))


@given(EVENTS)
def test_messages_have_the_time_at_which_they_are_sent(
    steps: list[tuple[int, str, int]],
) -> None:
    plant = open_plant(LISTED, profile=CURRENT)
    listener = listen(plant, NAMES)
    for time_ms, event in script(steps):
        plant.advance(time_ms)
        plant.publish(event)
    plant.advance(plant.now_ms + 7000)
    messages = [
        row
        for each in sent_to(plant, listener)
        for row in (each if isinstance(each, list) else [each])
    ]
    stamps = [message["E"] for message in messages]
    assert stamps == sorted(stamps), "in the order in which they were sent"
    for message in messages:
        if message["e"] != "markPriceUpdate" and "S" not in message:
            assert message["E"] >= message.get("T", 0), "nothing is sent before it happened"


def test_events_are_counted_by_kind() -> None:
    plant = open_plant()
    plant.publish(trade(1, START_MS))
    plant.publish(trade(2, START_MS))
    plant.publish(quote(1))
    assert plant.published[Trade] == 2
    assert plant.published.total() == 3


def test_minutes_end_in_every_market_at_the_same_time_traded_or_not() -> None:
    plant = open_plant(start_ms=START_MS + 17)
    listeners = {
        symbol: listen(plant, f"{symbol.lower()}@kline_1m", market.instrument.venue.name)
        for symbol, market in plant.markets.items()
    }
    for number, symbol in enumerate(plant.markets):
        plant.publish(trade(number, START_MS + 17, symbol=symbol))
    plant.advance(START_MS + 2 * MINUTE_MS)
    for symbol, listener in listeners.items():
        closed = [message for message in sent_to(plant, listener) if message["k"]["x"]]
        ends = [(message["E"], message["k"]["n"]) for message in closed]
        assert ends == [(START_MS + MINUTE_MS, 1), (START_MS + 2 * MINUTE_MS, 0)], symbol


def test_a_day_of_silence_needs_no_memory() -> None:
    plant = open_plant([BTCUSDT])
    listener = Listener()
    plant.hubs["usdm"].subscribe(listener, ["btcusdt@depth", "!ticker@arr"])
    plant.publish(trade(1, START_MS))
    plant.advance(START_MS + DAY_MS)
    assert len(plant.timers) <= 3, "timers that fired are gone"


def test_a_message_contains_what_happens_in_the_millisecond_it_is_due() -> None:
    plant = open_plant([BTCUSDT])
    listener = listen(plant, ["btcusdt@markPrice@1s", "btcusdt@miniTicker"])
    due_ms = START_MS + 2000
    plant.advance_before(due_ms)
    plant.publish(mark(due_ms))
    plant.publish(trade(1, due_ms, 123, 1))
    plant.advance_before(due_ms + 1)
    ticker, reported = sorted(sent_to(plant, listener), key=lambda message: str(message["e"]))
    assert (reported["E"], ticker["E"]) == (due_ms, due_ms)
    assert ticker["c"] == BTCUSDT.price.text[123]


def test_what_comes_from_the_source_is_not_derived_and_is_again_once_it_comes_no_more() -> None:
    plant = open_plant([BTCUSDT, ETHUSDT])

    def reported(update_id: int) -> list[str]:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            plant.publish(update(update_id - 1, update_id, [(101, update_id)], [], symbol=symbol))
        plant.advance(plant.now_ms + 100)
        return [message["s"] for message in sent_to(plant, listener)]

    depths = ["btcusdt@depth@100ms", "ethusdt@depth@100ms"]
    plant.start_passthrough("usdm", [*depths, "!bookTicker"])
    listener = listen(plant, ["btcusdt@bookTicker", "ethusdt@bookTicker"])
    for symbol in ("BTCUSDT", "ETHUSDT"):
        plant.publish(snapshot(10, [(100, 1)], [(200, 1)], symbol=symbol))
    assert reported(11) == [], "quotes of every symbol come from the source"
    plant.stop_passthrough("usdm", ["!bookTicker"])
    plant.start_passthrough("usdm", ["ethusdt@bookTicker"])
    assert reported(12) == ["BTCUSDT"]
    plant.stop_passthrough("usdm", ["ethusdt@bookTicker"])
    assert reported(13) == ["BTCUSDT", "ETHUSDT"]
    plant.stop_passthrough("usdm", depths)
    assert reported(14) == [], "books that are not in sync have no quotes"


def test_a_contract_that_is_listed_later_derives_what_the_others_do() -> None:
    plant = open_plant([BTCUSDT])
    plant.start_passthrough("usdm", ["ethusdt@depth@100ms"])
    listener = listen(plant, "ethusdt@bookTicker")
    plant.publish(ContractChanged("ETHUSDT", ETHUSDT, (), START_MS))
    plant.publish(snapshot(10, [(100, 1)], [(200, 1)], symbol="ETHUSDT"))
    plant.publish(update(10, 11, [(101, 5)], [], symbol="ETHUSDT"))
    assert [message["u"] for message in sent_to(plant, listener)] == [10, 11]


def test_the_first_venue_with_a_symbol_has_it() -> None:
    foreign = structs.replace(BTCUSD_PERP, symbol="BTCUSDT")
    plant = open_plant((BTCUSDT, BTCUSD_PERP, foreign))
    assert list(plant.venues["usdm"].by_symbol) == ["BTCUSDT"]
    assert list(plant.venues["coinm"].by_symbol) == ["BTCUSD_PERP"]
    assert plant.markets["BTCUSDT"].instrument == BTCUSDT
    with pytest.raises(ValueError, match="BTCUSDT is a contract of another venue, not of COIN-M"):
        plant.publish(ContractChanged("BTCUSDT", foreign, (), START_MS))


@pytest.mark.parametrize(("change", "kept"), [({}, 1), ({"tick_size": 7}, 0)])
def test_candles_stay_written_unless_the_contract_itself_changes(
    change: dict[str, int], kept: int
) -> None:
    plant = open_plant([BTCUSDT])
    for number in range(3):
        plant.advance(START_MS + number * MINUTE_MS)
        plant.publish(trade(number, plant.now_ms, 100, 1))
    markets = plant.venues["usdm"]
    klines = find_path(USDM, "/fapi/v1/klines")
    assert klines is not None
    klines.respond(markets, {"symbol": "BTCUSDT", "interval": "1m"})
    assert len(markets.candle_texts) == 1
    changed = structs.replace(BTCUSDT, **change)
    plant.publish(ContractChanged("BTCUSDT", changed, BRACKETS, plant.now_ms))
    assert len(markets.candle_texts) == kept
