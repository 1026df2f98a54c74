"""`tickerplant control`: the control plane of a running server on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tickerplant.config.settings import ControlSettings
from tickerplant.control.client import TIMEOUT_S, ControlClient, ControlError, Page
from tickerplant.control.clock_state import LONGEST_WAIT_S
from tickerplant.errors import ConfigError, UpstreamError
from tickerplant.formatting import table
from tickerplant.output import print_error, print_json, print_lines, terminal_width
from tickerplant.stdio import FAILED
from tickerplant.suggestions import one_of
from tickerplant.units import EXPECTED_DURATION, NS_PER_S, parse_duration_ns
from tickerplant.watching.arguments import check_text, pairs_in

TOML = ".toml"
UNAUTHORIZED = 401
MAX_CELL = 60
"""Characters of a cell of a table."""
LISTED_ELSEWHERE = {"stop": "library", "release": "kinds"}
"""What an answer has beside what changed; `scenarios` and `levers` print it."""


class Action(NamedTuple):
    """One thing that can be done with a running server."""

    text: str
    """Its name and what follows: a word in brackets may be left out, dots end what may be repeated."""
    doc: str
    run: Callable[..., Page]
    """Takes the client and the words after the name; returns the answer of the server."""

    def check(self, given: Sequence[str]) -> None:
        """Raise ConfigError if more or less has to follow."""
        name, *words = self.text.split()
        if len(given) < sum(not word.startswith("[") for word in words):
            raise ConfigError(words[0], None, f"tickerplant control {self.text}")
        repeats = "..." in self.text or "=" in self.text
        if len(given) > len(words) and not repeats:
            raise ConfigError(name, given[len(words)], f"tickerplant control {self.text}")


def control(settings: ControlSettings, name: str, given: Sequence[str]) -> int:
    """Do one thing with a running server and print its answer; return the exit status."""
    action = _action(name, given)
    try:
        with ControlClient(settings.url, settings.control_token or "") as client:
            page = action.run(client, *given)
    except ControlError as error:
        more = ""
        if error.status == UNAUTHORIZED:
            more = "; here: --control-token, or TICKERPLANT_CONTROL_TOKEN in the environment"
        print_error(f"{error.message}{more}")
        return FAILED
    except UpstreamError as error:
        print_error(str(error))
        return FAILED
    if settings.json:
        print_json(page)
    else:
        shown = {key: value for key, value in page.items() if key != LISTED_ELSEWHERE.get(name)}
        print_lines(page_lines(shown, terminal_width()))
    return 0


def _action(name: str, given: Sequence[str]) -> Action:
    """Return what is to be done."""
    check_text("ACTION", name)
    for each in given:
        check_text(name, each)
    action = ACTIONS.get(name)
    if action is None:
        raise ConfigError("ACTION", name, one_of(name, ACTIONS))
    action.check(given)
    return action


def page_lines(page: Mapping[str, Any], width: int | None) -> Iterator[str]:
    """Yield an answer as lines: its values, and a table of each list of objects."""
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


def fields_of(words: Sequence[str]) -> dict[str, Any]:
    """Return the fields in `KEY=VALUE` words: numbers, true and false as such, the rest as text."""
    return {key: _value(text) for key, text in pairs_in(words, "a field such as move=-0.12")}


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def _clock(client: ControlClient, *words: str) -> Page:
    if not words:
        return client.clock()
    params = {"wait": f"{LONGEST_WAIT_S:g}s"}
    return client.call(
        "POST", "clock", fields=fields_of(words), params=params, extra_s=LONGEST_WAIT_S
    )


def _settle(client: ControlClient, wait: str = f"{TIMEOUT_S:g}s") -> Page:
    try:
        wait_s = parse_duration_ns(wait) / NS_PER_S
    except ValueError:
        raise ConfigError("DURATION", wait, EXPECTED_DURATION) from None
    return client.settle(wait_s=wait_s)


def _scenario(client: ControlClient, given: str) -> Page:
    if not given.endswith(TOML):
        return client.call("POST", "scenarios", fields={"scenario": given})
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        expected = f"a file of a scenario, or the name of one ({reason})"
        raise ConfigError("FILE", given, expected) from None
    return client.start_scenario(text, Path(given).name)


def _lever(client: ControlClient, name: str, *words: str) -> Page:
    fields = fields_of(words)
    if isinstance(symbols := fields.get("symbols"), str):
        fields["symbols"] = symbols.split(",")
    return client.pull_lever({"market": name, **fields})


_ROWS = (
    Action(
        "clock [speed=NUMBER] [paused=true|false]",
        "Print the clock of the market, or set it.",
        _clock,
    ),
    Action("pause", "Pause the market.", lambda client: client.set_clock(paused=True)),
    Action("resume", "Let the market go on.", lambda client: client.set_clock(paused=False)),
    Action(
        "step DURATION",
        "Advance a paused market by market time, such as 10s; wait until that is done.",
        ControlClient.step,
    ),
    Action(
        "settle [DURATION]",
        "Wait until all clients have read what was sent to them, at most 10s or as given.",
        _settle,
    ),
    Action(
        "seek TIME",
        "Go on at a time, at an offset such as +10m or, in a replay, -10s, or in a simulation at now.",
        lambda client, time: client.set_clock(seek=time),
    ),
    Action(
        "coverage",
        "Print what the recordings of a replay cover, and where messages are missing.",
        ControlClient.coverage,
    ),
    Action(
        "faults", "List the faults that are on, and how often each happened.", ControlClient.faults
    ),
    Action(
        "fault KIND[=VALUE] [KEY=VALUE]...",
        "Turn a fault on: its kind, parameters, aim and window, such as drop=0.1 stream=*@depth.",
        lambda client, *words: client.add_fault({"text": " ".join(words)}),
    ),
    Action("clear [ID]", "Turn a fault off, or all of them.", ControlClient.remove_fault),
    Action(
        "scenarios",
        "List the scenarios that were started, and the library.",
        ControlClient.scenarios,
    ),
    Action("scenario NAME|FILE.toml", "Start a scenario of the library or of a file.", _scenario),
    Action("stop [ID]", "Stop a scenario, or all of them.", ControlClient.stop_scenario),
    Action(
        "levers", "List the levers that are pulled, and those that there are.", ControlClient.levers
    ),
    Action(
        "lever NAME [KEY=VALUE]...",
        "Pull a lever of a simulated market, such as shock move=-0.12 symbols=BTCUSDT.",
        _lever,
    ),
    Action("release [ID]", "Release a lever, or all of them.", ControlClient.release_lever),
    Action(
        "connections",
        "List the connections, and why the last ones were closed.",
        ControlClient.connections,
    ),
    Action("close ID", "Close a connection.", ControlClient.close_connection),
    Action("limits", "Print how close clients came to the limits.", ControlClient.limits),
    Action("nodes", "List the processes that serve the market.", ControlClient.nodes),
)
ACTIONS = {each.text.split()[0]: each for each in _ROWS}
"""What can be done, by name."""
