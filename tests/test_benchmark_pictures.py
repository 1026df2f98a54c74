"""Tables of benchmarks as pictures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.plot import (
    Figures,
    Line,
    Panel,
    bars_of,
    figures_of,
    lines_picture,
    table_picture,
    write_pictures,
)
from benchmarks.table import Cell, Table

FANOUT = Table(
    title="fanout: CPU, µs <& more>",
    columns=("subscribers", "per turn", "tickerplant", "bare", "ratio", "target"),
    rows=[
        (1, 1, "26.1 [22.4-29.8]", "7.76 [7.55-7.96]", 3.36, 1.3),
        (1_000, 16, "0.248 [0.243-0.253]", None, 0.483, None),
    ],
    notes=["A note."],
)


def texts_of(svg: str) -> set[str]:
    return {"".join(each.itertext()).strip() for each in ET.fromstring(svg).iter()}  # noqa: S314


@pytest.mark.parametrize(
    ("cell", "figures"),
    [
        ("1,204 [1,100-1,300]", Figures(1204, 1100, 1300)),
        ("4.41", Figures(4.41, 4.41, 4.41)),
        (0.5, Figures(0.5, 0.5, 0.5)),
        (7, Figures(7, 7, 7)),
        ("usdm, derived", None),
        ("12 of 14", None),
        (None, None),
        ("", None),
    ],
)
def test_figures_are_read_from_cells(cell: Cell, figures: Figures | None) -> None:
    assert figures_of(cell) == figures


def test_rows_are_named_by_what_was_chosen_and_columns_by_what_was_measured() -> None:
    bars = bars_of(FANOUT)
    assert bars.labels == ["1 subscribers · 1 per turn", "1,000 subscribers · 16 per turn"]
    assert list(bars.columns) == ["tickerplant", "bare", "ratio"], "aims are not figures"
    assert bars.columns["bare"] == [Figures(7.76, 7.55, 7.96), None]


def test_a_picture_has_every_row_and_column() -> None:
    texts = texts_of(table_picture(FANOUT))
    assert {"tickerplant", "bare", "ratio", "1 subscribers · 1 per turn", FANOUT.title} <= texts
    assert table_picture(Table(title="none", columns=("",), rows=[])) == ""


def test_the_page_has_every_table_and_its_picture(tmp_path: Path) -> None:
    none = Table(title="edges", columns=("",), rows=[], notes=["Not measured: needs Linux."])
    path = write_pictures(tmp_path / "new" / "bench", "2 cores", [FANOUT, none, FANOUT])
    text = path.read_text(encoding="utf-8")
    assert text.count("<svg") == 2
    assert "26.1 [22.4-29.8]" in text
    assert "Not measured: needs Linux." in text
    assert "fanout: CPU, µs &lt;&amp; more&gt;" in text
    names = {each.name for each in path.parent.iterdir()}
    assert names == {"index.html", "fanout-cpu-s-more.svg", "fanout-cpu-s-more-2.svg"}


def test_lines_have_their_names_and_axes_their_values() -> None:
    lines = [Line("one", [(100, 2.0), (1_000, 30.0)], 0), Line("two", [(100, 3.0)], 1, True)]
    texts = texts_of(lines_picture("Cost", [Panel("µs", lines), Panel("ms", lines)], "on this"))
    assert {"Cost", "one", "two", "µs", "ms", "on this", "100", "1,000"} <= texts
