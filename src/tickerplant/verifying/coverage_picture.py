"""The picture of a verified recording: what each stream was over time, and how many messages came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tickerplant.drawing.style import (
    DASHES,
    FAINT,
    GRID,
    HATCH,
    INK,
    ORANGE,
    PAPER,
    SERIES,
    VERMILION,
    date_of,
    draw_amounts,
    draw_shades,
    draw_time_axis,
    leave_room,
    style,
    svg_of,
)
from tickerplant.formatting import duration_text, encodable, printable
from tickerplant.units import NS_PER_MS, NS_PER_S
from tickerplant.verifying.coverage_rows import Cell, Rates, Row
from tickerplant.verifying.timeline import Timeline

WIDTH_IN, ROW_IN, RATES_IN = 11.0, 0.2, 1.7
LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN, BETWEEN_IN = 2.6, 1.0, 0.45, 0.6, 0.3
LONGEST_NAME = 36
MOST_MARKS = 400
"""Most gaps with a mark, and most outages with hatches; all have their colour."""
_COLOURS = {
    Cell.OUTSIDE: PAPER,
    Cell.QUIET: "#edf1f4",
    Cell.MESSAGES: PAPER,
    Cell.BRIDGED: "#ffe9b0",
    Cell.LOST: ORANGE,
    Cell.GAP: VERMILION,
}
_SHADES = LinearSegmentedColormap.from_list("rates", ["#cfe3f1", "#56b4e9", "#0072b2", "#00304d"])
_LEGEND = {
    Cell.QUIET: "received, no message then",
    Cell.BRIDGED: "not received, nothing lost",
    Cell.LOST: "not received, lost or may have lost",
    Cell.GAP: "messages missing, as ids prove",
}


def coverage_picture(rows: Sequence[Row], rates: Rates, timeline: Timeline, last_ns: int) -> str:
    """Return the picture of a recording, as SVG.

    Args:
        rows: The streams, from the first row on.
        rates: Messages in a second.
        timeline: Has the times of the bins.
        last_ns: When the last line was received.
    """
    end_ns = max(last_ns, timeline.start_ns + timeline.width_ns)
    rows_in = max(len(rows), 3) * ROW_IN
    height_in = TOP_IN + rows_in + BETWEEN_IN + RATES_IN + BOTTOM_IN
    with style():
        figure = Figure(figsize=(WIDTH_IN, height_in))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[rows_in, RATES_IN])
        figure.subplots_adjust(
            left=LEFT_IN / WIDTH_IN,
            right=1 - RIGHT_IN / WIDTH_IN,
            top=1 - TOP_IN / height_in,
            bottom=BOTTOM_IN / height_in,
            hspace=2 * BETWEEN_IN / (rows_in + RATES_IN),
        )
        if rows:
            _draw_rows(figure, upper, rows, timeline)
        else:
            upper.set_axis_off()
        _draw_rates(lower, rates)
        bin_text = duration_text(timeline.width_ns / NS_PER_MS)
        if timeline.width_ns < NS_PER_S:
            bin_text = f"{timeline.width_ns / NS_PER_MS:g} ms"
        label = f"receive time, UTC; {timeline.bins} bins of {bin_text} each"
        draw_time_axis(lower, timeline.start_ns, end_ns, label)
        return svg_of(figure)


def _draw_rows(figure: Figure, axis: Axes, rows: Sequence[Row], timeline: Timeline) -> None:
    start_ns, width_ns = timeline.start_ns, timeline.width_ns
    cells = np.array([list(row.cells) for row in rows])
    rates = np.array([list(row.messages) for row in rows], dtype=float) * NS_PER_S / width_ns
    table = np.array([_rgb(_COLOURS[kind]) for kind in Cell])
    colours = table[cells]
    found = rates[rates > 0]
    low, high = (found.min(), found.max()) if found.size else (1.0, 1.0)
    scale = LogNorm(low, max(high, 1.5 * low))
    is_shaded = cells == Cell.MESSAGES
    colours[is_shaded] = _SHADES(scale(np.where(rates > 0, rates, low)))[is_shaded][:, :3]
    axis.imshow(
        (colours * 255).astype(np.uint8),
        aspect="auto",
        interpolation="none",
        extent=(
            date_of(start_ns),
            date_of(start_ns + timeline.bins * width_ns),
            len(rows) - 0.5,
            -0.5,
        ),
    )
    for kind, color in ((Cell.BRIDGED, FAINT), (Cell.LOST, INK)):
        for number, begin, end in islice(_spans(rows, kind), MOST_MARKS):
            axis.fill_between(
                [date_of(start_ns + begin * width_ns), date_of(start_ns + end * width_ns)],
                number - 0.5,
                number + 0.5,
                facecolor="none",
                hatch=HATCH,
                edgecolor="none",
                hatchcolor=color,
                linewidth=0.0,
            )
    marks = list(islice(_spans(rows, Cell.GAP), MOST_MARKS))
    axis.plot(
        [date_of(start_ns + (begin + end) * width_ns // 2) for _, begin, end in marks],
        [number for number, _, _ in marks],
        linestyle="none",
        marker="v",
        markersize=6,
        markerfacecolor=VERMILION,
        markeredgecolor=PAPER,
        markeredgewidth=0.7,
    )
    axis.hlines(
        [number - 0.5 for number in range(1, len(rows))], 0, 1, PAPER, linewidth=1.5,
        transform=axis.get_yaxis_transform(),
    )  # fmt: skip
    axis.set_yticks(range(len(rows)), [_short(row.stream) for row in rows], fontsize=7.5)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelbottom=False)
    axis.spines["left"].set_visible(False)
    present = {Cell(value) for value in np.unique(cells)}
    patches = [
        Patch(
            facecolor=_COLOURS[kind],
            edgecolor=INK if kind in {Cell.BRIDGED, Cell.LOST} else GRID,
            hatch=HATCH if kind in {Cell.BRIDGED, Cell.LOST} else None,
            label=text,
        )
        for kind, text in _LEGEND.items()
        if kind in present
    ]
    if patches:
        axis.legend(
            handles=patches,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(patches),
            borderpad=0.2,
            columnspacing=1.4,
            fontsize=7.5,
        )
    draw_shades(figure, axis, _SHADES, scale, "messages/s in a bin")


def _draw_rates(axis: Axes, rates: Rates) -> None:
    edges = [date_of(each) for each in rates.edges_ns]
    for (kind, values), color, dash in zip(rates.lines.items(), SERIES, DASHES, strict=False):
        axis.stairs(
            values, edges, baseline=None, color=color, linestyle=dash, linewidth=1.1,
            label=_short(kind),
        )  # fmt: skip
    axis.set_ylim(bottom=0)
    axis.set_ylabel("messages/s")
    draw_amounts(axis)
    axis.grid(axis="both")
    if rates.lines:
        leave_room(axis)
        axis.legend(loc="upper right", ncols=len(rates.lines), borderpad=0.1)


def _spans(rows: Sequence[Row], kind: Cell) -> Iterator[tuple[int, int, int]]:
    """Yield row, first bin and end of all runs of such cells."""
    for number, row in enumerate(rows):
        at = 0
        for cell, run in groupby(row.cells):
            end = at + len(list(run))
            if cell == kind:
                yield number, at, end
            at = end


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))  # type: ignore[return-value]


def _short(name: str) -> str:
    shown = printable(encodable(name))
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"
