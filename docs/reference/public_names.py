"""The public names of the package, and the section of the Python pages in which each stands."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, get_origin

import tickerplant
from tickerplant import blocking, messages, notices, testing
from tickerplant.documented_fields import field_docs, first_paragraph

SECTIONS = {
    "client": "Client",
    "books": "Order books",
    "fetching": "Fetching",
    "blocking": "Blocking client",
    "recordings": "Recordings",
    "messages": "Messages",
    "notices": "Notices",
    "settings": "Settings and counters",
    "exceptions": "Exceptions",
    "testing": "Testing",
}
"""The sections of the Python pages: the name of a page and its heading."""

_FIRST = {
    "client": "connect Market Subscription WhenFull Listener merge replay simulate ReplayMarket "
    "SimulatedMarket MarketClock ClockState Instant VenueName",
    "books": "Books OrderBook BookState Level BookSnapshot AuditResult BookSpeed SnapshotLimit",
    "fetching": "FundingRate Instrument",
    "blocking": "connect Market Subscription",
    "recordings": "open_recording Recording TableName Numbers Manifest Damage",
    "messages": "Message StreamName",
    "notices": "Notice",
    "settings": "ClientSettings ConnectionSettings RetrySettings StalenessSettings FeedCounters "
    "QueueCounters WeightBudget",
    "exceptions": "TickerplantError ConfigError MissingLibraryError QueueOverflow RateLimitError "
    "RecordingError RequestError UpstreamError",
    "testing": "exchange Exchange Truth Fault Scenario Lever ExchangeTestCase",
}
"""The names of a section, or those that stand first in it."""
_MODULES = {"blocking": blocking, "messages": messages, "notices": notices, "testing": testing}
"""The sections that have all other names of a module, too."""
_HOMES = {**tickerplant._HOME, "ContractType": "messages.kline", "Interval": "messages.kline"}  # noqa: SLF001  # the package's own table
"""The modules of aliases, whose values do not know them."""


class Name(NamedTuple):
    """A public name."""

    name: str
    module: ModuleType

    @property
    def path(self) -> str:
        """The name as a program writes it: `tickerplant.connect`."""
        return f"{self.module.__name__}.{self.name}"

    @property
    def doc(self) -> str:
        """What it is, in a sentence.

        Raises:
            KeyError: there is no sentence under an alias.
        """
        value: Any = getattr(self.module, self.name)
        if callable(value) and get_origin(value) is None:
            return first_paragraph(value)
        home = import_module(f"{tickerplant.__name__}.{_HOMES[self.name]}")
        return field_docs(home)[self.name]


def names_in(section: str) -> list[Name]:
    """Return the names of a section, in the order in which they stand there."""
    module = _MODULES.get(section, tickerplant)
    names = dict.fromkeys(_FIRST[section].split())
    if section in _MODULES:
        elsewhere = {*_FIRST["fetching"].split(), *notices.__all__} if module is messages else set()
        names |= dict.fromkeys(name for name in module.__all__ if name not in elsewhere)
    return [_named(name, module) for name in names]


def _named(name: str, module: ModuleType) -> Name:
    """Return a name from the shortest path: that of the package, if it is there."""
    places = (module,) if module is blocking else (tickerplant, module, messages)
    return Name(name, next(it for it in places if name in it.__all__))
