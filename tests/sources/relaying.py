"""An upstream and a relay of it in one event loop, on free ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from loopback import TICK_MS, Clock, Loopback, instrument, listen, until
from msgspec import structs
from tuning import tuned
from websockets.asyncio.client import ClientConnection

from tickerplant.config import kinds
from tickerplant.events import BookTicker
from tickerplant.feed.hosts import Hosts, hosts_of
from tickerplant.feed.settings import ClientSettings
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.profile import P2026Q1, PROFILES, Profile
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.forwarding import CachingForwarder
from tickerplant.server.server import Server
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.contracts import CONFIRMATION_MS
from tickerplant.sources.discovery import discover
from tickerplant.sources.relay import RelaySource, RelayTiming
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.sources.subscriptions import MAX_STREAMS
from tickerplant.sources.upstream import Upstream
from tickerplant.sources.upstream_requests import TIMEOUT_S
from tickerplant.venue import COINM, USDM, Venue

START_MS = 1_767_225_600_000
EAGER = tuned(
    retry_base_ms=10, retry_max_ms=50, stable_after_ms=100, opens_per_s=100, requests_per_s=100
)
"""A feed that does not spare its server."""
LINGER_MS = 1_000
GRACE_MS = 600
"""Longer than a loaded machine takes to deliver a first message."""
BTCUSDT = instrument(USDM, "BTCUSDT", "BTCUSDT")
BTCUSD_PERP = instrument(COINM, "BTCUSD_PERP", "BTCUSD")
ETHUSDT = structs.replace(BTCUSDT, symbol="ETHUSDT", pair="ETHUSDT", base_asset="ETH")

PROMPT = RelayTiming(check_s=0)
"""Checks the upstreams at every tick."""


class Relay(Loopback):
    """A relay and what it is made of."""

    def __init__(
        self, plant: Plant, server: Server, clock: Clock, upstreams: Mapping[str, Upstream]
    ) -> None:
        super().__init__(plant, server, clock)
        self.upstreams = upstreams

    @property
    def upstream(self) -> Upstream:
        return next(iter(self.upstreams.values()))

    @property
    def is_ready(self) -> bool:
        return self.server.readiness.is_ready

    def carries(self, *names: str, venue: Venue = USDM) -> bool:
        """Whether all of `names` are heard upstream."""
        runner = self.upstreams[venue.name].runner
        return all(runner.is_delivered(name) for name in names)

    async def questions(self, outcome: str = "sent", venue: Venue = USDM) -> float:
        """How many questions met a fate so far."""
        name = f'tickerplant_forwarded_requests_total{{outcome="{outcome}",venue="{venue.name}"}}'
        return (await self.metrics()).get(name, 0)


class Simulation(Loopback):
    """A simulated market that can be stopped."""

    running: asyncio.Task[None]

    async def freeze(self) -> None:
        """Let nothing happen any more but what is due."""
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        self.plant.advance(self.plant.now_ms + 1_000)


@asynccontextmanager
async def serve(
    traded: Iterable[Instrument] = (BTCUSDT, BTCUSD_PERP),
    *,
    port: int = 0,
    start_ms: int = START_MS,
    profile: Profile = P2026Q1,
    faults: str = "",
) -> AsyncIterator[Loopback]:
    """Serve a plant in which happens what the test publishes."""
    plant = Plant(traded, start_ms=start_ms, profile=profile, reserved_snapshot_ids=True)
    clock = Clock()
    server = Server(
        plant,
        ports={USDM.name: port, COINM.name: 0},
        clock=clock,
        tick_ms=TICK_MS,
        listen=listen(),
    )
    server.faults.switch(kinds.read_faults(faults) if faults else ())
    await server.start()
    try:
        yield Loopback(plant, server, clock)
    finally:
        await server.stop()


@asynccontextmanager
async def simulation(
    symbols: tuple[str, ...] = ("BTCUSDT", "BTCUSD_PERP"),
    *,
    speed: float = 1.0,
    seed: int = 5,
    profile: Profile = P2026Q1,
    start_ms: int = START_MS,
    port: int = 0,
    faults: str = "",
) -> AsyncIterator[Simulation]:
    """Serve a simulated market."""
    traded = instruments(start_ms, symbols)
    exchange = SimulatedExchange(traded, seed=seed, start_ms=start_ms)
    async with serve(traded, port=port, start_ms=start_ms, profile=profile, faults=faults) as house:
        open_market(house.plant, exchange)
        source = SimulatedSource(exchange, house.plant, speed=speed)
        simulated = Simulation(house.plant, house.server, house.clock)
        server = house.server
        simulated.running = asyncio.create_task(source.run(server.congestion, server.readiness))
        try:
            yield simulated
        finally:
            await simulated.freeze()


@asynccontextmanager
async def relay(
    house: Loopback,
    *venues: Venue,
    profile: str = "auto",
    settings: ClientSettings = EAGER,
    linger_ms: int = LINGER_MS,
    grace_ms: int = GRACE_MS,
    max_streams: int = MAX_STREAMS,
    clock: Clock | None = None,
    timing: RelayTiming = PROMPT,
    hosts: Callable[[Venue, str], Hosts] = hosts_of,
    confirmation_ms: int = CONFIRMATION_MS,
    received: bool = True,
) -> AsyncIterator[Relay]:
    """Relay what `house` serves; `received`: begin when it is connected."""
    upstreams = {
        venue.name: Upstream(
            hosts(venue, f"ws://{house.server.urls[venue.name]}"),
            settings,
            linger_ms=linger_ms,
            max_streams=max_streams,
            confirmation_ms=confirmation_ms,
            clock=clock,
        )
        for venue in venues or (USDM,)
    }
    found = await discover(list(upstreams.values()), profile)
    loop_s = asyncio.get_running_loop().time
    plant = Plant(found.instruments, start_ms=found.time_ms, profile=PROFILES[found.profile])
    server = Server(
        plant,
        ports={USDM.name: 0, COINM.name: 0},
        limits=LIMITS,
        forwarders={
            name: CachingForwarder(each.fetch, each.forwards, clock=lambda: int(loop_s() * 1_000))
            for name, each in upstreams.items()
        },
        clock=Clock(),
        tick_ms=TICK_MS,
        listen=listen(),
    )
    await server.start()
    source = RelaySource(plant, list(upstreams.values()), server, grace_ms=grace_ms, timing=timing)
    running = asyncio.create_task(source.run(server.congestion, server.readiness))
    try:
        if received:
            await until(lambda: running.done() or server.readiness.is_ready)
        yield Relay(plant, server, Clock(), upstreams)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await server.stop()


@asynccontextmanager
async def relayed(
    path: str, **options: Any
) -> AsyncIterator[tuple[Loopback, Relay, ClientConnection]]:
    """A client of a relay, with `options`, of a plant in which happens what the test publishes."""
    async with serve() as house, relay(house, **options) as near, near.connect(path) as client:
        yield house, near, client


@asynccontextmanager
async def upstream(url: str, request_timeout_s: float = TIMEOUT_S) -> AsyncIterator[Upstream]:
    """The upstream at `url`, which has received no request yet."""
    found = Upstream(
        hosts_of(USDM, url), EAGER, linger_ms=LINGER_MS, request_timeout_s=request_timeout_s
    )
    try:
        yield found
    finally:
        await found.close()


async def subscribe(client: ClientConnection, *names: str) -> None:
    """Subscribe; other messages that come before the answer are left out."""
    await client.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
    while "result" not in json.loads(await client.recv()):
        pass


async def messages(client: ClientConnection, count: int) -> list[str]:
    """The next messages as they came."""
    return [str(await client.recv()) for _ in range(count)]


async def received(client: ClientConnection, last: str) -> list[str]:
    """The next messages as they came, up to one that contains `last`."""
    texts = [str(await client.recv())]
    while last not in texts[-1]:
        texts.append(str(await client.recv()))
    return texts


def quote(update_id: int, time_ms: int, symbol: str = "BTCUSDT") -> BookTicker:
    return BookTicker(symbol, update_id, 6_528_000, 4, 6_528_010, 5, time_ms)
