"""Whose book a snapshot is that does not tell: where a recording has but one."""

from __future__ import annotations

from itertools import chain, islice

from tickerplant.decode.decoder import Decoder
from tickerplant.envelope import HEAD, NAME_AT
from tickerplant.errors import DecodeError
from tickerplant.recording.opening import recorded_files

LINES_TO_JUDGE = 20_000
"""The first lines of a recording tell whether it has the book of one symbol only."""


def only_book(path: str) -> str:
    """Return the only symbol, in capitals, of whose book the first lines tell; empty if not one.

    If they tell of no book, it is the only symbol that they are about at all.

    Raises:
        RecordingError: there is nothing at `path`, or no recording.
    """
    decoder = Decoder({}, applied=lambda _: False)
    books: set[str] = set()
    symbols: set[str] = set()
    seen: set[bytes] = set()
    """The usual envelopes."""
    batches = chain.from_iterable(file.batches() for file in recorded_files([path]))
    for _, raw in islice(chain.from_iterable(batches), LINES_TO_JUDGE):
        envelope = raw[: raw.find(b'"', NAME_AT)] if raw.startswith(HEAD) else b""
        if envelope in seen:
            continue
        if envelope:
            seen.add(envelope)
        try:
            stream = decoder.decode(raw)[0]
        except DecodeError:
            continue
        name, at, _ = stream.partition("@")
        if at and not name.startswith("!"):
            symbols.add(name.upper())
        if tells_changes(stream):
            books.add(name.upper())
    found = books or symbols
    return found.pop() if len(found) == 1 else ""


def tells_changes(stream: str) -> bool:
    """Whether a stream tells what changed in a book, which then needs a snapshot to begin with."""
    return stream.split("@")[1:2] in (["depth"], ["rpiDepth"])
