"""The program itself, started as a user would and stopped again."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Self
from urllib.request import urlopen

from benchmarks.machine import SERVER_CORE, pin, unpin

ADDRESS = re.compile(r"ws://127\.0\.0\.1:(\d+)")
STOP_S = 10.0


class Program:
    """A `tickerplant` process with its USDⓈ-M port, free ones being chosen; a context.

    Args:
        arguments: Its command line, without ports and log level.
        is_pinned: Whether it stays on one core, with all processes that it starts.
        module: The program, if it is another one with the same options.

    Raises:
        RuntimeError: it ended before it served; what it said is the message.
    """

    def __init__(
        self, *arguments: str, is_pinned: bool = True, module: str = "tickerplant"
    ) -> None:
        command = [sys.executable, "-m", module, *arguments]
        command += ["--usdm-port=0", "--coinm-port=0", "--log-level=warning"]
        self.began_s = time.monotonic()
        """When it was started, on the monotonic clock."""
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own program
        self.pid = self._process.pid
        if is_pinned:
            pin(SERVER_CORE, self.pid)
        else:
            unpin(self.pid)
        self.port = self._read_port()

    def _read_port(self) -> int:
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if address := ADDRESS.search(line):
                return int(address[1])
        self._process.wait()
        raise RuntimeError(said or f"tickerplant ended with status {self._process.returncode}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=STOP_S)

    def metrics(self) -> dict[str, float]:
        """Return its metrics: values by name with labels, as in the text that it serves."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics") as page:  # loopback
            rows = [line.rpartition(" ") for line in page.read().decode().splitlines()]
        return {name: float(value) for name, _, value in rows if not name.startswith("#")}
