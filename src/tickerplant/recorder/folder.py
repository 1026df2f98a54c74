"""The folder of a recording: created, or repaired after a crash, and locked.

A crash is repaired before anything is written: an incomplete line of the manifest is removed, and a
segment that was not sealed is truncated to its complete blocks and sealed, even if there are none.
No file is ever removed, and files of other programs are never changed.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from msgspec import Struct

from tickerplant.errors import RecordingError
from tickerplant.own_folder import OwnFolder
from tickerplant.recorder.append_file import ManifestFile, sync_folder
from tickerplant.recorder.segment_file import RepairedSegment
from tickerplant.recording.block import HEAD_BYTES, is_block
from tickerplant.recording.line import Damage
from tickerplant.recording.manifest import MAX_BYTES, TAIL, Manifest, read_manifest, read_tail
from tickerplant.recording.manifest_entries import (
    FORMAT,
    MANIFEST,
    ManifestDamaged,
    RecordingStarted,
    RunEnded,
    RunOutage,
    RunStarted,
)
from tickerplant.recording.opening import recording_folders
from tickerplant.recording.segments import NAME, is_recording, segment_paths
from tickerplant.regular_files import open_regular, read_regular
from tickerplant.units import NS_PER_S
from tickerplant.venue import VENUES, Venue

KILLED = "the recorder was killed"
NOBODY = "nobody recorded"
NOTABLE_NS = NS_PER_S
"""A clock that is this far behind the last line is reported."""
_FIRST_WORDS = b'{"kind":"recording"'
"""The first bytes of every manifest."""
_TITLES = {venue.name: venue.title for venue in VENUES}


class Folder(Struct, kw_only=True):
    """The folder of a recording, ready to be written into."""

    path: Path
    manifest_file: ManifestFile
    last_number: int
    """Number of the last segment; 0 if there is none."""
    last_ns: int
    """Receive time of the last line; 0 if there is none."""
    run: int
    """Number of the run that starts."""
    outage: RunOutage | None
    """The time before the run that was not recorded; None for the first run."""
    repairs: list[str]
    """Damage that was repaired, and damage that remains, in words."""


def open_folder(name: str, venue: Venue, software: str, time_ns: int) -> Folder:
    """Return the folder `name`, created or continued.

    Raises:
        RecordingError: The folder cannot be created or written into, another recorder writes into
            it, it is a recording of another venue or of a later version, or it contains something
            else that readers would take for a recording.
    """
    path = Path(name)
    try:
        _check_content(path)
        _create(path)
        _check_own(path, MANIFEST, TAIL)
        if not (path / MANIFEST).exists():
            _check_own(path, *_unsealed(path, {}))
        manifest_file = ManifestFile(path)
        try:
            return _opened(path, manifest_file, venue, software, time_ns)
        except BaseException:
            manifest_file.close()
            raise
    except OSError as error:
        raise RecordingError(str(error.filename or path), error.strerror or str(error)) from None


def _create(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RecordingError(str(path), "is a file; choose a folder")
    if path.is_symlink() and not path.exists():
        raise RecordingError(str(path), f"is a link to {path.readlink()}, which does not exist")
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        sync_folder(each.parent)


def _check_own(path: Path, *names: str) -> None:
    """Refuse a folder in which a repair would change a file that is elsewhere too."""
    folder = OwnFolder(path)
    for name in names:
        folder.check(name)


def _unsealed(path: Path, sealed: Container[str]) -> list[str]:
    """Return the names of the segments that are to be repaired."""
    names = (segment.name for segment in segment_paths(str(path)))
    return [name for name in names if name not in sealed and NAME.fullmatch(name)]


def _check_content(path: Path) -> None:
    """Refuse a folder in which readers would not find a recording, or would mistake another one."""
    if (path / MANIFEST).exists():
        return
    for segment in segment_paths(str(path)):
        with open_regular(segment) as file:
            if not is_block(file.read(HEAD_BYTES)):
                reason = "is not a segment but would be read as one; choose an empty folder"
                raise RecordingError(str(segment), reason)
    if segment_paths(str(path)):
        return  # a recording that has lost its manifest
    if is_recording(str(path.absolute().parent)):
        reason = "is inside another recording; choose another folder"
        raise RecordingError(str(path), reason)
    try:
        inner = ", ".join(Path(each).name for each in recording_folders(str(path)))
    except RecordingError:
        return
    raise RecordingError(
        str(path), f"contains the recordings {inner}; choose one of them, or another folder"
    )


def _opened(
    path: Path, manifest_file: ManifestFile, venue: Venue, software: str, time_ns: int
) -> Folder:
    repairs: list[str] = []
    manifest = _manifest(path, manifest_file, repairs)
    flaw = manifest.flaw if manifest is not None else _lost(path)
    if manifest is not None and manifest.venue != venue.name:
        theirs = _TITLES.get(manifest.venue, manifest.venue)
        reason = f"is a recording of {theirs}, not of {venue.title}; choose another folder"
        raise RecordingError(str(path), reason)
    manifest_file.begin(is_damaged=bool(flaw))
    if manifest is None:
        begun = RecordingStarted(
            time_ns=time_ns, format=FORMAT, venue=venue.name, software=software
        )
        manifest_file.add(begun)
        manifest = Manifest(
            path=str(manifest_file.path),
            start=begun,
            entries=[begun],
            size_bytes=manifest_file.size_bytes,
        )
    if flaw:
        manifest_file.add(ManifestDamaged(time_ns=time_ns, reason=flaw))
    last_ns = _seal_segments(path, manifest_file, manifest, time_ns, repairs)
    if last_ns - time_ns >= NOTABLE_NS:
        behind_s = (last_ns - time_ns) / NS_PER_S
        repairs.append(
            f"{path}: the clock is {behind_s:.3f} s behind the last recorded line; "
            "receive times stay the same until it has caught up"
        )
    manifest_file.sync()
    return Folder(
        path=path,
        manifest_file=manifest_file,
        last_number=_last_number(path, manifest),
        last_ns=last_ns,
        run=1 + max((run.run for run in manifest.runs), default=0),
        outage=_outage(manifest, last_ns, time_ns),
        repairs=repairs,
    )


def _manifest(path: Path, manifest_file: ManifestFile, repairs: list[str]) -> Manifest | None:
    """Return the manifest without its incomplete end; None if it has no complete line."""
    text = read_regular(manifest_file.path, MAX_BYTES)
    if b"\n" not in text and text.startswith(_FIRST_WORDS[: len(text)]):
        _check_own(path, *_unsealed(path, {}))
        if text:
            _truncate(manifest_file, 0, repairs)
        elif segments := segment_paths(str(path)):
            repairs.append(
                f"{manifest_file.path}: is missing; starting a new one. Existing segments: {len(segments)}"
            )
        return None
    flaws: list[Damage] = []
    manifest = read_manifest(str(path), flaws.append)
    _check_own(path, *_unsealed(path, manifest.sealed))
    if manifest.torn_bytes:
        flaws.pop()
        _truncate(manifest_file, manifest.size_bytes, repairs)
    repairs += [f"{flaw}; it remains, and readers skip it" for flaw in flaws]
    return manifest


def _lost(path: Path) -> str:
    """Return the flaw of a manifest that has no lines: whether it had any."""
    try:
        tail = read_tail(path)
        is_lost = tail is not None and tail.lines > 0
    except (OSError, ValueError):
        is_lost = True
    return "it was missing" if is_lost or segment_paths(str(path)) else ""


def _truncate(manifest_file: ManifestFile, size_bytes: int, repairs: list[str]) -> None:
    repairs.append(
        f"{manifest_file.path}, byte {size_bytes}: an incomplete line of "
        f"{manifest_file.size_bytes - size_bytes} bytes is truncated"
    )
    manifest_file.cut(size_bytes)


def _seal_segments(
    path: Path, manifest_file: ManifestFile, manifest: Manifest, time_ns: int, repairs: list[str]
) -> int:
    """Seal all segments; return the receive time of the last line, 0 if there is none."""
    sealed = manifest.sealed
    last_ns = 0
    for segment in segment_paths(str(path)):
        known = sealed.get(segment.name)
        if known is None and not NAME.fullmatch(segment.name):
            repairs.append(f"{segment}: does not have the name of a segment, and is left as it is")
            continue
        if known is None:
            repaired = RepairedSegment(segment, time_ns, last_ns)
            repairs += repaired.repairs
            known = repaired.sealed
            manifest_file.add(known)
        last_ns = max(last_ns, known.last_ns)
    return max([last_ns, *(each.last_ns for each in sealed.values())])


def _last_number(path: Path, manifest: Manifest) -> int:
    names = [*manifest.sealed, *(segment.name for segment in segment_paths(str(path)))]
    matches = (NAME.fullmatch(name) for name in names)
    return max((int(match[1]) for match in matches if match), default=0)


def _outage(manifest: Manifest, last_ns: int, time_ns: int) -> RunOutage | None:
    if not manifest.runs and not last_ns:
        return None
    ending = [entry for entry in manifest.entries if isinstance(entry, RunStarted | RunEnded)]
    is_ended = bool(ending) and isinstance(ending[-1], RunEnded)
    return RunOutage(time_ns=time_ns, from_ns=last_ns, reason=NOBODY if is_ended else KILLED)
