"""A snapshot of an order book, as the exchange answers it."""

from __future__ import annotations

from msgspec.json import Decoder

from tickerplant.messages.book import DepthSnapshot

_decode = Decoder(DepthSnapshot).decode


def read_snapshot(snapshot: DepthSnapshot | bytes | str, symbol: str) -> DepthSnapshot:
    """Return `snapshot`, read if it is not yet.

    Raises:
        msgspec.DecodeError: it is no JSON, or not in the documented form.
        ValueError: it says that it is of another symbol.
    """
    read = snapshot if isinstance(snapshot, DepthSnapshot) else _decode(snapshot)
    if read.symbol not in ("", symbol):
        raise ValueError(f"a snapshot of {read.symbol}, expected {symbol}")
    return read
