"""The libraries that are tried: one program each, in an environment of its own."""

from __future__ import annotations

from dataclasses import dataclass

from compat.market import FAST, LIVE, SECURE, Kind


@dataclass(frozen=True)
class Program:
    """The program of a library, or of libraries that are published together.

    `name` is its module in `compat.programs`, and its files in `compat/requirements`; `market` is
    the kind of market that it needs.
    """

    name: str
    libraries: tuple[str, ...]
    market: Kind = FAST


PROGRAMS = (
    Program(
        "official_sdk",
        (
            "binance-sdk-derivatives-trading-usds-futures",
            "binance-sdk-derivatives-trading-coin-futures",
        ),
    ),
    Program("futures_connector", ("binance-futures-connector",)),
    Program("python_binance", ("python-binance",)),
    Program("ccxt_pro", ("ccxt",)),
    Program("unicorn", ("unicorn-binance-websocket-api",)),
    Program(
        "npm_official",
        (
            "@binance/derivatives-trading-usds-futures",
            "@binance/derivatives-trading-coin-futures",
        ),
    ),
    Program("nautilus", ("nautilus_trader",)),
    Program("freqtrade", ("freqtrade",), LIVE),
    Program("cryptofeed", ("cryptofeed",), SECURE),
)
PROFILES = ("2026q1", "current")
"""The periods that are tried: the default, and the one that the newest libraries are of."""
