"""How pictures look: light, with colours that everybody can tell apart, and text that is text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from io import BytesIO, StringIO
from typing import Any
from warnings import catch_warnings, filterwarnings

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from tickerplant.units import DAY_MS, NS_PER_MS

INK, FAINT, GRID, PAPER = "#263238", "#5f6b72", "#cfd8dc", "#ffffff"
BUY, SELL = "#0072b2", "#d55e00"
"""After Okabe and Ito."""
HOLE = "#e3e6e8"
"""The ground where nothing is known."""
HATCH = "////"
DPI = 100
"""Pixels of an inch."""
FALLBACK_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Heiti SC"),
    *("Microsoft YaHei", "Noto Color Emoji"),
)
"""Have the letters of contracts that are named in Chinese; used as far as they are installed."""
_NS_PER_DAY = DAY_MS * NS_PER_MS
_STYLE: Any = {
    "svg.hashsalt": "tickerplant",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a `$` in a name is a `$`
    "text.usetex": False,
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.6,
    "hatch.color": "#9aa5ab",
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save figures in this style, whatever the user's own settings are."""
    installed = {font.name for font in fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    with catch_warnings(), mpl.rc_context():
        filterwarnings("ignore", message="Glyph .* missing from")  # the viewer's fonts have more
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        mpl.rcParams["font.family"] = fonts
        yield


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG: the same text for the same figure."""
    file = StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG, with `DPI` pixels for an inch."""
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


# Axes


def date_of(time_ns: float) -> float:
    """Return a time, ns since the epoch, as a place on a time axis."""
    return time_ns / _NS_PER_DAY


def draw_time_axis(axis: Axes, start_ns: int, end_ns: int, label: str) -> None:
    """Let the x-axis be the time from `start_ns` to `end_ns`, with marks in UTC."""
    axis.set_xlim(date_of(start_ns), date_of(end_ns))
    locator = AutoDateLocator(UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, UTC))  # type: ignore[no-untyped-call]
    axis.set_xlabel(label)


def draw_amounts(axis: Axes, marks: int = 4) -> None:
    """Write the marks of the y-axis short and without a sign: `1.5M`."""
    axis.yaxis.set_major_locator(MaxNLocator(marks))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount_text(abs(value))))


def draw_plain_numbers(axis: Axes, marks: int = 6) -> None:
    """Write the marks of the y-axis in full, with as many decimals as their distance needs."""
    locator = MaxNLocator(marks)
    axis.yaxis.set_major_locator(locator)

    def text(value: float, _: int | None) -> str:
        values = locator()
        step = abs(values[1] - values[0]) if len(values) > 1 else abs(value) or 1.0
        decimals = next((n for n in range(12) if round(step * 10**n) >= 1), 12)
        is_exact = abs(step * 10**decimals - round(step * 10**decimals)) < 1e-6
        return f"{value:,.{decimals if is_exact else decimals + 1}f}"

    axis.yaxis.set_major_formatter(FuncFormatter(text))


def leave_room(axis: Axes) -> None:
    """Leave room for a legend at the top."""
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.3 * (high - low))


def draw_hole(axis: Axes, from_ns: int, to_ns: int) -> None:
    """Hatch a time of which nothing is known."""
    axis.axvspan(
        date_of(from_ns), date_of(to_ns), facecolor=HOLE, hatch=HATCH, linewidth=0, zorder=0.5
    )


def draw_shades(figure: Figure, axis: Axes, shades: Colormap, scale: LogNorm, label: str) -> None:
    """Draw beside a panel which shade is which number."""
    box = axis.get_position()
    place = figure.add_axes((box.x1 + 0.012, box.y0, 0.011, box.height))
    bar = figure.colorbar(ScalarMappable(scale, shades), cax=place)
    low, high = scale.vmin or 1.0, scale.vmax or 1.0
    marks = [low * (high / low) ** share for share in (0.05, 0.35, 0.65, 0.95)]
    marks = sorted({float(f"{each:.1g}" if high > 20 * low else f"{each:.2g}") for each in marks})
    bar.set_ticks([each for each in marks if low <= each <= high])
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount_text(value)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label(label)
    bar.outline.set_visible(False)


def draw_absence(axis: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axis.set_yticks([])
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color=FAINT)


def amount_text(value: float) -> str:
    """Return a number of an axis, which is not negative: `1.5M`."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"
