"""Market data of futures exchanges: a client, and a server to run yourself.

    import asyncio
    import tickerplant
    from tickerplant.messages import BookTicker
    async def main() -> None:
        async with tickerplant.connect("usdm") as market:
            async for quote in market.stream(BookTicker.of("BTCUSDT"), on_notice=print):
                print(quote.bid_price, quote.ask_price)
    asyncio.run(main())

`connect` connects to the exchange, or to the server that `base_url` or the environment variable
`TICKERPLANT_USDM_URL` names.  `replay` and `simulate` return a market of the same kind that plays a
recording or a simulation.  `tickerplant.blocking` is the synchronous client, `tickerplant.testing`
brings an exchange to tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickerplant import blocking, messages, notices, testing
    from tickerplant.archive.recording import Recording, open_recording
    from tickerplant.archive.tables import Numbers, TableName
    from tickerplant.client.books import Books
    from tickerplant.client.market import Market, connect
    from tickerplant.client.merging import merge
    from tickerplant.client.subscription import Listener, Subscription
    from tickerplant.errors import (
        ConfigError,
        MissingLibraryError,
        QueueOverflow,
        RateLimitError,
        RecordingError,
        RequestError,
        TickerplantError,
        UpstreamError,
    )
    from tickerplant.feed.audit import AuditResult
    from tickerplant.feed.feed import FeedCounters
    from tickerplant.feed.order_book import BookSnapshot, BookState, Level, OrderBook
    from tickerplant.feed.queue import QueueCounters, WhenFull
    from tickerplant.feed.settings import (
        ClientSettings,
        ConnectionSettings,
        RetrySettings,
        StalenessSettings,
    )
    from tickerplant.feed.weight import WeightBudget
    from tickerplant.hosted.clock import ClockState, MarketClock
    from tickerplant.hosted.market import ReplayMarket, SimulatedMarket, replay, simulate
    from tickerplant.messages.book import BookSpeed, SnapshotLimit
    from tickerplant.messages.message import Message, StreamName
    from tickerplant.notices import Notice
    from tickerplant.recording.line import Damage
    from tickerplant.recording.manifest import Manifest
    from tickerplant.recording.timestamps import Instant
    from tickerplant.venue import VenueName

__version__ = "0.1.0"

__all__ = [
    "AuditResult",
    "BookSnapshot",
    "BookSpeed",
    "BookState",
    "Books",
    "ClientSettings",
    "ClockState",
    "ConfigError",
    "ConnectionSettings",
    "Damage",
    "FeedCounters",
    "Instant",
    "Level",
    "Listener",
    "Manifest",
    "Market",
    "MarketClock",
    "Message",
    "MissingLibraryError",
    "Notice",
    "Numbers",
    "OrderBook",
    "QueueCounters",
    "QueueOverflow",
    "RateLimitError",
    "Recording",
    "RecordingError",
    "ReplayMarket",
    "RequestError",
    "RetrySettings",
    "SimulatedMarket",
    "SnapshotLimit",
    "StalenessSettings",
    "StreamName",
    "Subscription",
    "TableName",
    "TickerplantError",
    "UpstreamError",
    "VenueName",
    "WeightBudget",
    "WhenFull",
    "__version__",
    "blocking",
    "connect",
    "merge",
    "messages",
    "notices",
    "open_recording",
    "replay",
    "simulate",
    "testing",
]

_HOME = {
    "AuditResult": "feed.audit",
    "BookSnapshot": "feed.order_book",
    "BookSpeed": "messages.book",
    "BookState": "feed.order_book",
    "Books": "client.books",
    "ClientSettings": "feed.settings",
    "ClockState": "hosted.clock",
    "ConfigError": "errors",
    "ConnectionSettings": "feed.settings",
    "Damage": "recording.line",
    "FeedCounters": "feed.feed",
    "Instant": "recording.timestamps",
    "Level": "feed.order_book",
    "Listener": "client.subscription",
    "Manifest": "recording.manifest",
    "Market": "client.market",
    "MarketClock": "hosted.clock",
    "Message": "messages.message",
    "MissingLibraryError": "errors",
    "Notice": "notices",
    "Numbers": "archive.tables",
    "OrderBook": "feed.order_book",
    "QueueCounters": "feed.queue",
    "QueueOverflow": "errors",
    "RateLimitError": "errors",
    "Recording": "archive.recording",
    "RecordingError": "errors",
    "ReplayMarket": "hosted.market",
    "RequestError": "errors",
    "RetrySettings": "feed.settings",
    "SimulatedMarket": "hosted.market",
    "SnapshotLimit": "messages.book",
    "StalenessSettings": "feed.settings",
    "StreamName": "messages.message",
    "Subscription": "client.subscription",
    "TableName": "archive.tables",
    "TickerplantError": "errors",
    "UpstreamError": "errors",
    "VenueName": "venue",
    "WeightBudget": "feed.weight",
    "WhenFull": "feed.queue",
    "blocking": "",
    "connect": "client.market",
    "merge": "client.merging",
    "messages": "",
    "notices": "",
    "open_recording": "archive.recording",
    "replay": "hosted.market",
    "simulate": "hosted.market",
    "testing": "",
}
"""The module of each public name; empty for a subpackage.

Imports are lazy, so that the command line starts fast.
"""


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            from tickerplant.suggestions import suggestion  # noqa: PLC0415  # rarely needed

            hint = suggestion(name, __all__)
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
        if not home:
            return import_module(f"{__name__}.{name}")
        return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
