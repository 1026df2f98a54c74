"""A fault that somebody asks for: its kind, its parameters, what it is aimed at, and when."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tickerplant.errors import ConfigError
from tickerplant.faults.catalogue import FAULTS
from tickerplant.faults.fault import Fault
from tickerplant.faults.params import DURATION, Kind, Param, params_of, read_share, whole
from tickerplant.suggestions import one_of, suggestion
from tickerplant.units import NS_PER_MS, parse_duration_ns
from tickerplant.venue import VENUES

WINDOW_DOCS = {
    "at": "When its window opens: an offset such as `+10s`, or a time, of the market in a "
    "simulation and a replay, else of the server. Without it: at once.",
    "for": "How long its window stays open. Without it: until it is removed; a fault that happens "
    "at a moment, without `mean` and `after`, happens once.",
    "after": "The occasions that pass before it, on each connection; of handshakes and requests, "
    "in all. Of a fault that acts on connections: messages of streams.",
    "times": "How often it happens at most, on each connection; to handshakes and requests, in all.",
    "once": "`true` is `times = 1`.",
}
"""When a fault happens."""
LONGEST_TEXT = 1_000
"""Most characters of a rule, and of any of its values."""
_EXPECTED_AT = (
    "an offset such as +10s, an ISO date such as 2026-01-31T12:00:00 (UTC), or ms since 1970"
)
_CONNECTION = re.compile(r"(?:[\w.-]+-)?c\d+")
_AFTER, _TIMES = whole(0, 10**12), whole(1, 10**12)
V = TypeVar("V")


def _aim_text(given: object) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > LONGEST_TEXT:
        raise ValueError
    return given.strip()


def _name(given: object) -> str:
    return _aim_text(given).lower()


def _venue(given: object) -> str:
    names = [venue.name for venue in VENUES]
    if (text := _aim_text(given)) not in names:
        raise ValueError(one_of(text, names))
    return text


def _connection(given: object) -> str:
    if not _CONNECTION.fullmatch(text := _aim_text(given)):
        raise ValueError("the id of a connection such as c12")
    return text


def _path(given: object) -> str:
    if not (text := _name(given)).startswith(("/", "*")):
        raise ValueError("a path such as /fapi/v1/depth, or a pattern")
    return text


_PATTERN = Kind("text", "", _name)


class Aim(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a fault is aimed at; everything that is not named."""

    venue: Annotated[str, Kind("choice", "", _venue), "The venue: `usdm` or `coinm`."] = ""
    stream: Annotated[
        str,
        _PATTERN,
        "A stream, or a pattern such as `btcusdt@depth*`. Messages and subscriptions: those of these "
        "streams; connections: those that are subscribed to one.",
    ] = ""
    connection: Annotated[
        str,
        Kind("text", "", _connection),
        "The id of one open connection, as the log and `/plant/v1/connections` have it.",
    ] = ""
    connections: Annotated[
        float | None,
        Kind("share", "a share of the connections from 0 to 1 such as 0.25", read_share),
        "A share of the connections; it is drawn once for each connection.",
    ] = None
    path: Annotated[
        str, Kind("text", "", _path), "The path of requests, or a pattern such as `/fapi/v1/*`."
    ] = ""
    method: Annotated[str, _PATTERN, "The method of WebSocket API requests, or a pattern."] = ""
    symbol: Annotated[str, _PATTERN, "The symbol of snapshots, or a pattern."] = ""

    def takes_stream(self, name: str) -> bool:
        """Whether a stream is aimed at."""
        return not self.stream or matches(self.stream, name)

    def takes_any(self, names: Iterable[str]) -> bool:
        """Whether one of the streams of a connection is aimed at; any connection without `stream`."""
        return not self.stream or any(matches(self.stream, name) for name in names)

    def takes_request(self, venue_name: str, name: str) -> bool:
        """Whether a request is aimed at, by its path or its method; with one of them, only at these."""
        if self.venue not in {"", venue_name}:
            return False
        pattern = self.path if name.startswith("/") else self.method
        return matches(pattern, name) if pattern else not (self.path or self.method)


AIM_DOCS = {each.name: each.doc for each in params_of(Aim)}
"""What a fault can be aimed at."""


class Window(Struct, frozen=True, kw_only=True):
    """When a fault happens."""

    delay_ms: int = 0
    """How long after it is added the window opens."""
    at_ms: int | None = None
    """When the window opens, in ms since 1970; `delay_ms` counts if missing."""
    for_ms: int | None = None
    """How long it stays open; until it is removed if missing."""
    after: int = 0
    """Occasions that pass first."""
    times: int | None = None
    """How often it happens at most."""


class Rule(Struct, frozen=True, kw_only=True):
    """A fault that somebody asks for."""

    fault: Fault
    aim: Aim
    window: Window
    given: Mapping[str, object]
    """The canonical form, as it was written."""

    @property
    def kind(self) -> str:
        """The name of its fault."""
        return self.fault.kind

    @property
    def mean_ms(self) -> int | None:
        """The mean of the random times between two of it; None: it does not happen at such times."""
        return getattr(self.fault, "mean", None)

    @property
    def is_instant(self) -> bool:
        """Whether it is over as soon as its window is open, because it acts at a moment."""
        return (
            self.fault.acts_on == "connection"
            and not self.fault.lasts
            and self.mean_ms is None
            and self.window.for_ms is None
            and not self.window.after
        )

    @property
    def text(self) -> str:
        """The text form: `reset=30s`, `drop=0.1 stream=btcusdt@depth*`."""
        rest = {name: value for name, value in self.given.items() if name != "kind"}
        values = []
        for name in self.fault.value():
            if name not in rest:
                break
            values.append(str(rest.pop(name)))
        head = f"{self.kind}={'@'.join(values)}" if values else self.kind
        return " ".join((head, *(f"{name}={_shown(value)}" for name, value in rest.items())))


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern, and not one name."""
    return any(sign in text for sign in "*?[")


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is `pattern`, or matches it; upper and lower case are the same."""
    return _pattern(pattern.lower()).match(name.lower()) is not None


def parse_rule(given: object) -> Rule:
    """Return the rule that somebody wrote, as a mapping or as text.

    Args:
        given: The canonical mapping, such as `{"kind": "reset", "for": "10s"}`, or the text form,
            such as `reset=30s` or `drop=0.1 stream=btcusdt@depth*`.
    """
    if isinstance(given, Mapping):
        return _rule_of({str(name): value for name, value in given.items()})
    if not isinstance(given, str) or len(given) > LONGEST_TEXT or not given.split():
        raise ConfigError("fault", given, "KIND=VALUE, followed by words of the form KEY=VALUE")
    return _rule_of(_mapping_of(given))


def _mapping_of(text: str) -> dict[str, object]:
    """Return the mapping of a text form."""
    head, *words = text.split()
    kind, _, value = head.partition("=")
    found: dict[str, object] = {"kind": kind}
    fault = _fault_called(kind)
    parts = value.split("@") if value else []
    if len(parts) > len(fault.value()) or head.endswith("="):
        raise ConfigError(kind, value or None, fault.form_words())
    found.update(zip(fault.value(), parts, strict=False))
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not value:
            raise ConfigError(kind, word, f"a word of the form KEY=VALUE, {_known_words(fault)}")
        if name in found:
            raise ConfigError(name, value, f"one value of {name}, not also {found[name]}")
        found[name] = value
    return found


def _fault_called(kind: object) -> type[Fault]:
    fault = FAULTS.get(kind) if isinstance(kind, str) else None
    if fault is None:
        shown = None if kind in (None, "") else kind
        raise ConfigError("kind", shown, one_of(str(kind or ""), FAULTS))
    return fault


def keys_of(fault: type[Fault]) -> tuple[str, ...]:
    """Return what a rule of a fault may have beside its kind."""
    return (*(each.name for each in fault.params()), *fault.aims, *WINDOW_DOCS)


def _known_words(fault: type[Fault]) -> str:
    return f"with KEY one of {', '.join(keys_of(fault))}"


def _rule_of(given: dict[str, object]) -> Rule:
    kind = _fault_called(given.get("kind"))
    rest = {name: value for name, value in given.items() if name != "kind"}
    for name, value in rest.items():
        _check_known(kind, name, value)
    for each in kind.params():
        if each.required and each.name not in rest:
            raise ConfigError(each.name, None, f"{each.expected}; {kind.kind} needs it")
    fault, window = kind(**_read(kind.params(), rest)), _window_of(rest)
    window = replace(window, for_ms=fault.open_ms(window.for_ms, rest))
    aim = Aim(**_read(params_of(Aim), rest))
    return Rule(fault=fault, aim=aim, window=window, given=given)


def _read(params: Iterable[Param], given: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of the parameters that were given."""
    return {
        each.name: _value(each.name, each.kind.read, given[each.name], each.doc.rstrip("."))
        for each in params
        if each.name in given
    }


def _value(name: str, read: Callable[[object], V], given: object, doc: str = "") -> V:
    try:
        return read(given)
    except ValueError as error:
        raise ConfigError(name, given, str(error) or doc) from None


def _check_known(fault: type[Fault], name: str, value: object) -> None:
    known = keys_of(fault)
    if name in known:
        return
    if name in AIM_DOCS:
        aims = ", ".join(fault.aims)
        expected = f"no {name}: {fault.kind} acts on {fault.acted_on} and can be aimed at {aims}"
        raise ConfigError(name, value, expected)
    hint = suggestion(name, known)
    raise ConfigError("fault", name, f"{fault.kind} {_known_words(fault)}{hint}")


def _window_of(given: Mapping[str, object]) -> Window:
    delay_ms, at_ms = _value("at", _opening, given["at"]) if "at" in given else (0, None)
    for_ms = _value("for", DURATION.read, given["for"]) if "for" in given else None
    after = _value("after", _AFTER.read, given.get("after", 0))
    times = _value("times", _TIMES.read, given["times"]) if "times" in given else None
    once = given.get("once", False)
    if once not in (True, False, "true", "false", "yes", "no"):
        raise ConfigError("once", once, "true or false")
    if once in (True, "true", "yes"):
        if times not in (None, 1):
            raise ConfigError("times", given["times"], "times or once, not both")
        times = 1
    return Window(delay_ms=delay_ms, at_ms=at_ms, for_ms=for_ms, after=after, times=times)


def _opening(given: object) -> tuple[int, int | None]:
    """Return the delay, and the time, of `at`."""
    # An edge, which gets rules without `at`, needs no recordings.
    from tickerplant.recording.timestamps import parse_time_ns  # noqa: PLC0415

    text = str(given).strip()
    try:
        if text.startswith("+"):
            return parse_duration_ns(text[1:]) // NS_PER_MS, None
        return 0, parse_time_ns(given) // NS_PER_MS
    except ValueError:
        raise ValueError(_EXPECTED_AT) from None


def opening_ms(window: Window, now_ms: int) -> int:
    """Return when a window opens, for a rule that is added at `now_ms`.

    Raises:
        ConfigError: The time is past.
    """
    if window.at_ms is None:
        return now_ms + window.delay_ms
    if window.at_ms < now_ms:
        raise ConfigError("at", window.at_ms, f"a time from now on, {now_ms}")
    return window.at_ms
