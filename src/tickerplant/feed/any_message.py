"""What a server may say, as far as it takes to know what it is."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType


class Refusal(Struct):
    """Why a control message was not taken."""

    code: int = 0
    msg: str = ""


class ServerEvent(Struct):
    """What a server tells of itself."""

    kind: str = msgspec.field(name="e", default="")


class AnyMessage(Struct):
    """Any message of the server: enough of it to see what it is."""

    stream: str = ""
    data: Raw = Raw()
    id: int | str | UnsetType | None = UNSET
    error: Refusal | None = None
    event: ServerEvent | None = None
    kind: str = msgspec.field(name="e", default="")


any_message = msgspec.json.Decoder(AnyMessage).decode
"""Reads one; raises as readers do."""
