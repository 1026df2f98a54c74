"""WebSocket frames as a subscriber sees them, told apart by their headers only."""

from __future__ import annotations

from typing import TypeAlias

TEXT = 0x81

Span: TypeAlias = tuple[int, int]
"""Where a payload begins and ends."""


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
