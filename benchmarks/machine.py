"""The machine that is measured on: what it is, its cores, its processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import socket
import sys
from asyncio.trsock import TransportSocket
from multiprocessing.context import SpawnContext

SERVER_CORE = 0
"""Position of the core, among those we may use, on which the measured process runs."""
RECEIVER_CORE = -1

CORES = "BENCHMARK_CORES"
"""Environment variable that tells the processes of a benchmark which cores there are."""

CONGESTION_CONTROL = b"reno"
"""The one that every system has."""

FILES_PER_SUBSCRIBER = 4
"""Sockets that a subscriber costs a process, over all contenders, with some to spare."""


def processes() -> SpawnContext:
    """Return how processes are started: fresh, so that none inherits another's state."""
    return multiprocessing.get_context("spawn")


def _usable_cores() -> list[int]:
    """Return the cores that the first of our processes was given; empty where nothing tells.

    A process that was pinned may use one alone, and so may what it starts: the others learn from
    the environment what there is.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    given = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return [int(core) for core in os.environ.setdefault(CORES, given).split(",")]


_cores = _usable_cores()


def pin(position: int, pid: int = 0) -> None:
    """Let a process (this one by default) run on one of our cores only, where that is possible."""
    if _cores:
        os.sched_setaffinity(pid, {_cores[position]})


def unpin(pid: int) -> None:
    """Let a process run on all of our cores, and all that it starts from now on."""
    if _cores:
        os.sched_setaffinity(pid, _cores)


def allow_files(subscribers: int) -> None:
    """Let this process open enough sockets for so many subscribers.

    Raises:
        SystemExit: the system forbids it.
    """
    try:
        import resource  # noqa: PLC0415  # there is none on Windows
    except ImportError:
        return
    wanted = subscribers * FILES_PER_SUBSCRIBER + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"benchmarks: {wanted} open files needed, {hard} allowed (ulimit -n)")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def allowed_files() -> int:
    """Let this process, and what it starts, open as many files as the system allows; return how many."""
    import resource  # noqa: PLC0415  # there is none on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        most = 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def unpace(listener: socket.socket | TransportSocket) -> None:
    """Let the connections of a listening socket send at once, where the system's default paces them.

    Pacing (BBR's) leaves frames in the kernel, which then joins them: what a `send()` costs would
    depend on how far behind the loopback is, and no longer on who calls it.
    """
    if hasattr(socket, "TCP_CONGESTION"):
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)


def description() -> str:
    """Return what a figure depends on, in one line, without the name of the machine."""
    count = len(_cores) or os.cpu_count() or 1
    plural = "core" if count == 1 else "cores"
    return (
        f"{count} {plural} ({platform.machine()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
