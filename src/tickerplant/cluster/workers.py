"""The workers of a program: processes that share its ports, each kept running.

The system shares new connections among them: each listens at the same ports (SO_REUSEPORT).  The program
keeps the ports bound, so that nobody else takes them, and none of its connections.

    program  ──▶  WorkerTask, then Order     standard input
    program  ◀──  Progress                   standard output

The end of standard input without an order to stop means that the program was killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from tickerplant.cluster.options import BusSettings
from tickerplant.errors import TickerplantError
from tickerplant.formatting import count_text, exit_text, printable
from tickerplant.logs import logger
from tickerplant.received import next_line
from tickerplant.server.listener import main_address
from tickerplant.server.ports import Hosts, address_text, listening_sockets, refuse_equal
from tickerplant.server.totals import Totals
from tickerplant.startup.process import on_hangup
from tickerplant.venue import Venue

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""The usual waits before a worker that died is replaced."""
STEADY_S = 5.0
"""A worker that ran this long is replaced at once."""
TICK_S = 1.0
SILENT_TICKS = 30
"""A worker that says nothing for so many ticks is killed and replaced."""
NOTHING = Totals(0, 0, 0)


class WorkerTask(Struct, frozen=True, kw_only=True):
    """What a worker does."""

    number: int
    """Which of the workers it is, from 1."""
    name: str
    """What it is called in metrics and pages."""
    settings: dict[str, Any]
    """Fields of `EdgeSettings`, without those of the bus."""
    bus: BusSettings
    """How the plant is reached; secrets reach the worker in no other way."""


class Order(Struct, frozen=True):
    """Close all connections and end; or go on, with a bus that is reached in another way."""

    bus: BusSettings | None = None


class Progress(Struct, frozen=True):
    """What the worker has served; sent when it accepts connections, every second, and at its end."""

    totals: Totals = NOTHING
    refused: str = ""
    """Why it cannot serve, and ends."""


def line_of(item: Struct) -> bytes:
    """Return `item` as a line."""
    return msgspec.json.encode(item) + b"\n"


class SharedPorts:
    """Ports that several processes listen on, kept from `open` to `close`.

    Args:
        host: The address to listen on, or several; `::` is all of IPv4 too.
        numbers: The port by venue name; 0 picks a free one; a missing venue has its default.
        venues: Those that are served.
    """

    def __init__(self, host: Hosts, numbers: Mapping[str, int], venues: Sequence[Venue]) -> None:
        self.numbers = {each.name: numbers.get(each.name, each.default_port) for each in venues}
        self.urls: dict[str, str] = {}
        """The address of each venue, `host:port`, by venue name; empty before `open`."""
        self._host, self._venues = host, venues
        self._sockets: list[socket.socket] = []
        """Bound, and never listening."""

    def open(self) -> None:
        """Bind the ports.

        Raises:
            ConfigError: the address or a port cannot be used; nothing stays open.
        """
        refuse_equal(list(self.numbers.values()))
        try:
            for venue in self._venues:
                number = self.numbers[venue.name]
                for sock in listening_sockets(venue, self._host, number) if number else ():
                    sock.close()  # sharing would hide another program of this user at the port
                opened = listening_sockets(venue, self._host, number, is_shared=True, listens=False)
                self._sockets += opened
                host, self.numbers[venue.name] = main_address(opened)
                self.urls[venue.name] = address_text(host, self.numbers[venue.name])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the ports up."""
        for sock in self._sockets:
            sock.close()


class _Slot:
    """The place of one worker, and the process that has it now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.is_listening = False
        self.silent_ticks = self.deaths = 0
        """Ticks without a word, and how often it died in a row."""
        self.totals, self.earlier = NOTHING, NOTHING
        """What it has served, and its predecessors."""

    def write(self, item: Struct) -> None:
        """Tell the worker; of one that has ended, the pipe is broken."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.write(line_of(item))

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()


class Workers:
    """Processes that serve the same ports, from `start` to `stop`.

    Args:
        command: The command line of a worker, without its number.
        settings: Fields of `EdgeSettings` for each worker.
        name: The beginning of their names, which end with their numbers; they have no other if empty.
        stop_timeout_s: How long a worker may take to close its connections.
        pauses_s: How long to wait before one that died is replaced: first, for the second time, …
    """

    def __init__(
        self,
        command: Sequence[str],
        settings: Mapping[str, Any],
        bus: BusSettings,
        name: str,
        ports: SharedPorts,
        count: int,
        *,
        stop_timeout_s: float,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self.urls = ports.urls
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        self.running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Is never done: workers that die are replaced."""
        self._command, self._settings, self._bus, self._name = command, dict(settings), bus, name
        self._ports, self._stop_timeout_s, self._pauses_s = ports, stop_timeout_s, pauses_s
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._ready = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> dict[int, int]:
        """The process ids of the workers that accept connections, by number."""
        return {
            slot.number: slot.process.pid
            for slot in self._slots
            if slot.process is not None and slot.is_listening
        }

    @property
    def totals(self) -> Totals:
        """What all workers have served, also those that died."""
        return sum((slot.earlier + slot.totals for slot in self._slots), NOTHING)

    async def start(self) -> None:
        """Start the workers, and return when all accept connections.

        Raises:
            ConfigError: the address or a port cannot be used.
            TickerplantError: one cannot serve.
        """
        self._ports.open()
        self._settings |= {f"{name}_port": port for name, port in self._ports.numbers.items()}
        keepers = [asyncio.create_task(self._keep(slot)) for slot in self._slots]
        self._tasks = [*keepers, asyncio.create_task(self._watch())]
        try:
            await self._ready
            if self._settings.get("tls_cert"):
                on_hangup(self.hang_up)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let all workers close their connections and end; kill those that take too long."""
        self._stopping.set()
        for slot in self._slots:
            slot.write(Order())
        if keepers := self._tasks[:-1]:
            _, late = await asyncio.wait(keepers, timeout=self._stop_timeout_s)
            if late:
                logger().warning(f"! {count_text(len(late), 'worker')} did not end in time: killed")
        for slot in self._slots:
            slot.kill()
        self._ports.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Pass a SIGHUP on to the workers that listen."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def tell_bus(self) -> None:
        """Tell the workers how the bus is reached now."""
        for slot in self._slots:
            slot.write(Order(bus=self._bus))

    async def _keep(self, slot: _Slot) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began_s = loop.time()
            how = await self._run(slot)
            if self._stopping.is_set():
                return
            if not self._ready.done():
                self._ready.set_exception(TickerplantError(f"worker {slot.number} {how}"))
            if self._ready.exception():  # nothing is served
                return
            slot.deaths = 1 if loop.time() - began_s > STEADY_S else slot.deaths + 1
            pause_s = self._pauses_s[min(slot.deaths, len(self._pauses_s)) - 1]
            when = f"in {pause_s:g} s" if pause_s else "at once"
            logger().error(f"! worker {slot.number} {how}; it is replaced {when}")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _run(self, slot: _Slot) -> str:
        """Run a worker to its end; return how it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(slot.number),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for this process
            )
        except OSError as error:
            return f"cannot be started ({error.strerror or error})"
        slot.process, slot.silent_ticks = process, 0
        try:
            task = WorkerTask(
                number=slot.number,
                name=f"{self._name}-{slot.number}" if self._name else str(slot.number),
                settings=self._settings,
                bus=self._bus,
            )
            slot.write(task)
            if self._stopping.is_set():
                slot.write(Order())
            reason = await self._read(slot, process)
            status = await process.wait()
        except BaseException:
            slot.kill()
            raise
        finally:
            slot.process, slot.is_listening = None, False
            slot.earlier, slot.totals = slot.earlier + slot.totals, NOTHING
        return f"cannot serve: {reason}" if reason else f"ended ({exit_text(status)})"

    async def _read(self, slot: _Slot, process: asyncio.subprocess.Process) -> str:
        """Take what a worker says, up to its end; return why it cannot serve, if it says so."""
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        reason = ""
        while line := await next_line(process.stdout):
            slot.silent_ticks = 0
            try:
                said = msgspec.json.decode(line, type=Progress)
            except msgspec.DecodeError:
                continue  # it is cut off, or too long
            if said.refused:
                reason = printable(said.refused)
                continue
            slot.totals, slot.is_listening = said.totals, True
            if len(self.pids) == len(self._slots) and not self._ready.done():
                self._ready.set_result(None)
        return reason

    async def _watch(self) -> None:
        """Kill workers that say nothing; the count stands still while this process does."""
        while True:
            await asyncio.sleep(TICK_S)
            for slot in self._slots:
                slot.silent_ticks += 1
                if slot.silent_ticks > SILENT_TICKS and slot.process is not None:
                    logger().error(f"! worker {slot.number} says nothing and is killed")
                    slot.kill()
