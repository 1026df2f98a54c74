"""The tables of the pages about the server, its settings, recordings and scenarios."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from page_text import Cells, code, field_rows, fields_table, one_line, table
from prometheus_client.core import Metric
from public_names import SECTIONS, names_in

from tickerplant.archive import tables as recorded_tables
from tickerplant.config.setting import GROUPS, Setting, settings_of
from tickerplant.config.settings import COMMANDS
from tickerplant.edge.metrics import EDGE_ROWS, PLANT_ROWS
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.row import AIMS, ActsOn, FaultRow
from tickerplant.faults.row import Param as FaultParam
from tickerplant.faults.rows import FAULT_ROWS
from tickerplant.faults.rule import AIM_DOCS, WINDOW_DOCS
from tickerplant.logs import Complaints
from tickerplant.plant import Plant
from tickerplant.protocol.limits import LIMITS
from tickerplant.recording import manifest_entries
from tickerplant.replaying.lateness import Lateness
from tickerplant.scenarios.library import library_names, library_scenario
from tickerplant.scenarios.scenario import Scenario
from tickerplant.server.congestion import Congestion
from tickerplant.server.flushing import Flusher
from tickerplant.server.metrics import PREFIX, PlantCollector, PortsCollector
from tickerplant.server.operations.catalogue import OPERATIONS
from tickerplant.server.operations.operation import Operation
from tickerplant.server.readiness import Readiness
from tickerplant.serving.scenarios import clock_text
from tickerplant.simulation.levers import LEVER_ROWS, LeverParam, LeverState
from tickerplant.sources.relay import COUNTERS, GAUGES
from tickerplant.sources.speed import SpeedWatch
from tickerplant.truth.truth import Truth

DECISIONS = Path(__file__).parent.parent / "decisions"
MANY = 4
"""A fault's parameter with the same meaning in so many faults is described once."""


def settings() -> str:
    """Return the table of all settings, by group."""
    groups: dict[str, dict[Cells, list[str]]] = {group: {} for group in (*GROUPS, "Options")}
    for command, kind in COMMANDS.items():
        for setting in settings_of(kind):
            groups[setting.group].setdefault(_setting(setting), []).append(command)
    return table(("option", "value", "default", "commands", "meaning"), _settings(groups))


def _settings(groups: dict[str, dict[Cells, list[str]]]) -> Iterator[Cells]:
    for group, rows in groups.items():
        if rows:
            yield f"**{group}**", "", "", "", ""
        for (option, value, default, meaning), commands in sorted(rows.items()):
            yield option, value, default, ", ".join(commands), meaning


def _setting(setting: Setting) -> Cells:
    value = "" if setting.is_flag else f"`{setting.metavar}`"
    default = "" if setting.is_flag else setting.shown_default
    return code(*reversed(setting.names)), value, default, setting.help_text


def fault_parameters() -> str:
    """Return the table of the parameters that many faults have."""
    return table(("parameter", "value", "meaning"), (_param_cells(each) for each in _common()))


def _common() -> list[FaultParam]:
    every = [param for row in FAULT_ROWS for param in row.params]
    return [
        it
        for number, it in enumerate(every)
        if it not in every[:number] and every.count(it) >= MANY
    ]


def _param_cells(param: FaultParam) -> Cells:
    expected = f"{param.expected}{'; required' if param.required else ''}"
    return f"`{param.name}`", expected, param.doc


def faults_on(acts_on: ActsOn) -> str:
    """Return the table of the faults that act on something."""
    rows = (_fault(row) for row in FAULT_ROWS if row.acts_on == acts_on)
    return table(("fault", "what it does", "parameters"), rows)


def _fault(row: FaultRow) -> Cells:
    common = _common()
    params = [
        f"`{it.name}`"
        if it in common
        else f"`{it.name}`, {_param_cells(it)[1]}: {it.doc.rstrip('.')}"
        for it in row.params
    ]
    aims = f" Aims: {code(*row.aim_names)} only." if row.aims else ""
    return f"`{row.form}`", f"{row.doc}{aims}", "; ".join(params)


def levers() -> str:
    """Return the sections of the levers of the simulated market."""
    head = ("key", "value", "default", "meaning")
    sections = []
    for row in LEVER_ROWS:
        sections += [f"## `{row.name}`", one_line(row.doc)]
        if row.params:
            sections.append(table(head, map(_lever_param, row.params)))
    return "\n\n".join(sections)


def _lever_param(param: LeverParam) -> Cells:
    default = "required"
    if param.default is not None:
        default = f"`{str(param.default).removesuffix('.0').lower()}`"
    expected = "a duration" if param.kind == "duration" else param.expected
    return f"`{param.name}`", expected, default, param.doc


def metrics() -> str:
    """Return the table of the metrics of every server."""
    plant = Plant((), start_ms=0)
    flusher = Flusher((), Congestion(LIMITS, lambda: 0))
    ports = PortsCollector((), flusher, Complaints(), FaultBoard(MarketClock(plant.timers)))
    collector = PlantCollector(plant, ports, (), Readiness(), Complaints(), Truth())
    return table(("name", "type", "labels", "what it counts"), map(_metric, collector.collect()))


def _metric(family: Metric) -> Cells:
    name = family.name + ("_total" if family.type == "counter" else "")
    # The library shows the labels of a family only by its samples, and here are none.
    labels: Iterable[str] = family._labelnames  # type: ignore[attr-defined]  # noqa: SLF001
    return f"`{name}`", family.type, code(*labels), family.documentation


def source_metrics() -> str:
    """Return the table of the metrics of sources."""
    return table(("name", "type", "labels", "of", "what it counts"), _source_metrics())


def _source_metrics() -> Iterator[Cells]:
    paced = (
        ("a simulation or a replay at a pace", SpeedWatch().samples()),
        ("a replay at a pace", Lateness().samples()),
    )
    for whose, samples in paced:
        for each in {sample.name: sample for sample in samples}.values():
            yield _metric_name(each.name, each.type), each.type, code(*each.labels), whose, each.doc
    for kind, readings in (("gauge", GAUGES), ("counter", COUNTERS)):
        for name, (_, doc) in readings.items():
            yield _metric_name(name, kind), kind, "`venue`", "a relay", doc


def process_metrics() -> str:
    """Return the table of the metrics of several processes."""
    rows = (
        (_metric_name(row.name, row.type), row.type, whose, row.doc)
        for rows, whose in ((PLANT_ROWS, "the plant"), (EDGE_ROWS, "an edge"))
        for row in rows
    )
    return table(("name", "type", "of", "what it counts"), rows)


def _metric_name(name: str, kind: str) -> str:
    return f"`{PREFIX}{name}{'_total' if kind == 'counter' else ''}`"


def manifest() -> str:
    """Return the table of the lines of a manifest."""
    return table(("kind", "key", "type", "meaning"), _manifest())


def _manifest() -> Iterator[Cells]:
    for kind in get_args(manifest_entries.AnyEntry):
        about = one_line(inspect.getdoc(kind) or "")
        yield f"`{kind.__struct_config__.tag}`", "", "", f"**{about}**"
        for key, words, meaning in field_rows(kind):
            yield "", key, words, meaning


def operations() -> str:
    """Return the table of the operations of the server."""
    return table(("operation", "what it does", "who"), map(_operation, OPERATIONS))


def _operation(operation: Operation) -> Cells:
    is_open = operation.is_public or not operation.path.startswith("/plant/")
    who = "all" if is_open else "market" if operation.is_about_market else "owner"
    return f"`{operation.method} {operation.path}`", operation.summary, who


def common_columns() -> str:
    """Return the table of the columns that all tables of a recording have."""
    first = (f"`{recorded_tables.VENUE}`", "text", recorded_tables.VENUE_DOC)
    rows = (first, *map(_column, recorded_tables.COMMON))
    return table(("column", "type", "meaning"), rows)


def columns() -> str:
    """Return the sections of the tables of a recording."""
    return "\n\n".join(
        f"## `{each.name}`\n\n{one_line(each.doc)}\n\n"
        + table(("column", "type", "meaning"), map(_column, (*each.columns, *each.levels)))
        for each in recorded_tables.TABLES
    )


def _column(column: recorded_tables.Column) -> Cells:
    return f"`{column.name}`", column.kind.value, column.doc


def scenarios() -> str:
    """Return the table of the scenarios of the library."""
    rows = map(_scenario, map(library_scenario, library_names()))
    return table(("scenario", "what happened", "what comes when", "played by"), rows)


def _scenario(scenario: Scenario) -> Cells:
    changes = "; ".join(f"{clock_text(each.at_ms)} `{each.text}`" for each in scenario.changes)
    who = "a simulation" if scenario.market_changes else "every server"
    return f"`{scenario.name}`", scenario.happened, changes, who


def decisions() -> str:
    """Return the list of the decisions, by their headings."""
    headings = {
        path.name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for path in sorted(DECISIONS.glob("[0-9]*.md"))
    }
    return "\n".join(f"- [{heading}]({name})" for name, heading in headings.items())


def public_names(section: str) -> str:
    """Return the table of the public names of a section."""
    rows = ((f"`{each.path}`", each.doc) for each in names_in(section))
    return table(("name", "meaning"), rows)


def keys(docs: dict[str, str]) -> str:
    """Return the table of the keys of a fault that are no parameters."""
    return table(("key", "meaning"), ((f"`{name}`", doc) for name, doc in docs.items()))


TABLES: dict[str, Callable[[], str]] = {
    **{f"faults-{acts_on}": partial(faults_on, acts_on) for acts_on in AIMS},
    **{f"python-{section}": partial(public_names, section) for section in SECTIONS},
    "columns": columns,
    "common-columns": common_columns,
    "decisions": decisions,
    "fault-aims": partial(keys, AIM_DOCS),
    "fault-parameters": fault_parameters,
    "fault-windows": partial(keys, WINDOW_DOCS),
    "levers": levers,
    "lever-state": partial(fields_table, LeverState),
    "manifest": manifest,
    "metrics": metrics,
    "operations": operations,
    "process-metrics": process_metrics,
    "scenarios": scenarios,
    "settings": settings,
    "source-metrics": source_metrics,
}
