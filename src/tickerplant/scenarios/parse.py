"""Reads scenarios: TOML with a title, a duration and `[[change]]` tables.

Every error says the file, the change, the key, the value and what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tickerplant.errors import ConfigError
from tickerplant.faults.catalogue import FAULTS
from tickerplant.faults.fault import Fault
from tickerplant.faults.rule import keys_of, parse_rule
from tickerplant.scenarios.scenario import Change, Scenario
from tickerplant.simulation.levers import (
    DELIST,
    HALT,
    LEVER_ROWS,
    LIST,
    ONE_SIDED,
    Lever,
    LeverRow,
    parse_lever,
)
from tickerplant.suggestions import one_of
from tickerplant.toml_text import parse_toml
from tickerplant.units import EXPECTED_DURATION, NS_PER_MS, parse_duration_ns

MOST_CHARACTERS = 65_536
"""Size limit of a scenario."""
MOST_CHANGES = 200
LONGEST_TEXT = 4_000
"""Characters of a text in it."""
LARGEST_NUMBER = 1e18
EXCLUSIVE = (HALT, ONE_SIDED, LIST, DELIST)
"""Levers that do nothing, or fail, where they hold already; the factors of others multiply."""

TEXT_KEYS = ("title", "happened", "here", "survive")
KEYS = (*TEXT_KEYS, "duration", "change")
EXAMPLE = '[[change]] with at = "30s" and market = "shock", move = -0.12'


class _Span(NamedTuple):
    """When a lever is on, and where."""

    place: str
    begin_ms: int
    end_ms: int
    lever: Lever


def parse_scenario(text: str, origin: str, name: str = "custom") -> Scenario:
    """Return the scenario that somebody wrote.

    Raises:
        ConfigError: It is not valid.
    """
    content = _content(text, origin)
    for key, value in content.items():
        if key not in KEYS:
            raise ConfigError(f"a key in {origin}", key, one_of(key, KEYS))
        if key in TEXT_KEYS and not _is_text(value):
            raise ConfigError(f"{key} in {origin}", value, f"1 to {LONGEST_TEXT} characters")
    if "title" not in content:
        raise ConfigError(f"title in {origin}", None, "a few words, such as Flash crash")
    duration_ms = _time_ms("duration", content.get("duration"), origin)
    if not duration_ms:
        raise ConfigError(
            f"duration in {origin}", content["duration"], f"{EXPECTED_DURATION}, of more than 0"
        )
    tables = content.get("change")
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ConfigError(f"change in {origin}", tables, f"tables such as {EXAMPLE}")
    if not 0 < len(tables) <= MOST_CHANGES:
        expected = f"1 to {MOST_CHANGES} tables such as {EXAMPLE}"
        raise ConfigError(f"the number of changes in {origin}", len(tables), expected)
    changes = tuple(
        _change(table, f"change {number}", origin, duration_ms)
        for number, table in enumerate(tables, 1)
    )
    _refuse_overlaps(changes, duration_ms)
    return Scenario(
        name=name,
        origin=origin,
        **{key: _paragraphs(content[key]) for key in TEXT_KEYS if key in content},
        duration_ms=duration_ms,
        changes=tuple(sorted(changes, key=lambda change: change.at_ms)),
    )


def _content(text: str, origin: str) -> dict[str, Any]:
    if len(text) > MOST_CHARACTERS:
        expected = f"at most {MOST_CHARACTERS} characters"
        raise ConfigError(f"the length of {origin}", len(text), expected)
    try:
        return parse_toml(text)
    except ValueError as error:
        raise ConfigError("the scenario", origin, f"TOML ({error})") from None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_TEXT


def _paragraphs(text: str) -> str:
    """Return the paragraphs of a text, each on one line."""
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n") if each.strip())


def _change(table: Mapping[str, object], number: str, origin: str, duration_ms: int) -> Change:
    """Return one change."""
    at = table.get("at")
    shown = f" (at {at})" if isinstance(at, str) and at.isprintable() and len(at) <= 20 else ""
    place = f"{number}{shown} of {origin}"
    row = _row(table, place)
    allowed = tuple(dict.fromkeys(("at", *_keys(row))))
    for key, value in table.items():
        if key not in allowed:
            raise ConfigError(f"a key in {place}, {_name(row)}", key, one_of(key, allowed))
        _check_plain(key, value, place)
    at_ms = _time_ms("at", at, place)
    if at_ms >= duration_ms:
        raise ConfigError(f"at in {place}", at, f"less than the duration of {duration_ms / 1e3:g}s")
    given = {key: value for key, value in table.items() if key != "at"}
    try:
        action = parse_lever(given) if isinstance(row, LeverRow) else parse_rule(_rule_of(given))
    except ConfigError as error:
        raise error.within(place) from None
    for_ms = _time_ms("for", given["for"], place) if "for" in given else 0
    if at_ms + for_ms > duration_ms:
        longest = (duration_ms - at_ms) / 1e3
        expected = f"at most {longest:g}s: the duration is {duration_ms / 1e3:g}s"
        raise ConfigError(f"for in {place}", given["for"], expected)
    return Change(at_ms=at_ms, action=action, text=_text(given), place=place)


def _row(table: Mapping[str, object], place: str) -> LeverRow | type[Fault]:
    """Return what a change is about."""
    levers = {row.name: row for row in LEVER_ROWS}
    if "market" in table and "fault" in table:
        expected = "a change has one of them; write two changes with the same at"
        raise ConfigError(f"market and fault in {place}", table["fault"], f"only one: {expected}")
    for key, rows in (("market", levers), ("fault", FAULTS)):
        if key in table:
            name = table[key]
            if not isinstance(name, str) or name not in rows:
                others = FAULTS if key == "market" else levers
                expected = one_of(name if isinstance(name, str) else "", rows)
                if isinstance(name, str) and name in others:
                    other = "fault" if key == "market" else "market"
                    expected = f"{other} = {name!r}, or {expected}"
                raise ConfigError(f"{key} in {place}", name, expected)
            return rows[name]
    expected = f"the lever or the fault that begins, such as {EXAMPLE}"
    misspelled = next(iter(table.keys() - {"at", "for", "symbols", "venue"}), "")
    hint = one_of(misspelled, ("market", "fault")).partition(";")[2]
    raise ConfigError(f"market or fault in {place}", None, f"{expected}{';' if hint else ''}{hint}")


def _keys(row: LeverRow | type[Fault]) -> tuple[str, ...]:
    """Return the keys of a change beside `at`."""
    if isinstance(row, LeverRow):
        duration = ("for",) if row.has_duration else ()
        return ("market", "symbols", "venue", *(each.name for each in row.params), *duration)
    return ("fault", *keys_of(row))


def _rule_of(given: Mapping[str, object]) -> dict[str, object]:
    """Return a change as the rule of a fault is written."""
    return {"kind" if key == "fault" else key: value for key, value in given.items()}


def _name(row: LeverRow | type[Fault]) -> str:
    return f"market = {row.name!r}" if isinstance(row, LeverRow) else f"fault = {row.kind!r}"


def _check_plain(key: str, value: object, place: str) -> None:
    """Refuse what no lever and no fault takes: dates, tables, numbers that are not finite."""
    listed = value if isinstance(value, list) else [value]
    for each in listed:
        is_number = isinstance(each, int | float) and abs(each) <= LARGEST_NUMBER
        if not is_number and not (isinstance(each, str) and len(each) <= LONGEST_TEXT):
            expected = "a text, a number, true or false, or a list of texts"
            raise ConfigError(f"{key} in {place}", str(each)[:80], expected)


def _time_ms(key: str, value: object, place: str) -> int:
    """Return a duration in ms."""
    if not isinstance(value, str):
        raise ConfigError(f"{key} in {place}", value, EXPECTED_DURATION)
    try:
        return parse_duration_ns(value.strip()) // NS_PER_MS
    except ValueError as error:
        raise ConfigError(f"{key} in {place}", value, str(error)) from None


def _text(given: Mapping[str, object]) -> str:
    """Return a change on one line: `market shock move=-0.12 over=40s`."""
    kind = "market" if "market" in given else "fault"
    words = (f"{key}={_value_text(value)}" for key, value in given.items() if key != kind)
    return " ".join((kind, str(given[kind]), *words))


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _refuse_overlaps(changes: Sequence[Change], duration_ms: int) -> None:
    """Refuse a change that is made again while it holds, such as a second halt of a contract."""
    spans: list[_Span] = []
    for change in changes:
        lever = change.action
        if not isinstance(lever, Lever) or lever.row not in EXCLUSIVE:
            continue
        if lever.row is LIST and not lever.symbols:
            continue  # each is of a new coin
        end_ms = duration_ms if lever.for_ms is None else change.at_ms + lever.for_ms
        span = _Span(change.place, change.at_ms, end_ms, lever)
        for other in spans:
            if _is_doubled(span, other):
                number = other.place.partition(" of ")[0]
                expected = f"another time, or other symbols: it holds there already by {number}"
                raise ConfigError(f"market in {change.place}", lever.row.name, expected)
        spans.append(span)


def _is_doubled(one: _Span, other: _Span) -> bool:
    if one.lever.row is not other.lever.row:
        return False
    if one.end_ms <= other.begin_ms or other.end_ms <= one.begin_ms:
        return False
    if one.lever.venue and other.lever.venue and one.lever.venue != other.lever.venue:
        return False
    if one.lever.values.get("side") != other.lever.values.get("side"):
        return False
    mine, theirs = set(one.lever.symbols), set(other.lever.symbols)
    return not mine or not theirs or bool(mine & theirs)
