"""`tickerplant verify`: reports what recordings contain, and whether they are complete."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType

import click
import msgspec

from tickerplant import logs
from tickerplant.config.settings import VerifySettings, is_quiet
from tickerplant.errors import RecordingError
from tickerplant.formatting import printable
from tickerplant.progress import Progress, StatusLine
from tickerplant.recording.line import Damage
from tickerplant.recording.opening import named_paths, recorded_files, recording_folders
from tickerplant.verifying.findings import Findings
from tickerplant.verifying.formatting import lines_of, summary_of
from tickerplant.verifying.walk import Walk

COMPLETE, NOT_COMPLETE, NOTHING_READ, INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT
"""Exit statuses."""

Print = Callable[[str | bytes], object]
"""Prints one line."""


def verify(settings: VerifySettings, paths: Sequence[str], print_line: Print) -> int:
    """Verify recordings and print the findings; return the exit status."""
    logs.configure(level=settings.log_level)
    with _interruption() as is_interrupted:
        findings = found_in(settings, paths, is_interrupted)
    if not findings.recordings and not settings.json and not findings.interrupted:
        for damage in findings.unread:
            click.echo(printable(f"tickerplant: {damage.path}: {damage.reason}"), err=True)
        return NOTHING_READ
    if settings.json:
        print_line(_json(findings))
    else:
        for line in lines_of(findings, settings.gaps):
            print_line(line)
        print_line(findings.summary)
    if findings.interrupted:
        return INTERRUPTED
    if not findings.recordings:
        return NOTHING_READ
    return COMPLETE if findings.complete else NOT_COMPLETE


def _json(findings: Findings) -> bytes:
    try:
        return msgspec.json.format(msgspec.json.encode(findings))
    except UnicodeEncodeError:  # a path is not valid Unicode: the standard library escapes it
        return json.dumps(msgspec.to_builtins(findings), indent=2).encode()


def found_in(
    settings: VerifySettings,
    paths: Sequence[str],
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Findings:
    """Return the findings about the recordings at `paths`.

    Each folder is a recording; all files together are one.
    """
    findings = Findings(complete=False)
    groups, walks = groups_of(paths, findings.unread), list[Walk]()
    progress = Progress(
        "verify",
        lambda: _share(walks, len(groups)),
        status_line=StatusLine(is_quiet=is_quiet(settings.log_level)),
    )
    messages = 0

    def go_on(more: int) -> bool:
        nonlocal messages
        messages += more
        progress.report(messages)
        return not is_interrupted()

    for group in groups:
        if is_interrupted():
            break
        logs.logger().debug("= verifying", paths=group)
        try:
            walks.append(Walk(group, settings.streams, settings.gaps))
            findings.recordings.append(walks[-1].go(go_on))
        except RecordingError as error:
            findings.unread.append(_damage(error))
    progress.clear()
    findings.interrupted = is_interrupted()
    findings.complete = (
        not findings.interrupted
        and not findings.unread
        and bool(findings.recordings)
        and all(each.is_complete for each in findings.recordings)
    )
    findings.summary = summary_of(findings)
    return findings


def _share(walks: Sequence[Walk], groups: int) -> float:
    """Return the fraction walked, from 0 to 1, as if all recordings had the same size."""
    walk = walks[-1]
    return (len(walks) - 1 + walk.position_bytes / max(walk.size_bytes, 1)) / groups


def groups_of(paths: Sequence[str], unread: list[Damage]) -> list[list[str]]:
    """Return the paths of each recording at `paths`; what cannot be read is added to `unread`."""
    folders: list[list[str]] = []
    files: list[str] = []
    same = {Path(path).resolve(): path for path in reversed(paths)}
    for path in named_paths([path for path in dict.fromkeys(paths) if path in same.values()]):
        try:
            if Path(path).is_dir():
                folders += [[folder] for folder in recording_folders(path)]
            else:
                next(recorded_files([path])[0].batches(), None)
                files.append(path)
        except RecordingError as error:
            unread.append(_damage(error))
    return [*folders, files] if files else folders


def _damage(error: RecordingError) -> Damage:
    return Damage(error.path, error.line, error.offset_bytes, error.reason)


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C or SIGTERM came, without interrupting the walk."""
    came: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    before = {number: signal.signal(number, take) for number in numbers}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
