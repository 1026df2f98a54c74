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
    from tickerplant import blocking as blocking
    from tickerplant import messages as messages
    from tickerplant import notices as notices
    from tickerplant import testing as testing
    from tickerplant.archive.recording import Recording as Recording
    from tickerplant.archive.recording import open_recording as open_recording
    from tickerplant.archive.tables import Numbers as Numbers
    from tickerplant.archive.tables import TableName as TableName
    from tickerplant.client.books import Books as Books
    from tickerplant.client.market import Market as Market
    from tickerplant.client.market import connect as connect
    from tickerplant.client.merging import merge as merge
    from tickerplant.client.subscription import Listener as Listener
    from tickerplant.client.subscription import Subscription as Subscription
    from tickerplant.errors import ConfigError as ConfigError
    from tickerplant.errors import MissingLibraryError as MissingLibraryError
    from tickerplant.errors import QueueOverflow as QueueOverflow
    from tickerplant.errors import RateLimitError as RateLimitError
    from tickerplant.errors import RecordingError as RecordingError
    from tickerplant.errors import RequestError as RequestError
    from tickerplant.errors import TickerplantError as TickerplantError
    from tickerplant.errors import UpstreamError as UpstreamError
    from tickerplant.feed.audit import AuditResult as AuditResult
    from tickerplant.feed.feed import FeedCounters as FeedCounters
    from tickerplant.feed.order_book import BookSnapshot as BookSnapshot
    from tickerplant.feed.order_book import BookState as BookState
    from tickerplant.feed.order_book import Level as Level
    from tickerplant.feed.order_book import OrderBook as OrderBook
    from tickerplant.feed.queue import QueueCounters as QueueCounters
    from tickerplant.feed.queue import WhenFull as WhenFull
    from tickerplant.feed.settings import ClientSettings as ClientSettings
    from tickerplant.feed.settings import ConnectionSettings as ConnectionSettings
    from tickerplant.feed.settings import RetrySettings as RetrySettings
    from tickerplant.feed.settings import StalenessSettings as StalenessSettings
    from tickerplant.feed.weight import WeightBudget as WeightBudget
    from tickerplant.hosted.clock import ClockState as ClockState
    from tickerplant.hosted.clock import MarketClock as MarketClock
    from tickerplant.hosted.market import ReplayMarket as ReplayMarket
    from tickerplant.hosted.market import SimulatedMarket as SimulatedMarket
    from tickerplant.hosted.market import replay as replay
    from tickerplant.hosted.market import simulate as simulate
    from tickerplant.messages.book import BookSpeed as BookSpeed
    from tickerplant.messages.book import SnapshotLimit as SnapshotLimit
    from tickerplant.messages.message import Message as Message
    from tickerplant.messages.message import StreamName as StreamName
    from tickerplant.notices import Notice as Notice
    from tickerplant.recording.line import Damage as Damage
    from tickerplant.recording.manifest import Manifest as Manifest
    from tickerplant.recording.timestamps import Instant as Instant
    from tickerplant.venue import VenueName as VenueName

__version__ = "0.1.0"

_NAMES = {
    "": ("blocking", "messages", "notices", "testing"),
    "archive.recording": ("Recording", "open_recording"),
    "archive.tables": ("Numbers", "TableName"),
    "client.books": ("Books",),
    "client.market": ("Market", "connect"),
    "client.merging": ("merge",),
    "client.subscription": ("Listener", "Subscription"),
    "errors": (
        "ConfigError",
        "MissingLibraryError",
        "QueueOverflow",
        "RateLimitError",
        "RecordingError",
        "RequestError",
        "TickerplantError",
        "UpstreamError",
    ),
    "feed.audit": ("AuditResult",),
    "feed.feed": ("FeedCounters",),
    "feed.order_book": ("BookSnapshot", "BookState", "Level", "OrderBook"),
    "feed.queue": ("QueueCounters", "WhenFull"),
    "feed.settings": ("ClientSettings", "ConnectionSettings", "RetrySettings", "StalenessSettings"),
    "feed.weight": ("WeightBudget",),
    "hosted.clock": ("ClockState", "MarketClock"),
    "hosted.market": ("ReplayMarket", "SimulatedMarket", "replay", "simulate"),
    "messages.book": ("BookSpeed", "SnapshotLimit"),
    "messages.message": ("Message", "StreamName"),
    "notices": ("Notice",),
    "recording.line": ("Damage",),
    "recording.manifest": ("Manifest",),
    "recording.timestamps": ("Instant",),
    "venue": ("VenueName",),
}
"""The public names by module, which is imported when one of them is used; empty for subpackages."""
_HOME = {name: home for home, names in _NAMES.items() for name in names}
__all__ = sorted((*_HOME, "__version__"))  # noqa: PLE0605  # a list, made of the above


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


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
