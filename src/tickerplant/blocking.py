"""The synchronous client, for programs without an event loop and for notebooks.

    with tickerplant.blocking.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
        for message in market.stream("btcusdt@miniTicker"):
            print(message)

The asynchronous client runs in a background thread, which starts on first use.  A market can
therefore be used without `with`, for example across notebook cells, until `market.close()` or the
end of the program.
"""

from __future__ import annotations

from tickerplant.client.blocking import (
    Books,
    Listener,
    Market,
    Subscription,
    connect,
)
from tickerplant.client.merging import merge_blocking as merge
from tickerplant.hosted.blocking import (
    MarketClock,
    ReplayMarket,
    SimulatedMarket,
    replay,
    simulate,
)

__all__ = [
    "Books",
    "Listener",
    "Market",
    "MarketClock",
    "ReplayMarket",
    "SimulatedMarket",
    "Subscription",
    "connect",
    "merge",
    "replay",
    "simulate",
]
