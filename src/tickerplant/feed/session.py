"""The client's side of the conversation on one stream connection (live subscribing page).

The mirror of `protocol.stream_session`: names that are wanted become SUBSCRIBE messages, in batches
and no faster than allowed, and each answer says which names are carried since.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from tickerplant.feed.settings import FeedSettings
from tickerplant.protocol.token_bucket import TokenBucket


class Control(Struct, frozen=True):
    """A control message as it is sent."""

    method: str
    params: tuple[str, ...]
    id: int


class Sent(Struct, frozen=True):
    """A control message that waits for its answer."""

    method: str
    names: tuple[str, ...]
    sent_ms: int


_encode = msgspec.json.Encoder().encode


class ClientSession:
    """What one open connection carries, and what was asked of it."""

    def __init__(self, settings: FeedSettings, now_ms: int) -> None:
        self.carried: set[str] = set()
        """Names whose subscription was acknowledged."""
        self._settings = settings
        self._bucket = TokenBucket(settings.requests_per_s, settings.request_burst, now_ms)
        self._joining: dict[str, None] = {}
        self._leaving: dict[str, None] = {}
        self._sent: dict[int, Sent] = {}
        self._next_id = 1

    @property
    def settled(self) -> bool:
        """Whether everything that was wanted was asked for and answered."""
        return not (self._joining or self._leaving or self._sent)

    def want(self, names: Iterable[str]) -> None:
        """Subscribe to `names` as soon as the pace allows."""
        for name in names:
            self._leaving.pop(name, None)
            if name not in self.carried:
                self._joining[name] = None

    def unwant(self, names: Iterable[str]) -> None:
        """Unsubscribe from `names` as soon as the pace allows."""
        for name in names:
            if self._joining.pop(name, 0) == 0:
                self._leaving[name] = None
            self.carried.discard(name)

    def due(self, now_ms: int) -> list[bytes]:
        """Return the control messages that may go out now."""
        texts = []
        while (self._leaving or self._joining) and self._bucket.take(now_ms):
            method, waiting = ("UNSUBSCRIBE", self._leaving)
            if not waiting:
                method, waiting = ("SUBSCRIBE", self._joining)
            names = tuple(waiting)[: self._settings.names_per_request]
            for name in names:
                del waiting[name]
            self._sent[self._next_id] = Sent(method, names, now_ms)
            texts.append(_encode(Control(method, names, self._next_id)))
            self._next_id += 1
        return texts

    def answered(self, request_id: object, *, refused: bool) -> Sent | None:
        """Take the answer to a control message; return which it was, None if it is none of ours."""
        sent = self._sent.pop(request_id, None) if isinstance(request_id, int) else None
        if sent is not None and sent.method == "SUBSCRIBE" and not refused:
            self.carried.update(name for name in sent.names if name not in self._leaving)
        return sent

    def overdue(self, now_ms: int) -> bool:
        """Whether a control message was not answered in time."""
        if not self._sent:
            return False
        oldest = next(iter(self._sent.values()))
        return now_ms - oldest.sent_ms >= self._settings.ack_timeout_ms
