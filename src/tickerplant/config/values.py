"""Parsers for the values of settings: hosts, profiles, durations, times, names and so on."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from tickerplant.config.name_lists import names_in
from tickerplant.control.client import ControlClient
from tickerplant.control.clock import parse_speed
from tickerplant.errors import ConfigError
from tickerplant.faults.rule import Rule, parse_rule
from tickerplant.feed.hosts import hosts_of
from tickerplant.profile import PROFILES
from tickerplant.protocol.credentials import EXPECTED_SECRET, fits_a_header
from tickerplant.queries.depth import LIMITS
from tickerplant.recording.timestamps import EXPECTED_TIME, parse_time_ns
from tickerplant.suggestions import one_of
from tickerplant.units import NS_PER_MS, UNIT_NS, parse_duration_ns, parse_whole
from tickerplant.venue import USDM, VENUES

Parser: TypeAlias = Callable[[object], object]
"""Parses what the user wrote; raises ValueError with a description of what was expected."""

_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
EXPECTED_DURATION = "a duration such as 90s, 15m, 2h or 1d"
_HOSTS = "an address or a host name, several separated by commas"
_NAMES = "at least one name, several separated by commas, or @FILE, or - for standard input"
_PUBLIC_NAMES = "a host name without a port such as market.example, several separated by commas"
_PUBLIC_NAME = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*")
_NETWORKS = "an address or a network such as 10.0.0.7 or 10.0.0.0/24, several separated by commas"
_ASSIGNMENTS = "NAME=NUMBER, several separated by commas"
_FAULTS = "KIND=VALUE, followed by words KEY=VALUE; several separated by commas, or tables"
_OR_NONE = "; leave the setting out to have none"
STEP = "step"
"""The speed of a clock that stands still until it makes a step."""
_EARLIEST_MS = 1_262_304_000_000
_LATEST_MS = 4_102_444_800_000
_BUS_URL = "the URL of a NATS server such as nats://127.0.0.1:4222, several separated by commas"
_BUS_SCHEMES = ("nats", "tls")
_BUS_PORT = 4222
_PLANT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUS_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MOST_PREFIX = 64
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(B|KB|MB|GB)")
_UNIT_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_UNIT_MS = {unit: ns // NS_PER_MS for unit, ns in UNIT_NS.items()}

LEAST_PX = 480, 400
"""The least width and height of a picture, in pixels."""
LARGEST_PX = 10_000
_PICTURE_SIZE = (
    f"WIDTHxHEIGHT in pixels, such as 1280x960, from {LEAST_PX[0]}x{LEAST_PX[1]} to "
    f"{LARGEST_PX}x{LARGEST_PX}"
)


def host_names(text: object) -> tuple[str, ...]:
    """Return the addresses and host names in a comma-separated text, or in a list of such texts.

    Raises:
        ValueError: `text` is neither, or one is neither an address nor a valid host name.
    """
    parts = _some_parts(text, _HOSTS)
    if not all(map(_is_host_name, parts)):
        raise ValueError(_HOSTS)
    return parts


def _is_host_name(text: str) -> bool:
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def folder_path(text: object) -> str:
    """Return the path of a folder, which need not exist.

    Raises:
        ValueError: `text` is not a path.
    """
    return _path(text, "a folder path")


def file_path(text: object) -> str:
    """Return the path of a file, which need not exist.

    Raises:
        ValueError: `text` is not a path.
    """
    return _path(text, "a file path")


def _path(text: object, expected: str) -> str:
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(expected)
    return text


def base_url(text: object) -> str:
    """Return a base URL, such as `ws://127.0.0.1:9001`.

    Raises:
        ValueError: `text` is not a base URL.
    """
    try:
        hosts_of(USDM, str(text))
    except ConfigError as error:
        raise ValueError(error.expected) from None
    return str(text)


def control_url(text: object) -> str:
    """Return the address of a server whose control plane is to be used.

    Raises:
        ValueError: `text` is no such address.
    """
    try:
        return ControlClient(str(text)).url
    except ConfigError as error:
        raise ValueError(error.expected) from None


def api_url(text: object) -> str:
    """Return the URL of a WebSocket API, with or without its path.

    Raises:
        ValueError: `text` is not such a URL.
    """
    reasons: list[str] = []
    for venue in VENUES:
        try:
            hosts_of(venue, api_url=str(text))
        except ConfigError as error:
            reasons.append(error.expected)
    if len(reasons) == len(VENUES):
        raise ValueError(reasons[0])
    return str(text)


def bus_urls(text: object) -> tuple[str, ...]:
    """Return the URLs of NATS servers, each with its port, from a comma-separated text or a list.

    Raises:
        ValueError: `text` is neither, or one is not the URL of a NATS server.
    """
    return tuple(dict.fromkeys(map(_bus_url, _some_parts(text, _BUS_URL))))


def _bus_url(text: str) -> str:
    parts = urlsplit(text) if text.isprintable() else SplitResult("", "", "", "", "")
    try:
        port = parts.port or _BUS_PORT
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if parts.scheme not in _BUS_SCHEMES or parts.path not in {"", "/"} or parts.query:
        raise ValueError(_BUS_URL)
    if parts.username is not None:
        raise ValueError(f"{_BUS_URL}, without a user: --bus-user and --bus-password name it")
    if not host or parts.fragment or not _is_host_name(host):
        raise ValueError(_BUS_URL)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}"


def plant_name(text: object) -> str:
    """Return the name of a plant on a bus.

    Raises:
        ValueError: `text` is not such a name.
    """
    if not isinstance(text, str) or not _PLANT_NAME.fullmatch(text):
        raise ValueError("a name of at most 64 letters, digits, - and _, such as main")
    return text


def bus_prefix(text: object) -> str:
    """Return the beginning of all subjects on a bus.

    Raises:
        ValueError: `text` is not words separated by dots.
    """
    if not isinstance(text, str) or not _BUS_PREFIX.fullmatch(text) or len(text) > _MOST_PREFIX:
        raise ValueError(
            "words of letters, digits, - and _, separated by dots, such as team.market"
        )
    return text


def secret(text: object) -> str:
    """Return `text` as it is; no error quotes it.

    Raises:
        ValueError: `text` is not a text, is empty, or has control characters, such as a line end.
    """
    found = _digits_as_text(text)
    if not found or any(unicodedata.category(each) == "Cc" for each in found):
        raise ValueError(f"at least one character, and no control characters{_OR_NONE}")
    return found


def control_token(text: object) -> str:
    """Return the token of a control plane; no error quotes it.

    Raises:
        ValueError: no request can carry `text`.
    """
    found = _digits_as_text(text)
    if not fits_a_header(found):
        raise ValueError(f"{EXPECTED_SECRET}{_OR_NONE}")
    return found


def _digits_as_text(text: object) -> str:
    """Return a text, or a whole number of a settings file as one; empty for anything else."""
    is_number = isinstance(text, int) and not isinstance(text, bool)
    return str(text) if isinstance(text, str) or is_number else ""


SECRETS = frozenset({secret, control_token})
"""The parsers of values that no error may quote."""


def profile_name(text: object) -> str:
    """Return the name of a profile.

    Raises:
        ValueError: there is no such profile.
    """
    return _one_of(PROFILES, text)


def profile_name_or_auto(text: object) -> str:
    """Return the name of a profile, or `auto`.

    Raises:
        ValueError: there is no such profile.
    """
    return _one_of((*PROFILES, "auto"), text)


def _one_of(names: Collection[str], text: object) -> str:
    if not isinstance(text, str) or text not in names:
        raise ValueError(one_of(str(text), names))
    return text


def duration_ms(text: object) -> int:
    """Return a duration such as `90s`, `15m`, `2h` or `1d` in milliseconds.

    Only 0 may lack a unit.

    Raises:
        ValueError: `text` is not a duration.
    """
    written = str(text).strip()
    if _NUMBER.fullmatch(written):
        if float(written):
            raise ValueError(f"{EXPECTED_DURATION}, with its unit")
        return 0
    try:
        return round(parse_duration_ns(written) / NS_PER_MS)
    except ValueError:
        raise ValueError(f"{EXPECTED_DURATION}, of at most a century") from None


def run_length_ms(text: object) -> int:
    """Return a duration of more than 0, in milliseconds; its syntax is that of `duration_ms`.

    Raises:
        ValueError: `text` is not such a duration.
    """
    if not (milliseconds := duration_ms(text)):
        raise ValueError(f"{EXPECTED_DURATION}, of more than 0")
    return milliseconds


def period_ms(text: object) -> int:
    """Return a duration of a second or more, in milliseconds; its syntax is that of `duration_ms`.

    Raises:
        ValueError: `text` is not such a duration.
    """
    milliseconds = duration_ms(text)
    if milliseconds < _UNIT_MS["s"]:
        raise ValueError(f"{EXPECTED_DURATION}, of at least a second")
    return milliseconds


def period_ms_or_off(text: object) -> int:
    """Return a duration as `period_ms` does, or 0 for `off`.

    Raises:
        ValueError: `text` is neither.
    """
    if text == "off":
        return 0
    try:
        return period_ms(text)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def snapshot_levels(text: object) -> int:
    """Return the number of levels to request in a depth snapshot.

    Raises:
        ValueError: the exchange does not offer snapshots of this size.
    """
    found = next((limit for limit in LIMITS if str(limit) == str(text).strip()), None)
    if found is None:
        raise ValueError(f"one of {', '.join(map(str, LIMITS))}")
    return found


def picture_size(text: object) -> tuple[int, int]:
    """Return the width and height of a picture, in pixels.

    Raises:
        ValueError: `text` is not such a size, or too small to be read, or too large.
    """
    width, by, height = str(text).lower().partition("x")
    try:
        size = parse_whole(width), parse_whole(height or by)
    except ValueError:
        raise ValueError(_PICTURE_SIZE) from None
    if not all(low <= each <= LARGEST_PX for low, each in zip(LEAST_PX, size, strict=True)):
        raise ValueError(_PICTURE_SIZE)
    return size


def picture_size_setting(size: tuple[int, int]) -> str:
    """Return the size of a picture as it is written."""
    width, height = size
    return f"{width}x{height}"


def size_bytes(text: object) -> int:
    """Return a size such as `256MB` or `2GB` in bytes; units are powers of 1024.

    Raises:
        ValueError: `text` is not a size of at least a megabyte.
    """
    match = _SIZE.fullmatch(str(text).strip().upper())
    size = float(match[1]) * _UNIT_BYTES[match[2]] if match else 0
    if not _UNIT_BYTES["MB"] <= size < 1 << 50:
        raise ValueError("a size such as 256MB or 2GB, of at least 1MB")
    return round(size)


def size_setting(size: int) -> str:
    """Return a size in the syntax of `size_bytes`, in the largest unit that divides it."""
    unit = next(each for each in reversed(_UNIT_BYTES) if size % _UNIT_BYTES[each] == 0)
    return f"{size // _UNIT_BYTES[unit]}{unit}"


def duration_setting(milliseconds: int) -> str:
    """Return a duration in the syntax of `duration_ms`, in the largest unit that divides it."""
    unit = next(each for each in reversed(_UNIT_MS) if milliseconds % _UNIT_MS[each] == 0)
    return f"{milliseconds // _UNIT_MS[unit]}{unit}"


def market_time_ms(text: object) -> int:
    """Return a time of a simulated market in milliseconds; its syntax is that of `parse_time_ns`.

    Raises:
        ValueError: `text` is not a time, or not between 2010 and 2100.
    """
    try:
        milliseconds = parse_time_ns(text) // NS_PER_MS
    except ValueError:
        milliseconds = 0
    if not _EARLIEST_MS <= milliseconds < _LATEST_MS:
        raise ValueError(f"{EXPECTED_TIME}, between 2010 and 2100")
    return milliseconds


def step_or_speed(text: object) -> float | str:
    """Return the speed of a clock, or `step` if it stands still until it makes a step.

    Raises:
        ValueError: `text` is neither.
    """
    if text == STEP:
        return STEP
    try:
        return parse_speed(text)
    except ValueError as error:
        raise ValueError(f"step, or {error}") from None


def names(text: object) -> tuple[str, ...]:
    """Return the names in a comma-separated text, or in a list of such texts, each once.

    `@FILE` and `-` stand for the names in a file and on standard input; see `names_in`.

    Raises:
        ValueError: `text` is neither, contains no name, or a file cannot be read.
    """
    found = (name for line, _ in names_in(_parts(text)) for name in _parts(line))
    if not (named := tuple(dict.fromkeys(found))):
        raise ValueError(_NAMES)
    return named


def networks(text: object) -> tuple[str, ...]:
    """Return the addresses and networks in a comma-separated text, or in a list of such texts.

    Raises:
        ValueError: `text` is neither, or one is neither an address nor a network.
    """
    for part in (parts := _some_parts(text, _NETWORKS)):
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            raise ValueError(f"{_NETWORKS}; {error}") from None
    return parts


def public_names(text: object) -> tuple[str, ...]:
    """Return the host names in a comma-separated text, or in a list of such texts.

    Raises:
        ValueError: `text` is neither, or one is not a name or an address.
    """
    parts = _some_parts(text, _PUBLIC_NAMES)
    if not all(map(_PUBLIC_NAME.fullmatch, parts)):
        raise ValueError(_PUBLIC_NAMES)
    return parts


def _some_parts(text: object, expected: str) -> tuple[str, ...]:
    """Return the parts of a text or of a list of texts, each once.

    Raises:
        ValueError: there are none; the message is `expected`.
    """
    try:
        parts = _parts(text)
    except ValueError:
        parts = []
    if not parts:
        raise ValueError(expected)
    return tuple(dict.fromkeys(parts))


def _parts(text: object) -> list[str]:
    """Return the parts of a comma-separated text, or of a list of such texts, without blanks."""
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, list | tuple) or not all(isinstance(each, str) for each in texts):
        raise ValueError(_NAMES)
    return [part.strip() for each in texts for part in each.split(",") if part.strip()]


def scenarios(text: object) -> tuple[str, ...]:
    """Return the scenarios in a comma-separated text, or in a list of such texts, each once.

    Raises:
        ValueError: `text` is neither, or names none.
    """
    return _some_parts(
        text, "a name of `tickerplant scenarios`, or a file; several separated by commas"
    )


def assignments(text: object) -> dict[str, int]:
    """Return `a=1,b=2`, a list of such texts, or a table as a dictionary of integers.

    Raises:
        ValueError: `text` is none of these.
    """
    try:
        return {name: parse_whole(value) for name, value in _pairs(text)}
    except ValueError:
        raise ValueError(_ASSIGNMENTS) from None


def faults(text: object) -> tuple[Rule, ...]:
    """Return the rules of `reset=30s,close=1001@5m`, of a list of such texts and tables, or of a table.

    A table is one rule if it has a `kind`; else each key is a kind, with its value or a table of its
    parameters.

    Raises:
        ValueError: `text` is none of these, or something of a rule is unknown or invalid.
    """
    try:
        rules = tuple(parse_rule(each) for each in _written_rules(text))
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
    if isinstance(given, str):
        if not (parts := _parts(given)):
            raise ValueError(_FAULTS)
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


def _pairs(text: object) -> Iterator[tuple[str, str]]:
    """Yield the names and values of `a=1,b=2`, of a list of such texts, or of a table."""
    if isinstance(text, Mapping):
        yield from ((str(name).strip(), str(value).strip()) for name, value in text.items())
        return
    if not (parts := _parts(text)):
        raise ValueError(_ASSIGNMENTS)
    for part in parts:
        name, _, value = part.partition("=")
        yield name.strip(), value.strip()
