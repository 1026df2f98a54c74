"""The combined envelope, `{"stream":"<name>","data":<payload>}`: how it is written and taken apart.

The server writes it without blanks and with the name first, so a name and a payload can be sliced
out of the bytes.  This is the *usual* form.  Other writers may order or space it in another way;
`split` reads any form.

Loops that handle every message inline `prefix_bytes` as `raw.find(b'"', NAME_AT) + NECK_BYTES`.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

HEAD = b'{"stream":"'
"""What an envelope begins with, up to the name."""
NECK = b'","data":'
"""What separates the name from the payload."""
NAME_AT = len(HEAD)
NECK_BYTES = len(NECK)


class _Envelope(Struct):
    stream: str = ""
    data: Raw = Raw()


_read = msgspec.json.Decoder(_Envelope).decode


def head_of(stream: str) -> bytes:
    """Return the beginning of an envelope of `stream`, up to the end of the name."""
    return HEAD + msgspec.json.encode(stream)[1:-1]


def prefix_of(stream: str) -> bytes:
    """Return the beginning of an envelope of `stream`, up to the payload."""
    return head_of(stream) + NECK


def prefix_bytes(raw: bytes) -> int:
    """Return where the payload begins in `raw`, if it is an envelope in the usual form.

    The result is meaningless for other bytes; compare `raw` up to it with a known prefix.
    """
    return raw.find(b'"', NAME_AT) + NECK_BYTES


def wrap(stream: str, payload: bytes) -> bytes:
    """Return `payload` in an envelope of `stream`."""
    return b"%b%b}" % (prefix_of(stream), payload)


def split(raw: bytes) -> tuple[str, bytes] | None:
    """Return the stream and the payload of an envelope in any form; None if `raw` is not one.

    The payload is the exact slice of `raw`.

    Raises:
        msgspec.DecodeError: `raw` is not JSON, or not an object with a text as `stream`.
        UnicodeDecodeError: The name is not UTF-8.
        RecursionError: The values are nested too deeply.
    """
    found = _read(raw)
    payload = bytes(found.data)
    return (found.stream, payload) if found.stream and payload else None
