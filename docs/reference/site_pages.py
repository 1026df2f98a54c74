"""The reference pages that are built with the site and are in no folder of the repository.

They have what a reader of the repository finds elsewhere: in docstrings, in `--help`, in the OpenAPI
document of the server and in the rules for Prometheus.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from alert_rules import Alert, alerts
from msgspec import Struct, structs
from page_text import Cells, anchor, fields_table, one_line, table
from public_names import SECTIONS, names_in

from tickerplant import cli
from tickerplant.archive.outage_log import Hole, Outage
from tickerplant.command_line.versions import Versions
from tickerplant.documented_fields import field_docs, structs_in
from tickerplant.explain.catalogue import ParamRow, QueryRow, StreamRow
from tickerplant.explain.verdict import Verdict, Verdicts
from tickerplant.exporting.report import ExportReport
from tickerplant.recording.line import Damage, Place
from tickerplant.server.operations.catalogue import OPERATIONS
from tickerplant.server.operations.operation import Operation, QueryParam
from tickerplant.serving.scenarios import ChangeRow, ScenarioPage, ScenarioRow
from tickerplant.startup import lines
from tickerplant.verifying.findings import (
    BookFinding,
    Break,
    Findings,
    Gap,
    RecordingFinding,
    StreamFinding,
    Unknown,
)
from tickerplant.watching.record_report import RecordReport

HELP_COLUMNS = 78
"""What is printed on a terminal of 80."""
LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
VALUE = re.compile(r"\{\{ \$value[^}]*\}\}")

JSON_OUTPUT: dict[str, tuple[type[Struct], ...]] = {
    "`simulate`, `test-server`, `replay`, `relay`: a line when the server is ready, and one at its "
    "end": (lines.Ready, lines.Addresses, lines.Totals),
    "`record`: a line at its end": (RecordReport,),
    "`verify`: a document in which every key is present": (
        *(Findings, RecordingFinding, StreamFinding, Gap, Outage, BookFinding, Unknown, Break),
        *(Damage, Place),
    ),
    "`export`: a document": (ExportReport, Hole),
    "`explain`: a document": (Verdicts, Verdict),
    "`streams`: a list": (StreamRow,),
    "`queries`: a list": (QueryRow, ParamRow),
    "`scenarios`: a list, or the document of one": (ScenarioRow, ScenarioPage, ChangeRow),
    "`version`: a document": (Versions,),
}
"""What commands print with `--json`, and the classes of its objects."""


def python_page(section: str) -> str:
    """Return the page of a section of public names."""
    names = names_in(section)
    parts = [f"::: {each.path}" for each in names]
    return _page(
        f"{SECTIONS[section]}, in full", f"[Python](../python.md#{_heading(section)}).", *parts
    )


def _heading(section: str) -> str:
    return anchor(SECTIONS[section])


def command_line_page() -> str:
    """Return the page of what `--help` prints."""
    root = cli.commands.make_context(
        "tickerplant", [], resilient_parsing=True, terminal_width=HELP_COLUMNS
    )
    parts = [f"```text\n{root.get_help()}\n```"]
    for name, command in cli.commands.commands.items():
        context = command.make_context(name, [], parent=root, resilient_parsing=True)
        parts.append(f"## `tickerplant {name}`\n\n```text\n{context.get_help()}\n```")
    return _page("Command line", "Each option also is a [setting](settings.md).", *parts)


def json_output_page() -> str:
    """Return the page of what commands print with `--json`."""
    parts = []
    for about, kinds in JSON_OUTPUT.items():
        parts.append(f"## {about}")
        for kind in kinds:
            first = one_line((inspect.getdoc(kind) or "").split("\n\n")[0])
            parts += [f"**{kind.__name__}**: {first}", fields_table(kind)]
    return _page(
        "JSON output",
        "On standard output, UTF-8; new keys may be added.\n"
        "`watch` prints a line for each message: `received`, `stream`, and `data`, the payload as it "
        "was received; notices and totals are on standard error.\n"
        "`ask` and `control` print the response of the server.",
        *parts,
    )


def operations_page() -> str:
    """Return the page of every request of the control plane, and its response."""
    paths = dict.fromkeys(each.path for each in OPERATIONS)
    return _page(
        "Operations in full",
        "The requests of the [control plane](control-plane.md), path by path.",
        *(part for path in paths for part in _operations_at(path)),
    )


def _operations_at(path: str) -> Iterator[str]:
    yield f"## `{path}`"
    described: set[type[Struct]] = set()
    for each in (each for each in OPERATIONS if each.path == path):
        yield one_line(f"**{each.method}**: {each.summary} {each.doc}")
        if each.params:
            yield table("parameter | meaning | default", map(_query_param, each.params))
        if isinstance(each.body, type):
            yield "The body may have"
            yield fields_table(each.body)
        if each.example:
            yield f"Such as `{json.dumps(each.example)}`."
        if each.statuses:
            yield table("status | when", ((f"{it}", when) for it, when in each.statuses.items()))
        yield from _answers(each, described)


def _answers(operation: Operation, described: set[type[Struct]]) -> Iterator[str]:
    for kind in operation.answers:
        for each in _described_in(kind, described):
            yield f"**{each.__name__}**: {one_line(inspect.getdoc(each) or '')}"
            yield fields_table(each)


def _described_in(kind: type[Struct], described: set[type[Struct]]) -> Iterator[type[Struct]]:
    """Yield a Struct and those in its fields that were not yielded before."""
    if kind in described or not field_docs(kind):
        return
    described.add(kind)
    yield kind
    for field in structs.fields(kind):
        for inner in structs_in(field.type):
            yield from _described_in(inner, described)


def _query_param(param: QueryParam) -> Cells:
    default = "" if param.default is None else f"{param.default}"
    return f"`{param.name}`", param.doc, "required" if param.required else default


def alerts_page() -> str:
    """Return the page of the alerts."""
    return _page(
        "Alerts",
        "The rules of `monitoring/prometheus-alerts.yml` for Prometheus.\n"
        "`critical`: clients get nothing, or something wrong; `warning`: look at it today; `info`: "
        "good to know.\n"
        "Words in *italics* are labels, or the value of the expression.",
        *(part for rule in alerts() for part in _alert(rule)),
    )


def _alert(rule: Alert) -> Iterable[str]:
    page = rule.annotations.runbook.removeprefix("docs/")
    description = VALUE.sub("*value*", LABEL.sub(r"*\1*", rule.annotations.description))
    yield f"## {rule.alert}"
    yield f"For {rule.lasting}: {rule.labels.severity}. {description}"
    yield f"```text\n{rule.expr.strip()}\n```"
    yield f"[What to do](../{page})."


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", *parts)) + "\n"


PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "operations": ("Operations in full", operations_page),
    "alerts": ("Alerts", alerts_page),
    **{
        f"python/{section}": (f"{title}, in full", partial(python_page, section))
        for section, title in SECTIONS.items()
    },
    "command-line": ("Command line", command_line_page),
    "json-output": ("JSON output", json_output_page),
}
"""Title and text of each page, by its name below `reference/`."""
