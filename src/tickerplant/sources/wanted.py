"""Which streams of an upstream are needed for those that are heard here, and for how long.

The messages of a stream are those of the upstream, as they are.  Two families are made here from
one stream of the upstream each, so that it carries them once however many speeds and depths of them
are heard: all depth of a symbol from its fastest documented diff stream, and mark prices every
three seconds from those of every second.
"""

from __future__ import annotations

from collections.abc import Iterable

from tickerplant.streams import resolve
from tickerplant.venue import Venue

BASE_SPEED = "@100ms"


def base_depth(symbol: str) -> str:
    """Return the stream of the upstream that all depth of `symbol` is made from."""
    return f"{symbol.lower()}@depth{BASE_SPEED}"


def upstream_name(venue: Venue, name: str) -> str:
    """Return the stream of the upstream that `name` is, or is made from."""
    found = resolve(venue, name)
    if found is None:
        return name  # the upstream may know it
    row, args = found
    if row.events == ("depthUpdate",) and not row.pattern.text.startswith("<symbol>@rpi"):
        return base_depth(args["symbol"])
    if row.events == ("markPriceUpdate",) and not name.endswith("@1s"):
        return f"{name}@1s"
    return name


class Wanted:
    """What an upstream is asked for: what is heard here, and for a while what was.

    Args:
        venue: The venue of the streams.
        linger_ms: How long a stream is kept after the last who heard it has left.
        always: Streams of the upstream that are wanted whether or not anybody hears them.
    """

    def __init__(self, venue: Venue, linger_ms: int, always: Iterable[str] = ()) -> None:
        self._venue = venue
        self._linger_ms = linger_ms
        self._users: dict[str, set[str]] = {name: {""} for name in always}
        """Streams heard here, by the stream of the upstream; the empty name stands for us."""
        self._left_ms: dict[str, int] = {}
        """When the last left, by the stream of the upstream, in that order."""

    @property
    def names(self) -> list[str]:
        """The streams the upstream is asked for."""
        return list(self._users)

    def open(self, name: str) -> str | None:
        """Take note that `name` is heard; return what the upstream is to be asked for, if new."""
        upstream = upstream_name(self._venue, name)
        self._left_ms.pop(upstream, None)
        is_new = upstream not in self._users
        self._users.setdefault(upstream, set()).add(name)
        return upstream if is_new else None

    def close(self, name: str, now_ms: int) -> None:
        """Take note that `name` is not heard any more."""
        upstream = upstream_name(self._venue, name)
        users = self._users.get(upstream)
        if users is not None:
            users.discard(name)
            if not users:
                self._left_ms[upstream] = now_ms

    def touch(self, upstream: str, now_ms: int) -> bool:
        """Keep a stream of the upstream for a while, asked for or not; return whether it is new."""
        is_new = upstream not in self._users
        if is_new or upstream in self._left_ms:
            self._users.setdefault(upstream, set())
            self._left_ms.pop(upstream, None)
            self._left_ms[upstream] = now_ms
        return is_new

    def expired(self, now_ms: int) -> list[str]:
        """Return the streams of the upstream that are wanted no longer, and forget them."""
        gone = []
        for name, left_ms in tuple(self._left_ms.items()):
            if now_ms - left_ms < self._linger_ms:
                break
            del self._left_ms[name]
            del self._users[name]
            gone.append(name)
        return gone
