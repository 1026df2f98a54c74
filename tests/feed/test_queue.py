from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import TICKERS

from tickerplant.errors import ConfigError, QueueOverflow
from tickerplant.feed.queue import POLICIES, Policy, Queue
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Dropped, Notice, Recovered
from tickerplant.messages.ticker import MiniTicker


def message(number: int, symbol: str = "BTCUSDT", stream: str = TICKERS) -> MiniTicker:
    return MiniTicker(
        stream=stream,
        received_ns=number * 1_000_000,
        event_time=number,
        symbol=symbol,
        close_price="1",
        open_price="1",
        high_price="1",
        low_price="1",
        volume="1",
        turnover="1",
    )


def notice(number: int) -> Recovered:
    return Recovered(streams=("a",), time_ms=number, blind_ms=0)


steps = st.lists(
    st.one_of(
        st.just("get"), st.just("notice"), st.tuples(st.sampled_from("AB"), st.sampled_from("xy"))
    ),
    max_size=120,
)


class Model:
    """A queue as its description says it, as simply as it can be written."""

    def __init__(self, size: int, policy: str) -> None:
        self.size, self.policy = size, policy
        self.waiting: deque[Any] = deque()
        self.dropped = 0
        self.unsaid = 0
        self.conflated = 0
        self.has_failed = False

    def put(self, item: Any) -> None:
        if self.policy == "latest" and isinstance(item, Message):
            for place in range(len(self.waiting) - 1, -1, -1):
                other = self.waiting[place]
                if isinstance(other, Notice):
                    break
                if (other.stream, other.symbol) == (item.stream, item.symbol):
                    self.waiting[place] = item
                    self.conflated += 1
                    return
        if self.policy == "fail" and (self.has_failed or len(self.waiting) >= self.size):
            self.has_failed = True
            self.dropped += 1
            return
        if self.policy in {"latest", "drop_oldest"} and len(self.waiting) >= self.size:
            self.waiting.popleft()
            self.dropped += 1
            self.unsaid += 1
        self.waiting.append(item)

    def get(self) -> Any:
        if self.unsaid:
            count, self.unsaid = self.unsaid, 0
            return count
        if self.waiting:
            return self.waiting.popleft()
        return "overflow" if self.has_failed else None


def taken(queue: Queue) -> Any:
    if not queue:
        return None
    try:
        item = queue.get()
    except QueueOverflow:
        return "overflow"
    return item.count if isinstance(item, Dropped) else item


@pytest.mark.parametrize("policy", POLICIES)
@given(steps=steps, size=st.integers(1, 6))
def test_a_queue_does_what_its_policy_says(policy: Policy, steps: list[Any], size: int) -> None:
    queue, model = Queue(size, policy), Model(size, policy)
    came = handed_out = 0
    for number, step in enumerate(steps):
        if step == "get":
            item = taken(queue)
            assert item == model.get()
            handed_out += isinstance(item, Message | Notice)
        else:
            item = notice(number) if step == "notice" else message(number, *step)
            came += 1
            queue.put(item)
            model.put(item)
        assert len(queue) == len(model.waiting)
        assert policy == "every" or len(queue) <= size
        assert queue.is_full == (len(queue) >= size)
        counters = queue.counters
        assert (counters.dropped, counters.conflated) == (model.dropped, model.conflated)
        assert came == handed_out + len(queue) + counters.conflated + counters.dropped
        assert counters.handed_out == handed_out
    for _ in range(len(queue) + 2):
        assert taken(queue) == model.get()


def test_what_was_dropped_is_told_in_its_place() -> None:
    queue = Queue(2, "drop_oldest")
    for number in range(5):
        queue.put(message(number, stream=f"s{number}"))
    dropped = queue.get()
    assert isinstance(dropped, Dropped)
    assert (dropped.count, dropped.streams, dropped.time_ms) == (3, ("s0", "s1", "s2"), 4)
    assert [queue.get(), queue.get()] == [message(3, stream="s3"), message(4, stream="s4")]


def test_the_latest_does_not_overtake_a_notice() -> None:
    queue = Queue(9, "latest")
    for item in (message(1), message(2), notice(3), message(4), message(5)):
        queue.put(item)
    assert [queue.get() for _ in range(3)] == [message(2), notice(3), message(5)]


def test_a_queue_that_failed_hands_out_what_waits_and_then_fails() -> None:
    queue = Queue(1, "fail")
    queue.put(message(1))
    queue.put(message(2))
    assert queue.get() == message(1)
    for _ in range(2):
        assert queue
        with pytest.raises(QueueOverflow):
            queue.get()


@pytest.mark.parametrize(("size", "policy"), [(0, "every"), (1, "newest")])
def test_a_queue_has_a_size_and_a_policy(size: int, policy: Any) -> None:
    with pytest.raises(ConfigError):
        Queue(size, policy)
