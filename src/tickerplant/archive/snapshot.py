"""Snapshots of order books, as they were asked for while a recording was made."""

from __future__ import annotations

from msgspec import DecodeError
from msgspec.json import Decoder

from tickerplant.decode.requests import DEPTH, requested_book, requested_symbol
from tickerplant.messages.book import DepthSnapshot

_decode = Decoder(DepthSnapshot).decode


def read_snapshot(raw: bytes, only_symbol: str) -> DepthSnapshot | None:
    """Return the snapshot that is recorded in `raw`; None if that is another answer.

    Args:
        raw: `<address> <body>`, or the body alone, as some collectors keep it.
        only_symbol: Whose book it is if neither says; empty if that is not known.

    Raises:
        ValueError: It is the answer of `depth`, and not in its form, or nobody knows whose.
    """
    address, body = b"", raw
    if raw.startswith(b"http"):
        address, _, body = raw.partition(b" ")
    is_asked = requested_book(address) == DEPTH
    if not is_asked and (address or b'"lastUpdateId"' not in body):
        return None
    try:
        snapshot = _decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        if is_asked and b'"lastUpdateId"' not in body:
            return None  # an error, which the recorder was told instead
        raise ValueError(f"a snapshot in no known form ({error})") from None
    snapshot.symbol = snapshot.symbol or requested_symbol(address) or only_symbol
    if not snapshot.symbol:
        raise ValueError("a snapshot that does not say of which symbol")
    snapshot.payload = body
    return snapshot
