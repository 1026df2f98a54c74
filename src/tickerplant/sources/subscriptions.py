"""Which streams an upstream is subscribed to, and for how long.

Local clients receive the messages of the upstream unchanged.  Two families are made here from one
stream of the upstream each, so that it is delivered once however many of the family are subscribed
to: all depth of a symbol from its fastest documented diff stream, and mark prices every three seconds
from those of every second.

The number of upstream subscriptions is bounded.  When it is reached, streams without a subscriber make
room, the longest unused first; if all are in use, the new stream waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from tickerplant.streams.stream import Stream

BASE_SPEED = "@100ms"
MAX_STREAMS = 8_192
"""Upstream subscriptions at most: what eight connections can carry."""
MAX_NAME_BYTES = 128
"""The longest name that is subscribed to upstream; real ones have less than half."""

_BASE = f"@depth{BASE_SPEED}"


def base_depth(symbol: str) -> str:
    """Return the upstream stream that all depth of `symbol` is made from."""
    return f"{symbol.lower()}{_BASE}"


def symbol_of_base(upstream: str) -> str | None:
    """Return the symbol whose depth is made from the stream `upstream`; None for other streams."""
    symbol = upstream.removesuffix(_BASE).upper()
    is_base = symbol and upstream == base_depth(symbol) and not set(symbol) & {"@", "!"}
    return symbol if is_base else None


def base_of(row: Stream, symbol: str, name: str) -> str:
    """Return the upstream stream that `name`, a stream of `row`, is made from."""
    if row.events == ("depthUpdate",) and not row.pattern.text.startswith("<symbol>@rpi"):
        return base_depth(symbol)
    if row.events == ("markPriceUpdate",) and not name.endswith("@1s"):
        return f"{name}@1s"
    return name


def is_safe_name(name: str) -> bool:
    """Return whether a name can be sent upstream: short, and one word of printable characters.

    Any other name could cost the connection, and the streams of other clients with it.
    """
    is_word = name.isprintable() and not any(each.isspace() or each in '"\\/' for each in name)
    return bool(name) and is_word and len(name.encode(errors="replace")) <= MAX_NAME_BYTES


class Change(Struct, frozen=True):
    """Upstream streams to unsubscribe from and to subscribe to, in this order."""

    unsubscribe: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


NO_CHANGE = Change()


class Subscriptions:
    """The upstream subscriptions that local streams need, or needed until recently.

    Args:
        source_of: Returns the upstream stream that a local stream is made from.
        linger_ms: How long a stream is kept after its last subscriber leaves.
        always: Upstream streams that are subscribed to without any subscriber.
        max_streams: Upstream subscriptions at most.
    """

    def __init__(
        self,
        source_of: Callable[[str], str],
        linger_ms: int,
        always: Iterable[str] = (),
        *,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self.rejected = 0
        """Times a stream was not subscribed to: no room, an invalid name, or refused upstream."""
        self._source_of = source_of
        self._linger_ms = linger_ms
        self._max_streams = max_streams
        self._sources: dict[str, str] = {}
        """The upstream stream that each local stream is made from."""
        self._users: dict[str, set[str]] = {name: {""} for name in always}
        """Local streams by upstream stream; the empty name stands for the relay itself."""
        self._left_ms: dict[str, int] = {}
        """When the last subscriber left, by upstream stream, in that order."""
        self._unsubscribed: dict[str, set[str]] = {}
        """Local streams by upstream stream that is not subscribed to."""
        self._waiting: dict[str, None] = {}
        """Upstream streams that wait for room."""

    @property
    def names(self) -> list[str]:
        """The upstream streams that are subscribed to."""
        return list(self._users)

    @property
    def unsubscribed(self) -> list[str]:
        """The upstream streams that local streams need and that are not subscribed to."""
        return list(self._unsubscribed)

    def __contains__(self, upstream: str) -> bool:
        """Whether an upstream stream is needed, subscribed to or not."""
        return upstream in self._users or upstream in self._unsubscribed

    def has_users(self, upstream: str) -> bool:
        """Return whether an upstream stream is subscribed to for anything but to linger."""
        return bool(self._users.get(upstream))

    def source_of(self, name: str) -> str:
        """Return what a local stream is made from; that stays while it has subscribers."""
        return self._sources.get(name, name)

    def open(self, name: str) -> Change:
        """Add a local stream that got its first subscriber."""
        upstream = self._sources[name] = self._source_of(name)
        users = self._users.get(upstream)
        if users is not None:
            self._left_ms.pop(upstream, None)
            users.add(name)
            return NO_CHANGE
        if upstream in self._unsubscribed:
            self._unsubscribed[upstream].add(name)
            return NO_CHANGE
        change = self._make_room() if is_safe_name(upstream) else None
        if change is not None:
            self._users[upstream] = {name}
            return Change(change.unsubscribe, (upstream,))
        self.rejected += 1
        self._unsubscribed[upstream] = {name}
        if is_safe_name(upstream):
            self._waiting[upstream] = None
        return NO_CHANGE

    def close(self, name: str, now_ms: int) -> None:
        """Remove a local stream that lost its last subscriber."""
        upstream = self._sources.pop(name, None)
        if upstream is None:
            return
        if upstream in self._unsubscribed:
            self._unsubscribed[upstream].discard(name)
            if not self._unsubscribed[upstream]:
                del self._unsubscribed[upstream]
                self._waiting.pop(upstream, None)
            return
        users = self._users.get(upstream)
        if users is not None:
            users.discard(name)
            if not users:
                self._left(upstream, now_ms)

    def touch(self, upstream: str, now_ms: int) -> Change:
        """Subscribe to an upstream stream without a local one, and keep it for `linger_ms`."""
        if upstream in self._unsubscribed:
            return NO_CHANGE
        if upstream in self._users:
            if upstream in self._left_ms:
                self._left(upstream, now_ms)
            return NO_CHANGE
        change = self._make_room() if is_safe_name(upstream) else None
        if change is None:
            self.rejected += 1
            return NO_CHANGE
        self._users[upstream] = set()
        self._left(upstream, now_ms)
        return Change(change.unsubscribe, (upstream,))

    def refuse(self, upstream: str) -> Change:
        """Remove an upstream stream that the upstream refuses; its subscribers receive nothing."""
        users = self._users.pop(upstream, None)
        if users is None:
            return NO_CHANGE
        self._left_ms.pop(upstream, None)
        self.rejected += 1
        if users:
            self._unsubscribed[upstream] = users
        return Change((upstream,))

    def expire(self, now_ms: int) -> Change:
        """Remove streams that were unused for `linger_ms`, and give their room to others."""
        dropped, added = [], []
        for name, left_ms in tuple(self._left_ms.items()):
            if now_ms - left_ms < self._linger_ms:
                break
            self._forget(name)
            dropped.append(name)
        for name in tuple(self._waiting):
            change = self._make_room()
            if change is None:
                break
            del self._waiting[name]
            self._users[name] = self._unsubscribed.pop(name)
            dropped += change.unsubscribe
            added.append(name)
        return Change(tuple(dropped), tuple(added))

    def _make_room(self) -> Change | None:
        """Return what must go to make room for one more stream; None if nothing can."""
        if len(self._users) < self._max_streams:
            return NO_CHANGE
        oldest = next(iter(self._left_ms), None)
        if oldest is None:
            return None
        self._forget(oldest)
        return Change((oldest,))

    def _left(self, upstream: str, now_ms: int) -> None:
        self._left_ms.pop(upstream, None)
        self._left_ms[upstream] = now_ms

    def _forget(self, upstream: str) -> None:
        del self._left_ms[upstream]
        del self._users[upstream]
