"""The book with its RPI orders, rebuilt from a snapshot and the changes after it."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import pytest
from coverage_of import covers
from hypothesis import example, given
from hypothesis import strategies as st
from stage import BTCUSDT, START_MS, Listener, listen, open_plant, retail, sent_to, snapshot, update

from tickerplant.events import DepthUpdate, Level, RpiUpdate
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.streams.depth import MergedRpiDepth

Book: TypeAlias = tuple[dict[int, int], dict[int, int]]
NAME = "btcusdt@rpiDepth@500ms"
FIRST_ID = 1000


class Change(NamedTuple):
    """A change of the book or of the RPI orders, `gap_ms` after the one before."""

    gap_ms: int
    of_book: bool
    bids: list[Level]
    asks: list[Level]


def levels(first: int, last: int) -> st.SearchStrategy[list[Level]]:
    level = st.tuples(st.integers(first, last), st.integers(0, 3))
    return st.lists(level, max_size=4, unique_by=lambda each: each[0])


GAPS_MS = st.sampled_from([0, 1, 130, 499, 700])
BIDS, ASKS = levels(90, 100), levels(101, 112)
CHANGES_OF_EITHER = st.one_of(
    st.builds(Change, GAPS_MS, st.just(True), BIDS, ASKS),
    st.builds(Change, GAPS_MS, st.just(False), levels(92, 108), levels(94, 110)),
)
CHANGES = st.lists(CHANGES_OF_EITHER, max_size=25)


class Anew(NamedTuple):
    """An update is lost, and the book is reset by a snapshot of these levels."""

    bids: list[Level]
    asks: list[Level]


STEPS = st.lists(
    st.tuples(
        st.one_of(CHANGES_OF_EITHER, CHANGES_OF_EITHER, st.builds(Anew, BIDS, ASKS)), st.booleans()
    ),
    max_size=25,
)
"""What happens, and whether a period ends with it."""


class Exchange:
    """A plant with one book, whose changes take every other id."""

    def __init__(self) -> None:
        self.plant = open_plant([BTCUSDT])
        self.plant.publish(snapshot(FIRST_ID, [(98, 5), (99, 6)], [(102, 7), (103, 8)]))
        self.last_id = self.book_id = FIRST_ID

    def change(self, change: Change) -> DepthUpdate | RpiUpdate:
        """Publish a change; return its event."""
        self.plant.advance(self.plant.now_ms + change.gap_ms)
        self.last_id += 2
        now_ms = self.plant.now_ms
        if change.of_book:
            of_book = update(self.book_id, self.last_id, change.bids, change.asks, now_ms)
            self.plant.publish(of_book)
            self.book_id = self.last_id
            return of_book
        of_retail = retail(self.last_id, change.bids, change.asks, now_ms)
        self.plant.publish(of_retail)
        return of_retail

    def begin_anew(self, anew: Anew) -> None:
        """Publish the update after a lost one, and a newer snapshot."""
        self.last_id += 6
        self.plant.publish(update(self.last_id - 4, self.last_id - 2, [(95, 9)], [(105, 9)]))
        self.plant.publish(snapshot(self.last_id, *anew, self.plant.now_ms))
        self.book_id = self.last_id


def shown(plant: Plant) -> tuple[int, Book]:
    """What a snapshot with RPI orders says now, counted level by level, and its id."""
    market = plant.markets["BTCUSDT"]
    bids, asks = (dict(side) for side in market.book.top(market.book.depth))
    for side, retail_side in zip((bids, asks), not_crossing(market), strict=True):
        for price, quantity in retail_side.items():
            side[price] = side.get(price, 0) + quantity
    step = market.snapshot_id - market.book.last_update_id
    return max(market.snapshot_id, market.rpi_book.last_update_id + step), (bids, asks)


def not_crossing(market: Market) -> Book:
    """The RPI orders that do not cross the book, by all of its levels."""
    bids, asks = market.book.top(market.book.depth)
    return (
        {at: size for at, size in market.rpi_book.bids.items() if all(at < ask for ask, _ in asks)},
        {at: size for at, size in market.rpi_book.asks.items() if all(at > bid for bid, _ in bids)},
    )


def follow(messages: list[Any], last_id: int, book: Book) -> Book:
    """The documented procedure for a local book, from a snapshot with `lastUpdateId` = `last_id`."""
    price_units, quantity_units = BTCUSDT.price.units, BTCUSDT.quantity.units
    joined = None
    for message in messages:
        if message["u"] < last_id:
            continue
        if joined is None:
            assert message["U"] <= last_id <= message["u"], "the first event must span the snapshot"
        else:
            assert message["pu"] == joined, "then each event must continue the one before"
        joined = message["u"]
        for side, changed in zip(book, (message["b"], message["a"]), strict=True):
            for price, quantity in changed:
                side[price_units[price]] = quantity_units[quantity]
                if not quantity_units[quantity]:
                    del side[price_units[price]]
    return book


@covers("<symbol>@rpiDepth@500ms")
@given(
    changes=CHANGES, heard_before=st.booleans(), joins=st.integers(0, 25), waits=st.integers(0, 25)
)
@example(
    changes=[Change(0, False, [(101, 1)], []), Change(0, True, [], [(101, 1)])],
    heard_before=False,
    joins=0,
    waits=1,
)  # shown for a part of a period only
def test_a_client_that_joins_at_any_moment_has_the_book_with_its_rpi_orders(
    changes: list[Change], heard_before: bool, joins: int, waits: int
) -> None:
    exchange = Exchange()
    plant = exchange.plant
    others = listen(plant, NAME) if heard_before else Listener()
    client = Listener()
    taken: tuple[int, Book] | None = None
    joins = min(joins, len(changes))
    asked = min(joins + waits, len(changes))
    for number in range(len(changes) + 1):
        if number == joins:
            plant.hubs["usdm"].subscribe(client, [NAME])
        if number == asked:
            taken = shown(plant)
        if number < len(changes):
            exchange.change(changes[number])
    plant.advance(plant.now_ms + 1000)
    assert taken is not None
    messages = sent_to(plant, client)
    assert follow(messages, *taken) == shown(plant)[1]
    if heard_before:
        assert others.messages()[len(others.messages()) - len(messages) :] == messages
    assert all(message["b"] or message["a"] for message in messages), (
        "nothing is told that nobody can see"
    )


@given(steps=STEPS)
@example(
    steps=[
        (Change(0, False, [(98, 2)], [(103, 2)]), True),
        (Anew([(103, 1)], [(104, 1)]), False),
        (Change(0, False, [(97, 1)], []), True),
        (Change(0, True, [(103, 0)], []), True),
    ]
)  # the period ends before the book changes after its reset
@example(
    steps=[
        (Change(0, False, [(101, 1)], []), True),
        (Change(0, True, [], [(101, 1)]), False),
        (Change(0, True, [], [(101, 0)]), True),
    ]
)  # hidden, and shown again
@example(
    steps=[
        (Change(0, False, [(100, 1)], []), True),
        (Anew([], [(100, 1)]), False),
        (Change(0, True, [(90, 1)], []), False),
        (Change(0, True, [(100, 0)], [(100, 3)]), True),
    ]
)  # hidden by a book that was reset
def test_a_message_contains_every_price_that_changed_counted_level_by_level(
    steps: list[tuple[Change | Anew, bool]],
) -> None:
    exchange = Exchange()
    market = exchange.plant.markets["BTCUSDT"]
    pace = MergedRpiDepth(500, lambda: [market])
    seen = not_crossing(market)
    changed: tuple[set[int], set[int]] = set(), set()
    anew = False
    for step, ends in steps:
        if isinstance(step, Anew):
            exchange.begin_anew(step)
            anew = True
        else:
            event = exchange.change(step)
            pace.on_event(market, event)
            before, seen = seen, not_crossing(market)
            if step.of_book and anew:
                before, changed, anew = seen, (set(), set()), False
            for prices, old, new in zip(changed, before, seen, strict=True):
                prices.update(at for at in {*old, *new} if old.get(at) != new.get(at))
            if step.of_book:
                changed[0].update(dict(step.bids))
                changed[1].update(dict(step.asks))
        if ends:
            if anew:
                seen, changed, anew = not_crossing(market), (set(), set()), False
            now = shown(exchange.plant)[1]
            reported = [[(at, side.get(at, 0)) for at in sorted(prices)]
                    for side, prices in zip(now, changed, strict=True)]  # fmt: skip
            assert [[event.bids, event.asks] for _, event in pace.due()] == [reported] * any(
                reported
            )
            assert not pace.waiting
            changed = set(), set()


def test_an_rpi_order_is_sent_with_the_book_and_hidden_when_it_crosses() -> None:
    exchange = Exchange()
    plant = exchange.plant
    listener = listen(plant, NAME)
    exchange.change(Change(1, False, [(99, 4), (101, 2)], []))
    plant.advance(START_MS + 500)
    (first,) = sent_to(plant, listener)
    assert (first["b"], first["a"]) == ([["0.99", "0.010"], ["1.01", "0.002"]], [])
    assert (first["E"], first["T"], first["u"]) == (START_MS + 500, START_MS + 1, FIRST_ID + 2)
    exchange.change(Change(100, True, [], [(101, 1)]))
    plant.advance(START_MS + 1000)
    (second,) = sent_to(plant, listener)
    assert (second["b"], second["a"]) == ([["1.01", "0.000"]], [["1.01", "0.001"]])
    assert (second["pu"], second["U"]) == (first["u"], first["u"] + 1)


def test_hidden_orders_are_not_sent() -> None:
    exchange = Exchange()
    plant = exchange.plant
    listener = listen(plant, NAME)
    exchange.change(Change(1, False, [(105, 4)], [(97, 2)]))
    plant.advance(START_MS + 5000)
    assert sent_to(plant, listener) == []


@pytest.mark.parametrize("between", [0, 600], ids=["in one period", "in the next period"])
def test_a_reset_book_breaks_the_chain_of_ids(between: int) -> None:
    exchange = Exchange()
    plant = exchange.plant
    listener = listen(plant, NAME)
    exchange.change(Change(1, True, [(99, 9)], []))
    plant.advance(START_MS + 500)
    (before,) = sent_to(plant, listener)
    plant.publish(update(2000, 2002, [(99, 1)], [], plant.now_ms))
    plant.publish(snapshot(2003, [(90, 1)], [(104, 1)], plant.now_ms))
    plant.publish(retail(2005, [(91, 5)], [], plant.now_ms))
    plant.advance(plant.now_ms + between)
    taken = shown(plant)
    plant.publish(update(2003, 2007, [(91, 2)], [], plant.now_ms))
    plant.advance(plant.now_ms + 1000)
    after = sent_to(plant, listener)
    assert after[0]["pu"] > before["u"], "a client must see that it has to begin again"
    assert follow(after, *taken) == shown(plant)[1]
