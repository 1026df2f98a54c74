from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from tickerplant.scenarios.library import library_names
from tickerplant.scenarios.parse import parse_scenario

DOCS = Path(__file__).parent.parent / "docs"
MOST_BYTES = 150_000
SHORT = """
title = "A fall"
duration = "10s"
[[change]]
at = "3s"
market = "shock"
move = -0.05
over = "3s"
[[change]]
at = "5s"
fault = "reset"
"""


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """The program that draws the pictures."""
    spec = spec_from_file_location("drawn_scenarios", DOCS / "images" / "scenarios.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # msgspec looks up the annotations of its classes there
    spec.loader.exec_module(module)
    return module


def test_every_scenario_has_a_page_with_a_picture_and_no_other_has() -> None:
    pages = {path.stem for path in (DOCS / "scenarios").glob("*.md")} - {"index"}
    pictures = {path.stem for path in (DOCS / "images" / "scenarios").glob("*.svg")}
    assert pages == pictures == set(library_names())


@pytest.mark.parametrize("name", library_names())
def test_a_picture_is_small_and_shows_the_changes(name: str) -> None:
    text = (DOCS / "images" / "scenarios" / f"{name}.svg").read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    words = {"".join(each.itertext()).strip() for each in ET.fromstring(text).iter()}  # noqa: S314
    assert {"changes", "last price", "mark price"} <= words


@pytest.mark.heavy
def test_the_same_run_is_the_same_picture(drawing: ModuleType) -> None:
    scenario = parse_scenario(SHORT, "short.toml")
    one, other = (drawing.draw(scenario, drawing.run(scenario)) for _ in range(2))
    assert one == other
    assert "shock move=-0.05 over=3s" in one
