"""Blocks of a recording, as tests write them."""

from __future__ import annotations

from tickerplant.recording.block import LEVEL, Packer
from tickerplant.recording.line import Line


def packed_lines(lines: list[Line], level: int = LEVEL) -> bytes:
    """Return one block of `lines`, which are in order of time."""
    text = b"".join([b"%d %b\n" % line for line in lines])
    return Packer(level).pack(text, len(lines), lines[0][0], lines[-1][0])
