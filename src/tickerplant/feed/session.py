"""The client's side of the conversation on one stream connection (live subscribing page).

The mirror of `protocol.stream_session`: names that are wanted become SUBSCRIBE messages, in batches
and no faster than allowed, and each answer says which names are carried since.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec
from msgspec import Struct, structs

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
        self._spoken: dict[str, int] = {}
        """By name, the last control message about it."""
        self._asked: set[str] = set()
        """Names that the server holds when it has done all it was asked so far."""
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
            self._joining.pop(name, None)
            self.carried.discard(name)
            if name in self._asked:
                self._leaving[name] = None

    def ask_again(self, name: str) -> None:
        """Unsubscribe from `name`, then subscribe to it again."""
        if name in self.carried:
            self.carried.discard(name)
            self._leaving[name] = None
            self._joining[name] = None

    def due(self, now_ms: int) -> list[bytes]:
        """Return the control messages that may go out now."""
        texts = []
        while (self._leaving or self._joining) and self._bucket.take(now_ms):
            method, waiting = ("UNSUBSCRIBE", self._leaving)
            if not waiting:
                method, waiting = ("SUBSCRIBE", self._joining)
            names = tuple(islice(waiting, self._settings.names_per_request))
            for name in names:
                del waiting[name]
                self._spoken[name] = self._next_id
            if method == "SUBSCRIBE":
                self._asked.update(names)
            else:
                self._asked.difference_update(names)
            self._sent[self._next_id] = Sent(method, names, now_ms)
            texts.append(_encode(Control(method, names, self._next_id)))
            self._next_id += 1
        return texts

    def answered(self, request_id: object, *, refused: bool) -> Sent | None:
        """Take the answer to a control message.

        Args:
            request_id: That of the answer; a refusal that has none is of the oldest message.
            refused: Whether it was an error.

        Returns:
            The control message, with the names that it still holds good for; None if the answer
            is to none of ours.
        """
        if refused and not isinstance(request_id, int):
            request_id = next(iter(self._sent), None)
        sent = self._sent.pop(request_id, None) if isinstance(request_id, int) else None
        if sent is None:
            return None
        names = tuple(name for name in sent.names if self._spoken.get(name) == request_id)
        for name in names:
            del self._spoken[name]
        if sent.method == "SUBSCRIBE":
            names = tuple(name for name in names if name not in self._leaving)
            if refused:
                self._asked.difference_update(names)
            else:
                self.carried.update(names)
                for name in names:
                    self._joining.pop(name, None)
        return Sent(sent.method, names, sent.sent_ms)

    def overdue(self, now_ms: int) -> bool:
        """Whether a control message was not answered in time."""
        return bool(self._sent) and now_ms - self.asked_ms >= self._settings.ack_timeout_ms

    @property
    def asked_ms(self) -> int:
        """When the oldest control message went out that has no answer.

        Raises:
            StopIteration: all were answered.
        """
        return next(iter(self._sent.values())).sent_ms

    def begin_to_wait(self, now_ms: int) -> None:
        """Wait for all answers from now on."""
        self._sent = {
            number: structs.replace(sent, sent_ms=now_ms) for number, sent in self._sent.items()
        }
