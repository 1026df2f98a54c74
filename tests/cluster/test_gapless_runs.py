"""What a client hears of a stream is a gapless run of what the plant said, up to its end."""

from __future__ import annotations

import asyncio
import random

import pytest
from cluster_stage import SHORT_S, Client, Edge, World, world
from hypothesis import given
from hypothesis import strategies as st
from loopback import looped

NAMES = ("btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade")
WHO = ("main", "e0", "e1")
STEPS = 40
PAUSES_S = (0.0, 0.0, SHORT_S, SHORT_S, SHORT_S, 0.6)
FAILURES_S = (SHORT_S, 0.3, 0.6, 2.0, 4.5, 7.0, 12.0)
"""How long something may be cut off, or stand still."""
ACTS = {
    "join": 25, "change": 10, "leave": 5, "fault": 5,
    "lose a message": 8, "lose a control message": 2, "cut": 5, "stand": 2, "break": 3, "kill": 1,
    "nothing": 50,
}  # fmt: skip
"""How often each happens."""


class Story:
    """A plant whose messages are numbers, and clients that come and go."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, random.Random(seed)
        self.said = dict.fromkeys(NAMES, 0)
        self.clients: list[tuple[Edge, Client, set[str]]] = []
        """With the streams to which each has ever subscribed."""

    async def live(self) -> None:
        """Let one thing happen, and the plant say something meanwhile."""
        chance = self.chance
        (act,) = chance.choices(list(ACTS), list(ACTS.values()))
        self._do(act)
        failed_s = self._fail(act)
        for name in chance.choices(NAMES, k=chance.randint(1, 6)):
            self.say(name)
        for _ in range(chance.choice((0, 0, 1, 2, 3, 5))):
            await asyncio.sleep(0)
        pause_s = chance.choice(PAUSES_S)
        if failed_s or pause_s:
            await self.world.hear(failed_s or pause_s)
        if failed_s:
            self.say(chance.choice(NAMES))
            self.mend()

    def _do(self, act: str) -> None:
        """Let something happen that passes by itself."""
        bus, chance = self.world.bus, self.chance
        match act:
            case "join":
                self.join(chance.randrange(2), chance.sample(NAMES, chance.randint(1, 3)))
            case "leave" if self.clients:
                chance.choice(self.clients)[1].close("it left")
            case "change" if self.clients:
                self._change(*chance.choice(self.clients))
            case "fault":
                self.world.node.set_faults({"f1": {"name": "latency", "n": chance.random()}})
            case "break":
                who = chance.choice(WHO)
                for broker in [each for each in bus.brokers if each.who == who]:
                    broker.lose("it closed")
            case "kill":
                bus.kill()

    def _fail(self, act: str) -> float:
        """Let something fail; return for how long, in seconds."""
        bus, chance = self.world.bus, self.chance
        match act:
            case "lose a message":
                name = chance.choice(NAMES)
                bus.loses = lambda subject, _: subject.endswith(name)
                return SHORT_S
            case "lose a control message":
                bus.loses = lambda subject, _: subject.endswith(".ctl")
                self.world.node.end_outage("usdm")
                return SHORT_S
            case "cut":
                bus.cut(chance.choice(WHO))
                return chance.choice(FAILURES_S)
            case "stand":
                bus.is_standing = True
                return chance.choice(FAILURES_S)
        return 0

    def say(self, name: str) -> None:
        self.said[name] += 1
        self.world.say(name, b"%s %d" % (name.encode(), self.said[name]))

    def join(self, number: int, names: list[str]) -> None:
        edge = self.world.edges[number]
        if edge.clients.accept():
            self.clients.append((edge, edge.listen(*names), set(names)))

    def mend(self) -> None:
        bus = self.world.bus
        bus.is_standing, bus.loses = False, lambda *_: False
        for who in tuple(bus.cut_off):
            bus.cut(who, is_cut=False)

    def _change(self, _edge: Edge, client: Client, ever: set[str]) -> None:
        """Leave some streams, and join others."""
        if not client.closed:
            wanted = self.chance.sample(NAMES, self.chance.randint(1, 3))
            client.hub.flush()
            client.hub.unsubscribe(client, [name for name in client.names if name not in wanted])
            come = [name for name in wanted if name not in ever]
            client.hub.subscribe(client, come)
            client.names = [name for name in wanted if name in client.names or name in come]
            ever.update(come)

    def check(self) -> None:
        """Find no hole, nothing doubled, and no stream that has fallen silent."""
        for _, client, names in self.clients:
            heard: dict[str, list[int]] = {}
            for text in client.texts():
                name, _, number = text.decode().partition(" ")
                heard.setdefault(name, []).append(int(number))
            assert heard.keys() <= names
            for name, numbers in heard.items():
                first = numbers[0]
                assert numbers == list(range(first, first + len(numbers))), name
                if not client.closed and name in client.names:
                    assert numbers[-1] == self.said[name], f"{name} fell silent"


@pytest.mark.heavy
@given(st.integers(0, 1 << 32))
@looped
async def test_a_client_hears_a_gapless_run_from_its_subscription_to_its_end(seed: int) -> None:
    async with world(2) as w:
        story = Story(w, seed)
        for number in (0, 1, 1):
            story.join(number, list(NAMES))
        await w.hear()
        for _ in range(STEPS):
            await story.live()
        await w.hear(8)
        story.check()
        for number, edge in enumerate(w.edges):
            assert edge.clients.accept(), f"it has no session: {edge.node.trouble}"
            story.join(number, list(NAMES))
        await w.hear()
        for name in NAMES:
            story.say(name)
        await w.hear()
        story.check()
        for _, client, _ in story.clients[-2:]:
            assert (len(client.texts()), client.closed) == (len(NAMES), "")
