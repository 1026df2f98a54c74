"""The process of an exchange: started, watched and ended without an event loop and without threads."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import IO, TypeVar

from tickerplant.control.client import ControlClient, ControlError, Page
from tickerplant.errors import UpstreamError
from tickerplant.formatting import printable
from tickerplant.hosted.nursery import FORKS, Child, spawn
from tickerplant.hosted.process import end, unexpected_end
from tickerplant.hosted.protocol import (
    Failed,
    Problem,
    Request,
    exception_of,
    line_of,
    read_event,
)
from tickerplant.originals import Original, Owner
from tickerplant.received import MAX_LINE_BYTES, excess
from tickerplant.startup.lines import Ready
from tickerplant.venue import VenueName

START_TIMEOUT_S = 60.0
"""The longest wait for a server, for example on a machine that does much else."""
END_S = 1.0
"""The longest wait for the exit status of a server that does not answer any more."""
LOG_BYTES = 1 << 16
"""How much of the end of the log is read."""
CLOSED = "the exchange is not open: use it with `with`, or call `open`"
T = TypeVar("T")


class ServerProcess:
    """A child process that serves a market, from `start` to `kill`.

    It ends when this process ends, in whatever way: its standard input is at its end then.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._child: Child | None = None
        self._log: IO[bytes] | None = None
        self._clients: dict[str, ControlClient] = {}

    def start(self, request: Request) -> Ready:
        """Start the child; return where it serves.

        Raises:
            TickerplantError: it cannot serve that.
            UpstreamError: it ended without a reason, or is not ready after a minute.
        """
        self._owner = Owner()
        # A file, unlike a pipe, is never full, so that nothing has to read the log.
        self._log = Original.open(os.memfd_create("log"), "r+b") if FORKS else TemporaryFile()  # noqa: SIM115  # see `kill`
        try:
            self._child = spawn(line_of(request), stderr=self._log.fileno())
            ready = self._wait_until_ready()
            self._clients = {
                name: ControlClient(each.control, token=ready.token)
                for name, each in ready.venues.items()
            }
        except BaseException:
            self.kill()
            raise
        return ready

    def ask(self, request: Callable[[ControlClient], T], venue: VenueName = "usdm") -> T:
        """Send a request to the control plane, through the port of a venue; return its answer.

        Raises:
            ConfigError: what was asked for is invalid.
            RequestError: it is not possible now.
            UpstreamError: the server has ended; the message says how.
            RuntimeError: it was not started, or was killed, or another process has started it.
        """
        __tracebackhide__ = True
        if not self._clients:
            raise RuntimeError(CLOSED)
        self._owner.check(self.name)
        try:
            return request(self._clients[venue])
        except ControlError as error:
            raise exception_of(_problem_of(error)) from None
        except UpstreamError:
            if failure := self.failure(END_S):
                raise failure from None
            raise

    def _wait_until_ready(self) -> Ready:
        until_s = Original.monotonic() + START_TIMEOUT_S
        text = b""
        while True:
            *lines, text = text.split(b"\n")
            for line in lines:
                match event := read_event(line):
                    case Ready():
                        return event
                    case Failed(problem=problem):
                        raise exception_of(problem)
                    case _:
                        pass
            text += self._read(until_s)
            if too_long := excess("a line of its server", len(text), MAX_LINE_BYTES):
                raise UpstreamError(self.name, too_long)

    def _read(self, until_s: float) -> bytes:
        assert self._child is not None  # noqa: S101  # it was started
        assert self._child.stdout is not None  # noqa: S101  # it is a pipe
        output = self._child.stdout.fileno()
        ready = Original.poll()  # `select.select` cannot wait for large descriptors
        ready.register(output, select.POLLIN)
        if not ready.poll(max(0.0, until_s - Original.monotonic()) * 1_000):
            raise UpstreamError(self.name, f"its server is not ready after {START_TIMEOUT_S:.0f} s")
        if read := Original.read(output, 1 << 16):
            return read
        self._child.wait()
        raise self._lost()

    def faults(self) -> list[Page]:
        """Return the faults that were added, and not removed."""
        return list(self.ask(lambda it: it.faults()).get("rules", ()))

    def scenarios(self) -> list[Page]:
        """Return the scenarios that were started."""
        return list(self.ask(lambda it: it.scenarios())["scenarios"])

    def levers(self) -> list[Page]:
        """Return the levers that are pulled."""
        return list(self.ask(lambda it: it.levers())["levers"])

    @property
    def pid(self) -> int | None:
        """The process id; None while there is none."""
        return None if self._child is None else self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether the child runs, and is one of this process."""
        return self._child is not None and self._owner.is_here and self._child.poll() is None

    def failure(self, within_s: float = 0) -> UpstreamError | None:
        """Return why the child has ended by itself, now or `within_s`; None while it runs."""
        if self._child is None:
            return None
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            return None
        return self._lost()

    def log_lines(self, count: int) -> list[str]:
        """Return the last lines that the child has logged."""
        if self._log is None:
            return []
        log = self._log.fileno()
        size = Original.fstat(log).st_size
        # The child writes at the end of the same open file: its position must stay.
        text = Original.pread(log, LOG_BYTES, max(0, size - LOG_BYTES))
        return [printable(line) for line in text.decode(errors="replace").splitlines()[-count:]]

    def kill(self) -> None:
        """End the child at once; it has nothing to save.  A forked process leaves it alone."""
        child, self._child = self._child, None
        if child is not None and self._owner.is_here:
            end(child)
            if child.stdout is not None:
                child.stdout.close()
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _lost(self) -> UpstreamError:
        status = None if self._child is None else self._child.poll()
        return unexpected_end(self.name, status, "".join(self.log_lines(1)))


def _problem_of(refused: ControlError) -> Problem:
    message, status = refused.message, refused.status
    if status == HTTPStatus.BAD_REQUEST:
        return Problem("ConfigError", message, {"setting": refused.field, "expected": ""})
    attributes: dict[str, str | int | None] = {
        "code": -1,
        "message": message,
        "status": int(status),
        "request": "",
    }
    return Problem("RequestError", message, attributes)
