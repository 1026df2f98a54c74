"""How the values of settings are written: in an option, in a variable, in a file."""

from __future__ import annotations

import ipaddress
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec

from tickerplant.control.clock import parse_speed
from tickerplant.errors import ConfigError
from tickerplant.faults.rule import Rule, parse_rule
from tickerplant.feed.hosts import hosts_of
from tickerplant.formatting import count_text
from tickerplant.messages.book import SnapshotLimit
from tickerplant.profile import PROFILES
from tickerplant.protocol.credentials import EXPECTED_SECRET, fits_a_header
from tickerplant.recording.timestamps import EXPECTED_TIME, parse_time_ns, parse_time_spec
from tickerplant.regular_files import read_regular
from tickerplant.suggestions import one_of
from tickerplant.units import NS_PER_MS, UNIT_NS, parse_duration_ns, parse_whole
from tickerplant.venue import USDM, VENUES

LARGEST_WHOLE = (1 << 63) - 1
STEP = "step"
"""The speed of a clock that stands still until it makes a step."""
FILE_PREFIX = "@"
"""Marks the path of a file of names; no name of a stream or symbol begins with it."""
STANDARD_INPUT = "-"
COMMENT_PREFIX = "#"
MAX_FILE_BYTES = 1 << 24
LEAST_PX = 480, 400
"""The least width and height of a picture, in pixels."""
LARGEST_PX = 10_000
EXPECTED_DURATION = "a duration such as 90s, 15m, 2h or 1d"
_SEVERAL = "several separated by commas"
_OR_NONE = "; leave the setting out to have none"
_BUS_URL = "the URL of a NATS server such as nats://127.0.0.1:4222"
_BUS_PORT = 4222
_FAULTS = f"KIND=VALUE, followed by words KEY=VALUE; {_SEVERAL}, or tables"
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(B|KB|MB|GB)")
_UNIT_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_UNIT_MS = {unit: ns // NS_PER_MS for unit, ns in UNIT_NS.items()}
_EARLIEST_MS, _LATEST_MS = 1_262_304_000_000, 4_102_444_800_000
_PUBLIC_NAME = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*")
_PATH = re.compile(r"(?=.*\S)[^\0]+", re.DOTALL)
_PLANT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUS_PREFIX = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Kind(NamedTuple):
    """How a value is written."""

    metavar: str
    """What help texts call the value; empty for a flag."""
    read: Callable[[Any], Any]
    """Takes what the user wrote, a text or a value of TOML; raises ValueError, which says what was
    expected."""
    write: Callable[[Any], str] = str
    """How a default is shown."""
    choices: tuple[str, ...] = ()
    repeats: bool = False
    """Whether its option may be repeated, each time with a part of the value."""
    is_secret: bool = False
    """Whether no error may quote it."""
    is_number: bool = False
    """Whether it is a number without a unit, which a program gives as it is."""


def whole(least: int, most: int, metavar: str = "N") -> Kind:
    """Return the kind of whole numbers between two bounds."""
    expected = f"a whole number from {least:,} to {most:,}"
    return Kind(metavar, partial(_read_number, int, least, most, expected), is_number=True)


def number(least: float, most: float, *, has_zero: bool = True) -> Kind:
    """Return the kind of numbers between two bounds; the lower one is 0, and may be left out."""
    bounds = f"from {least:,} to" if has_zero else f"above {least:,} and up to"
    smallest = least if has_zero else sys.float_info.min
    read = partial(_read_number, float, smallest, most, f"a number {bounds} {most:,}")
    return Kind("NUMBER", read, is_number=True)


def _read_number(kind: type[float], least: float, most: float, expected: str, given: object) -> Any:
    try:
        found: float = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError:
        raise ValueError(expected) from None
    if not least <= found <= most:
        raise ValueError(expected)
    return found


def choice(*names: str) -> Kind:
    """Return the kind of a few words."""

    def read(given: object) -> str:
        if not isinstance(given, str) or given not in names:
            raise ValueError(one_of(str(given), names))
        return given

    return Kind("|".join(names), read, choices=names)


def _read_flag(given: object) -> bool:
    text = str(given).lower()
    if not isinstance(given, bool | str) or text not in {"true", "false", "1", "0"}:
        raise ValueError("true or false")
    return text in {"true", "1"}


def matching(metavar: str, pattern: re.Pattern[str], expected: str) -> Kind:
    """Return the kind of texts that match a pattern."""

    def read(given: object) -> str:
        if not isinstance(given, str) or not pattern.fullmatch(given):
            raise ValueError(expected)
        return given

    return Kind(metavar, read)


def _url(check: Callable[[str], object]) -> Kind:
    """Return the kind of URLs that pass a check."""

    def read(given: object) -> str:
        try:
            check(str(given))
        except ConfigError as error:
            raise ValueError(error.expected) from None
        return str(given)

    return Kind("URL", read)


def several(metavar: str, expected: str, read: Callable[[str], str]) -> Kind:
    """Return the kind of texts that are separated by commas, or in a list; each counts once.

    Args:
        metavar: What help texts call them.
        expected: What is expected of one.
        read: Returns one as it is to be; raises ValueError, perhaps with a reason.
    """

    def read_all(given: object) -> tuple[str, ...]:
        if not (parts := parts_of(given)):
            raise ValueError(f"{expected}, {_SEVERAL}")
        try:
            return tuple(dict.fromkeys(map(read, parts)))
        except ValueError as error:
            reason = f"; {error}" if str(error) and not isinstance(error, UnicodeError) else ""
            raise ValueError(f"{expected}, {_SEVERAL}{reason}") from None

    return Kind(metavar, read_all, ",".join, repeats=True)


def parts_of(given: object) -> list[str]:
    """Return the parts of a comma-separated text, or of a list of such texts; none of anything else."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list | tuple) or not all(isinstance(each, str) for each in texts):
        return []
    return [part.strip() for each in texts for part in each.split(",") if part.strip()]


def _host_name(text: str) -> str:
    text.encode("idna")
    return text


def _network(text: str) -> str:
    ipaddress.ip_network(text)
    return text


def _public_name(text: str) -> str:
    if not _PUBLIC_NAME.fullmatch(text):
        raise ValueError
    return text


def _bus_url(text: str) -> str:
    parts = urlsplit(text) if text.isprintable() else SplitResult("", "", "", "", "")
    if parts.scheme not in {"nats", "tls"} or parts.path not in {"", "/"} or parts.query:
        raise ValueError
    if parts.username is not None:
        raise ValueError("--bus-user and --bus-password name the user")
    try:
        port = parts.port or _BUS_PORT
        host = _host_name(parts.hostname or "")
    except ValueError:
        host = ""
    if not host or parts.fragment:
        raise ValueError
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}"


def names_in(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names in `arguments`, each with its place in a file, or an empty text.

    `@FILE` stands for the names in a file, and `-` for those on standard input: one in each line;
    `#` begins a comment.

    Raises:
        ValueError: a file cannot be read; the message says what is expected.
    """
    for argument in arguments:
        path = argument.removeprefix(FILE_PREFIX)
        if argument != STANDARD_INPUT and path == argument:
            yield argument, ""
            continue
        place = "standard input" if argument == STANDARD_INPUT else path
        for count, line in enumerate(_text_of(argument, path).splitlines(), 1):
            if name := line.partition(COMMENT_PREFIX)[0].strip():
                yield name, f"{place}, line {count}"


def _text_of(argument: str, path: str) -> str:
    reason = "it is not UTF-8"
    try:
        if argument != STANDARD_INPUT:
            return read_regular(path, MAX_FILE_BYTES, pipes=True).decode()
        if sys.stdin is None:
            reason = "standard input is closed"
        else:
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
            if len(data) <= MAX_FILE_BYTES:
                return data.decode()
            reason = f"it has more than {count_text(MAX_FILE_BYTES, 'byte')}"
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        pass
    raise ValueError(f"a file with one name in each line: {reason}")


def names(metavar: str) -> Kind:
    """Return the kind of names, which files and standard input may have too; see `names_in`."""
    return Kind(metavar, _read_names, ",".join, repeats=True)


def _read_names(given: object) -> tuple[str, ...]:
    found = (name for line, _ in names_in(parts_of(given)) for name in parts_of(line))
    if not (named := tuple(dict.fromkeys(found))):
        raise ValueError(f"at least one name, {_SEVERAL}, or @FILE, or - for standard input")
    return named


def duration(least: str = "", *, has_off: bool = False) -> Kind:
    """Return the kind of durations, in milliseconds.

    Args:
        least: The least one, such as `1s`; without it, 0 is one too and needs no unit.
        has_off: Whether `off` is written for 0.
    """
    least_ms = round(parse_duration_ns(least) / NS_PER_MS) if least else 0
    read = partial(_read_duration, least_ms, has_off)
    return Kind("DURATION|off" if has_off else "DURATION", read, partial(_written, _UNIT_MS))


def _read_duration(least_ms: int, has_off: bool, given: object) -> int:
    if has_off and given == "off":
        return 0
    written, more = str(given).strip(), ""
    is_bare = _NUMBER.fullmatch(written) is not None
    try:
        found = round(parse_duration_ns(f"{written}s" if is_bare else written) / NS_PER_MS)
    except ValueError:
        found, more = -1, ", of at most a century"
    if is_bare and found:
        more = ", with its unit"
    elif 0 <= found < least_ms:
        more = f", of at least {_written(_UNIT_MS, least_ms)}"
    if more:
        raise ValueError(f"{EXPECTED_DURATION}{more}{', or off' if has_off else ''}")
    return found


def _written(units: dict[str, int], count: int) -> str:
    """Return a count in the largest unit that divides it."""
    unit = next(each for each in reversed(units) if count % units[each] == 0)
    return f"{count // units[unit]}{unit}"


def _read_size(given: object) -> int:
    match = _SIZE.fullmatch(str(given).strip().upper())
    size = float(match[1]) * _UNIT_BYTES[match[2]] if match else 0
    if not _UNIT_BYTES["MB"] <= size < 1 << 50:
        raise ValueError("a size such as 256MB or 2GB, of at least 1MB")
    return round(size)


def _read_picture_size(given: object) -> tuple[int, int]:
    width, by, height = str(given).lower().partition("x")
    low, high = "x".join(map(str, LEAST_PX)), f"{LARGEST_PX}x{LARGEST_PX}"
    try:
        size = parse_whole(width), parse_whole(height or by)
    except ValueError:
        size = 0, 0
    if not all(least <= each <= LARGEST_PX for least, each in zip(LEAST_PX, size, strict=True)):
        raise ValueError(f"WIDTHxHEIGHT in pixels, such as 1280x960, from {low} to {high}")
    return size


def _read_market_time(given: object) -> int:
    try:
        found = parse_time_ns(given) // NS_PER_MS
    except ValueError:
        found = 0
    if not _EARLIEST_MS <= found < _LATEST_MS:
        raise ValueError(f"{EXPECTED_TIME}, between 2010 and 2100")
    return found


def _read_step_or_speed(given: object) -> float | str:
    if given == STEP:
        return STEP
    try:
        return parse_speed(given)
    except ValueError as error:
        raise ValueError(f"step, or {error}") from None


def _read_levels(given: object) -> int:
    levels: tuple[int, ...] = get_args(SnapshotLimit)
    if (text := str(given).strip()) not in map(str, levels):
        raise ValueError(f"one of {', '.join(map(str, levels))}")
    return int(text)


def _check_api_url(url: str) -> None:
    try:
        hosts_of(VENUES[0], api_url=url)
    except ConfigError as error:
        try:
            hosts_of(VENUES[1], api_url=url)
        except ConfigError:
            raise error from None


def _check_control_url(url: str) -> None:
    from tickerplant.control.client import ControlClient  # noqa: PLC0415  # of one command only

    ControlClient(url)


def _digits_as_text(given: object) -> str:
    """Return a text, or a whole number of a settings file as one; empty for anything else."""
    is_number = isinstance(given, int) and not isinstance(given, bool)
    return str(given) if isinstance(given, str) or is_number else ""


def _read_secret(given: object) -> str:
    found = _digits_as_text(given)
    if not found or any(unicodedata.category(each) == "Cc" for each in found):
        raise ValueError(f"at least one character, and no control characters{_OR_NONE}")
    return found


def _read_token(given: object) -> str:
    if not fits_a_header(found := _digits_as_text(given)):
        raise ValueError(f"{EXPECTED_SECRET}{_OR_NONE}")
    return found


def _read_assignments(given: object) -> dict[str, int]:
    pairs = given.items() if isinstance(given, Mapping) else _pairs(parts_of(given))
    try:
        found = {str(name).strip(): parse_whole(value) for name, value in pairs}
    except ValueError:
        found = {}
    if not found and given != {}:
        raise ValueError(f"NAME=NUMBER, {_SEVERAL}")
    return found


def _pairs(parts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for part in parts:
        name, _, value = part.partition("=")
        yield name, value


def read_faults(given: object) -> tuple[Rule, ...]:
    """Return the rules of `reset=30s,close=1001@5m`, of a list of such texts and tables, or of a table.

    A table is one rule if it has a `kind`; else each key is a kind, with its value or a table of its
    parameters.

    Raises:
        ValueError: it is none of these, or something of a rule is unknown or invalid.
    """
    try:
        rules = tuple(parse_rule(each) for each in _written_rules(given))
    except ConfigError as error:
        raise ValueError(f"{_FAULTS}; {error}") from None
    for rule in rules:
        if rule.is_instant and not (rule.window.delay_ms or rule.window.at_ms):
            raise ValueError(
                f"{_FAULTS}; {rule.text} happens at once, when there is no connection yet: add a "
                "mean time, at, for or after"
            )
    return rules


def _written_rules(given: object) -> Iterator[object]:
    """Yield each rule as it was written, a text or a mapping."""
    if isinstance(given, str) and (parts := parts_of(given)):
        yield from parts
    elif isinstance(given, Mapping) and "kind" in given:
        yield given
    elif isinstance(given, Mapping):
        for name, value in given.items():
            yield {"kind": name, **value} if isinstance(value, Mapping) else f"{name}={value}"
    elif isinstance(given, list | tuple):
        for each in given:
            yield from _written_rules(each)
    else:
        raise ValueError(_FAULTS)


FLAG = Kind("", _read_flag, lambda given: str(given).lower())
PORT = whole(0, 65_535, "PORT")
SEED = whole(0, LARGEST_WHOLE)
SPEED = number(0, 1_000_000)
FREE_SPEED = Kind("NUMBER", parse_speed, is_number=True)
STEP_OR_SPEED = Kind("NUMBER|step", _read_step_or_speed, is_number=True)
DURATION = duration()
PERIOD = duration("1s")
RUN_LENGTH = duration("1ms")
SIZE = Kind("SIZE", _read_size, partial(_written, _UNIT_BYTES))
PICTURE_SIZE = Kind("WIDTHxHEIGHT", _read_picture_size, lambda size: "x".join(map(str, size)))
MARKET_TIME = Kind("TIME", _read_market_time)
TIME_SPEC = Kind("TIME", parse_time_spec)
FILE = matching("FILE", _PATH, "a file path")
FOLDER = matching("FOLDER", _PATH, "a folder path")
BASE_URL = _url(partial(hosts_of, USDM))
API_URL = _url(_check_api_url)
CONTROL_URL = _url(_check_control_url)
SNAPSHOT_LEVELS = Kind("N", _read_levels)
PROFILE = choice(*PROFILES)
PROFILE_OR_AUTO = choice(*PROFILES, "auto")
SECRET = Kind("TEXT", _read_secret, is_secret=True)
TOKEN = Kind("TEXT", _read_token, is_secret=True)
HOSTS = several("HOST,…", "an address or a host name", _host_name)
PUBLIC_NAMES = several("NAME,…", "a host name without a port such as market.example", _public_name)
NETWORKS = several("NETWORK,…", "an address or a network such as 10.0.0.7 or 10.0.0.0/24", _network)
BUS_URLS = several("URL,…", _BUS_URL, _bus_url)
PLANT = matching("NAME", _PLANT_NAME, "a name of at most 64 letters, digits, - and _, such as main")
BUS_PREFIX = matching(
    "WORD",
    _BUS_PREFIX,
    "words of letters, digits, - and _, separated by dots, such as team.market",
)
SYMBOLS = names("SYMBOL,…")
STREAMS = names("STREAM,…")
TABLES = names("TABLE,…")
SCENARIOS = several("NAME|FILE", "a name of `tickerplant scenarios`, or a file", str)
ASSIGNMENTS = Kind("NAME=NUMBER", _read_assignments, repeats=True)
FAULTS = Kind("NAME=VALUE", read_faults, repeats=True)
