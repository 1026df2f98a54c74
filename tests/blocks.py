"""Lines, blocks, segments and manifests of a recording, as recorders write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from tickerplant.recording.block import LEVEL, Packer
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import TAIL, Tail
from tickerplant.recording.manifest_entries import (
    MANIFEST,
    Entry,
    RunEnded,
    SegmentSealed,
    encode_entry,
)


def text_of(lines: Iterable[Line]) -> bytes:
    return b"".join([b"%d %b\n" % line for line in lines])


def line_file(path: Path, lines: Iterable[Line]) -> str:
    path.write_bytes(text_of(lines))
    return str(path)


def stream_of(raw: bytes) -> str:
    """The stream of a message; empty for an answer."""
    begin = b'{"stream":"'
    return raw[len(begin) :].partition(b'"')[0].decode() if raw.startswith(begin) else ""


def packed_lines(lines: Sequence[Line], level: int = LEVEL) -> bytes:
    """Return one block of `lines`, which are in order of time."""
    return Packer(level).pack(text_of(lines), len(lines), lines[0][0], lines[-1][0])


def write_segment(path: Path, lines: Sequence[Line], block_lines: int) -> SegmentSealed:
    """Write a segment in blocks of so many lines; return what its recorder says of it."""
    parts = [lines[at : at + block_lines] for at in range(0, len(lines), block_lines)]
    data = b"".join(map(packed_lines, parts))
    path.write_bytes(data)
    return SegmentSealed(
        time_ns=lines[-1][0],
        name=path.name,
        first_ns=lines[0][0],
        last_ns=lines[-1][0],
        lines=len(lines),
        blocks=len(parts),
        text_bytes=len(text_of(lines)),
        size_bytes=len(data),
        sha256=sha256(data).hexdigest(),
        streams=dict(Counter(filter(None, (stream_of(raw) for _, raw in lines)))),
    )


def write_manifest(folder: Path, entries: Iterable[Entry]) -> None:
    """Write a manifest and its tail; after the end of a run, nothing may follow."""
    entries = list(entries)
    (folder / MANIFEST).write_bytes(b"".join(encode_entry(each) + b"\n" for each in entries))
    write_tail(folder, ended=isinstance(entries[-1], RunEnded))


def write_tail(folder: Path, *, ended: bool = False) -> None:
    """Write the tail of the manifest as it is: what is appended later was not synced."""
    text = (folder / MANIFEST).read_bytes()
    text = text[: text.rfind(b"\n") + 1]
    tail = Tail(text.count(b"\n"), len(text), sha256(text).hexdigest(), ended)
    (folder / TAIL).write_bytes(tail.text())
