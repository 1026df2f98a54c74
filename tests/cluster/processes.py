"""Buses of a user's own, as processes."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tickerplant.cluster.nats_server import program

LISTENING = re.compile(r"Listening for client connections on \S+:(\d+)")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def bus(
    folder: Path, settings: str = "", *, host: str = "127.0.0.1", port: int = -1
) -> Iterator[str]:
    """Run a NATS server with further pieces of configuration; its address, `127.0.0.1:4222`."""
    configuration = folder / "nats.conf"
    configuration.write_text(f'host: "{host}"\nport: {port}\n{settings}\n')
    command = (program(), "--config", str(configuration))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stderr is not None
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "Server is ready" in line:
                    break
            found = LISTENING.search("".join(lines))
            assert found, lines
            yield f"127.0.0.1:{found[1]}"
        finally:
            process.kill()


class Processes:
    """Starts programs, which end together."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack

    def bus(self, port: int) -> None:
        """Start a bus, and return when it accepts connections."""
        self._stack.enter_context(bus(self._folder, port=port))


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """Yield what starts programs."""
    with ExitStack() as stack:
        yield Processes(folder, stack)
