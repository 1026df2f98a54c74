from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from payloads import TICKERS

from tickerplant.errors import ConfigError, QueueOverflow
from tickerplant.feed.queue import WHEN_FULL, Queue, WhenFull
from tickerplant.messages.message import Message
from tickerplant.messages.ticker import MiniTicker
from tickerplant.notices import Dropped, Notice, Recovered


def message(number: int, symbol: str = "BTCUSDT", stream: str = TICKERS) -> MiniTicker:
    return MiniTicker(
        stream=stream,
        received_ns=number * 1_000_000,
        event_time_ms=number,
        symbol=symbol,
        close_price="1",
        open_price="1",
        high_price="1",
        low_price="1",
        volume="1",
        turnover="1",
    )


def notice(number: int) -> Recovered:
    return Recovered(streams=("a",), time_ms=number, outage_ms=0)


steps = st.lists(
    st.one_of(
        st.just("get"), st.just("notice"), st.tuples(st.sampled_from("AB"), st.sampled_from("xy"))
    ),
    max_size=120,
)


class Model:
    """A queue as its description says it, as simply as it can be written."""

    def __init__(self, size: int, when_full: str) -> None:
        self.size, self.when_full = size, when_full
        self.items: deque[Any] = deque()
        self.dropped = 0
        self.unsaid = 0
        self.kept: list[Any] = []
        """What follows the notice that was told last."""
        self.peak = 0
        self.conflated = 0
        self.has_overflowed = False
        self.last_notice_ms = -1

    def put(self, item: Any) -> None:
        if isinstance(item, Notice):
            self.last_notice_ms = item.time_ms
        self._put(item)
        self.peak = max(self.peak, len(self))

    def __len__(self) -> int:
        return len(self.items) + len(self.kept)

    def _put(self, item: Any) -> None:
        if self.when_full == "keep_latest" and isinstance(item, Message):
            for place in range(len(self.items) - 1, -1, -1):
                other = self.items[place]
                if isinstance(other, Notice):
                    break
                if (other.stream, other.symbol) == (item.stream, item.symbol):
                    self.items[place] = item
                    self.conflated += 1
                    return
            else:
                if self._conflates_kept(item):
                    return
        if self.when_full == "raise" and (self.has_overflowed or len(self.items) >= self.size):
            self.has_overflowed = True
            self.dropped += 1
            return
        if self.when_full in {"keep_latest", "drop_oldest"} and len(self.items) >= self.size:
            self.items.popleft()
            self.dropped += 1
            self.unsaid += 1
        self.items.append(item)

    def _conflates_kept(self, item: Any) -> bool:
        for other in self.kept:
            if isinstance(other, Notice) or other.event_time_ms < self.last_notice_ms:
                return False
            if (other.stream, other.symbol) == (item.stream, item.symbol):
                self.kept = [item]
                self.conflated += 1
                return True
        return False

    def get(self) -> Any:
        if self.kept:
            return self.kept.pop()
        if self.unsaid:
            count, self.unsaid = self.unsaid, 0
            self.kept.append(self.items.popleft())
            return count
        if self.items:
            return self.items.popleft()
        return "overflow" if self.has_overflowed else None


def taken(queue: Queue) -> Any:
    if not queue:
        return None
    try:
        item = queue.get()
    except QueueOverflow:
        return "overflow"
    return item.count if isinstance(item, Dropped) else item


@pytest.mark.parametrize("when_full", WHEN_FULL)
@given(steps=steps, size=st.integers(1, 6))
@example(steps=["notice", ("B", "x"), "get", "notice", ("A", "x"), ("B", "x")], size=1)
def test_a_queue_does_what_when_full_says(when_full: WhenFull, steps: list[Any], size: int) -> None:
    queue, model = Queue(size, when_full), Model(size, when_full)
    came = delivered = 0
    for number, step in enumerate(steps):
        if step == "get":
            item = taken(queue)
            assert item == model.get()
            delivered += isinstance(item, Message | Notice)
        else:
            item = notice(number) if step == "notice" else message(number, *step)
            came += 1
            queue.put(item)
            model.put(item)
        assert len(queue) == len(model)
        assert bool(queue) == bool(len(model) or model.has_overflowed)
        assert when_full == "block" or len(queue) <= size + len(model.kept)
        assert queue.is_full == (len(model.items) >= size)
        counters = queue.counters
        assert (counters.dropped, counters.conflated) == (model.dropped, model.conflated)
        assert came == delivered + len(queue) + counters.conflated + counters.dropped
        assert counters.delivered == delivered
        assert counters.peak == model.peak
    for _ in range(len(queue) + 3):
        assert taken(queue) == model.get()


def test_what_was_dropped_is_reported_in_its_place() -> None:
    queue = Queue(2, "drop_oldest")
    for number in range(5):
        queue.put(message(number, stream=f"s{number}"))
    dropped = queue.get()
    assert isinstance(dropped, Dropped)
    assert (dropped.count, dropped.streams, dropped.time_ms) == (3, ("s0", "s1", "s2"), 4)
    assert [queue.get(), queue.get()] == [message(3, stream="s3"), message(4, stream="s4")]


@pytest.mark.parametrize("when_full", ["drop_oldest", "keep_latest"])
def test_a_reader_that_is_always_late_gets_messages_too(when_full: WhenFull) -> None:
    queue = Queue(2, when_full)
    came, read = 0, list[Any]()
    for _ in range(20):
        for _ in range(5):
            came += 1
            queue.put(message(came, stream=f"s{came}"))
        read.append(queue.get())
    assert [isinstance(each, Dropped) for each in read] == [True, False] * 10
    ids, last = [], 0
    for item in read:  # what was dropped is missing just where it is told
        if isinstance(item, Dropped):
            last += item.count
        else:
            last += 1
            ids.append(item.event_time_ms)
            assert item.event_time_ms == last
    counters = queue.counters
    assert came == counters.delivered + counters.dropped + len(queue)
    assert counters.delivered == len(ids) == 10


@pytest.mark.parametrize(
    ("size", "when_full", "wrong"),
    [
        (0, "block", "0 for queue_size: .* at least 1"),
        (
            1,
            "newest",
            "'newest' for when_full: expected one of block, keep_latest, drop_oldest, raise$",
        ),
        (1, "drop_newest", "one of .*; did you mean drop_oldest"),
    ],
)
def test_a_queue_has_a_size_and_a_rule_for_when_it_is_full(
    size: int, when_full: Any, wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Queue(size, when_full)


@given(steps=steps, size=st.integers(1, 6))
def test_a_queue_that_overflows_reports_dropped_items_behind_the_queued_items(
    steps: list[Any], size: int
) -> None:
    queue = Queue(size, "block")
    came, last, dropped = 0, 0, 0
    for step in [*steps, *["get"] * (len(steps) + 1)]:
        if step != "get":
            came += 1
            queue.put(message(came))
            if len(queue) == size + 3 and not queue.is_overflowing:
                queue.overflow()
        elif queue:
            item = queue.get()
            if isinstance(item, Dropped):
                assert not queue, "it stands behind everything that waited"
                assert item.streams == (TICKERS,)
                dropped += item.count
                last += item.count
            else:
                last += 1
                assert item == message(last)
        assert len(queue) <= size + 3
    assert last == came
    assert queue.counters.dropped == dropped
    assert queue.counters.delivered == came - dropped
