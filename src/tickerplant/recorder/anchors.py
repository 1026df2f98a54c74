"""Which books want a snapshot, and when: a recording of changes begins to mean something with one.

Of each symbol with a stream of changes of its book a snapshot is wanted after the first update of
the stream was received, so that the snapshot is no older than the recorded updates: after the
beginning, after everything that may have cost an update, in every segment, and once in a while.
A snapshot that is older than that update, as one that some server had kept, is asked for again.

    unknown ──first update──▶ wanted ──next──▶ asked ──answered──▶ anchored
       ▲                        ▲ ▲              │                    │
       │                        │ └─failed───────┘                    │
       └── lost, began anew ────┴──────── the interval is over ◀──────┘
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct, field

FIRST_PAUSE_MS = 1_000
"""Before a snapshot is asked for again; each further failure doubles it."""
LONGEST_PAUSE_MS = 300_000
OLD_PAUSE_MS = 500
"""Before a snapshot that was too old is asked for again."""

_DIFFS = re.compile(r"(?P<symbol>[^!@][^@]*)@(?P<kind>depth|rpiDepth)(?:@[0-9]+ms)?")


def book_of_diffs(stream: str) -> tuple[str, str] | None:
    """Return the symbol and the question of the book that `stream` tells the changes of, if any.

    The book with RPI orders is another than that without.
    """
    found = _DIFFS.fullmatch(stream)
    return (found["symbol"].upper(), found["kind"]) if found else None


def symbol_of_diffs(stream: str) -> str:
    """Return the symbol whose book without RPI orders `stream` tells the changes of; else nothing."""
    symbol, kind = book_of_diffs(stream) or ("", "")
    return symbol if kind == "depth" else ""


class Book(Struct):
    """One book: what it wants."""

    symbol: str
    question: str
    """The question of REST that is answered with it: `depth` or `rpiDepth`."""
    streams: list[str] = field(default_factory=list)
    needed: dict[str, int] = field(default_factory=dict)
    """First id of the update from which on a stream is whole and has no snapshot yet, by stream."""
    epoch: int = 0
    """Counts the times that something was lost: an answer to what was asked before is of no use."""
    asked_epoch: int = 0
    is_asked: bool = False
    due_ms: int = 0
    """Not before then is it asked for."""
    failures: int = 0
    """In a row."""

    @property
    def key(self) -> tuple[str, str]:
        """Which book it is."""
        return self.symbol, self.question


class Anchors:
    """The books of a recording; all times are ms of a clock that only goes forward.

    Args:
        streams: All that is recorded.
        every_ms: How long a snapshot is good for.
    """

    def __init__(self, streams: Iterable[str], every_ms: int) -> None:
        self.awaited: dict[str, Book] = {}
        """Books by the streams of which the next update begins something: see `first`."""
        self._every_ms = every_ms
        self._books: dict[tuple[str, str], Book] = {}
        self._of_stream: dict[str, Book] = {}
        self._wanted: dict[tuple[str, str], Book] = {}
        """Those that were never asked for or lost something, in this order."""
        self._anchored: dict[tuple[str, str], Book] = {}
        """Those that have a snapshot, the oldest first."""
        for name in streams:
            if key := book_of_diffs(name):
                book = self._books.setdefault(key, Book(*key))
                book.streams.append(name)
                self._of_stream[name] = book
        self.begin_anew()

    def __len__(self) -> int:
        return len(self._books)

    @property
    def waiting(self) -> int:
        """Books that heard an update and have no snapshot for it yet."""
        return sum(bool(book.needed) for book in self._books.values())

    def begin_anew(self) -> None:
        """Let every book want a snapshot after its next update: another segment began."""
        self.awaited.update(self._of_stream)

    def lost(self, names: Iterable[str]) -> None:
        """Take note that updates of `names` may be missing, or their ids begin anew."""
        for name in names:
            book = self._of_stream.get(name)
            if book is not None:
                self.awaited[name] = book
                book.needed.pop(name, None)
                book.epoch += 1

    def first(self, stream: str, first_update_id: int) -> None:
        """Take the update of an awaited stream."""
        book = self.awaited.pop(stream, None)
        if book is not None:
            book.needed[stream] = first_update_id
            if not book.failures:
                book.due_ms = 0
            self._want(book)

    def _want(self, book: Book) -> None:
        self._anchored.pop(book.key, None)
        self._wanted[book.key] = book

    def next(self, now_ms: int) -> Book | None:
        """Return a book of which a snapshot is to be asked for now; `answered` or `failed` follow."""
        for book in self._wanted.values():
            if now_ms >= book.due_ms and not book.is_asked:
                del self._wanted[book.key]
                return self._ask(book)
        for book in self._anchored.values():
            if now_ms < book.due_ms:
                break
            del self._anchored[book.key]
            return self._ask(book)
        return None

    def _ask(self, book: Book) -> Book:
        book.is_asked = True
        book.asked_epoch = book.epoch
        return book

    def answered(self, book: Book, last_update_id: int, now_ms: int) -> bool:
        """Take a snapshot; return whether it joins the updates, and is worth keeping.

        If it does not, it will be asked for again.
        """
        book.is_asked = False
        is_new = last_update_id >= max(book.needed.values(), default=0)
        if not is_new or book.epoch != book.asked_epoch:
            book.due_ms = now_ms + OLD_PAUSE_MS
            if book.needed:
                self._want(book)
            return False
        book.needed.clear()
        book.failures = 0
        book.due_ms = now_ms + self._every_ms
        self._wanted.pop(book.key, None)
        self._anchored[book.key] = book
        return True

    def failed(self, book: Book, now_ms: int, least_ms: int = 0) -> bool:
        """Take note that there is no snapshot; return whether there was one when last asked for."""
        book.is_asked = False
        pause_ms = min(FIRST_PAUSE_MS << min(book.failures, 16), LONGEST_PAUSE_MS)
        book.due_ms = now_ms + max(pause_ms, least_ms)
        book.failures += 1
        self._want(book)
        return book.failures == 1
