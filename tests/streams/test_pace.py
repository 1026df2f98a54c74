"""Books that are rebuilt from their streams, and periods in which messages are sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest
from coverage_of import covers
from hypothesis import given
from hypothesis import strategies as st
from stage import BTCUSDT, START_MS, Listener, listen, open_plant, sent_to, snapshot, update

from tickerplant.events import DepthUpdate, Level, Trade
from tickerplant.market.market import ALL_DERIVABLE
from tickerplant.plant import Plant

Book: TypeAlias = tuple[dict[int, int], dict[int, int]]
DIFFS = ("btcusdt@depth", "btcusdt@depth@0ms", "btcusdt@depth@100ms", "btcusdt@depth@500ms")
PARTIALS = ("btcusdt@depth5", "btcusdt@depth10@100ms", "btcusdt@depth20@500ms")
FIRST_ID = 1000


class Change(NamedTuple):
    """One update of the book, `gap_ms` after the one before."""

    gap_ms: int
    ids: int
    bids: list[Level]
    asks: list[Level]


def levels(first: int) -> st.SearchStrategy[list[Level]]:
    level = st.tuples(st.integers(first, first + 15), st.integers(0, 3))
    return st.lists(level, max_size=4, unique_by=lambda each: each[0])


CHANGES = st.lists(
    st.builds(
        Change, st.sampled_from([0, 1, 30, 100, 130, 251, 700]), st.integers(1, 3), levels(100),
        levels(200),
    ),
    max_size=25,
)  # fmt: skip


class Market:
    """A plant with one book, and that book after every change."""

    def __init__(self, delivered: frozenset[type] = ALL_DERIVABLE) -> None:
        self.plant = open_plant([BTCUSDT])
        self.plant.markets["BTCUSDT"].set_source_events(delivered)
        self.plant.publish(snapshot(FIRST_ID, [(100, 5), (101, 6)], [(200, 7), (201, 8)]))
        self.last_id = FIRST_ID
        self.after: dict[int, Book] = {FIRST_ID: ({100: 5, 101: 6}, {200: 7, 201: 8})}

    def change(self, change: Change) -> None:
        """The next change; the odd ids between are never used for one."""
        self.plant.advance(self.plant.now_ms + change.gap_ms)
        bids, asks = (dict(side) for side in self.after[self.last_id])
        bids.update(change.bids)
        asks.update(change.asks)
        before, self.last_id = self.last_id, self.last_id + 2 * change.ids
        self.after[self.last_id] = (
            {price: quantity for price, quantity in bids.items() if quantity},
            {price: quantity for price, quantity in asks.items() if quantity},
        )
        self.plant.publish(
            update(before, self.last_id, change.bids, change.asks, self.plant.now_ms)
        )

    def finish(self) -> None:
        """Let the last period end."""
        self.plant.advance(self.plant.now_ms + 1000)


def wire_levels(message: dict[str, Any]) -> tuple[list[Level], list[Level]]:
    units = BTCUSDT.price.units, BTCUSDT.quantity.units
    bids, asks = (
        [(units[0][price], units[1][quantity]) for price, quantity in message[side]]
        for side in ("b", "a")
    )
    return bids, asks


def follow(messages: list[Any], last_id: int, book: Book) -> Iterator[tuple[int, Book]]:
    """The documented procedure, from a snapshot `book` with `lastUpdateId` = `last_id`."""
    bids, asks = dict(book[0]), dict(book[1])
    joined = None
    for message in messages:
        if message["u"] < last_id:
            continue
        if joined is None:
            assert message["U"] <= last_id <= message["u"], "the first event must span the snapshot"
        else:
            assert message["pu"] == joined, "then each event must continue the one before"
        joined = message["u"]
        for side, changed in zip((bids, asks), wire_levels(message), strict=True):
            for price, quantity in changed:
                side[price] = quantity
                if not quantity:
                    del side[price]
        yield joined, (dict(bids), dict(asks))


def best(book: Book, count: int) -> tuple[list[Level], list[Level]]:
    return sorted(book[0].items(), reverse=True)[:count], sorted(book[1].items())[:count]


@pytest.mark.parametrize("name", DIFFS)
@given(
    changes=CHANGES,
    heard_before=st.booleans(),
    joins=st.integers(0, 25),
    asks=st.tuples(st.integers(0, 25), st.integers(0, 600)),
)
def test_the_documented_join_succeeds_at_any_moment_and_gives_the_book(
    name: str, changes: list[Change], heard_before: bool, joins: int, asks: tuple[int, int]
) -> None:
    market = Market()
    others = listen(market.plant, name) if heard_before else None
    client = Listener()
    taken: tuple[int, Book] | None = None
    joins = min(joins, len(changes))
    asked = min(joins + asks[0], len(changes))
    for number in range(len(changes) + 1):
        if number == joins:
            market.plant.hubs["usdm"].subscribe(client, [name])
        if number == asked:
            market.plant.advance(market.plant.now_ms + asks[1])
            taken = snapshot_of(market.plant)
        if number < len(changes):
            market.change(changes[number])
    market.finish()
    assert taken is not None
    messages = sent_to(market.plant, client)
    u = None
    for u, book in follow(messages, *taken):
        assert book == market.after[u], f"the rebuilt book after {u} must be the book after {u}"
    if len(changes) > asked:
        assert u == market.last_id, "every change after the snapshot must have been sent"
    if others is not None:
        assert messages == others.messages()[len(others.messages()) - len(messages) :], (
            "a chain belongs to the stream, not to the connection"
        )


def snapshot_of(plant: Plant) -> tuple[int, Book]:
    market = plant.markets["BTCUSDT"]
    bids, asks = market.book.top(1 << 30)
    return market.snapshot_id, (dict(bids), dict(asks))


@covers("<symbol>@depth", "<symbol>@depth@<speed:100|500>ms", "<symbol>@depth@0ms")
@given(CHANGES)
def test_every_speed_has_the_same_book_in_a_gapless_chain(changes: list[Change]) -> None:
    market = Market()
    listeners = {name: listen(market.plant, name) for name in DIFFS}
    for change in changes:
        market.change(change)
    market.finish()
    for name, listener in listeners.items():
        messages = sent_to(market.plant, listener)
        last_id = FIRST_ID
        for message in messages:
            assert (message["pu"], message["U"]) == (last_id, last_id + 1), f"the chain of {name}"
            last_id = message["u"]
            prices = [[price for price, _ in side] for side in wire_levels(message)]
            assert all(len(set(side)) == len(side) for side in prices), "one entry a price"
        *_, (final_id, book) = [
            (FIRST_ID, market.after[FIRST_ID]),
            *follow(messages, FIRST_ID + 1, market.after[FIRST_ID]),
        ]
        assert (final_id, book) == (market.last_id, market.after[market.last_id])


@covers("<symbol>@depth<levels:5|10|20>", "<symbol>@depth<levels:5|10|20>@<speed:100|500>ms")
@given(CHANGES)
def test_partial_depth_is_the_top_of_the_book_at_its_id(changes: list[Change]) -> None:
    market = Market()
    listeners = {name: listen(market.plant, name) for name in PARTIALS}
    for change in changes:
        market.change(change)
    market.finish()
    for name, listener in listeners.items():
        messages = sent_to(market.plant, listener)
        assert bool(messages) == bool(changes), f"{name} sends a message if something changed"
        last_id = FIRST_ID
        for message in messages:
            count = int(name.partition("depth")[2].partition("@")[0])
            assert wire_levels(message) == best(market.after[message["u"]], count)
            assert message["pu"] == last_id
            last_id = message["u"]


@covers("<symbol>@bookTicker")
@given(CHANGES)
def test_a_derived_book_ticker_is_the_top_of_the_book_at_every_change_of_it(
    changes: list[Change],
) -> None:
    market = Market(frozenset({DepthUpdate, Trade}))
    listener = listen(market.plant, "btcusdt@bookTicker")
    for change in changes:
        market.change(change)
    reported = {
        each["u"]: wire_levels({"b": [(each["b"], each["B"])], "a": [(each["a"], each["A"])]})
        for each in sent_to(market.plant, listener)
    }
    expected, last = {}, None
    for update_id, book in market.after.items():
        top = best(book, 1)
        if all(top) and top != last:
            last = expected[update_id] = top
    del expected[FIRST_ID]  # sent before the subscription
    assert reported == expected


def test_levels_of_one_window_are_merged_to_their_last_quantity() -> None:
    market = Market()
    listener = listen(market.plant, "btcusdt@depth")
    market.change(Change(1, 1, [(100, 9), (105, 1)], []))
    market.change(Change(1, 1, [(105, 0), (100, 2)], [(203, 1)]))
    market.finish()
    (message,) = sent_to(market.plant, listener)
    assert wire_levels(message) == ([(100, 2), (105, 0)], [(203, 1)]), (
        "a level that came and went is 0"
    )
    assert (message["U"], message["u"], message["pu"]) == (FIRST_ID + 1, FIRST_ID + 4, FIRST_ID)
    assert (message["T"], message["E"]) == (START_MS + 2, START_MS + 250)


@pytest.mark.parametrize("name", DIFFS)
def test_a_gap_of_the_source_is_a_visible_gap_of_every_speed(name: str) -> None:
    market = Market()
    listener = listen(market.plant, name)
    market.change(Change(1, 1, [(100, 9)], []))
    market.finish()
    (before,) = sent_to(market.plant, listener)
    plant = market.plant
    plant.publish(update(2000, 2002, [(101, 1)], [], plant.now_ms))
    assert not plant.markets["BTCUSDT"].book_live, "the source left something out"
    plant.publish(snapshot(2001, [(90, 1)], [(300, 1)], plant.now_ms))
    plant.publish(update(2002, 2004, [(91, 2)], [], plant.now_ms))
    plant.advance(plant.now_ms + 1000)
    after = sent_to(plant, listener)
    assert after, "the stream continues after the snapshot"
    assert after[0]["pu"] > before["u"], "a client must see that it has to begin again"


@pytest.mark.parametrize(
    ("name", "period_ms"),
    [*zip(DIFFS[2:], (100, 500), strict=True), *[(each, 250) for each in (DIFFS[0], PARTIALS[0])]],
)
def test_nothing_is_sent_when_nothing_changed_and_else_on_the_grid(
    name: str, period_ms: int
) -> None:
    market = Market()
    listener = listen(market.plant, name)
    market.finish()
    assert sent_to(market.plant, listener) == []
    market.change(Change(period_ms // 2, 1, [(100, 9)], []))
    market.finish()
    messages = sent_to(market.plant, listener)
    assert [message["E"] for message in messages] == [START_MS + 1000 + period_ms]
