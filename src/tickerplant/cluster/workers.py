"""The workers of a program: processes that share its ports, each kept running.

The program opens the listening sockets, one for each worker and port, and the system shares new
connections among them.  It keeps them open, so that a port refuses nobody while a worker that died
is replaced: what connects to its socket waits for its successor.

    program  ──▶  WorkerTask, then Moved and Stop         standard input
    program  ◀──  Listening or Refused, then Progress     standard output

The end of standard input without `Stop` means that the program was killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from tickerplant.cluster.options import BusSettings
from tickerplant.errors import ConfigError, TickerplantError
from tickerplant.formatting import count_text, exit_text, printable
from tickerplant.logs import logger
from tickerplant.received import next_line
from tickerplant.server.listener import main_address
from tickerplant.server.ports import (
    Hosts,
    Sockets,
    address_text,
    listening_sockets,
    refuse_equal,
)
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
LONGEST_LINE = 1 << 16


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
    is_beside_plant: bool
    """Whether it certainly runs on the machine of its plant."""
    sockets: dict[str, list[int]]
    """The descriptors of the sockets of each venue, by name: bound, and to be listened on."""


class Moved(Struct, frozen=True, tag="moved", tag_field="order"):
    """The bus was started again, and is reached in another way."""

    bus: BusSettings


class Stop(Struct, frozen=True, tag="stop", tag_field="order"):
    """Close all connections and end."""


class Listening(Struct, frozen=True, tag="listening", tag_field="event"):
    """The worker accepts connections."""


class Refused(Struct, frozen=True, tag="refused", tag_field="event"):
    """The worker cannot serve, and ends."""

    reason: str


class Progress(Struct, frozen=True, kw_only=True, tag="progress", tag_field="event"):
    """What the worker has served so far; sent every second, and at its end."""

    messages: int = 0
    sent_bytes: int = 0
    connections: int = 0


Event: TypeAlias = Listening | Refused | Progress

_tasks = msgspec.json.Decoder(WorkerTask)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_orders: msgspec.json.Decoder[Moved | Stop] = msgspec.json.Decoder(Moved | Stop)
read_task, read_event, read_order = _tasks.decode, _events.decode, _orders.decode


def line_of(item: Struct) -> bytes:
    """Return `item` as a line."""
    return msgspec.json.encode(item) + b"\n"


class SharedPorts:
    """Ports that several processes listen on: the system shares new connections among them.

    Args:
        host: The address to listen on, or several; `::` is all of IPv4 too.
        numbers: The port by venue name; 0 picks a free one; a missing venue has its default.
        venues: The venues that are served.
    """

    def __init__(self, host: Hosts, numbers: Mapping[str, int], venues: Sequence[Venue]) -> None:
        self.urls: dict[str, str] = {}
        """The address of each venue, `host:port`, by venue name; empty before `open`."""
        self._host = host
        self._venues = venues
        self._numbers = {each.name: numbers.get(each.name, each.default_port) for each in venues}

    def open(self, *, listens: bool = True) -> Sockets:
        """Open one more socket for each address of each port.

        Args:
            listens: Whether they listen.  If not, they get no connections before they do.

        Raises:
            ConfigError: the address or a port cannot be used.
            OSError: the system has no socket.
        """
        if not self.urls:
            refuse_equal(list(self._numbers.values()))
        sockets: dict[str, list[socket.socket]] = {}
        try:
            for venue in self._venues:
                number = self._numbers[venue.name]
                if number and venue.name not in self.urls:
                    # Sharing would hide another program of this user that shares its port too.
                    close_all({venue.name: listening_sockets(venue, self._host, number)})
                opened = listening_sockets(
                    venue, self._host, number, is_shared=True, listens=listens
                )
                sockets[venue.name] = opened
                host, self._numbers[venue.name] = main_address(opened)
                self.urls[venue.name] = address_text(host, self._numbers[venue.name])
        except BaseException:
            close_all(sockets)
            raise
        return sockets


def close_all(sockets: Sockets) -> None:
    """Close the sockets of one worker."""
    for sock in itertools.chain(*sockets.values()):
        sock.close()


class _Slot:
    """The place of one worker: its sockets, and the process that has them now."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sockets: Sockets = {}
        """Empty while the pause after a death is so long that others take its connections."""
        self.process: asyncio.subprocess.Process | None = None
        self.is_listening = False
        self.silent_ticks = 0
        self.deaths = 0
        """How often it died in a row."""
        self.progress = Progress()
        self.earlier = Progress()
        """What its predecessors served."""


class Workers:
    """Processes that serve the same ports, from `start` to `stop`.

    Args:
        command: The command line of a worker, without its number.
        settings: Fields of `EdgeSettings` for each worker.
        bus: How the workers reach the plant.
        name: What they are called, followed by their numbers; empty: the numbers alone.
        ports: What they listen on.
        count: How many there are.
        are_beside_plant: Whether they certainly run on the machine of their plant.
        stop_timeout_s: How long a worker may take to close its connections.
        pauses_s: How long to wait before a worker that died is replaced: the first time, the second,
            and so on.
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
        are_beside_plant: bool,
        stop_timeout_s: float,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self.restart_count = 0
        self.urls = ports.urls
        """The address of each venue, `host:port`, by venue name; empty before `start`."""
        self.running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Is never done: workers that die are replaced."""
        self._command = command
        self._settings = dict(settings)
        self._bus = bus
        self._name = name
        self._ports = ports
        self._are_beside_plant = are_beside_plant
        self._stop_timeout_s = stop_timeout_s
        self._pauses_s = pauses_s
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._ready = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None

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
        parts = _sum(each for slot in self._slots for each in (slot.earlier, slot.progress))
        return Totals(
            messages=parts.messages, sent_bytes=parts.sent_bytes, connections=parts.connections
        )

    async def start(self) -> None:
        """Start the workers, and return when all accept connections.

        Raises:
            ConfigError: the address or a port cannot be used.
            TickerplantError: one cannot serve.
        """
        try:
            for slot in self._slots:
                slot.sockets = self._ports.open()
        except BaseException:
            await self.stop()
            raise
        self._keepers = [asyncio.create_task(self._keep(slot)) for slot in self._slots]
        self._watcher = asyncio.create_task(self._watch())
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
            _write(slot, Stop())
        if self._keepers:
            _, late = await asyncio.wait(self._keepers, timeout=self._stop_timeout_s)
            if late:
                logger().warning(f"! {count_text(len(late), 'worker')} did not end in time: killed")
        for slot in self._slots:
            _kill(slot)
            close_all(slot.sockets)
        tasks = [*self._keepers, *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Pass a SIGHUP on to the workers that listen."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def tell_bus(self) -> None:
        """Tell the workers how the bus is reached now."""
        for slot in self._slots:
            _write(slot, Moved(bus=self._bus))

    async def _keep(self, slot: _Slot) -> None:
        """Keep one worker running."""
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
            if pause_s:
                await self._pause(slot, pause_s)
            self.restart_count += 1

    async def _pause(self, slot: _Slot, pause_s: float) -> None:
        """Wait before a worker is replaced; meanwhile others get its connections, if there are any."""
        if not self.pids:
            await self._sleep(pause_s)
            return
        close_all(slot.sockets)
        slot.sockets = {}
        while not slot.sockets and not self._stopping.is_set():
            await self._sleep(pause_s)
            try:
                # The worker listens, if it gets that far.
                slot.sockets = self._ports.open(listens=False)
            except (OSError, ConfigError) as error:
                logger().error(f"! worker {slot.number} cannot be replaced: {error}")

    async def _sleep(self, pause_s: float) -> None:
        """Wait, but not longer than these workers run."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()

    async def _run(self, slot: _Slot) -> str:
        """Run a worker to its end; return how it ended."""
        descriptors = {
            name: [each.fileno() for each in sockets] for name, sockets in slot.sockets.items()
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(slot.number),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=tuple(itertools.chain(*descriptors.values())),
                start_new_session=True,  # Ctrl-C is for this process
                limit=LONGEST_LINE,
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
                is_beside_plant=self._are_beside_plant,
                sockets=descriptors,
            )
            _write(slot, task)
            if self._stopping.is_set():
                _write(slot, Stop())
            reason = await self._read(slot, process)
            status = await process.wait()
        except BaseException:
            _kill(slot)
            raise
        finally:
            slot.process, slot.is_listening = None, False
            slot.earlier = _sum((slot.earlier, slot.progress))
            slot.progress = Progress()
        return f"cannot serve: {reason}" if reason else f"ended ({exit_text(status)})"

    async def _read(self, slot: _Slot, process: asyncio.subprocess.Process) -> str:
        """Take what a worker says, up to its end; return why it cannot serve, if it says so."""
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        reason = ""
        while line := await next_line(process.stdout):
            slot.silent_ticks = 0
            try:
                event = read_event(line)
            except msgspec.DecodeError:
                continue  # it is cut off, or too long
            match event:
                case Listening():
                    slot.is_listening = True
                    if len(self.pids) == len(self._slots) and not self._ready.done():
                        self._ready.set_result(None)
                case Progress():
                    slot.progress = event
                case Refused(reason=text):
                    reason = printable(text)
        return reason

    async def _watch(self) -> None:
        """Kill workers that say nothing; the count stands still while this process does."""
        while True:
            await asyncio.sleep(TICK_S)
            for slot in self._slots:
                slot.silent_ticks += 1
                if slot.silent_ticks > SILENT_TICKS and slot.process is not None:
                    logger().error(f"! worker {slot.number} says nothing and is killed")
                    _kill(slot)


def _sum(parts: Iterable[Progress]) -> Progress:
    found = tuple(parts)
    return Progress(
        messages=sum(each.messages for each in found),
        sent_bytes=sum(each.sent_bytes for each in found),
        connections=sum(each.connections for each in found),
    )


def _write(slot: _Slot, item: Struct) -> None:
    if slot.process is not None and slot.process.stdin is not None:
        slot.process.stdin.write(line_of(item))  # of one that has ended, the pipe is broken


def _kill(slot: _Slot) -> None:
    if slot.process is not None:
        with suppress(ProcessLookupError):
            slot.process.kill()
