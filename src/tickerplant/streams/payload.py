"""What every stream message has in common."""

from __future__ import annotations

from msgspec import Struct


class Payload(Struct, frozen=True, tag_field="e"):
    """One message of a stream.

    Fields have readable names and stand in the order of the wire; `e` comes first.  A field that
    is unset in a profile is left out of the message.
    """
