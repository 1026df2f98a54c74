"""Compares the segments of a recording with its manifest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fcntl import LOCK_NB, LOCK_SH, LOCK_UN, flock
from itertools import pairwise
from pathlib import Path

from msgspec import structs

from tickerplant.archive.outage_log import OutageLog
from tickerplant.recording.block import walk
from tickerplant.recording.line import Damage
from tickerplant.recording.manifest import Manifest
from tickerplant.recording.manifest_entries import MANIFEST, SegmentSealed
from tickerplant.recording.segments import NAME, Segments
from tickerplant.recording.timestamps import LATEST_NS
from tickerplant.regular_files import open_regular
from tickerplant.verifying.findings import RecordingFinding
from tickerplant.verifying.stream_check import StreamCheck

MAX_DAMAGE = 1_000
"""Maximum number of damaged places to list; all are counted."""
_CUT = "is cut off"
"""Part of the reason that is given for a truncated end."""
NUMBERED = re.compile(r"([0-9]{6,18})-")
"""The beginning of the name of a segment: its number, counted from 1."""
_NEVER_SEALED = "it is not listed in the manifest"


class DamageLog:
    """Counts damaged places and lists the first of them."""

    def __init__(self, found: RecordingFinding) -> None:
        self.is_running = False
        """Whether a recorder is still writing, so that a truncated end is no damage."""
        self.paths: set[str] = set()
        self._found = found
        self._listed: set[Damage] = set()

    def add(self, damage: Damage) -> None:
        """Count damage, unless it is known already: a manifest is read more than once."""
        if self.is_running and _CUT in damage.reason:
            return
        path = Path(damage.path)
        if path.name == MANIFEST and not path.exists():
            damage = structs.replace(damage, reason="the manifest is missing")
        if damage in self._listed:
            return
        self.paths.add(damage.path)
        self._found.damage += 1
        if len(self._found.first_damage) < MAX_DAMAGE:
            self._found.first_damage.append(damage)
            self._listed.add(damage)

    def add_all(self, damages: Iterable[Damage]) -> None:
        """Count several."""
        for damage in damages:
            self.add(damage)


class SegmentCheck:
    """Compares each segment with the manifest, once it has been read.

    Of the segments that were `present` before the manifest was read, all are sealed but the last.
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
        """Names of the segments that have been compared."""

    def turn_to(self, path: str) -> None:
        """Note that the next messages are from the segment at `path`."""
        if path == self._path:
            return
        self._leave()
        self._path = path
        for check in self._streams.values():
            check.messages_before_segment = check.messages

    def close(self, outages: OutageLog) -> Iterator[str]:
        """Compare the remaining segments; yield remarks about the end of the recording."""
        self._leave()
        for path in self._folder.files():
            sealed = (self._sealed or {}).get(path.name)
            if sealed is not None and path.name not in self._read:
                is_readable = str(path) not in self._damage_log.paths
                self._damage_log.add_all(_differences(path, sealed, is_readable=is_readable))
            if sealed is not None and sealed.cut_bytes:
                yield f"{path.name}: a damaged end of {sealed.cut_bytes} bytes was truncated after a crash"
            if sealed is None and self._sealed is not None:
                yield f"{path.name} is unfinished"
        names = {path.name for path in self._folder.files()}.union(self._sealed or ())
        self._damage_log.add_all(_missing_segments(self._folder.path, names))
        self._damage_log.add_all(_same_numbers(self._present))
        if self._sealed is not None:
            may_be_unfinished = (
                self._damage_log.is_running or not outages.is_ended or not outages.subscribed
            )
            self._damage_log.add_all(
                _unlisted(self._present, self._sealed, may_be_unfinished=may_be_unfinished)
            )
        if self._damage_log.is_running:
            yield "a recorder is still writing to it"
        elif not outages.is_ended:
            yield "the last recorder did not shut down cleanly"

    def _leave(self) -> None:
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
        self._damage_log.add_all(_differences(path, sealed, is_readable=is_readable))


def is_being_recorded(folder: str) -> bool:
    """Whether a recorder is writing to a folder: it holds a lock on the manifest."""
    try:
        with open_regular(Path(folder, MANIFEST)) as file:
            flock(file, LOCK_SH | LOCK_NB)
            flock(file, LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _missing_segments(folder: str, names: Iterable[str]) -> Iterator[Damage]:
    numbers = sorted({int(match[1]) for match in map(NUMBERED.match, names) if match})
    for before, after in pairwise(numbers):
        if after - before > 1:
            missing = f"{before + 1:06d}"
            if after - before > 2:
                missing += f" to {after - 1:06d}"
            reason = f"segment {missing} is missing and is not listed in the manifest"
            yield Damage(folder, 0, 0, reason)


def _same_numbers(paths: Iterable[Path]) -> Iterator[Damage]:
    first: dict[int, Path] = {}
    for path in paths:
        if match := NUMBERED.match(path.name):
            other = first.setdefault(int(match[1]), path)
            if other is not path:
                yield _damage(path, f"it has the number of {other.name}")


def _unlisted(
    paths: Sequence[Path], sealed: Mapping[str, SegmentSealed], *, may_be_unfinished: bool
) -> Iterator[Damage]:
    """Yield the segments that the manifest should list, or that no recorder wrote."""
    unlisted = [path for path in paths if path.name not in sealed]
    if not unlisted:
        return
    numbers = [int(match[1]) for match in map(NUMBERED.match, sealed) if match]
    numbers += [int(match[1]) for path in paths if (match := NUMBERED.match(path.name))]
    last_ns = max((each.last_ns for each in sealed.values()), default=0)
    sums = {each.sha256: name for name, each in sealed.items()}
    for path in unlisted:
        match = NAME.fullmatch(path.name)
        digest, first_ns = _ends_of(path)
        if (same := sums.setdefault(digest, path.name)) != path.name:
            yield _damage(path, f"{_NEVER_SEALED}: its content is that of {same}")
        elif match is None:
            yield _damage(path, f"{_NEVER_SEALED}, and no segment has such a name")
        elif int(match[1]) < max(numbers):
            yield _damage(path, f"{_NEVER_SEALED}, and there are later ones")
        elif not may_be_unfinished:
            yield _damage(path, f"{_NEVER_SEALED}, and the recorder shut down cleanly")
        elif first_ns < last_ns:
            yield _damage(path, f"{_NEVER_SEALED}, and it begins before the end of those that are")


def _ends_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a segment, and the receive time of its first intact block."""
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, hashlib.sha256).hexdigest()
            heads = (found.head for found in walk(file, LATEST_NS + 1))
            first = next((head.first_ns for head in heads if head is not None), LATEST_NS)
    except OSError:
        return "", LATEST_NS  # reading it reports that
    return digest, first


def _differences(path: Path, sealed: SegmentSealed, *, is_readable: bool) -> Iterator[Damage]:
    """Yield how a segment differs from what it was when it was sealed."""
    try:
        with open_regular(path) as file:
            size_bytes = file.seek(0, 2)
            file.seek(0)
            if size_bytes != sealed.size_bytes:
                reason = f"{size_bytes} bytes, and the manifest says {sealed.size_bytes}"
                yield _damage(path, reason)
            elif (
                is_readable
                and hashlib.file_digest(file, hashlib.sha256).hexdigest() != sealed.sha256
            ):
                yield _damage(
                    path, "its SHA-256 differs from the manifest, although every block is intact"
                )
            if not is_readable:
                return
            heads = [found.head for found in walk(file, LATEST_NS + 1) if found.head is not None]
    except OSError as error:
        yield _damage(path, error.strerror or str(error))
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
            yield _damage(path, f"{there} {name}, and the manifest says {said}")


def _miscounts(path: Path, sealed: SegmentSealed, counts: Mapping[str, int]) -> Iterator[Damage]:
    for stream in sorted(counts.keys() | sealed.streams.keys()):
        there, said = counts.get(stream, 0), sealed.streams.get(stream, 0)
        if there != said:
            yield _damage(path, f"{there} messages of {stream}, and the manifest says {said}")


def _damage(path: Path, reason: str) -> Damage:
    return Damage(str(path), 0, 0, reason)
