from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tickerplant.bus.questions import AddressNote, TallyNote
from tickerplant.edge.tallies import ADDRESSES_AT_ONCE, ChangedTallies, EdgeTallies
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import CONNECTIONS, MESSAGES, STREAMS, RateLimiter, Tally

HERE, THERE = "192.0.2.1", "192.0.2.2"

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("open", "close", "streams", "exceed", "report", "lost report", "tell all")
        ),
        st.integers(0, 1),
        st.sampled_from((HERE, THERE)),
        st.integers(1, 50),
    ),
    max_size=60,
)


class Pair:
    """Two edges and their plant."""

    def __init__(self) -> None:
        self.edges = [RateLimiter(), RateLimiter()]
        self.changed = [ChangedTallies(edge) for edge in self.edges]
        self.plant = RateLimiter()
        self.known = [EdgeTallies(self.plant), EdgeTallies(self.plant)]

    def do(self, what: str, number: int, address: str, amount: int) -> None:
        edge = self.edges[number]
        match what:
            case "open":
                edge.connection_opened(address)
            case "close":
                if address in edge.clients and edge.clients[address].tallies[CONNECTIONS].used:
                    edge.connection_closed(edge.clients[address])
            case "streams":
                edge.usage_of(address).tallies[STREAMS].set(amount)
            case "exceed":
                edge.usage_of(address).exceed(MESSAGES)
            case "report":
                self.known[number].add(self.changed[number].changes())
            case "lost report":
                self.changed[number].changes()
            case _:
                self.changed[number].tell_all()

    def tallies_at_edges(self, address: str) -> list[Mapping[str, Tally]]:
        return [edge.clients[address].tallies for edge in self.edges if address in edge.clients]


@given(STEPS)
def test_the_plant_knows_what_its_edges_have_counted(
    steps: list[tuple[str, int, str, int]],
) -> None:
    pair = Pair()
    for step in steps:
        pair.do(*step)
    for number in range(2):
        pair.do("tell all", number, HERE, 0)
        pair.do("report", number, HERE, 0)
    plant = pair.plant
    for address in (HERE, THERE):
        counted = pair.tallies_at_edges(address)
        if not any(counted):
            continue
        told = plant.clients[address].tallies
        assert told[CONNECTIONS].used == sum(each[CONNECTIONS].used for each in counted)
        assert told[STREAMS].highest == max(each[STREAMS].highest for each in counted)
        assert told[MESSAGES].exceeded == sum(each[MESSAGES].exceeded for each in counted)
    assert plant.exceeded.total() == sum(edge.exceeded.total() for edge in pair.edges)
    for each in pair.known:
        each.end()
    assert all(not usage.tallies[CONNECTIONS].used for usage in plant.clients.values())


def test_only_what_has_changed_is_told() -> None:
    edge = RateLimiter()
    changed = ChangedTallies(edge)
    usage = edge.connection_opened(HERE)
    opened = AddressNote(HERE, {CONNECTIONS: TallyNote(1, 1, 0)})
    assert changed.changes() == [opened]
    assert changed.changes() == []
    usage.tallies[STREAMS].set(3)
    assert changed.changes() == [AddressNote(HERE, {STREAMS: TallyNote(3, 3, 0)})]


def test_the_connections_of_an_address_that_an_edge_forgot_are_not_kept_by_the_plant() -> None:
    edge, plant = RateLimiter(replace(LIMITS, max_addresses=1)), RateLimiter()
    changed, known = ChangedTallies(edge), EdgeTallies(plant)
    edge.connection_opened(HERE)
    known.add(changed.changes())
    edge.connection_opened(THERE)
    known.add(changed.changes())
    used = {address: usage.tallies[CONNECTIONS].used for address, usage in plant.clients.items()}
    assert used == {HERE: 0, THERE: 1}


def test_many_addresses_are_told_in_several_reports() -> None:
    edge = RateLimiter()
    changed = ChangedTallies(edge)
    for number in range(ADDRESSES_AT_ONCE + 10):
        edge.connection_opened(f"a{number}")
    first, second = changed.changes(), changed.changes()
    assert (len(first), len(second)) == (ADDRESSES_AT_ONCE, 10)
    assert changed.changes() == []
