"""The folder of a recording, begun or put right after a crash, and locked.

What a crash leaves is put right before anything is written: a line of the manifest that is cut off
goes, a segment that was not sealed loses its torn end and is sealed.  A segment without a whole
block is sealed too, with no lines; no file is ever removed, and none that is not ours is touched.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from tickerplant.errors import RecordingError
from tickerplant.recorder.append_file import ManifestFile, sync_folder
from tickerplant.recorder.segment_file import Mended
from tickerplant.recording.block import HEAD_BYTES, is_block
from tickerplant.recording.line import Damage
from tickerplant.recording.manifest import MAX_BYTES, Manifest, Tail, read_manifest, read_tail
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    RecordingStarted,
    RunEnded,
    RunOutage,
    RunStarted,
)
from tickerplant.recording.opening import recording_folders
from tickerplant.recording.segments import NAME, is_recording, segment_paths
from tickerplant.regular_files import open_regular, read_regular
from tickerplant.venue import VENUES, Venue

KILLED = "the recorder was killed"
NOBODY = "nobody recorded"
NOTABLE_NS = 1_000_000_000
"""A clock that is so far behind the last line is worth a word."""
_FIRST_WORDS = b'{"kind":"recording"'
"""How every manifest begins."""
_TITLES = {venue.name: venue.title for venue in VENUES}


class Folder(Struct, kw_only=True):
    """The folder of a recording, ready to be written into."""

    path: Path
    journal: ManifestFile
    last_number: int
    """Number of the last segment, 0 if there is none."""
    last_ns: int
    """Receive time of the last line, 0 if there is none."""
    run: int
    """Number of the run that begins."""
    hole: RunOutage | None
    """What was not recorded before it; None if it is the first."""
    repairs: list[str]
    """What had to be put right, and what is wrong that cannot be."""


def open_folder(name: str, venue: Venue, software: str, time_ns: int) -> Folder:
    """Return the folder `name`, made or continued.

    Args:
        name: Of the folder.
        venue: Whose streams are recorded.
        software: Who records.
        time_ns: What time it is.

    Raises:
        RecordingError: it cannot be made or written into, another recorder writes into it, it is a
            recording of another venue or of a later version, or it holds something else that
            readers would take for a recording.
    """
    path = Path(name)
    try:
        _check_content(path)
        _make(path)
        journal = ManifestFile(path)
        try:
            return _opened(path, journal, venue, software, time_ns)
        except BaseException:
            journal.close()
            raise
    except OSError as error:
        raise RecordingError(str(error.filename or path), error.strerror or str(error)) from None


def _make(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RecordingError(str(path), "is a file; give a folder")
    if path.is_symlink() and not path.exists():
        raise RecordingError(str(path), f"is a link to {path.readlink()}, which is not there")
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        sync_folder(each.parent)


def _check_content(path: Path) -> None:
    """Refuse a folder in which a recording would not be found, or would be taken for another."""
    if (path / MANIFEST).exists():
        return
    for segment in segment_paths(str(path)):
        with open_regular(segment) as file:
            if not is_block(file.read(HEAD_BYTES)):
                reason = "is no segment, and readers would take it for one; give an empty folder"
                raise RecordingError(str(segment), reason)
    if segment_paths(str(path)):
        return  # a recording that has lost its manifest
    if is_recording(str(path.absolute().parent)):
        reason = "lies in another recording, where no reader would look for it; give another folder"
        raise RecordingError(str(path), reason)
    try:
        inner = ", ".join(Path(each).name for each in recording_folders(str(path)))
    except RecordingError:
        return
    raise RecordingError(str(path), f"holds the recordings {inner}; give one of them, or another")


def _opened(path: Path, journal: ManifestFile, venue: Venue, software: str, time_ns: int) -> Folder:
    repairs: list[str] = []
    manifest = _manifest(path, journal, repairs)
    if manifest is None:
        journal.begin(_last_tail(path))
        begun = RecordingStarted(
            time_ns=time_ns, format=FORMAT, venue=venue.name, software=software
        )
        journal.add(begun)
        manifest = Manifest(
            path=str(journal.path),
            start=begun,
            entries=[begun],
            size_bytes=journal.size_bytes,
        )
    elif manifest.venue != venue.name:
        theirs = _TITLES.get(manifest.venue, manifest.venue)
        reason = f"is a recording of {theirs}, not of {venue.title}; give another folder"
        raise RecordingError(str(path), reason)
    else:
        journal.begin(manifest.tail)
    last_ns = _mend(path, journal, manifest, time_ns, repairs)
    if last_ns - time_ns >= NOTABLE_NS:
        behind_s = (last_ns - time_ns) / 1_000_000_000
        repairs.append(
            f"{path}: the clock is {behind_s:.3f} s behind the last line that was recorded; "
            "receive times stand still until it has caught up"
        )
    journal.sync()
    return Folder(
        path=path,
        journal=journal,
        last_number=_last_number(path, manifest),
        last_ns=last_ns,
        run=1 + max((run.run for run in manifest.runs), default=0),
        hole=_hole(manifest, last_ns, time_ns),
        repairs=repairs,
    )


def _manifest(path: Path, journal: ManifestFile, repairs: list[str]) -> Manifest | None:
    """Return the manifest without a torn end; None if not even its first line was written."""
    text = read_regular(journal.path, MAX_BYTES)
    if b"\n" not in text and text.startswith(_FIRST_WORDS[: len(text)]):
        if text:
            _cut(journal, 0, repairs)
        elif segments := segment_paths(str(path)):
            repairs.append(
                f"{journal.path}: is missing, and begins anew; segments that are there: {len(segments)}"
            )
        return None
    flaws: list[Damage] = []
    manifest = read_manifest(str(path), flaws.append)
    if manifest.torn_bytes:
        flaws.pop()
        _cut(journal, manifest.size_bytes, repairs)
    repairs += [f"{flaw}; it stays, and readers pass over it" for flaw in flaws]
    return manifest


def _last_tail(path: Path) -> Tail:
    """Return what a manifest begins behind: nothing, or the last line of one that is lost."""
    try:
        lost = read_tail(path) or Tail()
    except (OSError, ValueError):
        lost = Tail()
    return Tail(last=lost.last)


def _cut(journal: ManifestFile, size_bytes: int, repairs: list[str]) -> None:
    repairs.append(
        f"{journal.path}, byte {size_bytes}: a torn line of {journal.size_bytes - size_bytes} "
        "bytes is cut off"
    )
    journal.cut(size_bytes)


def _mend(
    path: Path, journal: ManifestFile, manifest: Manifest, time_ns: int, repairs: list[str]
) -> int:
    """Seal what is not sealed; return the receive time of the last line, 0 if there is none."""
    sealed = manifest.sealed
    last_ns = 0
    for segment in segment_paths(str(path)):
        known = sealed.get(segment.name)
        if known is None and not NAME.fullmatch(segment.name):
            repairs.append(f"{segment}: has no name of a segment, and is left as it is")
            continue
        if known is None:
            mended = Mended(segment, time_ns, last_ns)
            repairs += mended.repairs
            known = mended.sealed
            journal.add(known)
        last_ns = max(last_ns, known.last_ns)
    return max([last_ns, *(each.last_ns for each in sealed.values())])


def _last_number(path: Path, manifest: Manifest) -> int:
    names = [*manifest.sealed, *(segment.name for segment in segment_paths(str(path)))]
    matches = (NAME.fullmatch(name) for name in names)
    return max((int(match[1]) for match in matches if match), default=0)


def _hole(manifest: Manifest, last_ns: int, time_ns: int) -> RunOutage | None:
    if not manifest.runs and not last_ns:
        return None
    ending = [entry for entry in manifest.entries if isinstance(entry, RunStarted | RunEnded)]
    is_ended = bool(ending) and isinstance(ending[-1], RunEnded)
    return RunOutage(time_ns=time_ns, from_ns=last_ns, reason=NOBODY if is_ended else KILLED)
