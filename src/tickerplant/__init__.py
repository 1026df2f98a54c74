"""The market-data feed of a futures exchange as software you can run, and its client.

async with tickerplant.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
async for message in market.stream("btcusdt@miniTicker"):
print(message)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tickerplant import messages
    from tickerplant.client import blocking
    from tickerplant.client.market import MarketClient, connect
    from tickerplant.client.subscription import Subscription
    from tickerplant.errors import (
        ConfigError,
        QueueOverflow,
        RequestError,
        TickerplantError,
        UpstreamError,
    )
    from tickerplant.feed.settings import FeedSettings
    from tickerplant.feed.weight import WeightBudget
    from tickerplant.messages.message import Message
    from tickerplant.messages.notice import Notice

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "FeedSettings",
    "MarketClient",
    "Message",
    "Notice",
    "QueueOverflow",
    "RequestError",
    "Subscription",
    "TickerplantError",
    "UpstreamError",
    "WeightBudget",
    "__version__",
    "blocking",
    "connect",
    "messages",
]

_HOME = {
    "ConfigError": "errors",
    "FeedSettings": "feed.settings",
    "MarketClient": "client.market",
    "Message": "messages.message",
    "Notice": "messages.notice",
    "QueueOverflow": "errors",
    "RequestError": "errors",
    "Subscription": "client.subscription",
    "TickerplantError": "errors",
    "UpstreamError": "errors",
    "WeightBudget": "feed.weight",
    "blocking": "client",
    "connect": "client.market",
    "messages": "",
}
"""In which module a public name is; the modules themselves have none.

Nothing is imported before it is asked for: the command line starts fast, and the rooms of the
package do not need each other because one of them was named.
"""


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not home:
        return import_module(f"{__name__}.{name}")
    if home == "client":
        return import_module(f"{__name__}.{home}.{name}")
    return getattr(import_module(f"{__name__}.{home}"), name)
