"""Whether the segments of a recording are what its manifest says of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock
from itertools import pairwise
from pathlib import Path

from tickerplant.recording.block import LATEST_NS, walk
from tickerplant.recording.line import Damage
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import MANIFEST, SegmentSealed
from tickerplant.recording.segments import NAME, Segments
from tickerplant.regular_files import open_regular
from tickerplant.verifying.damage import DamageLog
from tickerplant.verifying.outage_log import OutageLog
from tickerplant.verifying.stream_check import StreamCheck

NUMBERED = re.compile(r"([0-9]{6,18})-")
"""How the names of segments begin, which are counted from 1."""
_NEVER_SEALED = "the manifest does not know of it"


class SegmentCheck:
    """Compares each segment with the manifest, as soon as it was read.

    Args:
        folder: The recording.
        manifest: None if there is none.
        present: Its segments, as they were before the manifest was read: of these, all are sealed
            but the last.
        streams: What was read of each stream up to now.
        damage: Takes what is not as the manifest says.
    """

    def __init__(
        self,
        folder: Segments,
        manifest: Manifest | None,
        present: Sequence[Path],
        streams: Mapping[str, StreamCheck],
        damage: DamageLog,
    ) -> None:
        self._folder = folder
        self._present = present
        self._sealed = manifest.sealed if manifest is not None else None
        self._streams = streams
        self._damage_log = damage
        self._path = ""
        """The segment that is being read."""
        self._read: set[str] = set()
        """Names of the segments that were compared."""

    def turn_to(self, path: str) -> None:
        """Take note that the next messages are from the segment at `path`."""
        if path == self._path:
            return
        self._leave()
        self._path = path
        for check in self._streams.values():
            check.messages_before_segment = check.messages

    def close(self, outages: OutageLog) -> Iterator[str]:
        """Compare what is left, and yield what is to be remarked of the end of the recording."""
        self._leave()
        for path in self._folder.files():
            sealed = (self._sealed or {}).get(path.name)
            if sealed is not None and path.name not in self._read:
                is_readable = str(path) not in self._damage_log.paths
                self._damage_log.add_all(_contradictions(path, sealed, is_readable=is_readable))
            if sealed is not None and sealed.cut_bytes:
                yield f"{path.name}: a torn end of {sealed.cut_bytes} bytes was cut off after a crash"
            if sealed is None and self._sealed is not None:
                yield f"{path.name} is not finished"
        names = {path.name for path in self._folder.files()}.union(self._sealed or ())
        self._damage_log.add_all(_absences(self._folder.path, names))
        self._damage_log.add_all(_same_numbers(self._present))
        if self._sealed is not None:
            may_be_unfinished = (
                self._damage_log.is_running or not outages.is_ended or not outages.asked
            )
            self._damage_log.add_all(
                _strangers(self._present, self._sealed, may_be_unfinished=may_be_unfinished)
            )
        if self._damage_log.is_running:
            yield "a recorder still writes into it"
        elif not outages.is_ended:
            yield "the last recorder was killed: it did not end on purpose"

    def _leave(self) -> None:
        """Compare the segment that was read."""
        path = Path(self._path)
        sealed = (self._sealed or {}).get(path.name)
        if not self._path or sealed is None:
            return
        self._read.add(path.name)
        is_readable = self._path not in self._damage_log.paths
        if is_readable:
            counts = {
                stream: count
                for stream, check in self._streams.items()
                if (count := check.messages - check.messages_before_segment)
            }
            self._damage_log.add_all(_miscounts(path, sealed, counts))
        self._damage_log.add_all(_contradictions(path, sealed, is_readable=is_readable))


def is_being_recorded(folder: str) -> bool:
    """Whether a recorder writes into a folder now: it holds a lock on the manifest."""
    try:
        with open_regular(Path(folder, MANIFEST)) as file:
            flock(file, LOCK_SH | LOCK_NB)
            flock(file, LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _absences(folder: str, names: Iterable[str]) -> Iterator[Damage]:
    """Yield the segments that must have been, by the numbers of the others."""
    numbers = sorted({int(match[1]) for match in map(NUMBERED.match, names) if match})
    for before, after in pairwise(numbers):
        if after - before > 1:
            missing = f"{before + 1:06d}"
            if after - before > 2:
                missing += f" to {after - 1:06d}"
            reason = f"segment {missing} is missing, and the manifest does not know of it"
            yield Damage(folder, 0, 0, reason)


def _same_numbers(paths: Iterable[Path]) -> Iterator[Damage]:
    """Yield the segments that have the number of another."""
    first: dict[int, Path] = {}
    for path in paths:
        if match := NUMBERED.match(path.name):
            other = first.setdefault(int(match[1]), path)
            if other is not path:
                yield _flaw(path, f"it has the number of {other.name}")


def _strangers(
    paths: Sequence[Path], sealed: Mapping[str, SegmentSealed], *, may_be_unfinished: bool
) -> Iterator[Damage]:
    """Yield the segments that the manifest should know of, or that no recorder wrote.

    Args:
        paths: All segments, in order.
        sealed: Those that the manifest knows.
        may_be_unfinished: Whether the last segment may be one that a recorder did not finish.
    """
    strangers = [path for path in paths if path.name not in sealed]
    if not strangers:
        return
    numbers = [int(match[1]) for match in map(NUMBERED.match, sealed) if match]
    numbers += [int(match[1]) for path in paths if (match := NUMBERED.match(path.name))]
    last_ns = max((each.last_ns for each in sealed.values()), default=0)
    sums = {each.sha256: name for name, each in sealed.items()}
    for path in strangers:
        match = NAME.fullmatch(path.name)
        digest, first_ns = _ends_of(path)
        if (same := sums.setdefault(digest, path.name)) != path.name:
            yield _flaw(path, f"{_NEVER_SEALED}: it holds the same as {same}")
        elif match is None:
            yield _flaw(path, f"{_NEVER_SEALED}, and no segment has such a name")
        elif int(match[1]) < max(numbers):
            yield _flaw(path, f"{_NEVER_SEALED}, and there are later ones")
        elif not may_be_unfinished:
            yield _flaw(path, f"{_NEVER_SEALED}, and the recorder ended on purpose")
        elif first_ns < last_ns:
            yield _flaw(path, f"{_NEVER_SEALED}, and it begins before the end of those it knows")


def _ends_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a segment, and the receive time of its first whole block."""
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, hashlib.sha256).hexdigest()
            heads = (found.head for found in walk(file, LATEST_NS + 1))
            first = next((head.first_ns for head in heads if head is not None), LATEST_NS)
    except OSError:
        return "", LATEST_NS  # whoever reads it reports that
    return digest, first


def _contradictions(path: Path, sealed: SegmentSealed, *, is_readable: bool) -> Iterator[Damage]:
    """Yield what is not as it was when the segment was sealed.

    Args:
        path: The segment.
        sealed: What the manifest says of it.
        is_readable: Whether every block of it could be read: if not, that says why it differs.
    """
    try:
        with open_regular(path) as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            if size_bytes != sealed.size_bytes:
                reason = f"{size_bytes} bytes, and the manifest says {sealed.size_bytes}"
                yield _flaw(path, reason)
            elif (
                is_readable
                and hashlib.file_digest(file, hashlib.sha256).hexdigest() != sealed.sha256
            ):
                yield _flaw(
                    path, "its SHA-256 is not what the manifest says, yet every block is whole"
                )
            if not is_readable:
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
    if heads:
        counts["ns at its first line"] = heads[0].first_ns, sealed.first_ns
        counts["ns at its last line"] = max(head.last_ns for head in heads), sealed.last_ns
    for name, (there, said) in counts.items():
        if there != said:
            yield _flaw(path, f"{there} {name}, and the manifest says {said}")


def _miscounts(path: Path, sealed: SegmentSealed, counts: Mapping[str, int]) -> Iterator[Damage]:
    """Yield the streams of which a segment holds more or less messages than the manifest says."""
    for stream in sorted(counts.keys() | sealed.streams.keys()):
        there, said = counts.get(stream, 0), sealed.streams.get(stream, 0)
        if there != said:
            yield _flaw(path, f"{there} messages of {stream}, and the manifest says {said}")


def _flaw(path: Path, reason: str) -> Damage:
    return Damage(str(path), 0, 0, reason)
