"""What the processes of a program use, as Linux tells it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KIB = 1024


class Usage(Struct, frozen=True):
    """What a process uses."""

    cpu_s: float
    """CPU time since its start, user and system."""
    waited_s: float
    """How long it was ready to run and other processes had the cores."""
    resident_bytes: int


def usages(pid: int) -> list[Usage]:
    """Return what a process and its descendants use now, itself first."""
    return [usage for each in _tree(pid) if (usage := _usage(each)) is not None]


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in (PROC / str(pid) / "task").glob("*/children"):
        for child in task.read_text().split():
            yield from _tree(int(child))


def _usage(pid: int) -> Usage | None:
    """Return what a process uses; None when it has gone."""
    folder = PROC / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        status = (folder / "status").read_text()
        waited_ns = sum(
            int(task.read_text().split()[1]) for task in folder.glob("task/*/schedstat")
        )
    except (FileNotFoundError, ProcessLookupError):
        return None
    resident = status.partition("VmRSS:")[2].split()[:1]
    ticks = int(fields[11]) + int(fields[12])
    return Usage(
        cpu_s=ticks / TICKS_PER_S,
        waited_s=waited_ns / 1e9,
        resident_bytes=int(resident[0]) * KIB if resident else 0,
    )
