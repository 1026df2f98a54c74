"""What the values of options and arguments may be, for completion: offline and without a market."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from click.shell_completion import CompletionItem

from tickerplant.archive.recording import open_recording
from tickerplant.archive.tables import TABLES
from tickerplant.client.rest import full_path
from tickerplant.config.name_lists import FILE_PREFIX, STANDARD_INPUT
from tickerplant.config.setting import settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.config.values import file_path, folder_path
from tickerplant.control.actions import ACTIONS
from tickerplant.errors import TickerplantError
from tickerplant.faults.rows import FAULT_ROWS
from tickerplant.profile import PROFILES
from tickerplant.protocol.limits import LIMIT_ROWS
from tickerplant.queries import QUERIES, find_method, find_path
from tickerplant.scenarios.library import library_names
from tickerplant.simulation.instruments import instruments
from tickerplant.simulation.levers import LEVER_ROWS
from tickerplant.stream_name import parse_stream_name
from tickerplant.streams import CATALOGUE, resolve
from tickerplant.streams.spelling import is_inverse
from tickerplant.units import NS_PER_MS
from tickerplant.venue import COINM, USDM, VENUES

Item = CompletionItem[str]

WORD, PREFIX, FILES, FOLDERS = "word", "prefix", "files", "folders"
"""Kinds of completions: a complete word, the beginning of one, and what the shell completes."""
MARKET_WIDE = "!"
"""Begins the names of streams that cover all symbols."""


def option_values(command: str, field: str, incomplete: str) -> list[Item]:
    """Return what may follow an option.

    Args:
        command: The command.
        field: The name of the setting, or `config`.
        incomplete: What is written of the value.
    """
    if field == "config":
        return [Item("", type=FILES)]
    setting = next(each for each in settings_of(COMMANDS[command]) if each.field == field)
    if setting.parse in {file_path, folder_path}:
        return [Item("", type=FILES if setting.parse is file_path else FOLDERS)]
    if setting.is_repeatable:
        return _in_list(setting.option, incomplete)
    return _matching(setting.choices or _profiles(setting.option, command), incomplete)


def stream_names(incomplete: str, *, with_methods: bool = False) -> list[Item]:
    """Return streams that begin with `incomplete`: first the symbols, then their streams.

    Args:
        incomplete: What is written of a stream, of `@FILE` or of `-`.
        with_methods: Whether methods of the WebSocket API may be written as well.
    """
    if incomplete.startswith(FILE_PREFIX):
        return list(_files_of_names(incomplete))
    if incomplete.startswith(MARKET_WIDE):
        return _matching(_market_wide(), incomplete)
    symbol, at, _ = incomplete.partition("@")
    if at:
        return _matching(_streams_of(symbol), incomplete)
    found = [
        Item(f"{name.lower()}@", type=PREFIX)
        for name in _symbols()
        if name.lower().startswith(symbol.lower())
    ]
    if not incomplete:
        found += [Item(name, type=WORD) for name in (*_market_wide(), STANDARD_INPUT)]
    if with_methods:
        found += _matching(_methods(), incomplete)
    return found


def methods_and_paths(incomplete: str) -> list[Item]:
    """Return the methods of the WebSocket API, and REST paths or their ends, that begin with `incomplete`."""
    paths = {row.path_on(venue) or "" for row in QUERIES for venue in row.venues} - {""}
    if incomplete.startswith("/"):
        return _matching(sorted(paths), incomplete)
    ends = {path.rpartition("/")[2] for path in paths}
    return _matching(sorted({*_methods(), *ends}), incomplete)


def control_actions(incomplete: str) -> list[Item]:
    """Return what `tickerplant control` can do that begins with `incomplete`."""
    return [
        Item(each.name, type=WORD, help=each.doc)
        for each in ACTIONS
        if each.name.startswith(incomplete)
    ]


def control_arguments(action: str, incomplete: str) -> list[Item]:
    """Return what may follow an action: kinds of faults, levers, scenarios, fields of the clock."""
    if action == "scenario":
        return scenarios(incomplete)
    docs: dict[str, str] = {}
    if action == "fault":
        docs = {row.name: row.doc for row in FAULT_ROWS}
    elif action == "lever":
        docs = {row.name: row.doc for row in LEVER_ROWS}
    elif action == "clock":
        docs = {"paused=true": "", "paused=false": "", "speed=": ""}
    return [
        Item(name, type=PREFIX if name.endswith("=") else WORD, help=doc)
        for name, doc in docs.items()
        if name.startswith(incomplete)
    ]


def recorded_symbols(path: str, incomplete: str) -> list[Item]:
    """Return the symbols that begin with `incomplete` of the recording at `path`, if a manifest lists them."""
    try:
        names = {parse_stream_name(each).symbol for each in open_recording(path).streams} - {""}
    except TickerplantError:
        names = set()
    return _matching(sorted(names) or _symbols(), incomplete.upper())


def scenarios(incomplete: str) -> list[Item]:
    """Return the scenarios of the library that begin with `incomplete`, and files."""
    return [*_matching(library_names(), incomplete), Item(incomplete, type=FILES)]


def parameters(name: str, incomplete: str) -> list[Item]:
    """Return the parameters of a request that begin with `incomplete`, and the values of symbols.

    Args:
        name: The method or the path of the request.
        incomplete: What is written of `KEY=VALUE`.
    """
    key, equals, value = incomplete.partition("=")
    if equals:
        values = _symbols() if key in {"symbol", "pair"} else ()
        return [Item(f"{key}={each.value}", type=WORD) for each in _matching(values, value)]
    found: dict[str, str] = {}
    for venue in VENUES:
        query = find_method(venue, name) or find_path(venue, full_path(name, venue))
        for param in query.params if query else ():
            found.setdefault(f"{param.name}=", param.doc)
    return [
        Item(each, type=PREFIX, help=doc) for each, doc in found.items() if each.startswith(key)
    ]


def _in_list(option: str, incomplete: str) -> list[Item]:
    """Return completions of the last part of a list that is separated by commas."""
    before, comma, last = incomplete.rpartition(",")
    if option in {"limit", "fault"}:
        found = [
            Item(f"{name}=", type=PREFIX, help=doc)
            for name, doc in _numbers_of(option)
            if name.startswith(last)
        ]
    elif last.startswith(FILE_PREFIX):
        found = list(_files_of_names(last))
    elif option in {"streams", "record-streams"}:
        found = [each for each in stream_names(last) if each.value != STANDARD_INPUT]
    else:
        found = _matching(_names_of(option), last)
        if option == "scenario":
            found.append(Item("", type=FILES))
    return [Item(f"{before}{comma}{each.value}", type=each.type, help=each.help) for each in found]


def _numbers_of(option: str) -> Iterator[tuple[str, str]]:
    rows = LIMIT_ROWS if option == "limit" else FAULT_ROWS
    yield from ((row.name, row.doc) for row in rows)


def _names_of(option: str) -> Iterable[str]:
    if option == "symbols":
        return _symbols()
    if option == "scenario":
        return library_names()
    names = tuple(table.name for table in TABLES)
    return names if option == "tables" else ("book_tickers", "mark_prices")


def _profiles(option: str, command: str) -> tuple[str, ...]:
    if option != "profile":
        return ()
    return (*PROFILES, "auto") if command in {"replay", "relay"} else tuple(PROFILES)


def _files_of_names(incomplete: str) -> Iterator[Item]:
    """Yield the files that `@FILE` may name."""
    written = incomplete.removeprefix(FILE_PREFIX)
    folder, slash, start = written.rpartition("/")
    place = Path(folder + slash).expanduser() if folder or slash else Path()
    try:
        found = sorted(place.iterdir())
    except OSError:
        return
    for path in found:
        if path.name.startswith(start) and (start or not path.name.startswith(".")):
            is_folder = path.is_dir()
            text = f"{FILE_PREFIX}{folder}{slash}{path.name}{'/' if is_folder else ''}"
            yield Item(text, type=PREFIX if is_folder else WORD)


def _symbols() -> list[str]:
    """Return the symbols of the simulated exchange."""
    return [each.symbol for each in instruments(time.time_ns() // NS_PER_MS)]


def _methods() -> list[str]:
    return sorted({row.method for row in QUERIES if row.method})


def _market_wide() -> list[str]:
    """Return the streams that cover all symbols."""
    return [name for name in _catalogue() if name.startswith(MARKET_WIDE)]


def _streams_of(symbol: str) -> list[str]:
    """Return the streams of a symbol or pair."""
    tails = {name.partition("@")[2] for name in _catalogue() if not name.startswith(MARKET_WIDE)}
    names = [f"{symbol.lower()}@{tail}" for tail in sorted(tails)]
    venue = COINM if is_inverse(symbol) else USDM
    return [name for name in names if resolve(venue, name)]


def _catalogue() -> Iterator[str]:
    """Yield each name of the catalogue, with a placeholder for parts that are not listed."""
    for stream in CATALOGUE:
        parts = stream.pattern.parts
        for chosen in product(*(choices or ("x",) for choices in parts.values())):
            yield stream.pattern.name(**dict(zip(parts, chosen, strict=True)))


def _matching(names: Iterable[str], incomplete: str) -> list[Item]:
    folded = incomplete.casefold()
    return [Item(name, type=WORD) for name in names if name.casefold().startswith(folded)]
