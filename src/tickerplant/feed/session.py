"""The client's side of the control messages on one connection, and the form of what a server sends.

This mirrors `protocol.stream_session`: wanted names become SUBSCRIBE messages, in batches and no
faster than allowed, and each response says which names are subscribed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from tickerplant.feed.settings import ClientSettings
from tickerplant.protocol.rate_limiter import TokenBucket


class Error(Struct):
    """Why the server refused a control message."""

    code: int = 0
    msg: str = ""


class ServerEvent(Struct):
    """An event of the server itself."""

    kind: str = msgspec.field(name="e", default="")


class AnyMessage(Struct):
    """Any message of a server, with just the fields that show what kind it is."""

    stream: str = ""
    data: Raw = Raw()
    id: int | str | UnsetType | None = UNSET
    error: Error | None = None
    event: ServerEvent | None = None
    kind: str = msgspec.field(name="e", default="")


any_message = msgspec.json.Decoder(AnyMessage).decode
"""Decodes one; raises one of `messages.readers.UNREADABLE`."""


class Control(Struct, frozen=True):
    """A control message as it is sent."""

    method: str
    params: tuple[str, ...]
    id: int


class Sent(Struct, frozen=True):
    """A control message that has no response yet."""

    method: str
    names: tuple[str, ...]
    sent_ms: int


_encode = msgspec.json.Encoder().encode


class ClientSession:
    """The subscriptions of one open connection, and the requests that change them."""

    def __init__(self, settings: ClientSettings, now_ms: int) -> None:
        self.subscribed: set[str] = set()
        """Names whose subscription the server acknowledged."""
        self._settings = settings
        self._bucket = TokenBucket(
            settings.connections.requests_per_s, settings.connections.request_burst, now_ms
        )
        self._to_subscribe: dict[str, None] = {}
        self._to_unsubscribe: dict[str, None] = {}
        self._sent: dict[int, Sent] = {}
        self._latest_request: dict[str, int] = {}
        """Id of the last control message about each name, until its response."""
        self._requested: set[str] = set()
        """Names that are subscribed once the server has carried out all requests so far."""
        self._next_id = 1

    @property
    def is_settled(self) -> bool:
        """Whether every wanted change was requested and has a response."""
        return not (self._to_subscribe or self._to_unsubscribe or self._sent)

    def want(self, names: Iterable[str]) -> None:
        """Subscribe to `names` as soon as the pace allows."""
        for name in names:
            self._to_unsubscribe.pop(name, None)
            if name not in self.subscribed:
                self._to_subscribe[name] = None

    def unwant(self, names: Iterable[str]) -> None:
        """Unsubscribe from `names` as soon as the pace allows."""
        for name in names:
            self._to_subscribe.pop(name, None)
            self.subscribed.discard(name)
            if name in self._requested:
                self._to_unsubscribe[name] = None

    def resubscribe(self, name: str) -> None:
        """Unsubscribe from `name`, then subscribe to it again."""
        if name in self.subscribed:
            self.subscribed.discard(name)
            self._to_unsubscribe[name] = None
            self._to_subscribe[name] = None

    def due(self, now_ms: int) -> list[bytes]:
        """Return the control messages that may be sent now."""
        texts = []
        while (self._to_unsubscribe or self._to_subscribe) and self._bucket.take(now_ms):
            method, waiting = ("UNSUBSCRIBE", self._to_unsubscribe)
            if not waiting:
                method, waiting = ("SUBSCRIBE", self._to_subscribe)
            names = tuple(islice(waiting, self._settings.connections.names_per_request))
            for name in names:
                del waiting[name]
                self._latest_request[name] = self._next_id
            if method == "SUBSCRIBE":
                self._requested.update(names)
            else:
                self._requested.difference_update(names)
            self._sent[self._next_id] = Sent(method, names, now_ms)
            texts.append(_encode(Control(method, names, self._next_id)))
            self._next_id += 1
        return texts

    def on_response(self, request_id: object, *, refused: bool) -> Sent | None:
        """Take the response to a control message.

        Args:
            request_id: The id in the response; an error without one is that of the oldest message.
            refused: Whether the response is an error.

        Returns:
            The control message with the names that no later message is about; None if the
            response belongs to none.
        """
        if refused and not isinstance(request_id, int):
            request_id = next(iter(self._sent), None)
        sent = self._sent.pop(request_id, None) if isinstance(request_id, int) else None
        if sent is None:
            return None
        names = tuple(name for name in sent.names if self._latest_request.get(name) == request_id)
        for name in names:
            del self._latest_request[name]
        if sent.method == "SUBSCRIBE":
            names = tuple(name for name in names if name not in self._to_unsubscribe)
            if refused:
                self._requested.difference_update(names)
            else:
                self.subscribed.update(names)
                for name in names:
                    self._to_subscribe.pop(name, None)
        return Sent(sent.method, names, sent.sent_ms)

    def is_overdue(self, now_ms: int) -> bool:
        """Whether a control message got no response in time."""
        return (
            bool(self._sent)
            and now_ms - self.oldest_sent_ms >= self._settings.connections.ack_timeout_ms
        )

    @property
    def oldest_sent_ms(self) -> int:
        """When the oldest control message without a response was sent."""
        return next(iter(self._sent.values())).sent_ms

    def restart_timeouts(self, now_ms: int) -> None:
        """Count the time without a response from now on, for every control message."""
        self._sent = {
            number: structs.replace(sent, sent_ms=now_ms) for number, sent in self._sent.items()
        }
