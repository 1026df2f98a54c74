from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.sources.subscriptions import (
    MAX_NAME_BYTES,
    NO_CHANGE,
    Change,
    Subscriptions,
    base_of,
    is_safe_name,
    symbol_of_base,
)
from tickerplant.streams import resolve
from tickerplant.venue import COINM, USDM, Venue

LINGER_MS = 100


def upstream_name(venue: Venue, name: str) -> str:
    """Return what a stream is made from, whether its symbol is listed or not."""
    found = resolve(venue, name)
    return name if found is None else base_of(found[0], found[1].get("symbol", ""), name)


@pytest.mark.parametrize(
    ("venue", "name", "expected"),
    [
        (USDM, "btcusdt@depth", "btcusdt@depth@100ms"),
        (USDM, "btcusdt@depth@500ms", "btcusdt@depth@100ms"),
        (USDM, "btcusdt@depth@100ms", "btcusdt@depth@100ms"),
        (USDM, "btcusdt@depth20@500ms", "btcusdt@depth@100ms"),
        (USDM, "btcusdt@rpiDepth@500ms", "btcusdt@rpiDepth@500ms"),
        (USDM, "btcusdt@markPrice", "btcusdt@markPrice@1s"),
        (USDM, "btcusdt@markPrice@1s", "btcusdt@markPrice@1s"),
        (USDM, "!markPrice@arr", "!markPrice@arr@1s"),
        (COINM, "btcusd@markPrice", "btcusd@markPrice@1s"),
        (USDM, "btcusdt@kline_1m", "btcusdt@kline_1m"),
        (USDM, "!ticker@arr", "!ticker@arr"),
        (USDM, "nonsense", "nonsense"),
        (USDM, "BTCUSDT@depth", "BTCUSDT@depth"),
        (USDM, "", ""),
    ],
)
def test_two_families_are_made_of_one_stream_each(venue: Venue, name: str, expected: str) -> None:
    assert upstream_name(venue, name) == expected


@pytest.mark.parametrize(
    ("stream", "symbol"),
    [
        ("btcusdt@depth@100ms", "BTCUSDT"),
        ("币安人生usdt@depth@100ms", "币安人生USDT"),
        ("BTCUSDT@depth@100ms", None),
        ("a@b@depth@100ms", None),
        ("!all@depth@100ms", None),
        ("@depth@100ms", None),
        ("ß@depth@100ms", None),
        ("btcusdt@depth", None),
    ],
)
def test_a_base_is_known_by_its_name_alone(stream: str, symbol: str | None) -> None:
    assert symbol_of_base(stream) == symbol


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("btcusdt@trade", True),
        ("币安人生usdt@trade", True),
        ("!contractInfo", True),
        ("a" * MAX_NAME_BYTES, True),
        ("a" * (MAX_NAME_BYTES + 1), False),
        ("币" * MAX_NAME_BYTES, False),
        ("", False),
        ("a b", False),
        ('a"b', False),
        ("a\\b", False),
        ("a/b", False),
        ("a\x00b", False),
        ("\ud800", False),
    ],
)
def test_only_valid_names_are_sent_upstream(name: str, expected: bool) -> None:
    assert is_safe_name(name) is expected


def subscriptions(max_streams: int = 100) -> Subscriptions:
    return Subscriptions(
        lambda name: upstream_name(USDM, name), LINGER_MS, ("!always",), max_streams=max_streams
    )


def test_an_invalid_name_is_never_subscribed_to() -> None:
    some = subscriptions()
    assert some.open("no stream") == NO_CHANGE
    assert some.expire(1_000) == NO_CHANGE
    assert some.unsubscribed == ["no stream"]
    some.close("no stream", 1_000)
    assert some.unsubscribed == []


def test_a_refused_stream_is_not_requested_again_while_it_has_subscribers() -> None:
    some = subscriptions()
    some.open("a@trade")
    assert some.refuse("a@trade") == Change(unsubscribe=("a@trade",))
    assert some.refuse("a@trade") == NO_CHANGE
    assert some.open("a@trade") == NO_CHANGE
    assert some.expire(1_000) == NO_CHANGE
    some.close("a@trade", 1_000)
    assert some.open("a@trade") == Change(subscribe=("a@trade",))


def test_the_source_of_a_stream_stays_while_it_has_subscribers() -> None:
    sources = {"a@depth5": "a@depth5"}
    some = Subscriptions(lambda name: sources[name], LINGER_MS)
    assert some.open("a@depth5") == Change(subscribe=("a@depth5",)), "its symbol is not known"
    sources["a@depth5"] = "a@depth@100ms"
    assert some.source_of("a@depth5") == "a@depth5"
    some.close("a@depth5", 0)
    assert some.expire(LINGER_MS) == Change(unsubscribe=("a@depth5",))
    assert some.open("a@depth5") == Change(subscribe=("a@depth@100ms",))


class Naive:
    """The same, looked through from the beginning at every step."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.received: set[str] = set()
        self.left: list[tuple[str, int]] = []
        self.asked = {"!always"}
        self.waiting: list[str] = []
        self.rejected = 0

    def listeners(self, upstream: str) -> set[str]:
        return {name for name in self.received if upstream_name(USDM, name) == upstream}

    def forget(self, upstream: str) -> None:
        self.asked.discard(upstream)
        self.left = [each for each in self.left if each[0] != upstream]

    def ask(self, upstream: str) -> bool:
        if len(self.asked) >= self.most:
            if not self.left:
                return False
            self.forget(self.left[0][0])
        self.asked.add(upstream)
        return True

    def open(self, name: str) -> None:
        self.received.add(name)
        upstream = upstream_name(USDM, name)
        self.left = [each for each in self.left if each[0] != upstream]
        known = upstream in self.asked or upstream in self.waiting
        if not known and not self.ask(upstream):
            self.waiting.append(upstream)
            self.rejected += 1

    def close(self, name: str, now_ms: int) -> None:
        if name not in self.received:
            return
        self.received.discard(name)
        upstream = upstream_name(USDM, name)
        if not self.listeners(upstream):
            if upstream in self.waiting:
                self.waiting.remove(upstream)
            else:
                self.left.append((upstream, now_ms))

    def touch(self, upstream: str, now_ms: int) -> None:
        if upstream in self.waiting or self.listeners(upstream):
            return
        if upstream in self.asked:
            self.left = [each for each in self.left if each[0] != upstream]
        elif not self.ask(upstream):
            self.rejected += 1
            return
        self.left.append((upstream, now_ms))

    def turn(self, now_ms: int) -> None:
        for upstream, left_ms in list(self.left):
            if now_ms - left_ms >= LINGER_MS:
                self.forget(upstream)
        while self.waiting and self.ask(self.waiting[0]):
            self.waiting.pop(0)


NAMES = (
    *("a@depth", "a@depth5@500ms", "a@depth@100ms", "b@depth"),
    *("a@trade", "b@trade", "c@markPrice", "c@markPrice@1s", "d"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("open", "close", "touch", "turn")),
        st.sampled_from(NAMES),
        st.integers(0, LINGER_MS),
    ),
    max_size=60,
)


@given(steps=STEPS, most=st.integers(1, 6))
def test_it_does_what_a_naive_model_does(steps: list[tuple[str, str, int]], most: int) -> None:
    some, model = subscriptions(most), Naive(most)
    asked, now_ms = {"!always"}, 0
    for step, name, later_ms in steps:
        now_ms += later_ms
        change = NO_CHANGE
        if step == "open" and name not in model.received:  # the hub tells it once
            change = some.open(name)
            model.open(name)
        elif step == "close":
            some.close(name, now_ms)
            model.close(name, now_ms)
        elif step == "touch":
            change = some.touch(upstream_name(USDM, name), now_ms)
            model.touch(upstream_name(USDM, name), now_ms)
        elif step == "turn":
            change = some.expire(now_ms)
            model.turn(now_ms)
        assert asked.issuperset(change.unsubscribe), "only what was asked for is dropped"
        asked.difference_update(change.unsubscribe)
        assert asked.isdisjoint(change.subscribe), "nothing is asked for twice"
        asked.update(change.subscribe)
        assert asked == set(some.names) == model.asked
        assert (some.unsubscribed, some.rejected) == (model.waiting, model.rejected)
        assert len(asked) <= max(most, 1)
        for received in model.received:
            assert some.source_of(received) in some
