"""A recording of a simulated market, made once."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from programs import PATIENCE_S

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@cache
def tape() -> str:
    """Return the folder of a recording of six seconds of two contracts."""
    folder = Path(mkdtemp(prefix="tape"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = [
        *("--symbols", ",".join(SYMBOLS), "--start", "2026-11-20", "--duration", "6s"),
        *("--speed", "0", "--usdm-port", "0", "--coinm-port", "0", "--record", str(folder)),
    ]
    subprocess.run(  # noqa: S603  # a program of this test
        [sys.executable, "-m", "tickerplant", "simulate", *options],
        check=True,
        timeout=PATIENCE_S,
        capture_output=True,
    )
    return str(folder / "usdm")
