"""`tickerplant control`: the control plane of a running server on the command line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from tickerplant.config.settings import ControlSettings
from tickerplant.control.actions import ACTION_BY_NAME, Action
from tickerplant.control.client import TIMEOUT_S, ControlClient, ControlError, Page
from tickerplant.control.clock_state import LONGEST_WAIT_S
from tickerplant.errors import ConfigError, UpstreamError
from tickerplant.formatting import printable, printable_json, table
from tickerplant.stdio import FAILED
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, NS_PER_S, parse_duration_ns
from tickerplant.watching.arguments import check_text

TOML = ".toml"
UNAUTHORIZED = 401
MAX_CELL = 60
"""Characters of a cell of a table."""

LISTED_ELSEWHERE = {"stop": "library", "release": "kinds"}
"""What an answer has beside what changed; `scenarios` and `levers` print it."""

Words = Sequence[str]
"""What follows the name of an action."""
Run = Callable[[ControlClient, Words], Page]
"""Does it, and returns the answer of the server."""


def control(settings: ControlSettings, name: str, given: Words) -> int:
    """Do one thing with a running server and print its answer; return the exit status.

    Raises:
        ConfigError: the arguments are nothing that can be done.
    """
    action = _action(name, given)
    try:
        with ControlClient(settings.url, settings.control_token or "") as client:
            page = RUNS[action.name](client, given)
    except ControlError as error:
        more = ""
        if error.status == UNAUTHORIZED:
            more = "; here: --control-token, or TICKERPLANT_CONTROL_TOKEN in the environment"
        click.echo(printable(f"tickerplant: {error.message}{more}"), err=True)
        return FAILED
    except UpstreamError as error:
        click.echo(printable(f"tickerplant: {error}"), err=True)
        return FAILED
    if settings.json:
        text = msgspec.json.format(msgspec.json.encode(page))
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        click.echo(printable_json(text) if is_terminal else text)
    else:
        shown = {key: value for key, value in page.items() if key != LISTED_ELSEWHERE.get(name)}
        for line in page_lines(shown, _width()):
            click.echo(printable(line))
    return 0


def _action(name: str, given: Words) -> Action:
    """Return what is to be done.

    Raises:
        ConfigError: there is no such thing, or more or less has to follow.
    """
    check_text("ACTION", name)
    for each in given:
        check_text(name, each)
    action = ACTION_BY_NAME.get(name)
    if action is None:
        raise ConfigError("ACTION", name, one_of(name, ACTION_BY_NAME))
    if len(given) < action.least:
        wanted = action.usage.partition(" ")[0]
        raise ConfigError(wanted, None, f"tickerplant control {name} {action.usage}")
    if len(given) > action.most >= 0:
        usage = f"{name} {action.usage}".strip()
        raise ConfigError(name, given[action.most], f"tickerplant control {usage}")
    return action


def _width() -> int | None:
    """Return the columns of the terminal; None elsewhere."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None


def page_lines(page: Mapping[str, Any], width: int | None) -> Iterator[str]:
    """Yield an answer as lines: its values, and a table of each list of objects.

    Args:
        page: The answer.
        width: The columns of the terminal; None if it is none.
    """
    values = {name: value for name, value in page.items() if not _is_rows(value)}
    longest = max(map(len, values), default=0)
    for name, value in values.items():
        yield f"{name:{longest}}  {_text(value)}".rstrip()
    is_first = not values
    for name, rows in page.items():
        if not _is_rows(rows):
            continue
        if not is_first:
            yield ""
        is_first = False
        yield f"{name}: {len(rows)}" if rows else f"{name}: none"
        if rows:
            columns = [key for key, value in rows[0].items() if not isinstance(value, dict)]
            columns = [key for key in columns if not _is_rows(rows[0][key])]
            cells = [tuple(_cell(row.get(key)) for key in columns) for row in rows]
            yield from table(tuple(columns), cells, width)


def _is_rows(value: object) -> bool:
    """Whether a value is a list of objects, also an empty one."""
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _cell(value: object) -> str:
    text = _text(value)
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            return " ".join(f"{name}={_text(each)}" for name, each in value.items()) or "-"
        case list():
            return " ".join(map(_text, value)) or "-"
        case _:
            return f"{value}"


def fields_of(words: Words) -> dict[str, Any]:
    """Return the fields in `KEY=VALUE` words: numbers, true and false as such, the rest as text.

    Raises:
        ConfigError: a word is none, or a key comes twice.
    """
    fields: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not key or not equals:
            raise ConfigError("KEY=VALUE", word, "a field such as move=-0.12")
        if key in fields:
            raise ConfigError("KEY=VALUE", word, f"{key} once")
        fields[key] = _value(text)
    return fields


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def _clock(client: ControlClient, words: Words) -> Page:
    if not words:
        return client.clock()
    fields = fields_of(words)
    return client.call("POST", "clock", fields=fields, params=WAIT, extra_s=LONGEST_WAIT_S)


WAIT = {"wait": f"{LONGEST_WAIT_S:g}s"}


def _seek(client: ControlClient, words: Words) -> Page:
    return client.set_clock(seek=words[0])


def _step(client: ControlClient, words: Words) -> Page:
    return client.step(words[0])


def _settle(client: ControlClient, words: Words) -> Page:
    wait = words[0] if words else f"{TIMEOUT_S:g}s"
    try:
        wait_s = parse_duration_ns(wait) / NS_PER_S
    except ValueError:
        raise ConfigError("DURATION", wait, EXPECTED_DURATION) from None
    return client.settle(wait_s=wait_s)


def _fault(client: ControlClient, words: Words) -> Page:
    return client.add_fault({"text": " ".join(words)})


def _scenario(client: ControlClient, words: Words) -> Page:
    (given,) = words
    if not given.endswith(TOML):
        return client.call("POST", "scenarios", fields={"scenario": given})
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        expected = f"a file of a scenario, or the name of one ({reason})"
        raise ConfigError("FILE", given, expected) from None
    return client.start_scenario(text, Path(given).name)


def _lever(client: ControlClient, words: Words) -> Page:
    name, *rest = words
    fields = fields_of(rest)
    if isinstance(symbols := fields.get("symbols"), str):
        fields["symbols"] = symbols.split(",")
    return client.pull_lever({"market": name, **fields})


def _last(words: Words) -> str | None:
    return words[0] if words else None


RUNS: Mapping[str, Run] = {
    "clock": _clock,
    "pause": lambda client, _: client.set_clock(paused=True),
    "resume": lambda client, _: client.set_clock(paused=False),
    "step": _step,
    "settle": _settle,
    "seek": _seek,
    "coverage": lambda client, _: client.coverage(),
    "faults": lambda client, _: client.faults(),
    "fault": _fault,
    "clear": lambda client, words: client.remove_fault(_last(words)),
    "scenarios": lambda client, _: client.scenarios(),
    "scenario": _scenario,
    "stop": lambda client, words: client.stop_scenario(_last(words)),
    "levers": lambda client, _: client.levers(),
    "lever": _lever,
    "release": lambda client, words: client.release_lever(_last(words)),
    "connections": lambda client, _: client.connections(),
    "close": lambda client, words: client.close_connection(words[0]),
    "limits": lambda client, _: client.limits(),
    "nodes": lambda client, _: client.nodes(),
}
"""What does each action."""
