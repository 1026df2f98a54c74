"""Writes the pages of the Python API from the public names of the package.

The names are those in `__all__` of the package and of its public modules.  The module in which one is
defined decides its page, see `_PAGE_OF`.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import (
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_overloads,
    get_type_hints,
)

from msgspec import Struct, structs
from page_text import (
    SECTION,
    Cells,
    anchor,
    inherited_field_docs,
    one_line,
    page,
    sentences,
    table,
)

import tickerplant
from tickerplant import blocking, messages, notices, testing
from tickerplant.documented_fields import field_docs, first_paragraph
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.testing import plugin

NAMES = "python.md"
CLIENT = "python-client.md"
BOOKS = "python-books.md"
FETCH = "python-fetch.md"
BLOCKING = "python-blocking.md"
RECORDINGS = "python-recordings.md"
MESSAGES = "python-messages.md"
NOTICES = "python-notices.md"
SETTINGS = "python-settings.md"
EXCEPTIONS = "python-exceptions.md"
TESTING = "python-testing.md"

_PAGE_OF = {
    "": CLIENT,
    "archive": RECORDINGS,
    "client.books": BOOKS,
    "errors": EXCEPTIONS,
    "feed": SETTINGS,
    "feed.audit": BOOKS,
    "feed.order_book": BOOKS,
    "feed.queue.WhenFull": CLIENT,
    "messages": MESSAGES,
    "messages.book.BookSpeed": BOOKS,
    "messages.book.SnapshotLimit": BOOKS,
    "messages.rest": FETCH,
    "notices": NOTICES,
    "recording": RECORDINGS,
    "recording.timestamps": CLIENT,
    "testing": TESTING,
}
"""The page of what is defined in a module; the longest name that fits counts."""

_READING_ORDER = (
    *("connect", "Market", "Subscription", "WhenFull", "Listener", "merge", "replay", "simulate"),
    *("ReplayMarket", "SimulatedMarket", "MarketClock", "ClockState", "Books", "OrderBook"),
    *("BookState", "Level", "BookSnapshot", "open_recording", "Recording", "ClientSettings"),
    *("ConnectionSettings", "RetrySettings", "StalenessSettings", "TickerplantError"),
    *("Message", "StreamName", "Notice"),
    *("exchange", "Exchange", "Truth", "Fault", "Scenario", "Lever", "ExchangeTestCase"),
)
"""What stands first on its page; the others follow by name."""

_CONSTRUCTED = {"BookSnapshot", "WeightBudget"}
"""Classes that a program makes objects of itself; their constructor is shown, not their members."""

_VARIABLES = {"MarketClock": "market.clock"}
"""What an object is called in examples, if not by the last word of its class."""

SEEN_BY_THE_MARKET = {
    *("is_done", "take_failure"),
    *("is_over", "read_queued", "begin_waiting", "end_waiting", "wait_until_ready"),
    *("let_through", "thread", "inner"),
    "fetch_queued",
}
"""Members that a class has for the market that made it, or for `merge`."""

_MODULES = {
    "blocking": (blocking, BLOCKING),
    "messages": (messages, MESSAGES),
    "notices": (notices, NOTICES),
    "testing": (testing, TESTING),
}
_VERSION = "__version__"
_PACKAGE = f"{tickerplant.__name__}."
_QUALIFIED = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])")
_QUOTED = re.compile(r"""(: |-> )(["'])(.*?)\2""")
"""An annotation; a default keeps its quotation marks."""
_ENUM_MEMBER = re.compile(r"<(\w+\.\w+): [^>]*>")
_VALUES = re.compile(r"^`(\w+)` +(.+)$", re.MULTILINE)
"""A value and its meaning, in the docstring of a module."""
_ATTRIBUTE = re.compile(r"^ +self\.([a-z]\w*) = ", re.MULTILINE)
_REFERS = "; see `"
SIGNATURE_COLUMNS = 80

_Function: TypeAlias = Callable[..., object]


class Name(Struct, frozen=True):
    """A public name."""

    name: str
    value: Any
    module: str
    """Where it is defined, without the name of the package."""

    @property
    def page(self) -> str:
        """The page that describes it."""
        parts = [*filter(None, self.module.split(".")), self.name]
        fitting = (".".join(parts[:count]) for count in range(len(parts), -1, -1))
        return next(_PAGE_OF[each] for each in fitting if each in _PAGE_OF)

    @property
    def heading(self) -> str:
        """The name in its heading; `testing.exchange`, because there is an `Exchange`, too."""
        is_function = inspect.isfunction(self.value)
        return f"testing.{self.name}" if is_function and self.page == TESTING else self.name

    @property
    def link(self) -> str:
        """The name, as a link to its heading."""
        return _link(self.name, self.page, self.heading)

    @property
    def is_alias(self) -> bool:
        """Whether it is a name of a type that is no class."""
        return not callable(self.value) or get_origin(self.value) is not None

    @property
    def doc(self) -> str:
        """What it is, in a sentence.

        Raises:
            KeyError: there is no sentence under an alias.
        """
        if self.is_alias:
            return field_docs(import_module(f"{_PACKAGE}{self.module}"))[self.name]
        return first_paragraph(self.value)


def public_names() -> list[Name]:
    """Return the names of the package and of its public modules but `blocking`, each once."""
    homes = {
        name: tickerplant._HOME[name]  # noqa: SLF001  # the table of the package itself
        for name in tickerplant.__all__
        if name not in _MODULES and name != _VERSION
    }
    found = [Name(name, getattr(tickerplant, name), home) for name, home in homes.items()]
    typed = {name: module for module in (messages, notices, testing) for name in module.__all__}
    return found + [
        Name(name, getattr(module, name), _defined_in(module, name))
        for name, module in sorted(typed.items())
        if name not in homes
    ]


def _defined_in(module: ModuleType, name: str) -> str:
    """Return the module of a name that another one exports."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__module__.removeprefix(_PACKAGE)
    found = (each for each in _modules_of(module) if name in field_docs(each))
    return next(found).__name__.removeprefix(_PACKAGE)


def _modules_of(package: ModuleType) -> list[ModuleType]:
    """Return the modules of the classes that a package exports."""
    values = (getattr(package, name) for name in package.__all__)
    return [
        import_module(name)
        for name in sorted({each.__module__ for each in values if inspect.isclass(each)})
    ]


def _link(text: str, to: str, heading: str) -> str:
    return f"[`{text}`]({to}#{anchor(heading)})"


def _names_on(where: str) -> list[Name]:
    """Return the names of a page, in the order in which they stand there."""
    order = {name: number for number, name in enumerate(_READING_ORDER)}
    names = [each for each in public_names() if each.page == where]
    return sorted(names, key=lambda each: (order.get(each.name, len(order)), each.name))


def _sections(where: str) -> Iterator[str]:
    for name in _names_on(where):
        yield f"## `{name.heading}`"
        yield from _about(name)


def _about(name: Name) -> Iterator[str]:
    """Yield what stands under the heading of a name."""
    value = name.value
    if name.is_alias:
        yield from _alias(name)
    elif not inspect.isclass(value) or name.name in _CONSTRUCTED:
        yield from _callable(f"tickerplant.{name.heading}", value)
    elif issubclass(value, Exception):
        yield from _exception(value)
    elif issubclass(value, Struct):
        yield from _struct(value)
    elif issubclass(value, Enum):
        docs = field_docs(value)
        yield sentences(value)
        yield table(("value", "meaning"), ((f"`{each.value}`", docs[each.name]) for each in value))
    elif issubclass(value, tuple):
        fields = get_type_hints(value).items()
        yield sentences(value)
        yield table(
            ("field", "type"), ((f"`{it}`", f"`{_type_text(kind)}`") for it, kind in fields)
        )
    else:
        yield _prose(inspect.getdoc(value) or "")
        yield from _members(value, name.page)


def _alias(name: Name) -> Iterator[str]:
    yield name.doc
    values = get_args(name.value)
    if get_origin(name.value) is not Literal:
        yield f"```text\n{' | '.join(map(_type_text, values))}\n```"
        return
    module = import_module(f"{_PACKAGE}{name.module}")
    meanings = dict(_VALUES.findall(module.__doc__ or ""))
    if meanings.keys() >= {*values}:
        yield table(("value", "what happens"), ((f"`{each}`", meanings[each]) for each in values))
    else:
        yield f"One of {', '.join(f'`{each}`' for each in values)}."


def _exception(kind: type[Exception]) -> Iterator[str]:
    yield _prose(inspect.getdoc(kind) or "")
    bases = ", ".join(f"`{each.__name__}`" for each in kind.__bases__)
    yield f"A subclass of {bases}."
    own = [each for each in kind.__mro__ if each.__module__ == kind.__module__]
    made = [inspect.getsource(each) for each in reversed(own) if "__init__" in vars(each)]
    attributes = dict.fromkeys(name for text in made for name in _ATTRIBUTE.findall(text))
    if attributes:
        yield f"Attributes: {', '.join(f'`{name}`' for name in attributes)}."


def _struct(kind: type[Struct]) -> Iterator[str]:
    yield _prose(inspect.getdoc(kind) or "")
    if kind.__module__.startswith(f"{messages.__name__}."):
        yield table(("field", "key", "type", "meaning"), _field_rows(kind, Message))
    elif issubclass(kind, Notice):
        yield table(("field", "type", "meaning"), _field_rows(kind, Notice))
    elif kind.__name__.endswith("Settings"):
        docs = field_docs(kind)
        rows = (
            (f"`{each.name}`", _default(each), docs[each.name]) for each in structs.fields(kind)
        )
        yield table(("setting", "default", "meaning"), rows)
    else:
        yield table(("field", "type", "meaning"), _field_rows(kind, Struct))
    properties = [
        (f"`{name}`", first_paragraph(value))
        for base in kind.__mro__
        if base not in {Message, Struct, object}
        for name, value in vars(base).items()
        if isinstance(value, property) and not name.startswith("_")
    ]
    if properties:
        yield table(("property", "meaning"), properties)
    if make_name := getattr(kind, "of", None):
        yield f"### `{kind.__name__}.of`"
        yield from _callable(f"{kind.__name__}.of", make_name)


def _default(field: structs.FieldInfo) -> str:
    """Return the default of a setting; that of a group is the class with the defaults of its own."""
    value = field.default
    if isinstance(field.type, type) and issubclass(field.type, Struct):
        return f"`{field.type.__name__}()`"
    return f"`{value}`"


def _field_rows(kind: type[Struct], base: type) -> Iterator[Cells]:
    """Yield the fields that a class has of its own; with the keys of messages."""
    docs = inherited_field_docs(kind)
    is_common = kind is base or base is Struct
    common = () if is_common else {field.name for field in structs.fields(base)}
    for field in structs.fields(kind):
        if field.name in common:
            continue
        key = (f"`{field.encode_name}`",) if base is Message else ()
        yield f"`{field.name}`", *key, f"`{_type_text(field.type)}`", docs.get(field.name, "")


def _type_text(kind: object) -> str:
    if isinstance(kind, TypeVar):
        return " | ".join(map(_type_text, kind.__constraints__))
    is_plain = type(kind) is type or type(kind) is type(Struct)
    return getattr(kind, "__name__", "") if is_plain else _plain(str(kind))


def _choices() -> Iterator[Cells]:
    """Yield the `Literal`s that name parts of streams."""
    for module in _modules_of(messages):
        for alias, doc in field_docs(module).items():
            values = getattr(module, alias)
            if get_origin(values) is Literal:
                yield f"`{alias}`", ", ".join(f"`{each}`" for each in get_args(values)), doc


def _callable(name: str, called: _Function) -> Iterator[str]:
    """Yield the signature of a function or class, what it does, and what it is given."""
    function: _Function = vars(called)["__init__"] if inspect.isclass(called) else called
    yield f"```text\n{_awaited(function)}{name}{_signature(function)}\n```"
    if special := list(_overloads(name, function)):
        yield "For a type checker:"
        yield "\n".join(("```text", *special, "```"))
    yield _prose(inspect.getdoc(called) or "")
    sections: dict[str, str] = {}
    for documented in {called: None, function: None}:
        parts = SECTION.split(inspect.getdoc(documented) or "")
        sections |= dict(zip(parts[1::2], parts[2::2], strict=True))
    if "Args" in sections:
        yield table(("argument", "meaning"), _items(sections["Args"]))
    if "Raises" in sections:
        yield table(("raises", "when"), _items(sections["Raises"]))


def _parameters(function: _Function) -> list[inspect.Parameter]:
    shown = inspect.signature(function).parameters.values()
    return [each for each in shown if each.name not in {"self", "cls"}]


def _signature(function: _Function, columns: int = SIGNATURE_COLUMNS) -> str:
    """Return the signature of a function, in several lines if it is long."""
    signature = inspect.signature(function)
    shown = _parameters(function)
    text = _plain(str(signature.replace(parameters=shown)))
    if len(text) <= columns:
        return text
    parts = [_plain(str(each)) for each in shown]
    keywords = [number for number, each in enumerate(shown) if each.kind is each.KEYWORD_ONLY]
    if "(*, " in text or ", *, " in text:
        parts.insert(keywords[0], "*")
    arguments = "".join(f"    {part},\n" for part in parts)
    return f"(\n{arguments}){text.rpartition(')')[2]}"


def _overloads(name: str, function: _Function) -> Iterator[str]:
    """Yield one line for each overload, with the arguments in which they differ."""
    found = get_overloads(getattr(function, "__func__", function))
    overloads = [getattr(each, "__func__", each) for each in found]
    kinds: dict[str, set[str]] = {}
    for each in overloads:
        for parameter in _parameters(each):
            kinds.setdefault(parameter.name, set()).add(str(parameter.annotation))
    for each in overloads:
        shown = [it for it in _parameters(each) if len(kinds[it.name]) > 1]
        parts = [_plain(str(it)).replace(" = Ellipsis", " = …") for it in shown]
        parts += ["…"] * (len(shown) < len(kinds))
        result = _plain(f"-> {inspect.signature(each).return_annotation}")
        yield f"{name}({', '.join(parts)}) {result}"


def _plain(text: str) -> str:
    """Return a part of a signature without modules, and annotations without quotation marks."""
    text = _ENUM_MEMBER.sub(r"\1", text)
    return _QUALIFIED.sub("", _QUOTED.sub(r"\1\3", text))


def _items(section: str) -> Iterator[Cells]:
    """Yield names and sentences of a section of a docstring."""
    for item in re.split(r"\n(?=\S)", textwrap.dedent(section).strip()):
        name, _, text = item.partition(":")
        if not name.strip().lstrip("*").isidentifier():
            raise ValueError(f"{name!r} is no name: text in or behind a section of a docstring")
        yield f"`{name.strip().lstrip('*')}`", one_line(text)


def _prose(doc: str) -> str:
    """Return a docstring without its sections; what is indented is a program."""
    parts = []
    for paragraph in SECTION.split(doc)[0].strip().split("\n\n"):
        if paragraph.startswith("    "):
            parts.append(f"```text\n{textwrap.dedent(paragraph)}\n```")
        else:
            parts.append(one_line(paragraph))
    return "\n\n".join(parts)


def _variable(kind: type) -> str:
    last_word = re.sub(r".*(?=[A-Z])", "", kind.__name__).lower()
    return _VARIABLES.get(kind.__name__, last_word)


def _own(kind: type) -> dict[str, Any]:
    """Return the public members of a class, and those of its bases that have no heading."""
    public = {each.value for each in public_names() if inspect.isclass(each.value)}
    public |= {getattr(blocking, name) for name in blocking.__all__}
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        is_ours = base.__module__.startswith(_PACKAGE)
        if base is kind or (is_ours and base not in public):
            found = dict(vars(base)) | found
    kept = found.keys() - SEEN_BY_THE_MARKET
    return {
        name: value for name, value in found.items() if name in kept and not name.startswith("_")
    }


def _methods(kind: type) -> dict[str, _Function]:
    return {name: each for name, each in _own(kind).items() if inspect.isfunction(each)}


def _page_of_method(name: str, where: str) -> str:
    """Return the page of a method: requests of a market have one of their own."""
    is_request = where == CLIENT and (name == "ask" or name.startswith("fetch_"))
    return FETCH if is_request else where


def _members(kind: type, where: str) -> Iterator[str]:
    """Yield what is public of a class: its properties and methods in tables, then each method."""
    variable = _variable(kind)
    properties = {name: each for name, each in _own(kind).items() if isinstance(each, property)}
    if properties:
        rows = ((f"`{variable}.{name}`", first_paragraph(it)) for name, it in properties.items())
        yield table(("property", "meaning"), rows)
    methods = _methods(kind)
    if methods:
        yield table(
            ("method", "what it does"),
            (
                (
                    _link(f"{variable}.{name}", _page_of_method(name, where), f"{variable}.{name}"),
                    first_paragraph(method),
                )
                for name, method in methods.items()
            ),
        )
    for name, method in methods.items():
        if _page_of_method(name, where) == where:
            yield f"### `{variable}.{name}`"
            yield from _callable(f"{variable}.{name}", method)


def _sides() -> Iterator[tuple[str, str, _Function, _Function]]:
    """Yield each function and method that both sides have: heading, page, and the two."""
    pages = {each.name: each.page for each in public_names()}
    for name in sorted(blocking.__all__, key=_READING_ORDER.index):
        ours, theirs = getattr(tickerplant, name), getattr(blocking, name)
        if not inspect.isclass(ours):
            yield name, pages[name], ours, theirs
            continue
        for method, function in _methods(ours).items():
            heading = f"{_variable(ours)}.{method}"
            yield heading, _page_of_method(method, pages[name]), function, _methods(theirs)[method]


def _both_sides() -> Iterator[Cells]:
    for heading, where, ours, theirs in _sides():
        calls = (
            f"`{_awaited(each)}{heading}{_signature(each, sys.maxsize)}`" for each in (ours, theirs)
        )
        yield _link(heading, where, heading), *calls


def _awaited(function: _Function) -> str:
    return "await " if inspect.iscoroutinefunction(function) else ""


def _different() -> Iterator[str]:
    """Yield the sections of the blocking names, with the methods that are not as on the other side."""
    sides = list(_sides())
    for name in sorted(blocking.__all__, key=_READING_ORDER.index):
        value = getattr(blocking, name)
        yield f"## `blocking.{name}`"
        if not inspect.isclass(value):
            yield from _callable(f"blocking.{name}", value)
            continue
        yield _prose(inspect.getdoc(value) or "")
        methods = _methods(value).values()
        for heading, _, ours, theirs in sides:
            if theirs in methods and _differ(ours, theirs):
                yield f"### `blocking {heading}`"
                yield from _callable(heading, theirs)


def _differ(ours: _Function, theirs: _Function) -> bool:
    """Whether a blocking method has other arguments, or a description of its own."""
    own, other = ({it.name for it in _parameters(each)} for each in (theirs, ours))
    described = first_paragraph(theirs)
    return own != other or (described != first_paragraph(ours) and _REFERS not in described)


def names_page() -> str:
    """Return the page of all public names."""
    names = {each.name: each for each in public_names()}

    def row(name: str) -> Cells:
        if name == _VERSION:
            return _link(name, NAMES, name), "The version of the package."
        if name in _MODULES:
            module, where = _MODULES[name]
            return f"[`{name}`]({where})", first_paragraph(module)
        return names[name].link, names[name].doc

    return page(
        "All Python names",
        "What `import tickerplant` has; [Write a client](../tutorial/write-a-client.md) shows how it "
        "is used.",
        "Nothing else of the package is meant to be imported.\n"
        "Prices and quantities are the text that the exchange printed; "
        "times are milliseconds since the epoch.\n"
        "All of it is typed: [type checking](type-checking.md) says what checkers find.",
        "## `tickerplant`",
        table(("name", "meaning"), map(row, tickerplant.__all__)),
        "## `tickerplant.blocking`",
        table(
            ("name", "meaning"),
            (
                (
                    _link(name, BLOCKING, f"blocking.{name}"),
                    first_paragraph(getattr(blocking, name)),
                )
                for name in blocking.__all__
            ),
        ),
        "## `tickerplant.messages`",
        "The notices can be imported from here, too.",
        table(
            ("name", "meaning"), (row(it) for it in messages.__all__ if it not in notices.__all__)
        ),
        "## `tickerplant.notices`",
        table(("name", "meaning"), map(row, notices.__all__)),
        "## `tickerplant.testing`",
        table(("name", "meaning"), map(row, testing.__all__)),
        "## `__version__`",
        "The version of the package, such as `0.1.0`.",
        see_also="[Write a client](../tutorial/write-a-client.md), "
        "[Never blind](../explanation/never-blind.md), [Type checking](type-checking.md).",
    )


def client_page() -> str:
    """Return the page of connecting, subscribing and playing."""
    return page(
        "Client",
        "Markets and their streams: of the exchange, of a recording or of a simulation.",
        *_sections(CLIENT),
        see_also="[Write a client](../tutorial/write-a-client.md), "
        "[Replay](../how-to/replay.md), "
        "[Order books](python-books.md), [Fetching](python-fetch.md), [All names](python.md).",
    )


def books_page() -> str:
    """Return the page of order books."""
    return page(
        "Order books",
        "Local order books, live and recorded; "
        "[`market.books`](python-client.md#marketbooks) makes live ones.",
        *_sections(BOOKS),
        see_also="[Keep a local order book](../tutorial/local-order-book.md), "
        "[Book synchronisation](../explanation/book-synchronisation.md), [All names](python.md).",
    )


def fetch_page() -> str:
    """Return the page of requests and their results."""
    market = tickerplant.Market
    requests = {
        name: method
        for name, method in _methods(market).items()
        if _page_of_method(name, CLIENT) == FETCH
    }
    parts: list[str] = []
    for name, method in requests.items():
        parts += [f"## `market.{name}`", *_callable(f"market.{name}", method)]
    return page(
        "Fetching",
        "Requests of a [market](python-client.md#market), and results that no stream has.\n"
        "Candles, trades and depth snapshots are the [messages](python-messages.md) of streams.",
        *parts,
        *_sections(FETCH),
        see_also="[Fetch history](../how-to/fetch-history.md), [Queries](queries.md), "
        "[All names](python.md).",
    )


def blocking_page() -> str:
    """Return the page of the synchronous client."""
    return page(
        "Blocking client",
        _prose(inspect.getdoc(blocking) or ""),
        "The names and arguments are those of the [client](python-client.md), without `await`.\n"
        "Under the names below are only the methods that differ in more than that.",
        *_different(),
        "## Both sides",
        table(("name", "asynchronous", "blocking"), _both_sides()),
        see_also="[Client](python-client.md), [Order books](python-books.md), "
        "[Fetching](python-fetch.md), [All names](python.md).",
    )


def recordings_page() -> str:
    """Return the page of recordings."""
    return page(
        "Recordings in Python",
        "Recorded messages, order books and tables.",
        *_sections(RECORDINGS),
        see_also="[Read a recording](../how-to/read-a-recording.md), "
        "[Tables](tables.md) with their columns, [The manifest](manifest.md), "
        "[All names](python.md).",
    )


def messages_page() -> str:
    """Return the page of messages."""
    return page(
        "Messages",
        "The classes of `tickerplant.messages`.\n"
        "The key is the one in the message of the exchange.\n"
        "Fields that only some versions of the protocol have are empty, `0` or `None` if missing.\n"
        "All messages have the fields of [`Message`](#message), and `symbol` and `event_time_ms`.",
        "The `of` methods return the names of their streams, and take these choices:",
        table(("choice", "values", "meaning"), _choices()),
        *_sections(MESSAGES),
        see_also="[Streams](streams.md) has the names; results of REST alone are in "
        "[Fetching](python-fetch.md); [All names](python.md).",
    )


def notices_page() -> str:
    """Return the page of notices."""
    return page(
        "Notices",
        _prose(inspect.getdoc(notices) or ""),
        "All have the fields of [`Notice`](#notice).",
        *_sections(NOTICES),
        see_also="[Never blind](../explanation/never-blind.md), [Endings](endings.md), "
        "[All names](python.md).",
    )


def settings_page() -> str:
    """Return the page of the settings and counters of a client."""
    return page(
        "Client settings and counters",
        "What `tickerplant.connect` takes as `settings` and `budget`, and what `market.counters` and "
        "`subscription.counters` return.",
        *_sections(SETTINGS),
        see_also="[Client](python-client.md), [Endings](endings.md), [All names](python.md).",
    )


def testing_page() -> str:
    """Return the page of the test kit."""
    arguments = ", ".join(f"`{name}`" for name in inspect.signature(testing.exchange).parameters)
    return page(
        "Testing",
        _prose(inspect.getdoc(testing) or ""),
        "## In pytest",
        "The plugin comes with the package; nothing has to be imported or configured.",
        table(
            ("fixture", "what it is"),
            (
                (f"`{name}`", first_paragraph(inspect.unwrap(getattr(plugin, name))))
                for name in sorted(plugin.FIXTURES)
            ),
        ),
        f"The marker `@pytest.mark.exchange(…)` takes the arguments of [`testing.exchange`]"
        f"(#testingexchange): {arguments}.\n"
        "It may stand at a test, a class or a module; what is nearer to the test counts more.\n"
        f"The option `--exchange-scope` and the setting `exchange_scope` are one of "
        f"{', '.join(f'`{each}`' for each in plugin.SCOPES)}.\n"
        "With `module` and `session`, tests share an exchange: faults, scenarios and levers of a test "
        "are removed at its end, market time stands still or runs as at the beginning, and the summary "
        "of the run says what a test left on.\n"
        "The report of a test that failed has a section with addresses, market time, what was on, the "
        "connections and the log of its exchange.",
        *_sections(TESTING),
        see_also="[Test a bot](../tutorial/test-a-bot.md), "
        "[Test your client](../how-to/test-your-client.md), [Faults](faults.md), "
        "[Operations](operations.md), [All names](python.md).",
    )


def exceptions_page() -> str:
    """Return the page of exceptions."""
    return page(
        "Exceptions",
        "The exceptions of the package.",
        *_sections(EXCEPTIONS),
        see_also="[Errors](errors.md) of the server, by their codes; [All names](python.md).",
    )


PAGES: dict[str, Callable[[], str]] = {
    NAMES: names_page,
    CLIENT: client_page,
    BOOKS: books_page,
    FETCH: fetch_page,
    BLOCKING: blocking_page,
    RECORDINGS: recordings_page,
    MESSAGES: messages_page,
    NOTICES: notices_page,
    SETTINGS: settings_page,
    EXCEPTIONS: exceptions_page,
    TESTING: testing_page,
}
