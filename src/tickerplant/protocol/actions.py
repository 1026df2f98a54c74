"""What a session asks of the shell that holds its socket, to be done in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from tickerplant.protocol.api_request import ApiRequest
from tickerplant.protocol.budget import Charge
from tickerplant.protocol.closing import CloseReason
from tickerplant.queries.query import Query


class Send(Struct, frozen=True):
    """Send one text message."""

    text: bytes
    error_code: int | None = None
    """Code of the error it answers with, None if it does not."""


class Subscribe(Struct, frozen=True):
    """Deliver these streams from now on; none of them was delivered before."""

    names: tuple[str, ...]


class Unsubscribe(Struct, frozen=True):
    """Deliver these streams no longer."""

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


class Ask(Struct, frozen=True):
    """Ask elsewhere what is not known here, and tell `ApiSession.answered` what came of it.

    Nothing waits for it: other requests are answered meanwhile.
    """

    query: Query
    params: Mapping[str, object]
    request: ApiRequest
    """What is to be answered."""
    charge: Charge
    """What the request has cost."""


Action: TypeAlias = Send | Subscribe | Unsubscribe | SetCombined | Ping | Close | Ask
