"""Figures as pictures: lines over logarithmic axes, as SVG that is the same for the same figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH, HEIGHT = 860, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 34, 64, 70
GAP = 78
"""Between two panels."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Told apart by everybody (Okabe and Ito)."""
INK, PAPER, FAINT = "#333333", "#ffffff", "#dddddd"
STEPS = (1, 2, 5)
"""Where a decade of an axis has its marks."""


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


def picture(title: str, panels: Sequence[Panel], note: str) -> str:
    """Return panels side by side, below a title and above the names of the lines and a note."""
    width = (WIDTH - LEFT - RIGHT - GAP * (len(panels) - 1)) / len(panels)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">'
    )
    parts = [
        head,
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>',
        _text(LEFT, 24, title, size=15, weight="bold"),
    ]
    for index, panel in enumerate(panels):
        parts += _panel(panel, LEFT + index * (width + GAP), width)
    parts += _legend(panels[0].lines)
    parts += [_text(LEFT, HEIGHT - 8, note, size=11), "</svg>"]
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, left: float, width: float) -> Iterable[str]:
    points = [point for line in panel.lines for point in line.points]
    x_axis = Axis.over([x for x, _ in points], left, left + width)
    y_axis = Axis.over([y for _, y in points], HEIGHT - BOTTOM, TOP)
    yield _text(left, TOP - 14, panel.title, weight="bold")
    for value in y_axis.marks():
        y = y_axis.place(value)
        yield f'<path d="M{left:.1f} {y:.1f}h{width:.1f}" stroke="{FAINT}"/>'
        yield _text(left - 6, y + 4, f"{value:,g}", anchor="end")
    for value in sorted({x for x, _ in points}):
        yield _text(x_axis.place(value), HEIGHT - BOTTOM + 16, f"{value:,g}", anchor="middle")
    for line in panel.lines:
        placed = [(x_axis.place(x), y_axis.place(y)) for x, y in line.points]
        colour, dash = COLOURS[line.colour], ' stroke-dasharray="6 4"' if line.is_dashed else ""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        for x, y in placed:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _legend(lines: Sequence[Line]) -> Iterable[str]:
    x, y = float(LEFT), HEIGHT - 30
    for line in lines:
        dash = ' stroke-dasharray="6 4"' if line.is_dashed else ""
        yield f'<path d="M{x:.1f} {y - 4}h26" stroke="{COLOURS[line.colour]}" stroke-width="2"{dash}/>'
        yield _text(x + 32, y, line.name)
        x += 48 + 6 * len(line.name)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, weight: str = ""
) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{bold}>'
        f"{escape(text)}</text>"
    )


class Axis(Struct, frozen=True):
    """A logarithmic axis."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], begin: float, end: float) -> Axis:
        """Return an axis that has room for all values, from one mark to another."""
        marks = [step * 10.0**power for power in range(-4, 9) for step in STEPS]
        low = max((mark for mark in marks if mark <= min(values)), default=marks[0])
        high = min((mark for mark in marks if mark >= max(values)), default=marks[-1])
        return cls(low, max(high, 2 * low), begin, end)

    def place(self, value: float) -> float:
        """Return where a value is."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.begin + share * (self.end - self.begin)

    def marks(self) -> list[float]:
        """Return where the axis has marks; fewer if it is long."""
        decades = math.log10(self.high / self.low)
        steps = STEPS if decades <= 3 else STEPS[:1]
        marks = (step * 10.0**power for power in range(-4, 9) for step in steps)
        return [mark for mark in marks if self.low * 0.999 <= mark <= self.high * 1.001]
