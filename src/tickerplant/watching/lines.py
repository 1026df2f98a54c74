"""Messages and notices as lines, for pipes, files and programs."""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from queue import SimpleQueue
from typing import TypeAlias

import msgspec
from msgspec import Raw, structs

from tickerplant.feed.feed import FeedCounters
from tickerplant.formatting import printable_json, timestamp_text
from tickerplant.messages.message import Message
from tickerplant.notices import Notice, Recovered
from tickerplant.units import NS_PER_MS
from tickerplant.watching.run import totals_text

OUTPUT, ERRORS = 1, 2
"""File descriptors of messages and of notices."""
MARK = "!"
"""Begins every line that is not a message."""

Piece: TypeAlias = tuple[int, bytes]
"""A file descriptor, and lines for it."""
Write: TypeAlias = Callable[[int, bytes], int]
"""Writes to a file descriptor; returns how many bytes it wrote, as `os.write` does."""


class Lines:
    """Turns messages and notices into lines.

    Args:
        as_json: Whether every line is a JSON object.
        encoding: The encoding of notices that are not JSON.
        terminals: The file descriptors that are terminals; unprintable characters are escaped.
        log_level: `info`; `warning` leaves out recoveries and totals, `error` all notices.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        encoding: str = "utf-8",
        terminals: Collection[int] = (),
        log_level: str = "info",
    ) -> None:
        self._as_json = as_json
        self._log_level = log_level
        self._terminals = terminals
        self._encoding = encoding
        self._last = b""
        """The payload printed last: all messages of an array share one, which is printed once."""

    def pieces(self, items: Iterable[Message | Notice]) -> list[Piece]:
        """Return the lines for `items` in order, consecutive ones for one descriptor joined."""
        pieces = []
        for place, lines in groupby(filter(None, map(self._piece, items)), key=itemgetter(0)):
            pieces.append((place, b"".join(line for _, line in lines)))
        return pieces

    def _piece(self, item: Message | Notice) -> Piece | None:
        if isinstance(item, Notice):
            is_left_out = self._log_level == "warning" and isinstance(item, Recovered)
            shown = self._log_level != "error" and not is_left_out
            return (ERRORS, self.notice(item)) if shown else None
        if item.payload is self._last:
            return None
        self._last = payload = item.payload
        if b"\n" in payload or b"\r" in payload:
            payload = msgspec.json.format(payload, indent=-1)
        received = timestamp_text(item.received_ns)
        if self._as_json:
            fields = {"received": received, "stream": item.stream, "data": Raw(payload)}
            return OUTPUT, self._json(OUTPUT, fields)
        line = b"%s %s %s\n" % (received.encode(), item.stream.encode(), payload)
        return OUTPUT, printable_json(line) if OUTPUT in self._terminals else line

    def notice(self, notice: Notice) -> bytes:
        """Return the line of a notice."""
        time = timestamp_text(notice.time_ms * NS_PER_MS)
        if not self._as_json:
            return self.remark(f"{time} {notice.text}")
        fields = {
            name: value.decode(errors="replace") if isinstance(value, bytes) else value
            for name, value in structs.asdict(notice).items()
        }
        head = {"notice": type(notice).__name__, "time": time, "text": notice.text}
        return self._json(ERRORS, head | fields)

    def remark(self, text: str) -> bytes:
        """Return a line of plain text."""
        if self._as_json:
            return self._json(ERRORS, {"remark": text})
        return f"{MARK} {text}\n".encode(self._encoding, "backslashreplace")

    def totals(self, counters: FeedCounters, streams: int, seconds: float) -> bytes:
        """Return the last line of a run; nothing if it is unwanted."""
        if self._log_level != "info":
            return b""
        text = totals_text(counters, streams, seconds)
        if not self._as_json:
            return self.remark(text)
        totals = {"text": text, "streams": streams, "seconds": seconds, **structs.asdict(counters)}
        return self._json(ERRORS, {"totals": totals})

    def _json(self, fd: int, value: object) -> bytes:
        line = msgspec.json.encode(value) + b"\n"
        return printable_json(line) if fd in self._terminals else line


class Writer:
    """Writes in its own thread, so that a blocked pipe does not stop the event loop.

    It is a daemon thread: the program can end while a write is blocked.

    Args:
        write: Writes to a file descriptor.
        closed: File descriptors that are closed; what is written to them is dropped.
    """

    def __init__(self, write: Write = os.write, closed: Collection[int] = ()) -> None:
        self._write = write
        self._closed = closed
        self._jobs: SimpleQueue[tuple[list[Piece], AbstractEventLoop, Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def write(self, pieces: list[Piece]) -> None:
        """Return when everything is written.

        Raises:
            OSError: writing failed; `BrokenPipeError` if the reader is gone.
        """
        loop = get_running_loop()
        done: Future[None] = loop.create_future()
        self._jobs.put((pieces, loop, done))
        await done

    def _run(self) -> None:
        while True:
            pieces, loop, done = self._jobs.get()
            failure: OSError | None = None
            try:
                for fd, data in pieces:
                    if fd not in self._closed:
                        self._write_all(fd, data)
            except OSError as error:
                failure = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, done, failure)

    def _write_all(self, fd: int, data: bytes) -> None:
        try:
            while data:
                data = data[self._write(fd, data) :]
        except BrokenPipeError:
            raise
        except OSError:
            if fd == OUTPUT:
                raise


def _settle(done: Future[None], failure: OSError | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
