"""A snapshot of an order book, as the exchange answers it."""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.json import Decoder

from tickerplant.raw_events import RawLevel


class DepthSnapshot(Struct, gc=False):
    """The answer of `depth`, over REST and of the WebSocket API."""

    last_update_id: int = field(name="lastUpdateId")
    bids: list[RawLevel]
    asks: list[RawLevel]
    event_time_ms: int = field(name="E", default=0)
    transaction_time_ms: int = field(name="T", default=0)
    symbol: str = ""


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
