"""Buses of a user's own, as processes."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import PATIENCE_S

from tickerplant.cluster.nats_server import program


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Processes:
    """Starts programs, and ends them all in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def bus(self, port: int) -> None:
        """Start a bus, and return when it accepts connections."""
        log = self._folder / f"bus-{port}.txt"
        command = [program(), "--addr", "127.0.0.1", "--port", str(port), "--log", str(log)]
        self.started.append(subprocess.Popen(command))  # noqa: S603  # a program of this repository
        until_s = time.monotonic() + PATIENCE_S
        while not (log.exists() and "Server is ready" in log.read_text()):
            assert time.monotonic() < until_s, "the bus is not ready"
            time.sleep(0.02)


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Yield what starts programs."""
    made = Processes(folder)
    try:
        yield made
    finally:
        for process in made.started:
            process.kill()
            process.wait()
