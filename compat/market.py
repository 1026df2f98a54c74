"""The simulated market that the libraries are pointed at."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compat.trial import Server
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import COINM

SPEED = 20
"""Market seconds per second, so that rare things happen within the patience."""
PERPETUALS = ("BTCUSDT", "ETHUSDT")
"""The perpetual contracts of USDⓈ-M; few, so that a core bears the speed."""
PATIENCE_S = 75.0
"""How long a program waits for the rarest stream, `!contractInfo`."""
PORTS = ("--usdm-port", "0", "--coinm-port", "0")
LIMITS = ("--limit", "request_weight_per_minute=1000000,statistics_requests=100000")
"""All limits hold but those on requests: the programs ask for an hour's worth in a minute."""


@contextmanager
def simulated(profile: str, log: Path) -> Iterator[Server]:
    """Serve a simulated market on free ports until the block ends; its log goes to a file.

    Raises:
        RuntimeError: the market does not start.
    """
    options = ["--profile", profile, "--speed", str(SPEED), "--symbols", ",".join(_symbols())]
    command = [sys.executable, "-m", "tickerplant", "simulate", *PORTS, *LIMITS, *options]
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(  # noqa: S603  # our own words
            command, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            usdm, coinm = (_address(process) for _ in range(2))
            yield Server(profile, usdm, coinm, PATIENCE_S)
        finally:
            process.terminate()


def _symbols() -> list[str]:
    """Return the contracts of every kind, and few of the kind there are most of."""
    now_ms = time.time_ns() // 1_000_000
    return [
        traded.symbol
        for traded in instruments(now_ms)
        if traded.venue is COINM
        or traded.contract_type != "PERPETUAL"
        or traded.underlying_type == "INDEX"
        or traded.symbol in PERPETUALS
    ]


def _address(process: subprocess.Popen[str]) -> str:
    """Read the line in which the server says where a venue listens."""
    line = process.stdout.readline() if process.stdout else ""
    found = re.search(r"ws://(\S+)", line)
    if found is None:
        raise RuntimeError(f"the market did not start: {line.strip() or 'see its log'}")
    return found[1]
