"""The streams that every client follows."""

from __future__ import annotations

SYMBOLS = (
    "BTCUSDT",
    "ETHUSDT",
    "BNBUSDT",
    "SOLUSDT",
    "XRPUSDT",
    "DOGEUSDT",
    "ADAUSDT",
    "AVAXUSDT",
    "LINKUSDT",
    "LTCUSDT",
)
CHANNELS = ("bookTicker", "aggTrade", "depth20", "kline_1m", "ticker", "markPrice@1s")
STREAMS = tuple(f"{symbol.lower()}@{channel}" for symbol in SYMBOLS for channel in CHANNELS)
COMBINED = "/stream?streams=" + "/".join(STREAMS)
"""The path on which one connection has all of them."""
