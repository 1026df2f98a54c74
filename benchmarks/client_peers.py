"""The clients that are measured: `python -m benchmarks.client_peers NAME URL COUNT`, a process each."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct
from picows import WSFrame, WSListener, WSTransport, ws_connect
from websockets.asyncio.client import connect

import tickerplant
from benchmarks.machine import SERVER_CORE, pin
from tickerplant.messages.readers import reader

SYMBOLS = (
    *("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"),
    *("DOGEUSDT", "ADAUSDT", "AVAXUSDT", "LINKUSDT", "LTCUSDT"),
)
CHANNELS = ("bookTicker", "aggTrade", "depth20", "kline_1m", "ticker", "markPrice@1s")
STREAMS = tuple(f"{symbol.lower()}@{channel}" for symbol in SYMBOLS for channel in CHANNELS)
COMBINED = "/stream?streams=" + "/".join(STREAMS)
"""The path on which one connection has all of them."""
SCHEDULE = Path("/proc/self/schedstat")
"""Where Linux says how long the main thread has run, and how long it has waited for a core."""
NAME_AT = len(b'{"stream":"')
NECK_BYTES = len(b'","data":')


class Taken(Struct):
    """What a client took, from the first message to the last; before the first, clocks alone."""

    messages: int
    wall_s: float
    cpu_s: float
    queued_s: float
    """Time it was ready to run and others had the core; 0 where the system does not tell."""


def _clocks() -> Taken:
    queued_ns = int(SCHEDULE.read_text().split()[1]) if SCHEDULE.exists() else 0
    return Taken(0, time.perf_counter(), time.process_time(), queued_ns / 1e9)


class Tally:
    """Counts messages until all are there.

    Args:
        expected: How many messages there will be.
    """

    __slots__ = ("_began", "_expected", "_seen", "all", "taken")

    def __init__(self, expected: int) -> None:
        self.all = asyncio.Event()
        """Set when the last message has been taken."""
        self._expected = expected
        self._seen = 0
        self._began = self.taken = _clocks()

    def take(self, message: object) -> bool:
        """Count a message, whatever it is; return whether it was the last one."""
        del message
        if not self._seen:
            self._began = _clocks()
        self._seen += 1
        if self._seen < self._expected:
            return False
        began, ended = self._began, _clocks()
        self.taken = Taken(
            self._seen,
            ended.wall_s - began.wall_s,
            ended.cpu_s - began.cpu_s,
            ended.queued_s - began.queued_s,
        )
        self.all.set()
        return True


class _Listener(WSListener):
    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._take = tally.take
        self._decoders = {name.encode(): reader(name).decode for name in STREAMS}

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # noqa: ARG002
        message = frame.get_payload_as_bytes()
        end = message.index(b'"', NAME_AT)
        decode = self._decoders[message[NAME_AT:end]]
        self._take(decode(message[end + NECK_BYTES : -1]))


async def bare(url: str, tally: Tally) -> None:
    """Let picows hand over frames, and the reader of a stream make typed messages of them."""
    transport, _ = await ws_connect(lambda: _Listener(tally), url + COMBINED)
    await tally.all.wait()
    transport.disconnect()


async def callback(url: str, tally: Tally) -> None:
    """Let our client call back for every message."""
    async with tickerplant.connect("usdm", base_url=url) as market:
        market.on(*STREAMS, callback=tally.take)
        await tally.all.wait()


async def iterate(url: str, tally: Tally) -> None:
    """Read our client in an `async for`."""
    async with tickerplant.connect("usdm", base_url=url) as market:
        async for message in market.stream(*STREAMS):
            if tally.take(message):
                break


async def websockets_json(url: str, tally: Tally) -> None:
    """Use the `websockets` library and the `json` of Python."""
    async with connect(url + COMBINED) as connection:
        async for message in connection:
            if tally.take(json.loads(message)):
                break


PEERS: dict[str, Callable[[str, Tally], Awaitable[None]]] = {
    each.__name__: each for each in (bare, callback, iterate, websockets_json)
}


async def _measured(name: str, url: str, count: str) -> Taken:
    tally = Tally(int(count))
    await PEERS[name](url, tally)
    return tally.taken


if __name__ == "__main__":
    pin(SERVER_CORE)
    print(msgspec.json.encode(asyncio.run(_measured(*sys.argv[1:]))).decode())
