from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from promtool import FOLDER, promtool, with_promtool

DASHBOARD = FOLDER / "grafana-dashboard.json"
CHOICES = ("job", "instance", "venue", "worker")
LEGEND = re.compile(r"\{\{(\w+)\}\}")
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

Panel = dict[str, Any]
BOARD: Panel = json.loads(DASHBOARD.read_text(encoding="utf-8"))


def panels() -> Iterator[Panel]:
    """Yield the panels with pictures, those of closed rows too."""
    for panel in BOARD["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def targets() -> list[tuple[str, str, str]]:
    """Return the title, the expression and the legend of every line of every panel."""
    return [
        (panel["title"], target["expr"], target["legendFormat"])
        for panel in panels()
        for target in panel["targets"]
    ]


def test_a_legend_names_only_labels_that_its_expression_keeps() -> None:
    for title, expression, legend in targets():
        kept = re.findall(r"\bby \(([^()]*)\)", expression)
        if kept:
            labels = {label for group in kept for label in re.findall(r"\w+", group)}
            lost = set(LEGEND.findall(legend)) - labels
            assert not lost, f"{title}: {legend} is not in {expression}"
        elif re.match(r"(sum|min|max)\(", expression):
            assert not LEGEND.search(legend), f"{title}: {expression} has no labels left"


def test_every_variable_that_is_used_can_be_chosen() -> None:
    chosen = {each["name"] for each in BOARD["templating"]["list"]}
    assert chosen == {"datasource", *CHOICES}
    names = {a or b for a, b in VARIABLE.findall(DASHBOARD.read_text(encoding="utf-8"))}
    assert names - {"__all", "__rate_interval"} == chosen
    sources = {json.dumps(panel["datasource"]) for panel in panels()}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}


def test_one_server_can_be_shown_among_others() -> None:
    for title, expression, _ in targets():
        for selector in re.findall(r"\b(?:tickerplant|process)_\w+(\{[^}]*\})?", expression):
            assert selector.startswith('{job=~"$job", instance=~"$instance"'), (
                f"{title}: {expression}"
            )


def test_panels_have_ids_of_their_own_and_say_what_they_show() -> None:
    ids = Counter(each["id"] for each in (*BOARD["panels"], *panels()))
    rows = {each["id"] for each in BOARD["panels"] if each["type"] == "row"}
    assert all(count == 1 for key, count in ids.items() if key in rows)
    assert len({each["id"] for each in panels()}) == len(list(panels()))
    assert not rows & {each["id"] for each in panels()}
    for each in panels():
        assert each["description"].endswith("."), each["title"]
        assert each["fieldConfig"]["defaults"]["unit"], each["title"]


def test_panels_do_not_overlap() -> None:
    for one, other in combinations([each["gridPos"] for each in panels()], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_heat_maps_show_buckets_as_they_are() -> None:
    maps = [each for each in panels() if each["type"] == "heatmap"]
    assert len(maps) == 2
    for each in maps:
        assert not each["options"]["calculate"]
        assert [target["format"] for target in each["targets"]] == ["heatmap"]
        assert all("_bucket{" in target["expr"] for target in each["targets"])


@with_promtool
@pytest.mark.slow("promtool is run")
def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, (_, expression, _) in enumerate(targets())
    ]
    file = tmp_path / "dashboard.json"  # which is YAML too
    file.write_bytes(msgspec.json.encode({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))
