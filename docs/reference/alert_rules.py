"""The alert rules for Prometheus, as they stand in their file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

RULES = Path(__file__).parents[2] / "monitoring" / "prometheus-alerts.yml"


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


def alerts() -> list[Alert]:
    """Return all rules, in the order of their file."""
    groups = msgspec.yaml.decode(RULES.read_bytes())["groups"]
    return msgspec.convert([rule for group in groups for rule in group["rules"]], list[Alert])
