"""Batches: the messages of one stream that a plant publishes in one turn, as one message of the bus.

Every message of a plant has a number, one more than the message before it, over all streams and both
venues.  A batch names the number of the stream's message before it, so a lost batch is noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

FORMAT_VERSION = 1


class Message(Struct, array_like=True, frozen=True, gc=False):
    """One message of a stream."""

    number: int
    payload: bytes
    envelope: bytes = b""
    """The payload in its envelope, if the source wrote it in another way than we do."""


class Batch(Struct, array_like=True, frozen=True):
    """Consecutive messages of one stream."""

    version: int
    epoch: str
    """Which run of the plant numbered the messages."""
    sent_ns: int
    """When the plant published it, wall clock, nanoseconds since the epoch."""
    previous: int
    """The number of the stream's last message before this batch.

    If there was none since the plant began to publish the stream, the last number of any stream at
    that time."""
    messages: tuple[Message, ...]
    """At least one, or none in a mark of the control subject."""
    is_interleaved: bool = False
    """Whether messages of other streams belong between those of this batch or those of another of
    the same turn.  A mark on the control subject ends such a turn."""


class BadBatchError(ValueError):
    """The bytes are not a batch; the text says why."""


encode: Callable[[Batch], bytes] = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode
_decode_any = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


def decode(data: bytes) -> Batch:
    """Return the batch in `data`.

    Raises:
        BadBatchError: it is none, or of another version.
    """
    try:
        batch = _decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as error:
        raise BadBatchError(_other_version(data) or f"malformed batch ({error})") from None
    if batch.version != FORMAT_VERSION:
        raise BadBatchError(_wrong_version(batch.version))
    number = batch.previous
    for message in batch.messages:
        if message.number <= number:
            raise BadBatchError(f"malformed batch (message {message.number} follows {number})")
        number = message.number
    return batch


def _other_version(data: bytes) -> str:
    """Return the complaint about a batch of another version; empty if it is none."""
    try:
        version = _decode_any(data)[0]
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError, IndexError):
        return ""
    is_other = isinstance(version, int) and version != FORMAT_VERSION
    return _wrong_version(version) if is_other else ""


def _wrong_version(version: int) -> str:
    return f"a batch of format {version}; this program reads format {FORMAT_VERSION}"
