"""The reports that an observer gets about the connections of a feed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from payloads import aggregate
from world import World

from tickerplant.feed.context import Observer
from tickerplant.notices import Disconnected

NAMES = ("btcusdt@aggTrade", "ethusdt@aggTrade")


class Recording(Observer):
    """Records all reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[Any, ...]] = []

    def delivering(self, connection: int, names: Iterable[str]) -> None:
        self.reports.append(("delivering", connection, sorted(names)))

    def renewed(self, connection: int, names: Iterable[str]) -> None:
        self.reports.append(("renewed", connection, sorted(names)))

    def covered(self, connection: int, names: Iterable[str], reason: str) -> None:
        self.reports.append(("covered", connection, sorted(names), reason))

    def unreadable(self, stream: str, payload: bytes, received_ns: int) -> None:  # noqa: ARG002
        self.reports.append(("unreadable", stream, payload))

    def take(self) -> list[tuple[Any, ...]]:
        reports, self.reports = self.reports, []
        return reports


def observed(**settings: Any) -> tuple[World, Recording]:
    world, observer = World(**settings), Recording()
    world.feed.context.observer = observer
    return world, observer


def test_names_are_reported_once_when_the_server_acknowledges_them() -> None:
    world, observer = observed(names_per_request=1)
    world.attach(*NAMES)
    assert observer.take() == [("delivering", 1, [NAMES[0]]), ("delivering", 1, [NAMES[1]])]
    world.run(60_000)
    assert observer.take() == []


def test_a_renewal_is_reported_when_the_new_connection_has_taken_over() -> None:
    world, observer = observed()
    consumer = world.attach(*NAMES)
    observer.take()
    world.renew(NAMES[0])
    world.run(10_000)
    assert observer.take() == [("renewed", 2, list(NAMES))]
    assert consumer.notices() == []


def test_a_connection_that_is_lost_while_another_takes_over_is_a_renewal_too() -> None:
    world, observer = observed(overlap_ms=5_000)
    consumer = world.attach(*NAMES)
    observer.take()
    old = world.wire(NAMES[0])
    world.renew(NAMES[0])
    world.run(2_000)
    world.publish(NAMES[0], aggregate(1))
    world.publish(NAMES[1], aggregate(1))
    world.run(100)
    old.cut()
    world.run(100)
    assert observer.take() == [("renewed", 2, list(NAMES))]
    assert consumer.notices(Disconnected) == []


def test_the_loss_of_one_of_two_connections_is_reported_to_the_observer_alone() -> None:
    world, observer = observed(copies=2)
    consumer = world.attach(*NAMES)
    assert observer.take() == [("delivering", 1, list(NAMES)), ("delivering", 2, list(NAMES))]
    world.publish(NAMES[0], aggregate(1))
    world.publish(NAMES[1], aggregate(1))
    world.run(5_000)
    world.wire(NAMES[0], copy=0).cut("reset by peer")
    world.run(5_000)
    assert observer.take() == [
        ("covered", 1, list(NAMES), "reset by peer"),
        ("delivering", 1, list(NAMES)),
    ]
    assert consumer.notices() == []


def test_the_loss_of_the_only_connection_is_reported_to_consumers_and_its_return_to_both() -> None:
    world, observer = observed()
    consumer = world.attach(*NAMES)
    observer.take()
    world.wire(NAMES[0]).cut()
    world.run(5_000)
    assert observer.take() == [("delivering", 1, list(NAMES))]
    assert consumer.kinds() == ["Disconnected", "Recovered"]


def test_an_unreadable_message_is_reported_once_however_many_connections_there_are() -> None:
    world, observer = observed(copies=2)
    world.attach(NAMES[0])
    observer.take()
    odd = b'{"e":"aggTrade","a":"no number"}'
    world.publish(NAMES[0], odd)
    world.run(100)
    assert observer.take() == [("unreadable", NAMES[0], odd)]
