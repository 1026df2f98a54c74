"""Results as pictures: a table as bars, and lines over logarithmic axes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from msgspec import Struct

from benchmarks.table import Cell, Table
from tickerplant.drawing.style import BLUE, FAINT, INK, SERIES, amount_text, style, svg_of

LABEL_IN, PANEL_IN, ROW_IN, TOP_IN, BOTTOM_IN = 3.2, 2.1, 0.3, 0.75, 0.45
MOST_PANELS = 8
FAR = 30
"""Figures whose greatest is so many times the least are drawn over a logarithmic axis."""
AIMS = frozenset({"target", "aim", "aims"})
"""Columns that are not drawn: which of the others they are about is said in notes."""
_NUMBER = r"[\d,]+(?:\.\d+)?"
_SPREAD = re.compile(rf"({_NUMBER})(?: \[({_NUMBER})-({_NUMBER})\])?")
LINES_IN = 8.6, 3.9


class Figures(Struct, frozen=True):
    """A figure with its least and greatest value."""

    middle: float
    least: float
    most: float


def figures_of(cell: Cell) -> Figures | None:
    """Return the figures of a cell; None if it is text or nothing."""
    if isinstance(cell, int | float):
        return Figures(cell, cell, cell)
    found = _SPREAD.fullmatch(cell or "")
    if found is None:
        return None
    middle, least, most = (float((each or found[1]).replace(",", "")) for each in found.groups())
    return Figures(middle, least, most)


class Bars(Struct, frozen=True):
    """What is drawn of a table."""

    labels: list[str]
    """Of each row."""
    columns: dict[str, list[Figures | None]]
    """The figures of each column that is drawn, by its title."""


def bars_of(table: Table) -> Bars:
    """Return what is drawn of a table.

    The first columns, up to the first one with figures that are measured, name the rows: measured
    is what has decimals, or a least and a greatest value.
    """
    measured = [
        any(_is_measured(row[at]) for row in table.rows) for at in range(len(table.columns))
    ]
    first = max(measured.index(True), 1) if True in measured else len(measured)
    labels = [
        " · ".join(
            f"{cell:,} {title}".strip() if isinstance(cell, int) else str(cell)
            for title, cell in zip(table.columns[:first], row[:first], strict=True)
            if cell is not None
        )
        for row in table.rows
    ]
    columns: dict[str, list[Figures | None]] = {}
    for at, title in enumerate(table.columns[first:], first):
        found = [figures_of(row[at]) for row in table.rows]
        if title not in AIMS and any(found) and len(columns) < MOST_PANELS:
            name = title if title not in columns else f"{title} to {table.columns[at - 1]}"
            columns[name] = found
    return Bars(labels, columns)


def _is_measured(cell: Cell) -> bool:
    return isinstance(cell, float) or (
        isinstance(cell, str) and "[" in cell and figures_of(cell) is not None
    )


def table_picture(table: Table) -> str:
    """Return the figures of a table as bars, or dots if they are far apart, a panel for each column, as SVG; empty without any."""
    bars = bars_of(table)
    if not bars.columns:
        return ""
    with style():
        width = LABEL_IN + PANEL_IN * len(bars.columns)
        height = TOP_IN + BOTTOM_IN + ROW_IN * len(bars.labels)
        figure = Figure(figsize=(width, height))
        panels = figure.subplots(1, len(bars.columns), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(
            left=LABEL_IN / width,
            right=1 - 0.2 / width,
            top=1 - TOP_IN / height,
            bottom=BOTTOM_IN / height,
            wspace=0.18,
        )
        for axis, (title, found) in zip(panels, bars.columns.items(), strict=True):
            _draw_bars(axis, title, found)
        panels[0].set_yticks(range(len(bars.labels)), bars.labels)
        panels[0].set_ylim(len(bars.labels) - 0.5, -0.5)
        figure.suptitle(
            table.title, x=0.1 / width, y=1 - 0.1 / height, ha="left", va="top", fontweight="bold"
        )
        return svg_of(figure)


def _draw_bars(axis: Axes, title: str, found: Sequence[Figures | None]) -> None:
    known = [(row, each) for row, each in enumerate(found) if each is not None]
    greatest = max(each.most for _, each in known)
    least = min(each.least for _, each in known)
    is_far = 0 < FAR * least < greatest
    rows = [row for row, _ in known]
    middles = [each.middle for _, each in known]
    if is_far:  # bars would have no beginning
        axis.set_xscale("log")
        axis.plot(middles, rows, "o", color=BLUE, markersize=6)
    else:
        axis.barh(rows, middles, height=0.62, color=BLUE, alpha=0.45)
    axis.hlines(
        rows,
        [each.least for _, each in known],
        [each.most for _, each in known],
        color=INK,
        linewidth=1.2,
    )
    axis.set_xlim(least / 2 if is_far else 0.0, greatest * (1.6 if is_far else 1.08) or 1.0)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount_text(abs(value))))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="y", length=0)
    axis.set_title(title, fontsize=8.5, loc="left")
    axis.grid(axis="x")


class Line(Struct, frozen=True):
    """What belongs together."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    is_dashed: bool = False


class Panel(Struct, frozen=True):
    """Lines over one pair of axes."""

    title: str
    lines: Sequence[Line]


def lines_picture(title: str, panels: Sequence[Panel], note: str) -> str:
    """Return panels side by side, below a title and above the names of the lines and a note, as SVG."""
    with style():
        figure = Figure(figsize=LINES_IN)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        figure.subplots_adjust(left=0.07, right=0.97, top=0.83, bottom=0.2, wspace=0.22)
        for axis, panel in zip(axes, panels, strict=True):
            _draw_lines(axis, panel)
        figure.suptitle(title, x=0.07, ha="left", fontsize=11.5, fontweight="bold")
        names = axes[0].get_legend_handles_labels()
        figure.legend(*names, loc="lower left", bbox_to_anchor=(0.06, 0.045), ncols=len(names[0]))
        figure.text(0.07, 0.02, note, fontsize=7.5, color=FAINT)
        return svg_of(figure)


def _draw_lines(axis: Axes, panel: Panel) -> None:
    for line in panel.lines:
        axis.loglog(
            [x for x, _ in line.points],
            [y for _, y in line.points],
            color=SERIES[line.colour],
            linestyle="--" if line.is_dashed else "-",
            marker="s" if line.colour else "o",
            markersize=4,
            label=line.name,
        )
    axis.set_title(panel.title, fontsize=9, loc="left")
    axis.set_xticks(sorted({x for line in panel.lines for x, _ in line.points}))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        each.set_minor_formatter(NullFormatter())
    axis.grid(axis="both", which="major")


def write_pictures(folder: Path, tables: Iterable[Table]) -> Path:
    """Write the picture of each table that has figures into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    names: Counter[str] = Counter()
    for table in tables:
        if svg := table_picture(table):
            name = slug(table.title)
            names[name] += 1
            again = f"-{names[name]}" if names[name] > 1 else ""
            (folder / f"{name}{again}.svg").write_text(svg, encoding="utf-8")
    return folder


def slug(title: str) -> str:
    """Return a title as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80]
