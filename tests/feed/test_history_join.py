"""A history joined to live messages: complete, in order, without repetitions, or with a `Gap`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.feed.history import (
    CANDLES,
    HAVE_HISTORY,
    MAX_ATTEMPTS,
    MAX_REPEATED,
    NO_LONGER,
    FetchHistory,
    HistoryJoin,
    has_history,
)
from tickerplant.feed.identified import TOO_MANY
from tickerplant.messages.kline import Candle, Kline
from tickerplant.messages.trade import AggregateTrade
from tickerplant.notices import Disconnected, Gap, Recovered

TRADES, OTHER, MINUTES = "btcusdt@aggTrade", "ethusdt@aggTrade", "btcusdt@kline_1m"
SPAN_MS = 60_000
START_MS = 1_767_225_600_000


def trade(number: int, stream: str = TRADES, *, live: bool = True, at_ms: int = 0) -> Any:
    time_ms = at_ms or START_MS + number * 10
    return AggregateTrade(
        stream=stream if live else "",
        backfilled=not live,
        event_time_ms=time_ms,
        aggregate_id=number,
        symbol=stream.partition("@")[0].upper(),
        price="1",
        quantity="1",
        first_trade_id=number,
        last_trade_id=number,
        trade_time_ms=time_ms,
        buyer_is_maker=False,
    )


def rows(first: int, last: int, stream: str = TRADES) -> list[Any]:
    return [trade(number, stream, live=False) for number in range(first, last + 1)]


def candle(number: int, count: int, *, closed: bool = False, live: bool = True) -> Any:
    """Return a message of the candle `number`, after `count` trades in it."""
    opened_ms = START_MS + number * SPAN_MS
    return Kline(
        stream=MINUTES if live else "",
        backfilled=not live,
        event_time_ms=opened_ms + count,
        symbol="BTCUSDT",
        candle=Candle(
            open_time_ms=opened_ms,
            close_time_ms=opened_ms + SPAN_MS - 1,
            symbol="BTCUSDT",
            interval="1m",
            first_trade_id=-1,
            last_trade_id=-1,
            open_price="1",
            close_price="1",
            high_price="1",
            low_price="1",
            volume="1",
            trade_count=count,
            is_closed=closed,
            turnover="1",
            taker_buy_volume="1",
            taker_buy_turnover="1",
        ),
    )


def candle_rows(first: int, last: int, *, open_count: int | None = None) -> list[Any]:
    """Return closed candles, and the open one after them if it has a count."""
    closed = [candle(number, 9, closed=True, live=False) for number in range(first, last + 1)]
    return closed + ([] if open_count is None else [candle(last + 1, open_count, live=False)])


class Consumer:
    """What a join delivers, in short."""

    def __init__(self, *names: str, max_held: int = 100) -> None:
        self.items: list[Any] = []
        self.join = HistoryJoin(names or (TRADES,), self.items.append, max_held)
        assert self.join.take_fetches() == [FetchHistory(name) for name in names or (TRADES,)]

    def live(self, *numbers: int, stream: str = TRADES) -> None:
        for number in numbers:
            self.join.take(trade(number, stream))

    @property
    def seen(self) -> list[Any]:
        """Return ids of messages; gaps as tuples of their bounds; other notices by name."""
        return [
            (each.after_id, each.before_id)
            if isinstance(each, Gap)
            else getattr(each, "aggregate_id", type(each).__name__)
            for each in self.items
        ]

    @property
    def candles(self) -> list[tuple[int, int, bool]]:
        return [
            ((each.open_time_ms - START_MS) // SPAN_MS, each.candle.trade_count, each.is_closed)
            for each in self.items
        ]


def test_history_comes_first_then_what_was_held_then_live_messages() -> None:
    consumer = Consumer()
    consumer.live(5, 6, 7)
    assert (consumer.seen, consumer.join.held_count) == ([], 3)
    consumer.join.answered(TRADES, rows(1, 6))
    assert consumer.seen == [1, 2, 3, 4, 5, 6, 7]
    assert [each.backfilled for each in consumer.items] == [True] * 6 + [False]
    assert {each.stream for each in consumer.items} == {TRADES}
    assert consumer.join.is_joined
    consumer.live(8)
    assert consumer.seen[-1] == 8


def test_it_is_joined_when_a_live_message_follows_the_history() -> None:
    consumer = Consumer()
    consumer.join.answered(TRADES, rows(1, 6))
    states = []
    for number in (5, 6, 7):
        states.append(consumer.join.is_joined)
        consumer.live(number)
    assert [*states, consumer.join.is_joined] == [False, False, False, True]
    assert consumer.seen == [1, 2, 3, 4, 5, 6, 7]


def test_what_the_server_does_not_have_yet_is_fetched_again_and_then_reported() -> None:
    consumer = Consumer()
    consumer.join.answered(TRADES, rows(1, 3))
    consumer.live(7)
    for attempt in range(MAX_ATTEMPTS):
        assert consumer.join.take_fetches() == [FetchHistory(TRADES, 3, 7, attempt)]
        assert consumer.seen == [1, 2, 3]
        consumer.join.answered(TRADES, rows(4, 5))
    assert consumer.seen == [1, 2, 3, (3, 7), 4, 5, 7]
    gap = consumer.items[3]
    assert (gap.missing, gap.backfilled, gap.reason, gap.symbol) == (3, 2, NO_LONGER, "BTCUSDT")
    assert not consumer.join.take_fetches()


def test_an_error_is_not_repeated_but_reported() -> None:
    consumer = Consumer()
    consumer.join.answered(TRADES, rows(1, 3))
    consumer.live(7)
    consumer.join.answered(TRADES, (), "refused")
    assert consumer.seen == [1, 2, 3, (3, 7), 7]
    assert consumer.items[3].reason == "refused"


def test_without_a_history_the_reason_is_reported_and_live_messages_go_on() -> None:
    consumer = Consumer()
    consumer.live(7)
    consumer.join.answered(TRADES, (), "refused")
    assert consumer.seen == [(-1, -1), 7]
    assert (consumer.items[0].reason, consumer.items[0].missing) == ("refused", None)
    assert consumer.join.is_joined


def test_a_history_that_is_cut_off_says_why_and_where() -> None:
    consumer = Consumer()
    consumer.join.answered(TRADES, rows(5, 6), "at most two")
    assert consumer.seen == [(-1, 5), 5, 6]
    assert consumer.items[0].backfilled == 2


def test_a_hole_within_the_history_is_reported() -> None:
    consumer = Consumer()
    consumer.join.answered(TRADES, [*rows(1, 2), *rows(5, 6)])
    assert consumer.seen == [1, 2, (2, 5), 5, 6]
    assert consumer.items[2].missing == 2


def test_ids_that_restart_are_delivered_and_reported() -> None:
    consumer = Consumer()
    consumer.join.answered(TRADES, rows(101, 103))
    consumer.join.take(trade(1, at_ms=START_MS + 3_600_000))
    assert consumer.seen == [101, 102, 103, (103, 1), 1]
    assert consumer.items[3].reason == "ids restarted"


def test_several_histories_are_delivered_by_time_when_all_have_come() -> None:
    consumer = Consumer(TRADES, OTHER)
    consumer.join.answered(OTHER, [trade(5, OTHER, live=False, at_ms=START_MS + 15)])
    consumer.live(3)
    consumer.live(6, stream=OTHER)
    assert consumer.seen == []
    consumer.join.answered(TRADES, rows(1, 2))
    assert consumer.seen == [1, 5, 2, 3, 6]


def test_a_hole_in_one_stream_holds_the_others_so_that_all_stay_in_order() -> None:
    consumer = Consumer(TRADES, OTHER)
    consumer.join.answered(TRADES, rows(1, 1))
    consumer.join.answered(OTHER, rows(5, 5, OTHER))
    consumer.live(3)
    consumer.live(6, stream=OTHER)
    assert consumer.seen == [1, 5]
    consumer.join.answered(TRADES, rows(2, 2))
    assert consumer.seen == [1, 5, 2, 3, 6]


def test_notices_keep_their_place_among_messages() -> None:
    consumer = Consumer()
    lost = Disconnected(streams=(TRADES,), time_ms=1, reason="lost")
    consumer.join.take(lost)
    assert consumer.seen == ["Disconnected"], "nothing is held before it"
    consumer.live(3)
    consumer.join.take(Recovered(streams=(TRADES,), time_ms=2, outage_ms=1))
    consumer.live(4)
    consumer.join.answered(TRADES, rows(1, 2))
    assert consumer.seen == ["Disconnected", 1, 2, 3, "Recovered", 4]


def test_a_gap_that_the_history_fills_is_not_reported() -> None:
    consumer = Consumer()
    gap = Gap(streams=(TRADES,), time_ms=1, symbol="BTCUSDT", after_id=2, before_id=5, missing=2)
    consumer.live(1, 2)
    consumer.join.take(gap)
    consumer.live(5, 6)
    consumer.join.answered(TRADES, rows(1, 5))
    assert consumer.seen == [1, 2, 3, 4, 5, 6]
    consumer.join.take(gap)
    assert consumer.seen[-1] == (2, 5), "a later one is"


def test_too_many_held_messages_end_the_wait() -> None:
    consumer = Consumer(max_held=3)
    consumer.live(5, 6, 7)
    assert consumer.seen == []
    consumer.live(8)
    assert consumer.seen == [(-1, -1), 5, 6, 7, 8]
    assert consumer.items[0].reason == TOO_MANY
    consumer.join.answered(TRADES, rows(1, 8))
    assert consumer.seen == [(-1, -1), 5, 6, 7, 8], "a late answer is ignored"


def test_live_updates_of_the_open_candle_replace_that_of_the_history() -> None:
    consumer = Consumer(MINUTES)
    consumer.join.take(candle(3, 1))
    consumer.join.take(candle(3, 2))
    consumer.join.answered(MINUTES, candle_rows(1, 2, open_count=2))
    assert consumer.candles == [(1, 9, True), (2, 9, True), (3, 1, False), (3, 2, False)]
    assert consumer.join.is_joined


def test_without_a_live_update_the_open_candle_of_the_history_is_delivered() -> None:
    consumer = Consumer(MINUTES)
    consumer.join.answered(MINUTES, candle_rows(1, 2, open_count=2))
    consumer.join.take(candle(3, 3))
    assert consumer.candles == [(1, 9, True), (2, 9, True), (3, 2, False), (3, 3, False)]


def test_the_end_of_an_open_candle_that_was_missed_is_fetched() -> None:
    consumer = Consumer(MINUTES)
    consumer.join.answered(MINUTES, candle_rows(1, 1, open_count=5))
    consumer.join.take(candle(4, 1))
    opened_ms = [START_MS + number * SPAN_MS for number in range(5)]
    assert consumer.join.take_fetches() == [FetchHistory(MINUTES, opened_ms[2], opened_ms[4])]
    consumer.join.answered(MINUTES, candle_rows(2, 3))
    assert consumer.candles == [
        (1, 9, True),
        (2, 5, False),
        (2, 9, True),
        (3, 9, True),
        (4, 1, False),
    ]


def test_candles_of_a_server_that_began_anew_are_delivered_after_a_while() -> None:
    consumer = Consumer(MINUTES)
    consumer.join.answered(MINUTES, candle_rows(100, 100))
    for count in range(MAX_REPEATED + 2):
        consumer.join.take(candle(1, count))
    assert len(consumer.items) == 1 + 1 + 2
    assert isinstance(consumer.items[1], Gap)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        *((f"btcusdt@{kind}_1m", True) for kind in CANDLES),
        ("btcusdt@trade", True),
        ("btcusdt@aggTrade", True),
        ("btcusdt@bookTicker", False),
        ("btcusdt@depth@100ms", False),
        ("!miniTicker@arr", False),
        ("!trade", False),
    ],
)
def test_only_trades_and_candles_have_a_history(stream: str, expected: bool) -> None:
    assert has_history(stream) is expected
    assert len(HAVE_HISTORY) == 2 + len(CANDLES)


class Market:
    """A naive market: what happened, what a server shows of it, and what a stream sends."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.last = first - 1
        self.sent = first - 1
        """The last one that the stream has sent, or that came before the subscription."""

    def shown(self, lag: int, count: int) -> list[Any]:
        last = max(self.last - lag, self.first - 1)
        return rows(max(self.first, last - count + 1), last)

    def between(self, fetch: FetchHistory, lag: int, kept_from: int) -> list[Any]:
        last = min(fetch.before_id - 1, self.last - lag)
        return rows(max(fetch.after_id + 1, kept_from), last)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("happen"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("answer"), st.integers(0, 4)),
    ),
    max_size=40,
)


@given(
    steps=STEPS,
    before=st.integers(0, 8),
    missed=st.integers(0, 4),
    count=st.integers(1, 10),
    kept_from=st.sampled_from([0, 0, 6, 100]),
)
def test_every_message_is_delivered_once_and_in_order_or_is_in_a_gap(
    steps: list[tuple[str, int]], before: int, missed: int, count: int, kept_from: int
) -> None:
    market = Market(1)
    market.last = before
    market.sent = before + missed  # the stream begins a little after the history was seen
    consumer = Consumer()
    pending = [FetchHistory(TRADES)]

    def answer(lag: int) -> None:
        pending.extend(consumer.join.take_fetches())
        if not pending:
            return
        fetch = pending.pop(0)
        if fetch.before_id < 0:
            consumer.join.answered(TRADES, market.shown(lag, count))
        else:
            consumer.join.answered(TRADES, market.between(fetch, lag, kept_from))

    for kind, number in [*steps, *([("happen", 5), ("send", 9)] * 3), *[("answer", 0)] * 5]:
        if kind == "happen":
            market.last += number
        elif kind == "send":
            upto = max(min(market.sent + number, market.last), market.sent)
            consumer.live(*range(market.sent + 1, upto + 1))
            market.sent = upto
        else:
            answer(number)
    pending.extend(consumer.join.take_fetches())
    assert not pending
    assert consumer.join.held_count == 0
    check(consumer, market)


def check(consumer: Consumer, market: Market) -> None:
    """Compare with the rule: ids rise by one, unless a gap says that they do not."""
    ids = [each.aggregate_id for each in consumer.items if not isinstance(each, Gap)]
    assert ids == sorted(set(ids)), "in order and once"
    assert market.sent <= ids[-1] <= market.last
    gaps = [each for each in consumer.items if isinstance(each, Gap)]
    holes = {
        number for gap in gaps for number in range(gap.after_id + 1, gap.before_id)
    }.difference(ids)
    assert holes == set(range(ids[0], ids[-1] + 1)).difference(ids)
    assert sum((gap.missing or 0) - gap.backfilled for gap in gaps) == len(holes)
    for number, gap in ((at, each) for at, each in enumerate(consumer.items) if each in gaps):
        later = [each for each in consumer.items[number:] if not isinstance(each, Gap)]
        assert later[0].aggregate_id > gap.after_id


@given(
    updates=st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=30),
    seen=st.integers(0, 30),
    subscribed=st.integers(0, 30),
    answered=st.integers(0, 30),
)
def test_every_candle_closes_once_and_is_followed_by_the_next(
    updates: list[tuple[int, bool]], seen: int, subscribed: int, answered: int
) -> None:
    sent = candles_of(updates)
    consumer = Consumer(MINUTES)
    seen = min(seen, len(sent))
    for item in sent[min(subscribed, seen) : max(answered, seen)]:
        consumer.join.take(item)
    consumer.join.answered(MINUTES, history_at(sent[:seen]))
    for item in sent[max(answered, seen) :]:
        consumer.join.take(item)
    fetches = consumer.join.take_fetches()
    for fetch in fetches:
        found = history_at(sent)
        consumer.join.answered(
            MINUTES, [each for each in found if each.open_time_ms < fetch.before_id]
        )
    assert consumer.join.held_count == 0
    numbers = [number for number, _, _ in consumer.candles]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(numbers[0], numbers[-1] + 1)), "none is left out"
    for number in set(numbers):
        ends = [closed for each, _, closed in consumer.candles if each == number]
        assert not any(ends[:-1]), "nothing follows the end of a candle"
        assert ends[-1] or number == numbers[-1], "all but the last one end"
    last = sent[-1].candle
    assert consumer.candles[-1] == (
        (last.open_time_ms - START_MS) // SPAN_MS,
        last.trade_count,
        last.is_closed,
    )


def candles_of(updates: list[tuple[int, bool]]) -> list[Any]:
    """Return the messages of a stream of candles: each is updated, closed, and followed."""
    sent: list[Any] = []
    for number, (count, _) in enumerate(updates):
        sent += [candle(number, each) for each in range(count)]
        sent.append(candle(number, count, closed=True))
    if updates[-1][1]:
        sent.append(candle(len(updates), 0))
    return sent


def history_at(sent: list[Any]) -> list[Any]:
    """Return what REST shows after these messages."""
    found = {each.open_time_ms: each.candle for each in sent}
    return [
        candle(
            (opened_ms - START_MS) // SPAN_MS, each.trade_count, closed=each.is_closed, live=False
        )
        for opened_ms, each in found.items()
    ]
