"""WebSocket frames as a subscriber sees them, told apart by their headers only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

TEXT = 0x81

Span: TypeAlias = tuple[int, int]
"""Where a payload begins and ends."""

Chunk: TypeAlias = tuple[int, int, bytes]
"""What was read at once: when, the number of the connection, the bytes."""


def text_spans(data: bytes) -> tuple[list[Span], int]:
    """Return where the payloads of the text frames in `data` are, and where its last frame ends.

    A frame of which `data` has only a part is left for later, with more data.
    """
    spans: list[Span] = []
    add = spans.append
    position, size = 0, len(data)
    while position + 2 <= size:
        length = data[position + 1]
        begin = position + 2
        if length == 126:
            begin += 2
            length = int.from_bytes(data[position + 2 : begin])
        elif length == 127:
            begin += 8
            length = int.from_bytes(data[position + 2 : begin])
        end = begin + length
        if end > size or begin > size:
            break
        if data[position] == TEXT:
            add((begin, end))
        position = end
    return spans, position


def moments(
    chunks: Sequence[Chunk], rests: dict[int, bytes], pattern: bytes
) -> tuple[bytes, bytes, bytes]:
    """Return the connection of each message, the time in it, and when it was read.

    Args:
        chunks: What was read, in order.
        rests: The incomplete frames, by connection, that earlier chunks left; replaced by those
            that these leave.
        pattern: Finds the time in a message, as its first group; messages without are left out.

    Returns:
        Three arrays of 64 bits.
    """
    find = re.compile(pattern).search
    found: list[tuple[int, int, int]] = []
    for read_ns, number, chunk in chunks:
        data = rests.get(number, b"") + chunk
        spans, end = text_spans(data)
        rests[number] = data[end:]
        found += [
            (number, int(match[1]), read_ns)
            for begin, stop in spans
            if (match := find(data, begin, stop))
        ]
    numbers, made, read = np.array(found, np.int64).reshape(-1, 3).T
    return numbers.tobytes(), made.tobytes(), read.tobytes()
