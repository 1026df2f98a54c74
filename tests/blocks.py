"""Blocks of a recording, as tests write them."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from tickerplant.recording.block import LEVEL, Packer
from tickerplant.recording.line import Line
from tickerplant.recording.manifest import TAIL, Tail, digest_of
from tickerplant.recording.manifest_entries import MANIFEST, encode_entry, read_entry


def packed_lines(lines: list[Line], level: int = LEVEL) -> bytes:
    """Return one block of `lines`, which are in order of time."""
    text = b"".join([b"%d %b\n" % line for line in lines])
    return Packer(level).pack(text, len(lines), lines[0][0], lines[-1][0])


def chain_manifest(folder: Path) -> None:
    """Write the manifest of a folder as recorders do: its lines are a chain, its end is known."""
    lines: list[bytes] = []
    for line in (folder / MANIFEST).read_bytes().splitlines():
        entry = read_entry(line)
        assert entry is not None, "expected kinds that are known"
        prev = digest_of(lines[-1]) if lines else ""
        lines.append(encode_entry(structs.replace(entry, prev=prev)))
    text = b"".join(line + b"\n" for line in lines)
    (folder / MANIFEST).write_bytes(text)
    (folder / TAIL).write_bytes(Tail(len(lines), len(text), digest_of(lines[-1])).text())
