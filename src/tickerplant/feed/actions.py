"""What a feed asks its caller to do, in this order."""

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
    """Send a ping; call `pong_received` with the pong."""

    number: int


class Drop(Struct, frozen=True):
    """Close a connection, or abandon an attempt; report nothing more about it."""

    number: int


class Fetch(Struct, frozen=True):
    """Fetch missing messages over REST; call `filled` or `unfilled`.

    These are the messages between two ids, both exclusive; of candles, those that open at
    `after_id` or later and before `before_id`, both in ms.
    """

    stream: str
    after_id: int
    before_id: int


class Verify(Struct, frozen=True):
    """Check over REST whether silent streams exist; call `verified` with the result."""

    streams: tuple[str, ...]


Action: TypeAlias = Open | Send | Ping | Drop | Fetch | Verify
