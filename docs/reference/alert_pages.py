"""The page of the alerts, from the rules for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct
from page_text import Cells, anchor, page, table

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "monitoring" / "prometheus-alerts.yml"
LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
VALUE = re.compile(r"\{\{ \$value[^}]*\}\}")


class Labels(Struct, frozen=True, forbid_unknown_fields=True):
    """The labels that a rule adds."""

    severity: str


class Annotations(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule says."""

    summary: str
    description: str
    runbook: str
    """A page of this repository and one of its headings: `docs/….md#…`."""


class Alert(Struct, frozen=True, forbid_unknown_fields=True, rename={"lasting": "for"}):
    """One rule."""

    alert: str
    expr: str
    lasting: str
    labels: Labels
    annotations: Annotations


class Group(Struct, frozen=True, forbid_unknown_fields=True):
    """Rules that are evaluated together."""

    name: str
    rules: tuple[Alert, ...]


class RuleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rules."""

    groups: tuple[Group, ...]


def alerts() -> list[Alert]:
    """Return all rules, in the order of their file."""
    file = msgspec.yaml.decode(RULES.read_bytes(), type=RuleFile)
    return [rule for group in file.groups for rule in group.rules]


def alerts_page() -> str:
    """Return the page of the alerts."""
    return page(
        "Alerts",
        "The rules of `monitoring/prometheus-alerts.yml` for Prometheus.\n"
        "`critical`: clients get nothing, or something wrong; `warning`: look at it today; `info`: good "
        "to know.\n"
        "Words in *italics* are labels, or the value of the expression.",
        table(("alert", "severity", "it says"), map(_row, alerts())),
        *("\n\n".join(_section(each)) for each in alerts()),
        see_also=(
            "[Operate a server](../how-to/operate.md) says how to load the rules; "
            "[Metrics](metrics.md) lists what they are made of."
        ),
    )


def _row(rule: Alert) -> Cells:
    return (
        f"[{rule.alert}](#{anchor(rule.alert)})",
        rule.labels.severity,
        _readable(rule.annotations.summary),
    )


def _section(rule: Alert) -> Iterator[str]:
    target, _, heading = rule.annotations.runbook.removeprefix("docs/").partition("#")
    yield f"## {rule.alert}"
    yield re.sub(r"(?<=\.) ", "\n", _readable(rule.annotations.description))
    yield f"```text\n{rule.expr.strip()}\n```"
    yield f"For {rule.lasting}: {rule.labels.severity}; see [{_title(target, heading)}](../{target}#{heading})."


def _title(target: str, heading: str) -> str:
    """Return the heading that an anchor of a page belongs to."""
    headings: list[str] = re.findall(
        r"^#+ (.+)$", (ROOT / "docs" / target).read_text("utf-8"), re.MULTILINE
    )
    found = next((each for each in headings if anchor(each) == heading), None)
    if found is None:
        raise ValueError(f"docs/{target} has no heading for the runbook #{heading}")
    return found


def _readable(text: str) -> str:
    """Return a template as a sentence."""
    return VALUE.sub("*value*", LABEL.sub(r"*\1*", text))


PAGES: dict[str, Callable[[], str]] = {"alerts.md": alerts_page}
