"""The child process that serves a market."""

from __future__ import annotations

import asyncio
import logging
from asyncio import sleep
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from itertools import count
from json import loads
from typing import IO, Any
from weakref import WeakMethod

from tickerplant.client.event_loop import check_loop, running_loop
from tickerplant.errors import TickerplantError, UpstreamError
from tickerplant.formatting import exit_text, printable
from tickerplant.hosted.nursery import Child, spawn
from tickerplant.hosted.protocol import (
    Answer,
    Command,
    Failed,
    Request,
    Serving,
    exception_of,
    line_of,
    read_event,
)
from tickerplant.originals import Owner
from tickerplant.received import MAX_LINE_BYTES, excess, next_line
from tickerplant.startup.lines import Ready

_log = logging.getLogger("tickerplant.hosted")

POLL_S = 0.01
"""How often it is checked whether a child has ended that closed its output."""
LAST_LINES = 5
"""Lines of its log that are kept, to say why it ended."""
_reading: set[asyncio.Task[None]] = set()
"""Tasks that read what children write, until its end, even if the market is collected before."""
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class ServerProcess:
    """A child process that serves one market, from `start` to `kill`.

    It ends when this process ends, in whatever way: its standard input is at its end then.

    Args:
        name: What it serves, for errors.
        on_lost: A method, called with an exception if the child ends by itself after `start`.
    """

    def __init__(self, name: str, on_lost: Callable[[TickerplantError], object]) -> None:
        self.name = name
        self.child: Child | None = None
        self._on_lost = WeakMethod(on_lost)
        self._is_killed = False
        self._venue = ""
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._served: asyncio.Future[tuple[str, Ready]]

    async def start(self, request: Request) -> tuple[str, Ready]:
        """Start the child; return the venue that it serves, and where.

        Raises:
            TickerplantError: it cannot serve that; the exceptions are those of the commands.
            UpstreamError: it ended without a reason.
        """
        self._served = running_loop().create_future()
        self._owner = Owner()
        self.child = child = spawn(line_of(request))
        try:
            self._tasks = (
                await _read(child.stderr, self._forward_log),
                await _read(child.stdout, self._take_events),
            )
            return await asyncio.shield(self._served)
        except BaseException:
            self.kill()
            raise

    async def send(self, fields: Mapping[str, Any]) -> bytes:
        """Send a command to the clock, and return its state as JSON.

        Raises:
            ConfigError: a field is invalid.
            RequestError: that is not possible now.
            UpstreamError: the child has ended.
        """
        if self.child is not None:
            check_loop(self._served.get_loop())
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._write(line_of(Command(number, dict(fields))))
            found = await answer
        finally:
            self._answers.pop(number, None)
        if found.problem is not None:
            raise exception_of(found.problem)
        return bytes(found.state)

    def kill(self) -> None:
        """End the child at once; it has nothing to save.  A forked process leaves it alone."""
        self._is_killed = True
        if self.child is not None and self._owner.is_here:
            end(self.child)
            self._fail(UpstreamError(self.name, "the market is closed"))

    def _write(self, line: bytes) -> None:
        if self._is_killed or self.child is None or self.child.stdin is None:
            raise UpstreamError(self.name, "the market is closed")
        try:
            self.child.stdin.write(line)
            self.child.stdin.flush()
        except OSError:
            raise self._lost() from None

    async def _take_events(self, lines: asyncio.StreamReader) -> None:
        """Take what the child writes, up to its end."""
        failure: TickerplantError | None = None
        try:
            while line := await lines.readline():
                match event := read_event(line):
                    case Serving(venue=venue):
                        self._venue = venue
                    case Ready() if not self._served.done():
                        self._served.set_result((self._venue, event))
                    case Failed(problem=problem):
                        failure = exception_of(problem)
                    case Answer(number=number) if number in self._answers:
                        self._answers.pop(number).set_result(event)
                    case _:
                        pass  # its totals
        except ValueError:
            too_long = excess("a line of its server", MAX_LINE_BYTES + 1, MAX_LINE_BYTES)
            failure = UpstreamError(self.name, too_long)
            if self.child is not None:
                self.child.kill()
        if self._is_killed or self.child is None:
            return
        while self.child.poll() is None:  # noqa: ASYNC110  # pools of threads may have ended
            await sleep(POLL_S)
        await self._tasks[0]
        self._fail(failure or self._lost())

    def _fail(self, failure: TickerplantError) -> None:
        """Let everything that waits for the child fail."""
        answers, self._answers = self._answers, {}
        waiting: tuple[asyncio.Future[Any], ...] = (*answers.values(), self._served)
        for each in waiting:
            if not each.done():
                each.set_exception(failure)
                each.exception()  # whoever waited may have gone
        on_lost = self._on_lost()
        if on_lost is not None and not self._is_killed:
            on_lost(failure)

    def _lost(self) -> UpstreamError:
        status = None if self.child is None else self.child.poll()
        return unexpected_end(self.name, status, self._last_lines[-1] if self._last_lines else "")

    async def _forward_log(self, lines: asyncio.StreamReader) -> None:
        while line := await next_line(lines):
            text, level = line.decode(errors="replace").rstrip(), logging.WARNING
            with suppress(ValueError, AttributeError):
                fields = loads(text)
                level = _LEVELS.get(fields.pop("level"), logging.ERROR)
                fields.pop("timestamp", None)
                fields.pop("sign", None)
                trace = fields.pop("exception", "")
                text = ": ".join([sentence_of(fields), *trace.splitlines()[-1:]])
                if trace:
                    _log.debug("%s: %s", self.name, trace)
            self._last_lines.append(printable(text))
            _log.log(level, "%s: %s", self.name, printable(text))


def sentence_of(fields: dict[str, Any]) -> str:
    """Return what the child logged as a sentence about a stream, if it is about one."""
    text = str(fields.pop("event"))
    stream, why = fields.pop("stream", None), fields.pop("why", None)
    fields.pop("connection", None)  # there is only one client
    subject = f"{stream}: " if stream else ""
    reason = f" ({why})" if why else ""
    return f"{subject}{text}{reason}" + "".join(f" {name}={fields[name]}" for name in fields)


def unexpected_end(name: str, status: int | None, last_line: str) -> UpstreamError:
    """Return the error of a child that has ended by itself."""
    last = f": {last_line}" if last_line else ""
    return UpstreamError(name, f"its server ended unexpectedly ({exit_text(status)}){last}")


def end(child: Child) -> None:
    """Kill a child, wait for its end, and close its input."""
    child.kill()
    child.wait()
    if child.stdin is not None:
        with suppress(OSError):  # what was not written is of no use
            child.stdin.close()


async def _read(
    pipe: IO[bytes] | None, take: Callable[[asyncio.StreamReader], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Start a task that takes what a pipe has; the pipe is closed when it ends, also with the loop."""
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    task = asyncio.create_task(take(reader))
    _reading.add(task)
    task.add_done_callback(_reading.discard)
    task.add_done_callback(lambda _: transport.close())
    return task
