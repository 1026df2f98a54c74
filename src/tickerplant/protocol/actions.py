"""What a session asks of the shell that holds its socket, to be done in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from tickerplant.protocol.client_requests import ApiRequest
from tickerplant.protocol.close_reasons import CloseReason
from tickerplant.protocol.rate_limiter import Charge
from tickerplant.queries.query import Query


class Send(Struct, frozen=True):
    """Send one text message."""

    text: bytes
    error_code: int | None = None
    """The code if the message is an error reply."""


class Subscribe(Struct, frozen=True):
    """Deliver these streams from now on; none of them was delivered before."""

    names: tuple[str, ...]


class Unsubscribe(Struct, frozen=True):
    """Stop delivering these streams."""

    names: tuple[str, ...]


class SetCombined(Struct, frozen=True):
    """Wrap later events in the combined envelope, or stop doing so."""

    combined: bool


class Ping(Struct, frozen=True):
    """Send a ping frame."""

    payload: bytes


class Close(Struct, frozen=True):
    """Send a close frame; the session is over and answers nothing more."""

    reason: CloseReason


class Forward(Struct, frozen=True):
    """Forward a request, and pass its outcome to `ApiSession.answered`.

    Nothing waits for it: other requests are answered in the meantime.
    """

    query: Query
    params: Mapping[str, object]
    request: ApiRequest
    charge: Charge
    """The cost of the request."""


Action: TypeAlias = Send | Subscribe | Unsubscribe | SetCombined | Ping | Close | Forward
