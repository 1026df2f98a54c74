"""Real captures of the exchange, where they are at hand beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[1].parent
CAPTURES = (
    ("ws-usdm-2024-08-hftbacktest", ("btcusdt_20240808.gz",)),
    ("ws-coinm-2024-08-hftbacktest", ("btcusd_perp_20240808.gz", "btcusd_perp_20240809.gz")),
    ("ws-usdm-2023-04-hftbacktest", ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz")),
    (
        "ws-coinm-2021-07-22-cryptofeed",
        ("BINANCE_DELIVERY.http.0.0.gz", "BINANCE_DELIVERY.ws.1.0.gz"),
    ),
    ("ws-usdm-2021-04-05-cryptofeed", ("BINANCE_FUTURES-1125a2.0.gz",)),
)
"""Folder and files of each."""
whole = pytest.mark.slow("it reads a whole capture of an exchange")


def capture(folder: str, names: tuple[str, ...]) -> list[str]:
    """Return the paths of the files of a capture; a test ends here where they are not."""
    found = [next(BESIDE.glob(f"*/data/{folder}/{name}"), None) for name in names]
    if None in found:
        pytest.skip("the captures are not beside the repository")
    return [str(path) for path in found]
