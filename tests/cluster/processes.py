"""Plants, edges and buses as processes of their own, and clients that remember what they were told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import websockets
from connecting import connect
from msgspec import Struct
from programs import PATIENCE_S
from websockets.asyncio.client import ClientConnection

from tickerplant.cluster.nats_server import program

_POLL_S = 0.02
_QUIET = {"PYTHONUNBUFFERED": "1"}
_BUS = """\
host: "{host}"
port: {port}
{settings}
"""
_JETSTREAM = """\
jetstream {{ store_dir: "{folder}", max_memory_store: 268435456, max_file_store: 0 }}
"""


_ports: set[int] = set()


def free_port() -> int:
    """Return a port that is free now and was not returned before."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port not in _ports:
            _ports.add(port)
            return port


class Process:
    """A program that was started, and what it logs."""

    def __init__(
        self, command: Sequence[str], log: Path, prefix: Sequence[str] = (), port: int = 0
    ) -> None:
        self.port = port
        """Where it serves USDⓈ-M, if it does."""
        self._log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(  # noqa: S603  # programs of this repository
                [*prefix, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=os.environ | _QUIET,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has printed and logged so far."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """End it and its children as a power failure would."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def __str__(self) -> str:
        return f"{self._log.stem}:\n{self.log}"


class Processes:
    """Starts programs, and ends them all in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Process] = []

    def start(self, *arguments: str, prefix: Sequence[str] = (), port: int = 0) -> Process:
        """Start our program."""
        return self._start([sys.executable, "-m", "tickerplant", *arguments], prefix, port)

    def bus(
        self, port: int, host: str = "127.0.0.1", prefix: Sequence[str] = (), settings: str = ""
    ) -> Process:
        """Start a bus of the user's own, with JetStream unless it has other settings."""
        folder = self._folder / f"bus-{len(self.started)}"
        folder.mkdir()
        configuration = folder / "nats.conf"
        configuration.write_text(
            _BUS.format(host=host, port=port, settings=settings or _JETSTREAM.format(folder=folder))
        )
        started = self._start([program(), "--config", str(configuration)], prefix)
        wait_until(lambda: "Server is ready" in started.log, "the bus is ready")
        return started

    def _start(self, command: Sequence[str], prefix: Sequence[str], port: int = 0) -> Process:
        process = Process(command, self._folder / f"{len(self.started)}.log", prefix, port)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.started):
            process.kill()


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Yield what starts programs; show what they logged if the test fails."""
    made = Processes(folder)
    try:
        yield made
    except BaseException:
        for process in made.started:
            sys.stdout.write(f"{process}\n")
        raise
    finally:
        made.end()


class Cluster(Struct):
    """An upstream and a bus that run, and what is to be started on the bus."""

    programs: Processes
    upstream_port: int
    bus_port: int
    edge_port: int

    @property
    def upstream(self) -> str:
        """The URL of the upstream."""
        return f"ws://127.0.0.1:{self.upstream_port}"

    @property
    def edge(self) -> str:
        """The URL of the edge."""
        return f"ws://127.0.0.1:{self.edge_port}"

    @property
    def _bus(self) -> tuple[str, ...]:
        return ("--bus", f"nats://127.0.0.1:{self.bus_port}", "--plant", "test")

    def start_relay(self, *options: str) -> Process:
        """Start a relay of the upstream on the bus."""
        return self._start("relay", free_port(), "--usdm-url", self.upstream, *options)

    def start_edge(self, *options: str) -> Process:
        """Start the edge."""
        return self._start("edge", self.edge_port, *options)

    def _start(self, command: str, port: int, *options: str) -> Process:
        ports = ("--usdm-port", str(port), "--coinm-port", str(free_port()))
        return self.programs.start(command, *ports, *self._bus, *options, port=port)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Yield an upstream and a bus that run."""
    with processes(folder) as programs:
        made = Cluster(programs, free_port(), free_port(), free_port())
        programs.bus(made.bus_port)
        programs.start(
            *("simulate", "--symbols", "BTCUSDT,ETHUSDT", "--quoting", "0.5"),
            *("--usdm-port", str(made.upstream_port), "--coinm-port", str(free_port())),
        )
        wait_ready(made.upstream_port)
        yield made


def readiness(port: int, host: str = "127.0.0.1") -> tuple[int, str]:
    """Return the status and the text of `/readyz`; 0 if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when `condition` is true."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, f"not within {PATIENCE_S} s: {what}"
        time.sleep(_POLL_S)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return when `condition` is true; clients are read meanwhile."""
    await asyncio.to_thread(wait_until, condition, what)


def wait_ready(port: int, host: str = "127.0.0.1") -> None:
    """Return when the server of a port is ready."""
    wait_until(lambda: readiness(port, host)[0] == 200, f"{host}:{port} is ready")


class Listener:
    """A client of one connection: what it was told, and how that ended."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.payloads: dict[str, list[bytes]] = {}
        """By stream, in order; on a raw connection the stream is the URL's."""
        self.close: tuple[int, str] | None = None
        self._connection: ClientConnection
        self._task: asyncio.Task[None]

    @property
    def count(self) -> int:
        """How many messages it was told."""
        return sum(map(len, self.payloads.values()))

    async def open(self) -> Listener:
        """Connect, and remember from now on."""
        self._connection = await connect(self.url, compression=None)
        self._task = asyncio.create_task(self._listen())
        return self

    async def _listen(self) -> None:
        is_combined = "/stream?" in self.url
        name = self.url.rpartition("/")[2]
        try:
            async for text in self._connection:
                data = text.encode() if isinstance(text, str) else text
                if is_combined:
                    envelope = msgspec.json.decode(data, type=_Envelope)
                    self.payloads.setdefault(envelope.stream, []).append(bytes(envelope.data))
                else:
                    self.payloads.setdefault(name, []).append(data)
        except websockets.ConnectionClosed:
            pass
        self.close = self._connection.close_code or 0, self._connection.close_reason or ""

    async def hears_more(self, count: int = 3) -> None:
        """Return when it was told so many messages more."""
        wanted = self.count + count
        await until(lambda: self.count >= wanted or self._task.done(), f"{self.url} is told more")
        assert self.close is None, self.close

    async def closed(self) -> tuple[int, str]:
        """Return how the connection ended; wait for it."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.shield(self._task)
        assert self.close is not None
        return self.close

    async def end(self) -> None:
        await self._connection.close()
        await self._task


async def all_hear_more(listeners: Iterable[Listener]) -> None:
    await asyncio.gather(*(each.hears_more() for each in listeners))


async def assert_same(heard: Listener, told: Listener) -> None:
    """Assert that a client was told what another was, in one piece, of the streams of both."""
    for name in heard.payloads.keys() & told.payloads.keys():
        payloads, source = heard.payloads[name], told.payloads[name]
        await until(lambda: payloads[-1] in source, f"the other is told {name}")  # noqa: B023
        first = source.index(payloads[0])
        assert payloads == source[first : first + len(payloads)], f"{name}: not what was told"


class _Envelope(Struct):
    stream: str
    data: msgspec.Raw


async def handshake_status(url: str) -> int:
    """Return the HTTP status of a stream handshake; 101 if it is accepted."""
    try:
        async with connect(url):
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code
