"""The tables of the pages about the server, its settings, recordings and scenarios."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import get_args

from page_text import Cells, Table, code, field_rows, fields_table, one_line, table
from public_names import SECTIONS, names_in

from tickerplant.archive import tables
from tickerplant.cluster.metrics import EDGE_ROWS, PLANT_ROWS
from tickerplant.config.setting import Group, settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.catalogue import AIMS, FAULTS
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.fault import ActsOn, Fault
from tickerplant.faults.params import Param as FaultParam
from tickerplant.faults.rule import AIM_DOCS, WINDOW_DOCS
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.readiness import Readiness
from tickerplant.recording import manifest_entries
from tickerplant.replaying.source import Lateness
from tickerplant.scenarios.library import library_names, library_scenario
from tickerplant.server.congestion import Congestion
from tickerplant.server.flushing import Flusher
from tickerplant.server.guard import PLANT_PATHS
from tickerplant.server.metrics import PREFIX, PlantCollector, PortsCollector
from tickerplant.server.operations.catalogue import OPERATIONS
from tickerplant.serving.scenarios import clock_text
from tickerplant.simulation.levers import LEVER_ROWS, LeverParam, LeverState
from tickerplant.sources.relay import COUNTERS, GAUGES
from tickerplant.sources.speed import SpeedWatch
from tickerplant.truth.truth import Truth

DECISIONS = Path(__file__).parent.parent / "decisions"
HOLDS = ("`for`", "a duration", "", "How long it holds; without it, until it is released.")
SERVERS = ("simulate", "test-server", "replay", "relay")
MANY = 4
"""A fault's parameter with the same meaning in so many faults is described once."""


def settings() -> Iterator[Cells]:
    """Yield all settings by group, each once for the commands for which it means the same."""
    groups: dict[str, dict[Cells, dict[str, list[str]]]] = {group: {} for group in Group}
    for command, kind in COMMANDS.items():
        for each in settings_of(kind):
            value, default = code(each.kind.metavar), each.shown_default
            if each.is_flag:
                value = default = ""
            row = code(*reversed(each.names)), value, each.help_text
            groups[each.group].setdefault(row, {}).setdefault(default, []).append(command)
    for group, rows in groups.items():
        if rows:
            yield f"**{group}**", "", "", "", ""
        for (option, value, meaning), by_default in sorted(rows.items()):
            first, *others = by_default
            default = "; ".join((first, *(f"{it} ({', '.join(by_default[it])})" for it in others)))
            meant = {*chain.from_iterable(by_default.values())}
            commands = ", ".join(command for command in COMMANDS if command in meant)
            yield option, value, default, commands.replace(", ".join(SERVERS), "servers"), meaning


def common_fault_parameters() -> list[FaultParam]:
    """Return the parameters that many faults have, each once."""
    every = [param for fault in FAULTS.values() for param in fault.params()]
    counted = Counter(map(_param_cells, every))
    params = {_param_cells(param): param for param in every}
    return [param for cells, param in params.items() if counted[cells] >= MANY]


def _param_cells(param: FaultParam) -> tuple[str, str, str]:
    expected = f"{param.expected}{'; required' if param.required else ''}"
    return f"`{param.name}`", expected, param.doc


def faults(acts_on: ActsOn) -> str:
    """Return what faults that act on something are aimed at, and their table."""
    rows = (_fault(each) for each in FAULTS.values() if each.acts_on == acts_on)
    return f"Aims: {code(*AIMS[acts_on])}.\n\n{table('fault | what it does | parameters', rows)}"


def _fault(fault: type[Fault]) -> Cells:
    common = common_fault_parameters()
    params = (
        f"`{param.name}`" if param in common else "{}, {}: {}".format(*_param_cells(param))
        for param in fault.params()
    )
    aims = f" Aims: {code(*fault.aims)} only." if fault.aims != AIMS[fault.acts_on] else ""
    shown = "; ".join(param.rstrip(".") for param in params)
    return f"`{fault.form()}`", f"{fault.doc()}{aims}", shown


def levers() -> str:
    """Return the sections of the levers of the simulated market."""
    parts = []
    for row in LEVER_ROWS:
        keys = [*map(_lever_param, row.params), *([HOLDS] if row.has_duration else [])]
        parts += [f"## `{row.name}`", one_line(row.doc)]
        if keys:
            parts.append(table("key | value | default | meaning", keys))
    return "\n\n".join(parts)


def _lever_param(param: LeverParam) -> Cells:
    default = f"`{str(param.default).removesuffix('.0').lower()}`"
    expected = "a duration" if param.kind == "duration" else param.expected
    return f"`{param.name}`", expected, "required" if param.default is None else default, param.doc


def metrics() -> Iterator[Cells]:
    """Yield the metrics of every server."""
    plant = Plant((), start_ms=0)
    flusher = Flusher((), Congestion(LIMITS, lambda: 0))
    ports = PortsCollector((), flusher, Complaints(), FaultBoard(MarketClock(plant.timers)))
    for family in PlantCollector(plant, ports, (), Readiness(), Complaints(), Truth()).collect():
        # The library shows the labels of a family only by its samples, and here are none.
        labels: Iterable[str] = family._labelnames  # type: ignore[attr-defined]  # noqa: SLF001
        name = _metric(family.name.removeprefix(PREFIX), family.type)
        yield name, family.type, code(*labels), family.documentation


def source_metrics() -> Iterator[Cells]:
    """Yield the metrics of sources."""
    paced = (
        ("a simulation or a replay at a pace", SpeedWatch().samples()),
        ("a replay at a pace", Lateness().samples()),
    )
    for whose, samples in paced:
        for each in {sample.name: sample for sample in samples}.values():
            yield _metric(each.name, each.type), each.type, code(*each.labels), whose, each.doc
    for kind, readings in (("gauge", GAUGES), ("counter", COUNTERS)):
        for name, (_, doc) in readings.items():
            yield _metric(name, kind), kind, "`venue`", "a relay", doc


def process_metrics() -> Iterator[Cells]:
    """Yield the metrics of several processes."""
    for rows, whose in ((PLANT_ROWS, "the plant"), (EDGE_ROWS, "an edge")):
        for name, row in rows.items():
            yield _metric(name, row.type), row.type, whose, row.doc


def _metric(name: str, kind: str) -> str:
    return f"`{PREFIX}{name}{'_total' if kind == 'counter' else ''}`"


def manifest() -> Iterator[Cells]:
    """Yield the lines of a manifest with their keys."""
    for kind in get_args(manifest_entries.AnyEntry):
        about = one_line(inspect.getdoc(kind) or "")
        yield f"`{kind.__struct_config__.tag}`", "", "", f"**{about}**"
        for key, words, meaning in field_rows(kind):
            yield "", key, words, meaning


def operations() -> Iterator[Cells]:
    """Yield the operations of the server, and who may use them."""
    for each in OPERATIONS:
        is_open = each.is_public or not each.path.startswith(PLANT_PATHS)
        who = "all" if is_open else "market" if each.is_about_market else "owner"
        yield f"`{each.method} {each.path}`", each.summary, who


COLUMN_HEAD = "column | type | meaning"


def common_columns() -> Iterator[Cells]:
    """Yield the columns that all tables of a recording have."""
    yield f"`{tables.VENUE}`", "text", tables.VENUE_DOC
    yield from map(_column, tables.COMMON)


def columns() -> str:
    """Return the sections of the tables of a recording: the columns that no table before has."""
    parts = []
    known: dict[tuple[tables.Column, ...], str] = {}
    for each in tables.TABLES:
        every = (*each.columns, *each.levels)
        same = next((it for it in known if {*it} <= {*every}), ())
        own = [column for column in every if column not in same]
        parts += [f"## `{each.name}`", one_line(each.doc)]
        if same:
            parts.append(
                f"The columns of [`{known[same]}`](#{known[same]}){', and' if own else '.'}"
            )
        if own:
            parts.append(table(COLUMN_HEAD, map(_column, own)))
        known.setdefault(every, each.name)
    return "\n\n".join(parts)


def _column(column: tables.Column) -> Cells:
    return f"`{column.name}`", column.kind.value, column.doc


def scenarios() -> Iterator[Cells]:
    """Yield the scenarios of the library."""
    for scenario in map(library_scenario, library_names()):
        changes = "; ".join(f"{clock_text(each.at_ms)} `{each.text}`" for each in scenario.changes)
        who = "a simulation" if scenario.market_changes else "every server"
        yield f"`{scenario.name}`", scenario.happened, changes, who


def decisions() -> str:
    """Return the list of the decisions, by their headings."""
    headings = {
        path.name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for path in sorted(DECISIONS.glob("[0-9]*.md"))
    }
    return "\n".join(f"- [{heading}]({name})" for name, heading in headings.items())


def public_names(section: str) -> Iterator[Cells]:
    """Yield the public names of a section."""
    for each in names_in(section):
        yield f"`{each.path}`", each.doc


def described(docs: Mapping[str, str]) -> Iterator[Cells]:
    """Yield names with their meanings."""
    for name, doc in docs.items():
        yield f"`{name}`", doc


TABLES: dict[str, Callable[[], str]] = {
    **{f"faults-{acts_on}": partial(faults, acts_on) for acts_on in AIMS},
    **{
        f"python-{section}": Table("name | meaning", partial(public_names, section))
        for section in SECTIONS
    },
    "columns": columns,
    "common-columns": Table(COLUMN_HEAD, common_columns),
    "decisions": decisions,
    "fault-aims": Table("key | meaning", partial(described, AIM_DOCS)),
    "fault-parameters": Table(
        "parameter | value | meaning", lambda: map(_param_cells, common_fault_parameters())
    ),
    "fault-windows": Table("key | meaning", partial(described, WINDOW_DOCS)),
    "levers": levers,
    "lever-state": partial(fields_table, LeverState),
    "manifest": Table("kind | key | type | meaning", manifest),
    "metrics": Table("name | type | labels | what it counts", metrics),
    "operations": Table("operation | what it does | who", operations),
    "process-metrics": Table("name | type | of | what it counts", process_metrics),
    "scenarios": Table("scenario | what happened | what comes when | played by", scenarios),
    "settings": Table("option | value | default | commands | meaning", settings),
    "source-metrics": Table("name | type | labels | of | what it counts", source_metrics),
}
