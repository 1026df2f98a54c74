"""Which streams of an upstream are needed for those that are heard here, and for how long.

The messages of a stream are those of the upstream, as they are.  Two families are made here from
one stream of the upstream each, so that it carries them once however many speeds and depths of them
are heard: all depth of a symbol from its fastest documented diff stream, and mark prices every
three seconds from those of every second.

The upstream is asked for a bounded number of streams.  If there are more, those that nobody hears
any more make room, the longest unheard first; if all are heard, the new one waits, and its listeners
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from tickerplant.streams.stream import Stream

BASE_SPEED = "@100ms"
MOST_STREAMS = 8_192
"""Streams that an upstream is asked for, at most: what eight connections of it carry."""
LONGEST_NAME = 128
"""Bytes of the longest name that an upstream is asked for; real ones have less than half."""

_BASE = f"@depth{BASE_SPEED}"


def base_depth(symbol: str) -> str:
    """Return the stream of the upstream that all depth of `symbol` is made from."""
    return f"{symbol.lower()}{_BASE}"


def symbol_of_base(upstream: str) -> str | None:
    """Return the symbol if all its depth can be made from the stream `upstream`."""
    symbol = upstream.removesuffix(_BASE).upper()
    is_base = symbol and upstream == base_depth(symbol) and not set(symbol) & {"@", "!"}
    return symbol if is_base else None


def base_of(row: Stream, symbol: str, name: str) -> str:
    """Return the stream of the upstream that `name`, a stream of `row`, is or is made from."""
    if row.events == ("depthUpdate",) and not row.pattern.text.startswith("<symbol>@rpi"):
        return base_depth(symbol)
    if row.events == ("markPriceUpdate",) and not name.endswith("@1s"):
        return f"{name}@1s"
    return name


def can_be_asked_for(name: str) -> bool:
    """Whether a server may be asked for `name`: it is short, and one word of printable signs.

    What is not could cost the connection to the upstream, and those who hear something else on it.
    """
    is_word = name.isprintable() and not any(sign.isspace() or sign in '"\\/' for sign in name)
    return bool(name) and is_word and len(name.encode(errors="replace")) <= LONGEST_NAME


class Change(Struct, frozen=True):
    """What is to be done now, in this order."""

    drop: tuple[str, ...] = ()
    """Streams that the upstream is to be asked for no longer."""
    ask: tuple[str, ...] = ()
    """Streams that it is to be asked for."""


NOTHING = Change()


class Wanted:
    """What an upstream is asked for: what is heard here, and for a while what was.

    Args:
        source_of: Returns the stream of the upstream that a stream is, or is made from.
        linger_ms: How long a stream is kept after the last who heard it has left.
        always: Streams of the upstream that are wanted whether or not anybody hears them.
        most: How many streams the upstream is asked for, at most.
    """

    def __init__(
        self,
        source_of: Callable[[str], str],
        linger_ms: int,
        always: Iterable[str] = (),
        *,
        most: int = MOST_STREAMS,
    ) -> None:
        self.turned_away = 0
        """Times a stream was not asked for: there was no room, or it can be no stream."""
        self._source_of = source_of
        self._linger_ms = linger_ms
        self._most = most
        self._sources: dict[str, str] = {}
        """The stream of the upstream that each stream heard here is made from."""
        self._users: dict[str, set[str]] = {name: {""} for name in always}
        """Streams heard here, by the stream that is asked for; the empty name stands for us."""
        self._left_ms: dict[str, int] = {}
        """When the last left, by the stream that is asked for, in that order."""
        self._unasked: dict[str, set[str]] = {}
        """Streams heard here, by the stream that is not asked for."""
        self._waiting: dict[str, None] = {}
        """Those of them that wait for room."""

    @property
    def names(self) -> list[str]:
        """The streams the upstream is asked for."""
        return list(self._users)

    @property
    def unasked(self) -> list[str]:
        """The streams that are heard here and that the upstream is not asked for."""
        return list(self._unasked)

    def __contains__(self, upstream: str) -> bool:
        """Whether the upstream is asked for a stream, or would be."""
        return upstream in self._users or upstream in self._unasked

    def source_of(self, name: str) -> str:
        """Return what a stream that is heard here is made from; it stays so while it is heard."""
        return self._sources.get(name, name)

    def open(self, name: str) -> Change:
        """Take note that `name` is heard."""
        upstream = self._sources[name] = self._source_of(name)
        users = self._users.get(upstream)
        if users is not None:
            self._left_ms.pop(upstream, None)
            users.add(name)
            return NOTHING
        if upstream in self._unasked:
            self._unasked[upstream].add(name)
            return NOTHING
        change = self._make_room() if can_be_asked_for(upstream) else None
        if change is not None:
            self._users[upstream] = {name}
            return Change(change.drop, (upstream,))
        self.turned_away += 1
        self._unasked[upstream] = {name}
        if can_be_asked_for(upstream):
            self._waiting[upstream] = None
        return NOTHING

    def close(self, name: str, now_ms: int) -> None:
        """Take note that `name` is not heard any more."""
        upstream = self._sources.pop(name, None)
        if upstream is None:
            return
        if upstream in self._unasked:
            self._unasked[upstream].discard(name)
            if not self._unasked[upstream]:
                del self._unasked[upstream]
                self._waiting.pop(upstream, None)
            return
        users = self._users.get(upstream)
        if users is not None:
            users.discard(name)
            if not users:
                self._left(upstream, now_ms)

    def touch(self, upstream: str, now_ms: int) -> Change:
        """Keep a stream of the upstream for a while from now on, asked for already or not."""
        if upstream in self._unasked:
            return NOTHING
        if upstream in self._users:
            if upstream in self._left_ms:
                self._left(upstream, now_ms)
            return NOTHING
        change = self._make_room() if can_be_asked_for(upstream) else None
        if change is None:
            self.turned_away += 1
            return NOTHING
        self._users[upstream] = set()
        self._left(upstream, now_ms)
        return Change(change.drop, (upstream,))

    def refuse(self, upstream: str) -> Change:
        """Take note that the upstream does not take a stream; who hears it goes on waiting."""
        users = self._users.pop(upstream, None)
        if users is None:
            return NOTHING
        self._left_ms.pop(upstream, None)
        self.turned_away += 1
        if users:
            self._unasked[upstream] = users
        return Change((upstream,))

    def turn(self, now_ms: int) -> Change:
        """Let the time be `now_ms`: forget what nobody heard for long, and let others in."""
        drop, ask = [], []
        for name, left_ms in tuple(self._left_ms.items()):
            if now_ms - left_ms < self._linger_ms:
                break
            self._forget(name)
            drop.append(name)
        for name in tuple(self._waiting):
            change = self._make_room()
            if change is None:
                break
            del self._waiting[name]
            self._users[name] = self._unasked.pop(name)
            drop += change.drop
            ask.append(name)
        return Change(tuple(drop), tuple(ask))

    def _make_room(self) -> Change | None:
        """Return what has to go for one more stream, None if nothing can."""
        if len(self._users) < self._most:
            return NOTHING
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
