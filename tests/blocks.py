"""Blocks and manifests of a recording, as recorders write them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from tickerplant.recording.block import LEVEL, Packer
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import TAIL, Tail
from tickerplant.recording.manifest_entries import MANIFEST, Entry, RunEnded, encode_entry


def packed_lines(lines: list[Line], level: int = LEVEL) -> bytes:
    """Return one block of `lines`, which are in order of time."""
    text = b"".join([b"%d %b\n" % line for line in lines])
    return Packer(level).pack(text, len(lines), lines[0][0], lines[-1][0])


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
