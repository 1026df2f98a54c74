"""What was written to each connection: every byte, in order, also after the connection has ended."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from tickerplant.envelope import HEAD
from tickerplant.errors import RequestError
from tickerplant.truth.scanner import Scanned, Scanner, SentKind

MAX_SENT_BYTES = 64 << 20
"""The memory for what was written to all connections, unless told otherwise."""
WRITE_BYTES = 160
"""The memory for one write, beside its bytes."""
MARKED_WRITES = 64
"""Writes between the places from which a log can be read."""
MAX_LOGS = 10_000
"""Connections that are remembered; the oldest that have ended are forgotten."""
NOT_KEPT = -1
"""The code of errors about something that is not kept."""

_ENVELOPE = re.compile(re.escape(HEAD) + rb'([^"\\]*)"')
_ONLY_STREAM = re.compile(r"/ws/([^/?#]+)(?:\?.*)?$")
_REPLY = re.compile(rb'\{\s*"(?:id|result|error|status|code)"')


class Written(NamedTuple):
    """What one call wrote."""

    time_ms: int
    """Market time."""
    data: bytes


class Sent(NamedTuple):
    """A handshake or a frame that was written, or bytes that are neither."""

    number: int
    """Counts from 0 for each connection."""
    time_ms: int
    """The market time when its last byte was written."""
    kind: SentKind
    data: bytes
    """The payload of a frame; all of a handshake, and of what is not a frame."""
    stream: str | None
    """The stream of a message, where it is known."""


class _Mark(NamedTuple):
    """A place in a log from which it can be read."""

    write: int
    """How many writes came before, those that were forgotten included."""
    number: int
    """The number of the next handshake or frame."""
    scanner: Scanner
    only_stream: str | None


class SentLog:
    """What was written to one connection."""

    def __init__(
        self,
        identity: str,
        venue: str,
        path: str,
        opened_ms: int,
        is_open: Callable[[], bool],
        journal: SentJournal,
    ) -> None:
        self.identity = identity
        self.venue = venue
        self.path = path
        self.opened_ms = opened_ms
        self.written_bytes = 0
        """All bytes that were written, those that were forgotten included."""
        self.forgotten_bytes = 0
        self._is_open = is_open
        self._journal = journal
        self._writes: deque[Written] = deque()
        only = _ONLY_STREAM.search(path)
        self._start = _Mark(0, 0, Scanner(), only and only[1])
        """Is where the first write that is kept begins; with the only stream of the connection, until
        it may have subscribed to another."""
        self._mark = self._start
        """Is where the last page ended, or before."""

    @property
    def is_open(self) -> bool:
        """Whether the connection is still there."""
        return self._is_open()

    @property
    def forgotten(self) -> int:
        """Handshakes and frames that were forgotten: the number of the first that is kept."""
        return self._start.number

    @property
    def data(self) -> bytes:
        """All bytes that are kept, in order."""
        return self._start.scanner.rest + b"".join([each.data for each in self._writes])

    def write(self, data: bytes) -> None:
        """Take bytes that are written to the connection."""
        self._writes.append(Written(self._journal.now_ms(), data))
        self.written_bytes += len(data)
        self._journal.count(self, len(data))

    def forget(self) -> int:
        """Forget the oldest write; return how many bytes it was."""
        write, number, scanner, only = self._start
        data = self._writes.popleft().data
        found = scanner.feed(data)
        if any(map(_is_reply, found)):
            only = None
        self._start = _Mark(write + 1, number + len(found), scanner, only)
        self.forgotten_bytes += len(data)
        return len(data)

    def entries(self, from_number: int = 0) -> Iterator[Sent]:
        """Yield what is kept, in order."""
        mark, first = self._mark, self._start
        if mark.write < first.write or mark.number > from_number:
            mark = first
        write, number, scanner, only = mark
        scanner = scanner.copy()
        for time_ms, data in islice(self._writes, write - first.write, None):
            if not write % MARKED_WRITES and number <= from_number:
                self._mark = _Mark(write, number, scanner.copy(), only)
            write += 1
            for each in scanner.feed(data):
                stream = None
                if _is_reply(each):
                    only = None
                elif each.kind == "text":
                    found = _ENVELOPE.match(each.data)
                    stream = only if found is None else found[1].decode(errors="replace")
                if number >= from_number:
                    yield Sent(number, time_ms, each.kind, each.data, stream)
                number += 1


def _is_reply(each: Scanned) -> bool:
    """Whether it answers a request, after which a connection may have other streams."""
    return each.kind == "text" and _REPLY.match(each.data) is not None


class SentJournal:
    """What was written to all connections of a server."""

    def __init__(self, max_bytes: int = MAX_SENT_BYTES, max_logs: int = MAX_LOGS) -> None:
        self.now_ms: Callable[[], int] = int
        """Returns market time; set by whoever has the plant."""
        self.logs: dict[str, SentLog] = {}
        """The connections that are remembered, oldest first, by identity."""
        self.kept_bytes = 0
        self.forgotten_writes = 0
        """Writes that were forgotten because there were more than `max_bytes`."""
        self.forgotten_logs = 0
        """Connections that were forgotten because there were more than `max_logs`."""
        self._max_bytes = max_bytes
        self._max_logs = max_logs
        self._order: deque[SentLog] = deque()
        """The log of each write, oldest first."""

    def open(self, identity: str, venue: str, path: str, is_open: Callable[[], bool]) -> SentLog:
        """Return the log of a new connection; see `SentLog`."""
        log = SentLog(identity, venue, path, self.now_ms(), is_open, self)
        self.logs[identity] = log
        if len(self.logs) > self._max_logs:
            ended = next((each for each in self.logs.values() if not each.is_open), None)
            if ended is not None:
                del self.logs[ended.identity]
                self.forgotten_logs += 1
        return log

    def count(self, log: SentLog, size_bytes: int) -> None:
        """Count a write of `log`, and forget the oldest writes if there are too many bytes."""
        self._order.append(log)
        self.kept_bytes += size_bytes + WRITE_BYTES
        while self.kept_bytes > self._max_bytes:
            self.kept_bytes -= self._order.popleft().forget() + WRITE_BYTES
            self.forgotten_writes += 1

    def of(self, identity: str) -> SentLog:
        """Return the log of a connection.

        Raises:
            RequestError: there is none of that name, or it is forgotten.
        """
        found = self.logs.get(identity)
        if found is None:
            known = ", ".join(list(self.logs)[-5:]) or "none yet"
            reason = f"nothing was sent to a connection {identity!r}, or it is forgotten"
            raise RequestError(NOT_KEPT, f"{reason}; the latest connections are {known}", 404)
        return found
