"""The public names of the package, and the section of the Python pages in which each stands."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any, get_origin

from msgspec import Struct

import tickerplant
from tickerplant import blocking, messages, notices, testing
from tickerplant.documented_fields import field_docs, first_paragraph

PACKAGE = f"{tickerplant.__name__}."
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

_SECTION_OF = {
    "": "client",
    "archive": "recordings",
    "blocking": "blocking",
    "client.books": "books",
    "errors": "exceptions",
    "feed": "settings",
    "feed.audit": "books",
    "feed.order_book": "books",
    "feed.queue.WhenFull": "client",
    "messages": "messages",
    "messages.book.BookSpeed": "books",
    "messages.book.SnapshotLimit": "books",
    "messages.rest": "fetching",
    "notices": "notices",
    "recording": "recordings",
    "recording.timestamps": "client",
    "testing": "testing",
}
"""The section of what is defined in a module; the longest name that fits counts."""

_FIRST = (
    *("connect", "Market", "Subscription", "WhenFull", "Listener", "merge", "replay", "simulate"),
    *("ReplayMarket", "SimulatedMarket", "MarketClock", "ClockState", "Books", "OrderBook"),
    *("BookState", "Level", "BookSnapshot", "open_recording", "Recording", "ClientSettings"),
    *("ConnectionSettings", "RetrySettings", "StalenessSettings", "TickerplantError"),
    *("Message", "StreamName", "Notice"),
    *("exchange", "Exchange", "Truth", "Fault", "Scenario", "Lever", "ExchangeTestCase"),
)
"""What stands first in its section; the others follow by name."""


class Name(Struct, frozen=True):
    """A public name."""

    name: str
    path: str
    """As a program writes it: `tickerplant.connect`."""
    value: Any
    module: str
    """Where it is defined, without the name of the package."""

    @property
    def section(self) -> str:
        """The section that describes it."""
        parts = [*filter(None, self.module.split(".")), self.name]
        fitting = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
        return next(_SECTION_OF[each] for each in fitting if each in _SECTION_OF)

    @property
    def doc(self) -> str:
        """What it is, in a sentence.

        Raises:
            KeyError: there is no sentence under an alias.
        """
        if not callable(self.value) or get_origin(self.value) is not None:
            return field_docs(import_module(f"{PACKAGE}{self.module}"))[self.name]
        return first_paragraph(self.value)


def public_names() -> list[Name]:
    """Return the names of the package and of its public modules, each once."""
    found: dict[str, Name] = {}
    for module in (tickerplant, notices, messages, testing, blocking):
        for name in module.__all__:
            value = getattr(module, name)
            if (name in found and module is not blocking) or inspect.ismodule(value):
                continue
            if name != "__version__":
                key = f"blocking.{name}" if module is blocking else name
                path = f"{module.__name__}.{name}"
                found[key] = Name(name, path, value, _defined_in(module, name))
    return list(found.values())


def names_in(section: str) -> list[Name]:
    """Return the names of a section, in the order in which they stand there."""
    order = {name: number for number, name in enumerate(_FIRST)}
    names = [each for each in public_names() if each.section == section]
    return sorted(names, key=lambda each: (order.get(each.name, len(order)), each.name))


def _defined_in(module: ModuleType, name: str) -> str:
    """Return the module of a name that another one exports."""
    value = getattr(module, name)
    if module is blocking:
        return "blocking"
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__module__.removeprefix(PACKAGE)
    homes = getattr(module, "_HOME", {})
    if name in homes:
        return str(homes[name])
    return next(
        each for each in _modules_of(module) if name in field_docs(each)
    ).__name__.removeprefix(PACKAGE)


def _modules_of(package: ModuleType) -> list[ModuleType]:
    """Return the modules of the classes that a package exports."""
    values = (getattr(package, name) for name in package.__all__)
    modules = sorted({each.__module__ for each in values if inspect.isclass(each)})
    return [import_module(name) for name in modules]
