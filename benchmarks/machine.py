"""The machine that is measured on: what it is, its cores, its processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from typing import Any, Self

SERVER_CORE = 0
"""Position of the core, among those we may use, on which the measured process runs."""
RECEIVER_CORE = -1

CORES = "BENCHMARK_CORES"
"""Environment variable that tells the processes of a benchmark which cores there are."""

CONGESTION_CONTROL = b"reno"
"""The one that every system has."""

ANSWER_S = 120.0
"""Longest time in which a process of ours may say nothing when something is expected."""


def processes() -> SpawnContext:
    """Return how processes are started: fresh, so that none inherits another's state."""
    return multiprocessing.get_context("spawn")


class Remote:
    """A process of ours at the other end of a pipe, until the context ends.

    Args:
        target: What it does with its end of the pipe, and the rest of the arguments.
        arguments: The rest.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self.connection, self._theirs = processes().Pipe()
        self.process = processes().Process(
            target=target, args=(self._theirs, *arguments), daemon=True
        )

    def __enter__(self) -> Self:
        self.process.start()
        self._theirs.close()  # so that its end here does not outlive that of the process
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.join()

    def told(self) -> Any:
        """Return what it says next.

        Raises:
            EOFError: It ended.
            TimeoutError: It says nothing.
        """
        if not self.connection.poll(ANSWER_S):
            raise TimeoutError(f"nothing was said in {ANSWER_S:.0f} s")
        return self.connection.recv()

    def ask(self, question: object) -> Any:
        """Return what it says to a question."""
        self.connection.send(question)
        return self.told()


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
