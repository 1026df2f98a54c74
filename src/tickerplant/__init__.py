"""Market data of futures exchanges: a client, and a server to run yourself.

    async with tickerplant.connect("usdm", base_url="ws://127.0.0.1:9001") as market:
        async for message in market.stream("btcusdt@miniTicker"):
            print(message)

Without `base_url` the client connects to the exchange.  `tickerplant.blocking` is the synchronous
client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickerplant import messages, notices
    from tickerplant.archive.recording import Recording, open_recording
    from tickerplant.client import blocking
    from tickerplant.client.blocking import BlockingListener, BlockingMarket, BlockingSubscription
    from tickerplant.client.blocking_books import BlockingBook, BlockingBooks
    from tickerplant.client.books import Books
    from tickerplant.client.market import MarketClient, connect
    from tickerplant.client.subscription import Listener, Subscription
    from tickerplant.errors import (
        ConfigError,
        QueueOverflow,
        RecordingError,
        RequestError,
        TickerplantError,
        UpstreamError,
    )
    from tickerplant.feed.audit import AuditResult
    from tickerplant.feed.feed import FeedCounters
    from tickerplant.feed.local_book import LocalBook
    from tickerplant.feed.local_book import State as BookState
    from tickerplant.feed.queue import QueueCounters, WhenFull
    from tickerplant.feed.settings import FeedSettings
    from tickerplant.feed.weight import WeightBudget
    from tickerplant.messages.message import Message, StreamName
    from tickerplant.notices import Notice
    from tickerplant.recording.line import Damage

__version__ = "0.1.0"

__all__ = [
    "AuditResult",
    "BlockingBook",
    "BlockingBooks",
    "BlockingListener",
    "BlockingMarket",
    "BlockingSubscription",
    "BookState",
    "Books",
    "ConfigError",
    "Damage",
    "FeedCounters",
    "FeedSettings",
    "Listener",
    "LocalBook",
    "MarketClient",
    "Message",
    "Notice",
    "QueueCounters",
    "QueueOverflow",
    "Recording",
    "RecordingError",
    "RequestError",
    "StreamName",
    "Subscription",
    "TickerplantError",
    "UpstreamError",
    "WeightBudget",
    "WhenFull",
    "__version__",
    "blocking",
    "connect",
    "messages",
    "notices",
    "open_recording",
]

_HOME = {
    "AuditResult": "feed.audit",
    "BlockingBook": "client.blocking_books",
    "BlockingBooks": "client.blocking_books",
    "BlockingListener": "client.blocking",
    "BlockingMarket": "client.blocking",
    "BlockingSubscription": "client.blocking",
    "BookState": "feed.local_book",
    "Books": "client.books",
    "ConfigError": "errors",
    "Damage": "recording.line",
    "FeedCounters": "feed.feed",
    "FeedSettings": "feed.settings",
    "Listener": "client.subscription",
    "LocalBook": "feed.local_book",
    "MarketClient": "client.market",
    "Message": "messages.message",
    "Notice": "notices",
    "Recording": "archive.recording",
    "QueueCounters": "feed.queue",
    "QueueOverflow": "errors",
    "RecordingError": "errors",
    "RequestError": "errors",
    "StreamName": "messages.message",
    "Subscription": "client.subscription",
    "TickerplantError": "errors",
    "UpstreamError": "errors",
    "WeightBudget": "feed.weight",
    "WhenFull": "feed.queue",
    "blocking": "client",
    "connect": "client.market",
    "messages": "",
    "notices": "",
    "open_recording": "archive.recording",
}
"""The module of each public name; empty for a subpackage.

Imports are lazy, so that the command line starts fast.
"""

_NAME_THERE = {"BookState": "State"}
"""Names that differ in their module."""


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            from tickerplant.suggestions import suggestion  # noqa: PLC0415  # rarely needed

            hint = suggestion(name, __all__)
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
        if not home:
            return import_module(f"{__name__}.{name}")
        if home == "client":
            return import_module(f"{__name__}.{home}.{name}")
        return getattr(import_module(f"{__name__}.{home}"), _NAME_THERE.get(name, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
