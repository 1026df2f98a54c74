"""What `/metrics` of real servers has, by name, and which metrics an expression of Prometheus uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPConnection

from msgspec import Struct
from programs import PATIENCE_S, ROOT
from prometheus_client.parser import text_string_to_metric_families

SELECTOR = re.compile(r"\b((?:tickerplant|process)_\w+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\b(?:by|ignoring|on) ?\(([^()]*)\)")
MATCHER = re.compile(r'(\w+) ?(?:=~|!~|!=|=) ?"')
COUNTED = re.compile(r"\b(?:rate|increase)\(((?:tickerplant|process)_\w+)")
WORD = re.compile(r"\w+")
OF_PROMETHEUS = {"job", "instance", "alertname", "alertstate"}
"""Labels that Prometheus adds."""
ROW = re.compile(r"^\| `(tickerplant_\w+)` \| \w+ \| ([^|]*) \|", re.MULTILINE)
LABEL = re.compile(r"`(\w+)`")


class Family(Struct):
    """What is known of one name of a sample."""

    type: str
    """`counter`, `gauge`, `bucket` or `sum`: the last two are parts of a histogram."""
    labels: set[str]
    was_seen: bool = False
    """Whether a server printed a sample of it."""


Families = dict[str, Family]


def exposed(text: str) -> Families:
    """Return the samples that a page of metrics can have, by name."""
    families: Families = {}
    for family in text_string_to_metric_families(text):
        if family.type == "histogram":
            families[family.name + "_bucket"] = Family("bucket", set())
            families[family.name + "_sum"] = Family("sum", set())
            families[family.name + "_count"] = Family("sum", set())
        else:
            suffix = "_total" if family.type == "counter" else ""
            families[family.name + suffix] = Family(family.type, set())
        for sample in family.samples:
            families[sample.name].labels |= sample.labels.keys()
            families[sample.name].was_seen = True
    return families


def joined(*pages: Families) -> Families:
    """Return what any of several servers has."""
    families: Families = {}
    for page in pages:
        for name, family in page.items():
            known = families.setdefault(name, Family(family.type, set()))
            assert known.type == family.type, f"{name} has two types"
            known.labels |= family.labels
            known.was_seen |= family.was_seen
    return families


def fill_in(families: Families) -> None:
    """Add the labels of what no server printed: those in the reference, written from the program."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    labels = {name: set(LABEL.findall(cell)) for name, cell in ROW.findall(page)}
    for name, family in families.items():
        if not family.was_seen:
            family.labels |= labels[name] | {"worker"}


def get(address: str, path: str) -> str:
    """Return what a server answers."""
    connection = HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def wrong_in(expression: str, families: Families) -> Iterator[str]:
    """Yield what an expression expects of `/metrics` that is not so."""
    grouped = {label for group in GROUPING.findall(expression) for label in WORD.findall(group)}
    counted = set(COUNTED.findall(expression))
    known = set(OF_PROMETHEUS)
    for name, matchers in SELECTOR.findall(expression):
        if name not in families:
            yield f"{name} is not in /metrics"
            continue
        family = families[name]
        known |= family.labels
        for label in set(MATCHER.findall(matchers)) - family.labels - OF_PROMETHEUS:
            yield f"{name} has no label {label}"
        if family.type == "gauge" and name in counted:
            yield f"{name} is a gauge, and has no rate"
        if family.type != "gauge" and name not in counted:
            yield f"{name} only grows: its rate says something"
        if family.type == "bucket" and "le" not in grouped:
            yield f"the buckets of {name} must be kept apart"
        if family.type != "bucket" and "histogram_quantile" in expression:
            yield f"{name} has no buckets"
    for label in grouped - known:
        yield f"nothing in {expression} has the label {label}"
