"""Recordings of a few lines, played to listeners in a loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import memory_loop

from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.readiness import Readiness
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan
from tickerplant.replaying.source import SLICE_MESSAGES, RecordingSource
from tickerplant.server.congestion import Congestion

START_MS = 1_723_161_256_000
NS = 1_000_000


class Listener:
    """A subscriber that keeps when it got what."""

    def __init__(self) -> None:
        self.data = b""
        self.times_s: list[float] = []

    def write(self, data: bytes) -> None:
        self.data += data
        self.times_s.append(asyncio.get_running_loop().time())


class Replay:
    """A plant, a source of the recordings at `paths`, and one listener per venue."""

    def __init__(
        self,
        paths: Sequence[Path],
        names: Mapping[str, Sequence[str]],
        *,
        speed: float = 0,
        plan: Plan | None = None,
        wait_for: int = 1,
        keeps_running: bool = False,
        now_ms: Callable[[], int] = lambda: 0,
        slice_messages: int = SLICE_MESSAGES,
    ) -> None:
        found = scan([str(path) for path in paths])
        self.plant = Plant(found.instruments, start_ms=found.start_ms)
        self.source = RecordingSource(
            found,
            self.plant,
            plan or Plan(speed=speed),
            wait_for=wait_for,
            keeps_running=keeps_running,
            now_ms=now_ms,
            slice_messages=slice_messages,
        )
        self.readiness = Readiness()
        self.subscribers = 1
        self.congestion = Congestion(LIMITS, lambda: self.subscribers)
        self.listeners = {venue: Listener() for venue in names}
        for venue, listener in self.listeners.items():
            self.plant.hubs[venue].subscribe(listener, names[venue])

    def run(self, subscribers: int = 1) -> None:
        memory_loop.run(self._run(subscribers))

    def run_with(
        self,
        visit: Callable[[], Coroutine[None, None, None]],
        passed_s: Callable[[], float] = memory_loop.a_look,
    ) -> None:
        """Play while `visit` does something; end when it is done; see `memory_loop.run`."""

        async def both() -> None:
            playing = asyncio.create_task(self._run(1))
            visiting = asyncio.create_task(visit())
            await asyncio.wait({playing, visiting}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            await visiting
            playing.cancel()

        memory_loop.run(both(), passed_s)

    async def _run(self, subscribers: int) -> None:
        loop = asyncio.get_running_loop()
        for hub in self.plant.hubs.values():
            hub.wake = lambda hub=hub: loop.call_soon(hub.flush)  # type: ignore[misc]
        self.subscribers = subscribers
        await self.source.run(self.congestion, self.readiness)


def trade(n: int, price: str = "100.00", symbol: str = "BTCUSDT", at_ms: int = 0) -> bytes:
    time_ms = START_MS + (at_ms or n)
    return (
        f'{{"e":"trade","E":{time_ms},"T":{time_ms},"s":"{symbol}","t":{n},"p":"{price}",'
        f'"q":"1.000","X":"MARKET","m":false}}'
    ).encode()


def depth(u: int, pu: int, *, bid: str = "99.00", quantity: str = "2.000") -> bytes:
    return (
        f'{{"e":"depthUpdate","E":{START_MS + u},"T":{START_MS + u},"s":"BTCUSDT","U":{pu + 1},'
        f'"u":{u},"pu":{pu},"b":[["{bid}","{quantity}"]],"a":[["101.00","3.000"]]}}'
    ).encode()


SNAPSHOT = (
    b'{"lastUpdateId":15,"E":%d,"T":%d,"bids":[["98.00","1.000"]],"asks":[["101.00","1.000"]]}'
    % (START_MS + 20, START_MS + 19)
)


def recorded(path: Path, lines: Sequence[tuple[int, str, bytes]]) -> Path:
    """Write lines of receive time in ms after the start, stream and payload."""
    path.write_bytes(
        b"".join(
            b"%d %b\n"
            % (
                (START_MS + at_ms) * NS,
                b'{"stream":"%b","data":%b}' % (stream.encode(), payload) if stream else payload,
            )
            for at_ms, stream, payload in lines
        )
    )
    return path


def replayed(
    folder: Path, lines: Sequence[tuple[int, str, bytes]], *names: str, **options: Any
) -> Replay:
    """Record lines, and play them to somebody who is subscribed to streams of USDⓈ-M."""
    replay = Replay([recorded(folder / "r", lines)], {"usdm": names}, **options)
    replay.run()
    return replay
