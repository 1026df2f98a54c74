"""What a session asks of the shell that holds its socket, to be done in the order given."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from tickerplant.protocol.closing import CloseReason


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


Action: TypeAlias = Send | Subscribe | Unsubscribe | SetCombined | Ping | Close
