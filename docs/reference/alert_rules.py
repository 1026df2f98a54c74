"""The alert rules for Prometheus, as they stand in their file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "monitoring" / "prometheus-alerts.yml"


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
