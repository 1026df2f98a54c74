"""What faults on demand make of stream messages, and what they send instead of one; pure."""

from __future__ import annotations

import re

from tickerplant.frames import text_frame

GARBAGE = tuple(
    map(
        text_frame,
        (
            b"not JSON",
            b'{"zz":"nothing known"}',
            b'{"e":"trade","E":1767225600000,"s":"BTCUSDT","t":',
            b'{"e":"zz","E":1767225600000,"s":"BTCUSDT"}',
            b"[]",
            b"",
            b"null",
            b"7",
        ),
    )
)
"""Frames that are no message, in the order in which a connection gets them."""
INVALID_UTF8 = text_frame(b'{"zz":"\xc3\x28\xff"}')

UNKNOWN_FIELDS = b',"zz":1,"zy":{"zx":["1",null]}'
UNKNOWN_WORD = b"NEW_WORD"

_COMBINED = b'{"stream":'
_HAS_IDS = re.compile(rb'"e":"(?:depthUpdate|trade|aggTrade)"')
_WORD = re.compile(rb'(?<="X":")[^"]*(?=")')


def has_ids(payload: bytes) -> bool:
    """Whether the message is of a stream whose messages are chained by ids."""
    return _HAS_IDS.search(payload) is not None


def with_unknown_fields(payload: bytes) -> bytes:
    """Return a message with more fields, or as it is if it is no object and no array of objects."""
    end = len(payload) - payload.startswith(_COMBINED)
    body, rest = payload[:end], payload[end:]
    if body.endswith(b"}]"):
        # Between `}` and `{` only objects of an array have a comma.
        elements = body[:-2].replace(b"},{", UNKNOWN_FIELDS + b"},{")
        return elements + UNKNOWN_FIELDS + b"}]" + rest
    if body.endswith(b"}") and not body.endswith(b"{}"):
        return body[:-1] + UNKNOWN_FIELDS + b"}" + rest
    return payload


def has_word(payload: bytes) -> bool:
    """Whether the message has a word in `X`."""
    return _WORD.search(payload) is not None


def with_unknown_word(payload: bytes) -> bytes:
    """Return a message with another word in `X`."""
    return _WORD.sub(UNKNOWN_WORD, payload)
