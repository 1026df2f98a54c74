"""What was sent and what arrived, message by message: the records of both sides, and their comparison.

A witness in the server and the client under test each write a file of records as they go.  The
ledger reads both files while they grow and keeps no more than the last minutes of them.
"""

from __future__ import annotations

import re
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct, field

from tickerplant.faults.payloads import UNKNOWN_FIELDS
from tickerplant.stream_name import parse_stream_name

HORIZON_MS = 90_000
"""So much later than it was sent a message is lost if it has not arrived."""
LAG_MS = 1_000
"""What the client got is looked at when the witness has written for so much longer."""
MOST_HOLES = 1_000
"""Holes that are described; more are only counted."""

_RECORD = struct.Struct("<BxHIQQ")
_CLOSED_CANDLE = re.compile(rb'"k":\{"t":(\d+).*"x":true')
_TRADE_ID = re.compile(rb'"t":(\d+)')
_AGGREGATE_ID = re.compile(rb'"a":(\d+)')


class Kind(IntEnum):
    """What a record tells."""

    MESSAGE = 0
    ROW = 1
    """A message that was asked for over REST."""
    BEAT = 2
    """Everything before this moment has been written."""
    DISCONNECTED = 3
    RECOVERED = 4
    STALE = 5
    GAP = 6
    DROPPED = 7


TELLING = frozenset({Kind.DISCONNECTED, Kind.RECOVERED, Kind.STALE, Kind.GAP, Kind.DROPPED})
"""Notices that say that something may be missing where they stand."""


class Record(Struct, frozen=True, gc=False):
    """One line of a file of records."""

    kind: int
    stream: int
    """Number of the stream."""
    ms: int
    """Since the beginning of the run."""
    digest: int
    """Of the payload."""
    row_id: int
    """By which the message is known in an answer over REST, 0 if it is in none."""


class Records:
    """A file of records that is being written; the first half of a ledger.

    Args:
        path: The file.
        origin_ms: The beginning of the run, on the monotonic clock.
    """

    def __init__(self, path: str, origin_ms: int) -> None:
        self._file = Path(path).open("wb", buffering=1 << 20)  # noqa: SIM115  # closed by `close`
        self._origin_ms = origin_ms
        self.messages = 0

    def note(self, kind: Kind, stream: int, digest: int = 0, row_id: int = 0) -> None:
        """Write one record."""
        ms = time.monotonic_ns() // 1_000_000 - self._origin_ms
        self._file.write(_RECORD.pack(kind, stream, ms, digest, row_id))
        self.messages += kind == Kind.MESSAGE

    def flush(self) -> None:
        """Let the reader see everything so far, and that it is everything."""
        self.note(Kind.BEAT, 0)
        self._file.flush()

    def close(self) -> None:
        """Write nothing more."""
        self.flush()
        self._file.close()


class Reading:
    """A file of records that grows while it is read."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._offset = 0

    def read(self) -> Iterator[Record]:
        """Yield what has been written since the last time."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = len(data) - len(data) % _RECORD.size
        self._offset += whole
        for fields in _RECORD.iter_unpack(data[:whole]):
            yield Record(*fields)

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def digest_of(payload: bytes) -> int:
    """Return what stands for a message: its bytes without the fields that a fault put into it."""
    if UNKNOWN_FIELDS in payload:
        payload = payload.replace(UNKNOWN_FIELDS, b"")
    return int.from_bytes(blake2b(payload, digest_size=8).digest())


def row_id_of(name: str, payload: bytes) -> int:
    """Return the id of a message in an answer over REST: of trades, aggregates and closed candles."""
    kind = parse_stream_name(name).kind
    if kind == "trade":
        found = _TRADE_ID.search(payload)
    elif kind == "aggTrade":
        found = _AGGREGATE_ID.search(payload)
    elif kind == "kline":
        found = _CLOSED_CANDLE.search(payload)
    else:
        return 0
    return int(found[1]) if found else 0


class Totals(Struct):
    """What became of the messages of a stream, or of several."""

    streams: int = 0
    expected: int = 0
    received: int = 0
    """Of those that were expected, whatever the way."""
    backfilled: int = 0
    """Of those that were received, over REST."""
    duplicated: int = 0
    disordered: int = 0
    """Messages that came after a later one."""
    unknown: int = 0
    """Messages that the server did not send."""
    told: int = 0
    """Lost, where a notice says so."""
    silent: int = 0
    """Lost, and nothing says so."""

    @property
    def lost(self) -> int:
        return self.told + self.silent

    def add(self, other: Totals) -> None:
        """Add what became of the messages of other streams."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class RunOutage(Struct, frozen=True):
    """Messages in a row of one stream that were lost, or one that came twice or too late."""

    what: str
    stream: str
    count: int
    first_ms: int
    last_ms: int
    notices: list[str] = field(default_factory=list)
    """Those that stand there."""
    row_ids: tuple[int, int] = (0, 0)


class _Expected:
    """A message that was sent."""

    __slots__ = ("digest", "index", "ms", "place", "row_id")

    def __init__(self, record: Record, index: int) -> None:
        self.digest = record.digest
        self.row_id = record.row_id
        self.ms = record.ms
        self.index = index
        self.place = 0
        """Which of the messages that were received it was, counted from 1; 0: none."""


class _Line:
    """One stream."""

    def __init__(self, name: str, holes: list[RunOutage]) -> None:
        self.name = name
        self.totals = Totals(streams=1)
        self._holes = holes
        self._expected: deque[_Expected] = deque()
        """What may still arrive, or be told twice."""
        self._by_digest: dict[int, deque[_Expected]] = {}
        self._by_row_id: dict[int, _Expected] = {}
        self._sent = 0
        self._place = 0
        self._first = self._highest = -1
        """Index of the message that was received first, and of the latest that was."""
        self._marks: deque[tuple[int, int, int]] = deque()
        """Notices: after which message they came, which, and when."""
        self._lost: list[_Expected] = []
        self._before = 0
        """Place of the message before what is lost."""

    def send(self, record: Record) -> None:
        """Take a record of the witness."""
        sent = _Expected(record, self._sent)
        self._sent += 1
        self._expected.append(sent)
        self._by_digest.setdefault(sent.digest, deque()).append(sent)
        if sent.row_id:
            self._by_row_id[sent.row_id] = sent

    def receive(self, record: Record) -> None:
        """Take a record of the client."""
        if record.kind == Kind.MESSAGE:
            same: Iterable[_Expected] = self._by_digest.get(record.digest, ())
        elif record.kind == Kind.ROW:
            row = self._by_row_id.get(record.row_id)
            same = () if row is None else (row,)
        else:
            self._marks.append((self._place, record.kind, record.ms))
            return
        sent = next((each for each in same if not each.place), None)
        if sent is not None:
            self._take(sent, record)
        elif same:
            self.totals.duplicated += 1
            self._describe("duplicated", record)
        elif record.kind == Kind.MESSAGE and self._highest >= 0:
            self.totals.unknown += 1
            self._describe("unknown", record)

    def _take(self, sent: _Expected, record: Record) -> None:
        if self._highest < 0:
            self._first = sent.index
        self._place += 1
        sent.place = self._place
        self.totals.backfilled += record.kind == Kind.ROW
        if sent.index < self._highest:
            self.totals.disordered += 1
            self._describe("out of order", record)
        self._highest = max(self._highest, sent.index)

    def judge(self, before_ms: int) -> None:
        """Call lost what was sent before a moment and has not arrived."""
        while self._expected and self._expected[0].ms < before_ms:
            sent = self._expected.popleft()
            self._forget(sent)
            if not sent.place and (self._highest < 0 or sent.index < self._first):
                continue  # before the beginning
            self.totals.expected += 1
            if not sent.place:
                self._lost.append(sent)
                continue
            self.totals.received += 1
            self._close_hole(sent.place)
            self._before = max(self._before, sent.place)

    def finish(self, ended_ms: int) -> None:
        """Judge everything; notices count that came before the end."""
        self._marks = deque(mark for mark in self._marks if mark[2] <= ended_ms)
        self.judge(1 << 32)
        self._close_hole(self._place + 1)

    def _close_hole(self, after: int) -> None:
        """Count what is lost before the message with the place `after`."""
        while self._marks and self._marks[0][0] < self._before:
            self._marks.popleft()
        if not self._lost:
            return
        notices = [Kind(kind) for place, kind, _ in self._marks if place < after]
        lost, self._lost = self._lost, []
        if TELLING.isdisjoint(notices):
            self.totals.silent += len(lost)
            what = "lost silently"
        else:
            self.totals.told += len(lost)
            what = "lost, told"
        if len(self._holes) < MOST_HOLES:
            self._holes.append(
                RunOutage(
                    what,
                    self.name,
                    len(lost),
                    lost[0].ms,
                    lost[-1].ms,
                    [each.name.lower() for each in notices],
                    (lost[0].row_id, lost[-1].row_id),
                )
            )

    def _describe(self, what: str, record: Record) -> None:
        if len(self._holes) < MOST_HOLES:
            ids = (record.row_id, record.row_id)
            self._holes.append(RunOutage(what, self.name, 1, record.ms, record.ms, [], ids))

    def _forget(self, sent: _Expected) -> None:
        same = self._by_digest[sent.digest]
        same.remove(sent)
        if not same:
            del self._by_digest[sent.digest]
        if self._by_row_id.get(sent.row_id) is sent:
            del self._by_row_id[sent.row_id]


class Ledger:
    """Compares the records of the witness with those of the client.

    Args:
        names: The streams, by number.
        sent: The file of the witness.
        received: The file of the client.
    """

    def __init__(self, names: Sequence[str], sent: str, received: str) -> None:
        self.holes: list[RunOutage] = []
        self._lines = [_Line(name, self.holes) for name in names]
        self._sent = Reading(sent)
        self._received = Reading(received)
        self._ahead: deque[Record] = deque()
        """What the client got and the witness perhaps has not written."""
        self._beat_ms = 0

    def read(self) -> None:
        """Take in what both have written since the last time."""
        for record in self._sent.read():
            if record.kind == Kind.BEAT:
                self._beat_ms = record.ms
            else:
                self._lines[record.stream].send(record)
        self._ahead.extend(each for each in self._received.read() if each.kind != Kind.BEAT)
        self._compare(self._beat_ms - LAG_MS)
        for line in self._lines:
            line.judge(self._beat_ms - HORIZON_MS)

    def finish(self, ended_ms: int) -> None:
        """Take in the rest; nothing was sent any more after `ended_ms`."""
        self.read()
        self._compare(1 << 32)
        for line in self._lines:
            line.finish(ended_ms)

    def _compare(self, before_ms: int) -> None:
        while self._ahead and self._ahead[0].ms < before_ms:
            record = self._ahead.popleft()
            self._lines[record.stream].receive(record)

    def remove_files(self) -> None:
        """Keep nothing of what was compared."""
        self._sent.remove()
        self._received.remove()

    @property
    def totals(self) -> Totals:
        """What became of all messages so far."""
        total = Totals()
        for line in self._lines:
            total.add(line.totals)
        return total

    def by_kind(self) -> dict[str, Totals]:
        """Return what became of the messages of each kind of stream."""
        kinds: dict[str, Totals] = {}
        for line in self._lines:
            name = parse_stream_name(line.name.partition(" ")[2])
            label = name.kind + (f"_{name.interval}" if name.interval else "")
            label = name.text if name.is_of_all else label
            kinds.setdefault(label, Totals()).add(line.totals)
        return kinds
