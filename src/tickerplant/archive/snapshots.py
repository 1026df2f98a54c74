"""Depth snapshots in a recording, and the symbol of those that do not contain it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import chain, islice

from msgspec import DecodeError as InvalidJson
from msgspec.json import Decoder as JsonDecoder

from tickerplant.decode.decoder import Decoder
from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.envelope import HEAD, NAME_AT
from tickerplant.errors import DecodeError
from tickerplant.messages.book import DepthSnapshot
from tickerplant.recording.opening import recorded_files
from tickerplant.stream_name import book_of_diffs, parse_stream_name

MAX_LINES = 20_000
"""Lines at the beginning of a recording in which `first_streams` and `only_book` look."""

_decode = JsonDecoder(DepthSnapshot).decode


def read_snapshot(raw: bytes, only_symbol: Callable[[], str]) -> DepthSnapshot | None:
    """Return the snapshot in a recorded line; None if it is another response.

    Args:
        raw: `<address> <body>`, or the body alone, as some collectors write it.
        only_symbol: Returns the symbol if neither contains it; empty if that is unknown.
    """
    address, body = b"", raw
    if raw.startswith(b"http"):
        address, _, body = raw.partition(b" ")
    is_depth = requested_book(address) == DEPTH
    if not is_depth and (address or b'"lastUpdateId"' not in body):
        return None
    try:
        snapshot = _decode(body)
    except (InvalidJson, UnicodeDecodeError, RecursionError) as error:
        if is_depth and b'"lastUpdateId"' not in body:
            return None  # the exchange responded with an error
        raise ValueError(f"a snapshot in no known form ({error})") from None
    snapshot.symbol = snapshot.symbol or requested_symbol(address) or only_symbol()
    if not snapshot.symbol:
        raise ValueError("a snapshot that does not say of which symbol")
    snapshot.payload = body
    return snapshot


def only_book(path: str, max_lines: int = MAX_LINES) -> str:
    """Return the only symbol of which the first lines contain depth updates; empty if not one.

    Without depth updates, it is the only symbol of which they contain any stream.
    """
    return only_book_of(first_streams(path, max_lines))


def only_book_of(streams: Collection[str]) -> str:
    """Return the symbol of the only book among some streams, by the rule of `only_book`."""
    books = {book[0] for each in streams if (book := book_of_diffs(each))}
    found = books or {parse_stream_name(each).topic.upper() for each in streams} - {""}
    return found.pop() if len(found) == 1 else ""


def first_streams(path: str, max_lines: int = MAX_LINES) -> set[str]:
    """Return the streams in the first lines of a recording."""
    decoder = Decoder({}, applied=lambda _: False)
    streams: set[str] = set()
    seen: set[bytes] = set()
    batches = chain.from_iterable(file.batches() for file in recorded_files([path]))
    for _, raw in islice(chain.from_iterable(batches), max_lines):
        envelope = raw[: raw.find(b'"', NAME_AT)] if raw.startswith(HEAD) else b""
        if envelope in seen:
            continue
        if envelope:
            seen.add(envelope)
        with suppress(DecodeError):
            streams.add(decoder.decode(raw)[0])
    return streams - {""}
