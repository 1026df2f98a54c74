"""Messages as lines: for pipes, files and programs."""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeAlias

import msgspec
from msgspec import Raw, structs

from tickerplant.feed.feed import FeedCounters
from tickerplant.messages.message import Message
from tickerplant.messages.notice import Notice
from tickerplant.units import NS_PER_MS
from tickerplant.watching.printing import shown_json
from tickerplant.watching.telling import notice_text, time_text, totals_text

OUTPUT, ERRORS = 1, 2
"""Where messages and notices go."""
MARK = "!"
"""How a line that is no message begins."""

Piece: TypeAlias = tuple[int, bytes]
"""Lines, and where they go."""
Write: TypeAlias = Callable[[int, bytes], int]
"""Writes to a place; returns how many bytes it took, as `os.write` does."""

_format = msgspec.json.format


class Lines:
    """Turns messages and notices into lines.

    Args:
        as_json: Every line is a JSON object.
        encoding: What the notices are encoded with, unless they are JSON.
        terminals: Places that would obey some signs; those are escaped there.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        encoding: str = "utf-8",
        terminals: Collection[int] = (),
    ) -> None:
        self._as_json = as_json
        self._terminals = terminals
        self._encoding = encoding
        self._last = b""
        """The payload that was last printed: all messages of an array have the same one."""

    def pieces(self, items: Iterable[Message | Notice]) -> list[Piece]:
        """Return the lines for `items`, in order, those that go to one place together."""
        pieces: list[Piece] = []
        waiting: list[bytes] = []
        for item in items:
            if isinstance(item, Notice):
                if waiting:
                    pieces.append((OUTPUT, b"".join(waiting)))
                    waiting = []
                pieces.append((ERRORS, self.notice(item)))
            elif item.payload is not self._last:
                self._last = item.payload
                waiting.append(self._message(item))
        if waiting:
            pieces.append((OUTPUT, b"".join(waiting)))
        return pieces

    def _message(self, message: Message) -> bytes:
        payload = message.payload
        if b"\n" in payload or b"\r" in payload:
            payload = _format(payload, indent=-1)
        received = time_text(message.received_ns)
        if self._as_json:
            told = {"received": received, "stream": message.stream, "data": Raw(payload)}
            return self._json(OUTPUT, told)
        line = b"%s %s %s\n" % (received.encode(), message.stream.encode(), payload)
        return shown_json(line) if OUTPUT in self._terminals else line

    def notice(self, notice: Notice) -> bytes:
        """Return the line of a notice."""
        received, said = time_text(notice.time_ms * NS_PER_MS), notice_text(notice)
        if not self._as_json:
            return self.remark(f"{received} {said}")
        fields = {
            name: value.decode(errors="replace") if isinstance(value, bytes) else value
            for name, value in structs.asdict(notice).items()
        }
        told = {"notice": type(notice).__name__, "time": received, "text": said, **fields}
        return self._json(ERRORS, told)

    def remark(self, text: str) -> bytes:
        """Return the line of something else that is to be said."""
        if self._as_json:
            return self._json(ERRORS, {"remark": text})
        return f"{MARK} {text}\n".encode(self._encoding, "backslashreplace")

    def totals(self, counters: FeedCounters, streams: int, seconds: float) -> bytes:
        """Return the last line."""
        said = totals_text(counters, streams, seconds)
        if not self._as_json:
            return self.remark(said)
        told = {"text": said, "streams": streams, "seconds": seconds, **structs.asdict(counters)}
        return self._json(ERRORS, {"totals": told})

    def _json(self, place: int, told: object) -> bytes:
        line = msgspec.json.encode(told) + b"\n"
        return shown_json(line) if place in self._terminals else line


class Writer:
    """Writes in a thread of its own: a reader that does not read holds nobody else up.

    The thread ends with the program, even if what it writes is never read.

    Args:
        write: Writes.
        closed: Places that are not there; what should go there is lost.
    """

    def __init__(self, write: Write = os.write, closed: Collection[int] = ()) -> None:
        self._write = write
        self._closed = closed
        self._jobs: SimpleQueue[tuple[list[Piece], AbstractEventLoop, Future[None]]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def write(self, pieces: list[Piece]) -> None:
        """Return when all is written.

        Raises:
            OSError: it cannot be; `BrokenPipeError` if nobody reads any more.
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
                for place, data in pieces:
                    if place not in self._closed:
                        self._write_all(place, data)
            except OSError as error:
                failure = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, done, failure)

    def _write_all(self, place: int, data: bytes) -> None:
        try:
            while data:
                data = data[self._write(place, data) :]
        except BrokenPipeError:
            raise
        except OSError:
            if place == OUTPUT:
                raise


def _settle(done: Future[None], failure: OSError | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
