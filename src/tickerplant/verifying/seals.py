"""Whether the segments of a recording are what its manifest says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path

from tickerplant.recording.block import LATEST_NS, walk
from tickerplant.recording.journal import MANIFEST, Sealed
from tickerplant.recording.line import Flaw


def contradictions(path: Path, sealed: Sealed, *, is_whole: bool) -> Iterator[Flaw]:
    """Yield what is not as it was when the segment was sealed.

    Args:
        path: The segment.
        sealed: What the manifest says of it.
        is_whole: Whether every block of it could be read: if not, that says why it differs.
    """
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            if size_bytes != sealed.size_bytes:
                reason = f"{size_bytes} bytes, and the manifest says {sealed.size_bytes}"
                yield _flaw(path, reason)
            elif (
                is_whole and hashlib.file_digest(file, hashlib.sha256).hexdigest() != sealed.sha256
            ):
                yield _flaw(
                    path, "its SHA-256 is not what the manifest says, yet every block is whole"
                )
            if not is_whole:
                return
            heads = [found.head for found in walk(file, LATEST_NS + 1) if found.head is not None]
    except OSError as error:
        yield _flaw(path, error.strerror or str(error))
        return
    counts = {
        "blocks": (len(heads), sealed.blocks),
        "lines": (sum(head.lines for head in heads), sealed.lines),
        "bytes of text": (sum(head.text_bytes for head in heads), sealed.text_bytes),
    }
    for name, (there, said) in counts.items():
        if there != said:
            yield _flaw(path, f"{there} {name}, and the manifest says {said}")


def miscounts(path: Path, sealed: Sealed, counts: Mapping[str, int]) -> Iterator[Flaw]:
    """Yield the streams of which a segment holds more or less messages than the manifest says."""
    for stream in sorted(counts.keys() | sealed.streams.keys()):
        there, said = counts.get(stream, 0), sealed.streams.get(stream, 0)
        if there != said:
            yield _flaw(path, f"{there} messages of {stream}, and the manifest says {said}")


def unsealed(files: Collection[Path], sealed: Collection[str]) -> list[Path]:
    """Return the segments of which the manifest does not say that they are finished."""
    return [path for path in files if path.name not in sealed]


def is_being_recorded(folder: str) -> bool:
    """Whether a recorder writes into a folder now: it holds a lock on the manifest."""
    try:
        with Path(folder, MANIFEST).open("rb") as file:
            flock(file, LOCK_SH | LOCK_NB)
            flock(file, LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _flaw(path: Path, reason: str) -> Flaw:
    return Flaw(str(path), 0, 0, reason)
