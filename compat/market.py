"""The simulated market that the libraries are pointed at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from compat.trial import Server
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import USDM


class Kind(Enum):
    """The kinds of market, each with the options that make it."""

    FAST = ("--speed", "12")
    """Faster than real time, so that rare events happen within the timeout."""
    LIVE = ("--speed", "1")
    """For programs that compare the market's time with their own."""
    SECURE = ("--speed", "12", "--tls", "self")
    """For programs that take only addresses with TLS."""


FAST, LIVE, SECURE = Kind
MANY = {"PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"}
"""The kinds of contracts on coins that USDⓈ-M has many of; few are listed, so that a core bears the speed."""
PATIENCE_S = 180.0
"""How long a program waits for the rarest stream, `!contractInfo`."""
LIQUIDATIONS = "\n".join(
    [
        'title = "Liquidations"',
        'happened = "Positions are liquidated every day, seldom when a program waits for it."',
        'here = "Some are liquidated every minute, on both venues."',
        'survive = "Their streams bring something, on a busy machine too."',
        'duration = "200m"',
        *(
            f'[[change]]\nat = "{at_s}s"\nmarket = "liquidations"\nside = "longs"\n'
            'notional = 200_000\nover = "5s"'
            for at_s in range(60, 12_000, 60)
        ),
    ]
)
"""A scenario with liquidations, which are rare otherwise."""
PORTS = ("--usdm-port", "0", "--coinm-port", "0")
LIMITS = ("--limit", "request_weight_per_minute=1000000,statistics_requests=100000")
"""All limits hold but those on requests: the programs ask for an hour's worth in a minute."""


@contextmanager
def simulated(profile: str, kind: Kind, log: Path) -> Iterator[Server]:
    """Serve a simulated market on free ports until the block ends; its log goes to a file.

    Raises:
        RuntimeError: the market does not start.
    """
    scenario = log.with_suffix(".toml")
    scenario.write_text(LIQUIDATIONS, encoding="utf-8")
    command = [sys.executable, "-m", "tickerplant", "simulate", *PORTS, *LIMITS, *kind.value]
    symbols = ",".join(_symbols())
    command += ["--profile", profile, "--symbols", symbols, "--scenario", str(scenario)]
    cache = log.parent / "cache"
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    certificate = str(cache / "tickerplant" / "tls" / "ca.pem") if kind is SECURE else ""
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(  # noqa: S603  # our own words
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        try:
            usdm, coinm = (_address(process) for _ in range(2))
            yield Server(profile, usdm, coinm, PATIENCE_S, certificate)
        finally:
            process.terminate()


def _symbols() -> list[str]:
    """Return contracts of every kind, but few of the kinds there are many of."""
    now_ms = time.time_ns() // 1_000_000
    return [
        each.symbol
        for each in instruments(now_ms)
        if each.base_asset == "BTC"
        or (each.venue, each.underlying_type) != (USDM, "COIN")
        or each.contract_type not in MANY
    ]


def _address(process: subprocess.Popen[str]) -> str:
    """Read the line in which the server says where a venue listens."""
    line = process.stdout.readline() if process.stdout else ""
    found = re.search(r"wss?://(\S+)", line)
    if found is None:
        raise RuntimeError(f"the market did not start: {line.strip() or 'see its log'}")
    return found[1]
