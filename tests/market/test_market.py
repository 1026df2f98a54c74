from __future__ import annotations

import numpy as np
import pytest
from drawn_tapes import KnownPast, tapes
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs
from stage import (
    BTCUSD_260626,
    BTCUSD_PERP,
    BTCUSDT,
    START_MS,
    mark,
    quote,
    snapshot,
    trade,
    update,
)

from tickerplant.events import (
    AggregateTrade,
    BarClosed,
    BookSnapshot,
    BookTicker,
    Delivered,
    DepthUpdate,
    Event,
    FundingPaid,
    Level,
    Liquidation,
    Trade,
    WindowMoved,
)
from tickerplant.instrument import Instrument, Scale
from tickerplant.market.bar_arrays import NO_BARS
from tickerplant.market.bars import CLOSE, OPEN, Bars
from tickerplant.market.history import Predecessor
from tickerplant.market.market import ALL_DERIVABLE, Market
from tickerplant.market.series import RETAINED_AGGREGATES, RETAINED_TRADES
from tickerplant.market.tape import CHUNK_EVENTS
from tickerplant.market.timers import Timers
from tickerplant.profile import CURRENT, P2026Q1
from tickerplant.raw_events import RawDepth, RawQuote, RawTrade
from tickerplant.units import DAY_MS, MINUTE_MS


class Scene:
    """A market, its clock, and the events that it emitted."""

    def __init__(
        self,
        instrument: Instrument = BTCUSDT,
        source_events: frozenset[type] = ALL_DERIVABLE,
        *,
        start_ms: int = START_MS,
        has_listener: bool = True,
        reserved: bool = False,
    ) -> None:
        self.timers = Timers(start_ms)
        self.emitted: list[Event] = []
        self.market = Market(
            instrument,
            P2026Q1,
            self.timers,
            lambda _, event: self.emitted.append(event),
            lambda _kind, _symbol: has_listener,
            source_events,
            reserved_snapshot_ids=reserved,
        )

    def play(self, tape: list[Trade]) -> None:
        """Apply trades at their times; minutes close and the clock advances as in a plant."""
        for each in tape:
            self.go_to(each.trade_time_ms)
            self.market.apply(each)

    def go_to(self, now_ms: int) -> None:
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        if minute_ms > self.market.minutes.open_time_ms:
            self.timers.advance(minute_ms - 1)
            self.market.close_minutes(minute_ms)
        self.timers.advance(now_ms)

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.emitted if type(event) is kind]


class MarketHistory:
    """The history of a market that received `tape`."""

    def __init__(self, tape: list[Trade], now_ms: int) -> None:
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        closed = [each for each in tape if each.trade_time_ms < minute_ms]
        lived = Scene(start_ms=START_MS)
        lived.play(closed)
        lived.go_to(minute_ms)
        aggregates = [each for each in lived.of(AggregateTrade) if isinstance(each, AggregateTrade)]
        self._closed, self._aggregates = closed, aggregates
        self.day = lived.market.minutes.closed.rows
        self.begins_ms = self.ends_ms = START_MS
        self.trades = [each for each in tape if each.trade_time_ms >= minute_ms]
        self.last_trade = tape[-1] if tape else None
        self.first_aggregate_id = len(aggregates) + 1
        self.splits_an_aggregate = lived.market._aggregator.due_ms > 0

    @property
    def older_trades(self) -> KnownPast:
        return KnownPast(self._closed, len(self._closed) + 1)

    @property
    def older_aggregates(self) -> KnownPast:
        return KnownPast(self._aggregates, self.first_aggregate_id)

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        del length_ms, from_ms, until_ms
        return NO_BARS

    @property
    def marks(self) -> MarketHistory:
        return self

    indices = premiums = marks

    def fundings(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[FundingPaid]:
        del start_ms, end_ms, limit
        return []

    def predecessors(self, contract_type: str) -> list[Predecessor]:
        del contract_type
        return []

    def deliveries(self) -> list[Delivered]:
        return []

    times_ms = range(0)

    @property
    def positions(self) -> MarketHistory:
        return self

    def column(self, field: str, times_ms: range) -> list[int]:
        del field, times_ms
        return []


def test_delivered_events_are_emitted_before_derived_ones() -> None:
    scene = Scene()
    first, second = trade(1, START_MS, 100), trade(2, START_MS, 101)
    scene.market.apply(first)
    scene.market.apply(second)
    assert [type(event) for event in scene.emitted] == [Trade, AggregateTrade, Trade]
    scene.timers.advance(START_MS + 100)
    assert [type(event) for event in scene.emitted[3:]] == [AggregateTrade]


def test_every_kind_of_event_is_passed_on() -> None:
    scene = Scene()
    liquidation = Liquidation("BTCUSDT", "SELL", 1, 2, 3, "FILLED", 1, 1, START_MS)
    events: list[Event] = [quote(1), mark(), liquidation]
    for event in events:
        scene.market.apply(event)
    assert scene.emitted == events
    assert scene.market.book_ticker == events[0]
    assert scene.market.mark_price == events[1]


def test_an_update_before_the_snapshot_is_buffered_and_emitted_with_it() -> None:
    scene = Scene()
    scene.market.apply(update(10, 12, [(100, 1)], []))
    assert (scene.emitted, scene.market.book_live) == ([], False), "the book is not known yet"
    assert scene.market.book_sync.reason == "no snapshot yet"
    scene.market.apply(snapshot(11, [(90, 1)], [(200, 1)]))
    assert scene.market.book_live
    assert scene.market.book.top(5) == ([(100, 1), (90, 1)], [(200, 1)])


def test_a_snapshot_of_a_book_that_is_live_is_of_no_use() -> None:
    scene = Scene()
    scene.market.apply(snapshot(10, [(90, 1)], [(200, 1)]))
    scene.market.apply(update(10, 12, [(100, 1)], []))
    scene.market.apply(snapshot(10, [(90, 1)], [(200, 1)]))
    assert scene.market.book.last_update_id == 12, "it would undo the updates since it was made"
    assert scene.market.book.best_bid == (100, 1)


@pytest.mark.parametrize(("reserved", "expected"), [(True, 13), (False, 12)])
def test_a_snapshot_has_an_unused_id_if_the_source_reserves_one(
    reserved: bool, expected: int
) -> None:
    scene = Scene(reserved=reserved)
    scene.market.apply(snapshot(10, [], []))
    scene.market.apply(update(10, 12, [(100, 1)], []))
    assert scene.market.snapshot_id == expected


def test_a_quote_is_derived_only_where_the_source_has_none() -> None:
    for source_events, quotes in ((ALL_DERIVABLE, 0), (frozenset({DepthUpdate}), 2)):
        scene = Scene(source_events=source_events)
        scene.market.apply(snapshot(10, [(90, 1)], [(200, 1)]))
        scene.market.apply(update(10, 12, [(100, 1)], []))
        scene.market.apply(update(12, 14, [(80, 1)], []))
        assert len(scene.of(BookTicker)) == quotes, "one a change of the best, none beside those"


def test_a_book_with_an_empty_side_has_no_quote() -> None:
    scene = Scene(source_events=frozenset({DepthUpdate}))
    scene.market.apply(snapshot(10, [(90, 1)], []))
    assert scene.market.book_ticker is None


@pytest.mark.parametrize("has_listener", [True, False])
def test_raw_events_equal_their_parsed_events_with_and_without_listeners(
    has_listener: bool,
) -> None:
    scene = Scene(has_listener=has_listener)
    scene.market.apply(snapshot(10, [(90, 1)], [(20_000, 1)]))
    raw = RawDepth(0, 5, "BTCUSDT", 11, 12, 10, [("1.00", "0.007")], [("200.00", "0.000")])
    scene.market.apply(raw)
    scene.market.apply(RawQuote(12, "BTCUSDT", "1.00", "0.007", "3.00", "0.001", 5))
    assert scene.market.book.top(5) == ([(100, 7), (90, 1)], [])
    assert scene.market.book_ticker == quote(12, (100, 7), (300, 1), 5)
    assert [type(event) for event in scene.emitted] == [
        BookSnapshot,
        *([DepthUpdate, BookTicker] if has_listener else []),
    ]


@pytest.mark.parametrize("has_listener", [True, False])
def test_an_unreadable_raw_number_is_dropped_and_counted(has_listener: bool) -> None:
    scene = Scene(has_listener=has_listener)
    scene.market.apply(snapshot(10, [(90, 1)], [(20_000, 1)]))
    levels = [("1.00", "0.007"), ("abc", "1"), ("2.001", "1")]
    scene.market.apply(RawDepth(0, 5, "BTCUSDT", 11, 12, 10, levels, []))
    scene.market.apply(RawQuote(12, "BTCUSDT", "?", "0.007", "3.00", "0.001", 5))
    assert scene.market.book.top(5) == ([(100, 7), (90, 1)], [(20_000, 1)])
    assert scene.market.book_ticker is None
    scene.market.apply(RawTrade(5, 5, "BTCUSDT", 1, "1.005", "0.001", buyer_is_maker=False))
    assert not scene.market.trades
    assert (scene.market.book.unreadable, scene.market.unreadable) == (2, 2)


def test_aggregates_of_the_source_are_emitted_and_none_is_derived() -> None:
    scene = Scene(source_events=frozenset({Trade, AggregateTrade}))
    scene.market.apply(trade(1, START_MS, 100, 7))
    aggregate = AggregateTrade("BTCUSDT", 5, 100, 7, 7, 1, 1, START_MS, False)
    scene.market.apply(aggregate)
    scene.timers.advance(START_MS + 1000)
    assert scene.of(AggregateTrade) == [aggregate]
    day = scene.market.minutes.statistics()
    assert day is not None
    assert (day.count, day.volume) == (1, 7), "what was traded is counted once"


@pytest.mark.parametrize(
    ("event", "trades", "aggregates"),
    [
        (trade(1, START_MS), True, True),
        (trade(1, START_MS, origin="ADL"), False, False),
        (AggregateTrade("BTCUSDT", 5, 100, 7, 7, 1, 1, START_MS, False), False, True),
        (WindowMoved("BTCUSDT"), True, True),
    ],
)
def test_a_market_says_what_its_statistics_are_made_of(
    event: Event, trades: bool, aggregates: bool
) -> None:
    assert Scene().market.feeds_statistics(event) == trades
    assert (
        Scene(source_events=frozenset({AggregateTrade})).market.feeds_statistics(event)
        == aggregates
    )


def test_the_end_of_a_minute_is_emitted_before_the_window_moves() -> None:
    scene = Scene()
    scene.market.apply(trade(1, START_MS))
    scene.timers.advance(START_MS + 100)
    scene.emitted.clear()
    scene.market.close_minutes(START_MS + DAY_MS)
    scene.market.close_minutes(START_MS + DAY_MS + MINUTE_MS)
    assert scene.emitted == [
        BarClosed("BTCUSDT", START_MS + DAY_MS),
        BarClosed("BTCUSDT", START_MS + DAY_MS + MINUTE_MS),
        WindowMoved("BTCUSDT"),
    ]


@pytest.mark.heavy
def test_old_trades_are_dropped() -> None:
    scene = Scene()
    total = RETAINED_TRADES + 3 * CHUNK_EVENTS
    for number in range(total):
        scene.market.apply(trade(number, START_MS, 100 + number % 2))
    kept = [each.trade_id for each in scene.market.trades]
    assert RETAINED_TRADES <= len(kept) < RETAINED_TRADES + 2 * CHUNK_EVENTS, (
        "as many as are promised"
    )
    assert kept == list(range(total - len(kept), total)), "the latest ones"
    assert (
        RETAINED_AGGREGATES <= len(scene.market.aggregates) < RETAINED_AGGREGATES + 2 * CHUNK_EVENTS
    )


@pytest.mark.parametrize("decimals", [0, 1, 2, 7, 8, 9, 11])
@pytest.mark.parametrize(
    ("bid", "ask", "premium"),
    [("101", "102", 1_000_000), ("97", "98", -2_000_000), ("99", "101", 0)],
)
def test_the_premium_is_how_far_the_best_prices_are_off_the_index(
    decimals: int, bid: str, ask: str, premium: int
) -> None:
    """Premium index: (max(0, bid - index) - max(0, index - ask)) / index."""
    scale = Scale(decimals)
    scene = Scene(structs.replace(BTCUSDT, price=scale))
    scene.market.apply(quote(5, (scale.units[bid], 1), (scale.units[ask], 1)))
    emitted = structs.replace(mark(START_MS), index_price=100 * 10**8)
    scene.market.apply(emitted)
    row = scene.market.premiums.candles.running("1m")
    assert row is not None
    assert row[OPEN : CLOSE + 1] == [premium] * 4
    row = scene.market.indices.candles.running("1m")
    assert row is not None
    assert row[CLOSE] == 100 * 10**8


@given(tapes(max_size=25), st.integers(0, 25), st.integers(0, 200))
def test_a_market_with_history_equals_one_that_was_running(
    tape: list[Trade], cut: int, pause_ms: int
) -> None:
    before, after = tape[:cut], tape[cut:]
    now_ms = before[-1].trade_time_ms if before else START_MS
    if after:
        pause_ms = min(pause_ms, after[0].trade_time_ms - now_ms)
    now_ms += pause_ms
    lived, opened = Scene(), Scene(start_ms=now_ms)
    lived.play(before)
    lived.go_to(now_ms)
    past = MarketHistory(before, now_ms)
    assume(not past.splits_an_aggregate)
    opened.market.load_history(past)
    assert opened.emitted == [], "the past is not told"
    known = len(lived.emitted)
    lived.play(after)
    opened.play(after)
    end_ms = (after[-1].trade_time_ms if after else now_ms) + 100
    lived.go_to(end_ms)
    opened.go_to(end_ms)
    assert opened.of(Trade) == [event for event in lived.emitted[known:] if type(event) is Trade]
    for name in ("aggregates", "trades"):
        assert getattr(opened.market, name).latest(99) == getattr(lived.market, name).latest(99), (
            "with the same ids"
        )
    one, other = (scene.market.minutes for scene in (lived, opened))
    assert np.array_equal(one.closed.rows, other.closed.rows)
    assert one.running_bar == other.running_bar
    assert opened.market.candles.running("1d") == lived.market.candles.running("1d")
    assert opened.market.candles.rows("1h", None, None, 9).tolist() == (
        lived.market.candles.rows("1h", None, None, 9).tolist()
    )
    if opened.market.trades.latest(1):
        assert opened.market.minutes.statistics() == lived.market.minutes.statistics()
        assert opened.market.last_price == lived.market.last_price


def test_history_without_recent_trades_still_has_the_last_price() -> None:
    past = MarketHistory([trade(1, START_MS, 123)], START_MS + 5 * MINUTE_MS)
    scene = Scene(start_ms=START_MS + 5 * MINUTE_MS)
    scene.market.load_history(past)
    assert scene.market.last_price == 123


@pytest.mark.parametrize(
    ("instrument", "first", "current"),
    [
        (BTCUSDT, (False, False), ("BTCUSDT", 1)),
        (BTCUSD_PERP, ("BTCUSD", False), ("BTCUSD", 2)),
        (BTCUSD_260626, ("BTCUSD", False), ("BTCUSD", 2)),
    ],
    ids=lambda each: getattr(each, "symbol", ""),
)
def test_the_labels_of_messages_are_those_of_the_profile(
    instrument: Instrument, first: tuple[object, object], current: tuple[object, object]
) -> None:
    for profile, expected in ((P2026Q1, first), (CURRENT, current)):
        market = Market(
            instrument, profile, Timers(START_MS), lambda _, __: None, lambda _, __: True
        )
        labels = (market.pair_label, market.type_label)
        assert (
            tuple(label if isinstance(label, str | int) else False for label in labels) == expected
        )


def bounded(last: int, bids: list[Level], asks: list[Level]) -> BookSnapshot:
    """A snapshot of as many levels as were requested: there may be more."""
    return structs.replace(
        snapshot(last, bids, asks), lowest_known_bid=bids[-1][0], highest_known_ask=asks[-1][0]
    )


def test_a_book_whose_price_left_the_levels_of_its_snapshot_is_not_known() -> None:
    scene = Scene(source_events=frozenset({DepthUpdate}))
    market = scene.market
    market.apply(bounded(10, [(100, 1), (90, 1)], [(110, 1), (120, 1)]))
    assert (market.book.knows(2), market.book.knows(3)) == (True, False)
    market.apply(update(10, 12, [(100, 0), (80, 5)], []))
    assert (market.book_live, market.book.knows(1), market.book.knows(2)) == (True, True, False)
    market.apply(update(12, 14, [(90, 0)], [(85, 1)]))
    lives = [market.book_live]  # 80 is a bid, but there may be better ones
    assert market.book_reason == "out of depth: no level from the snapshot is left on one side"
    assert market.book_sync.live, "no update is missing"
    quotes = sum(isinstance(event, BookTicker) for event in scene.emitted)
    market.apply(update(14, 16, [], [(84, 1)]))
    assert sum(isinstance(event, BookTicker) for event in scene.emitted) == quotes
    market.apply(bounded(14, [(82, 3), (80, 5)], [(85, 1), (110, 1)]))
    lives.append(market.book_live)  # it is one that the last updates continue
    assert lives == [False, True]
    assert (market.book.best_bid, market.book.best_ask) == ((82, 3), (84, 1))
    assert market.book.last_update_id == 16
    market.apply(bounded(9, [(1, 1)], [(2, 1)]))
    assert market.book.best_bid == (82, 3), "it is older than the updates at hand"
