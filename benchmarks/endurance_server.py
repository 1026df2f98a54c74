"""A simulated market with faults, and the witness that writes down all it sends.

    python -m benchmarks.endurance_server ORDER

ORDER is an `Order` as JSON.  The first line of the output has the addresses; a line on the input
stops the market, and the end of the input the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.endurance_ledger import Kind, Records, digest_of, row_id_of
from benchmarks.machine import SERVER_CORE, pin
from tickerplant import logs
from tickerplant.config.kinds import read_faults
from tickerplant.envelope import NAME_AT, NECK_BYTES
from tickerplant.faults.board import FaultBoard
from tickerplant.frames import payloads
from tickerplant.hub.hub import UNKNOWN_SYMBOL
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.server.event_loop import connection_clock_ms
from tickerplant.server.faults.clock import ConnectionClock
from tickerplant.server.server import Server
from tickerplant.serving.process import YOUNG_OBJECTS
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import SimulatedSource, open_market
from tickerplant.venue import VENUES

BEAT_S = 0.25
"""How often the witness writes down that it has written everything."""

TICK_MS = 20
"""How often faults are looked for: at once they come together on two connections by chance only."""


class Order(Struct, frozen=True, kw_only=True):
    """What is served, and what is to be written down."""

    names: dict[str, list[str]]
    """The streams of each venue; their numbers go on from venue to venue."""
    records: str
    log: str
    origin_ms: int
    faults: dict[str, str]
    limits: dict[str, int]
    speed: float
    seed: int
    symbol_count: int | None = None


class Served(Struct, frozen=True):
    """What a server says: the addresses at the beginning, the rest now and then."""

    urls: dict[str, str]
    faults: dict[str, int] = {}
    lag_ms: int = 0
    messages: int = 0
    """Those of the witness."""
    stopped_ms: int = 0
    """When the market stopped, since the beginning of the run; 0 while it goes on."""


class Witness:
    """Hears the streams of one venue where they are made; nothing is between."""

    def __init__(self, records: Records, numbers: Mapping[str, int]) -> None:
        self._records = records
        self._known = {name.encode(): (number, name) for name, number in numbers.items()}

    def write(self, data: bytes) -> None:
        """Take frames."""
        for message in payloads(data):
            end = message.index(b'"', NAME_AT)
            number, name = self._known[message[NAME_AT:end]]
            payload = message[end + NECK_BYTES : -1]
            self._records.note(Kind.MESSAGE, number, digest_of(payload), row_id_of(name, payload))


async def _serve(order: Order) -> None:
    loop = asyncio.get_running_loop()
    opened_s = loop.time()
    start_ms = connection_clock_ms()
    traded = instruments(start_ms, None, order.symbol_count)
    exchange = SimulatedExchange(
        traded, seed=order.seed, start_ms=start_ms, listings=order.symbol_count is None
    )
    plant = Plant(traded, start_ms=start_ms, reserved_snapshot_ids=True)
    open_market(plant, exchange)
    source = SimulatedSource(exchange, plant, speed=order.speed, opened_s=opened_s)
    board = FaultBoard(ConnectionClock(connection_clock_ms), order.seed)
    server = Server(
        plant,
        ports={venue.name: 0 for venue in VENUES},
        limits=msgspec.structs.replace(LIMITS, **order.limits),
        faults=board,
        tick_ms=TICK_MS,
    )
    board.switch(read_faults(order.faults))
    await server.start()
    records = Records(order.records, order.origin_ms)
    testify(plant, records, order.names)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    say(Served(server.urls))
    commands = await commands_of()
    running = asyncio.create_task(source.run(server.congestion, server.readiness))
    writing = asyncio.create_task(_go_on(records, server))
    with contextlib.suppress(EOFError):
        await next_command(commands)
        running.cancel()
        writing.cancel()
        await asyncio.sleep(BEAT_S)  # what waits goes out
        records.flush()
        stopped_ms = int(loop.time() * 1000) - order.origin_ms
        say(_state(server, records, stopped_ms))
        await next_command(commands)
    running.cancel()
    writing.cancel()
    await server.stop()
    records.close()


def testify(plant: Plant, records: Records, names: Mapping[str, Sequence[str]]) -> None:
    """Let witnesses hear all streams from now on.

    Raises:
        RuntimeError: the hub does not know one of them.
    """
    first = 0
    for venue_name, each in names.items():
        numbers = {name: first + index for index, name in enumerate(each)}
        first += len(each)
        hub, witness = plant.hubs[venue_name], Witness(records, numbers)
        hub.set_combined(witness, True)
        silent = hub.subscribe(witness, each)
        if unknown := [name for name, why in silent.items() if why != UNKNOWN_SYMBOL]:
            raise RuntimeError(f"no such streams: {', '.join(unknown)}")


async def _go_on(records: Records, server: Server) -> None:
    for beat in range(1 << 62):
        await asyncio.sleep(BEAT_S)
        records.flush()
        if beat % 4 == 0:
            say(_state(server, records, 0))


def _state(server: Server, records: Records, stopped_ms: int) -> Served:
    lag_ms = server.readiness.lag_ms
    return Served(server.urls, dict(server.faults.counts), lag_ms, records.messages, stopped_ms)


def say(what: Struct) -> None:
    """Write a line for who started this process; nobody may be there any more."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
        sys.stdout.buffer.flush()


async def commands_of() -> asyncio.StreamReader:
    """Return the standard input, line by line."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def next_command(commands: asyncio.StreamReader) -> None:
    """Return when the next line comes.

    Raises:
        EOFError: there will be none.
    """
    if not await commands.readline():
        raise EOFError


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    pin(SERVER_CORE)
    with Path(order.log).open("w") as log:
        logs.configure("text", "info", log)
        asyncio.run(_serve(order))


if __name__ == "__main__":
    main()
