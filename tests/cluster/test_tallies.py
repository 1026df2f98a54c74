from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tickerplant.cluster.tallies import EdgeTallies, counted
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import CONNECTIONS, MESSAGES, STREAMS, RateLimiter

HERE, THERE = "192.0.2.1", "192.0.2.2"

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("open", "close", "streams", "exceed", "told", "lost")),
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
            case "told":
                self.known[number].add(counted(edge))
            case _:
                counted(edge)


@given(STEPS)
def test_the_plant_knows_what_its_edges_have_counted(
    steps: list[tuple[str, int, str, int]],
) -> None:
    pair = Pair()
    for step in (*steps, ("told", 0, HERE, 1), ("told", 1, HERE, 1)):
        pair.do(*step)
    plant = pair.plant
    for address in (HERE, THERE):
        each = [edge.clients[address].tallies for edge in pair.edges if address in edge.clients]
        if not any(each):
            continue
        told = plant.clients[address].tallies
        assert told[CONNECTIONS].used == sum(tallies[CONNECTIONS].used for tallies in each)
        assert told[STREAMS].highest == max(tallies[STREAMS].highest for tallies in each)
        assert told[MESSAGES].exceeded == sum(tallies[MESSAGES].exceeded for tallies in each)
    assert plant.exceeded.total() == sum(edge.exceeded.total() for edge in pair.edges)
    for known in pair.known:
        known.end()
    assert all(not usage.tallies[CONNECTIONS].used for usage in plant.clients.values())


def test_the_connections_of_an_address_that_an_edge_forgot_are_not_kept_by_the_plant() -> None:
    edge, plant = RateLimiter(replace(LIMITS, max_addresses=1)), RateLimiter()
    known = EdgeTallies(plant)
    for address in (HERE, THERE):
        edge.connection_opened(address)
        known.add(counted(edge))
    used = {address: usage.tallies[CONNECTIONS].used for address, usage in plant.clients.items()}
    assert used == {HERE: 0, THERE: 1}
