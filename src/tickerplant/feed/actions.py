"""What a feed asks of the shell around it, carried out in its order."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class Open(Struct, frozen=True):
    """Open a WebSocket connection; call `opened` or `refused`."""

    number: int
    url: str


class Send(Struct, frozen=True):
    """Send a text message."""

    number: int
    text: bytes


class Ping(Struct, frozen=True):
    """Send a ping; the pong is told by `heard`."""

    number: int


class Drop(Struct, frozen=True):
    """End a connection, or an attempt; nothing of it is told any more."""

    number: int


class Fetch(Struct, frozen=True):
    """Ask over REST for messages that are missing; tell `filled` or `unfilled`.

    Wanted are the messages between two ids, both exclusive; of candles, those that opened from
    `after_id` on and before `before_id`, both in ms.
    """

    stream: str
    symbol: str
    kind: str
    """`trade`, `aggTrade`, or the interval of a candle."""
    after_id: int
    before_id: int


class Verify(Struct, frozen=True):
    """Ask over REST whether anything will come of streams that are silent; the answer goes to `verified`."""

    streams: tuple[str, ...]


Action: TypeAlias = Open | Send | Ping | Drop | Fetch | Verify
