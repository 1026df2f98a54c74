"""The table on a terminal."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Literal

from msgspec import Struct
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from tickerplant.watching.reading import NOTHING
from tickerplant.watching.table import Line, State, View
from tickerplant.watching.telling import (
    clock_text,
    count_text,
    duration_text,
    notice_text,
    number_text,
)

REFRESHES_PER_S = 5
MOST_NOTICES = 5
LEAST_TELLS = 30
"""Columns of the terminal that what messages tell should have, before other columns go."""
NEEDED_TELLS = 12
"""Those without which it tells nothing: before that also columns go that are needed."""
NEEDED = 6
"""Which goes first of the columns that are needed."""
GAP = 2
"""Spaces between columns."""


class Column(Struct, frozen=True):
    """A column of the table."""

    title: str
    justify: Literal["left", "right"]
    going: int = 0
    """Which goes first where the terminal is too narrow; 0 stays."""


COLUMNS = (
    Column("stream", "left"),
    Column("symbol", "left", going=1),
    Column("tells", "left"),
    Column("messages", "right", going=2),
    Column("rate/s", "right", going=5),
    Column("age", "right", going=7),
    Column("delay", "right", going=3),
    Column("gaps", "right", going=6),
    Column("missing", "right", going=4),
    Column("state", "left", going=8),
)
STREAM, SYMBOL, TELLS = 0, 1, 2
"""Where these columns are."""
LEAST_NAMES = {STREAM: 4, SYMBOL: 7}
"""Columns that are cut where it is very narrow, in this order, and to how much."""

STYLES: dict[State, str] = {
    "waiting": "dim",
    "live": "green",
    "stale": "bold yellow",
    "blind": "bold red",
    "refused": "bold red",
}


class Screen:
    """Draws views; columns never become narrower, so that nothing jumps."""

    def __init__(self) -> None:
        self._widths = [cell_len(column.title) for column in COLUMNS]

    @staticmethod
    def room(height: int, notices: int) -> int:
        """Return how many rows fit beside all else."""
        return max(height - _notice_lines(height, notices) - 5, 1)

    def draw(self, about: str, view: View, width: int, height: int) -> RenderableType:
        """Return what is shown of `view`, under a line that says what it is about."""
        head = Text(about, style="bold", no_wrap=True, overflow="ellipsis")
        if view.blind_ms is not None:
            head = Text(_blind_text(view), style=STYLES["blind"]).append(
                f" · {about}", style="bold"
            )
            head.no_wrap, head.overflow = True, "ellipsis"
        parts: list[RenderableType] = [head]
        parts += [Text(""), self._grid(view.lines, width)]
        if view.hidden or view.forgotten:
            more = _more_text(view)
            parts.append(Text(more, style="dim", no_wrap=True, overflow="ellipsis"))
        shown = view.notices[-_notice_lines(height, len(view.notices)) or len(view.notices) :]
        if shown:
            parts.append(Text(""))
        for notice in shown:
            said = f"{clock_text(notice.time_ms)}  {notice_text(notice, is_news=False)}"
            parts.append(Text(said, no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _grid(self, lines: Sequence[Line], width: int) -> Grid:
        rows = [_cells(line) for line in lines]
        for row in rows:
            self._widths = [
                max(known, cell_len(cell.plain))
                for known, cell in zip(self._widths, row, strict=True)
            ]
        symbol_tells = any(line.symbol.lower() not in line.stream for line in lines)
        chosen = self._chosen(width, {SYMBOL} if symbol_tells else set())
        widths = self._narrowed(width, chosen)
        grid = Grid(box=None, padding=(0, GAP, 0, 0), pad_edge=False, expand=True)
        for number in chosen:
            column = COLUMNS[number]
            is_flexible = number == TELLS
            grid.add_column(
                column.title,
                justify=column.justify,
                no_wrap=True,
                overflow="ellipsis",
                header_style="dim",
                ratio=1 if is_flexible else None,
                width=None if is_flexible else widths[number],
            )
        for row in rows:
            grid.add_row(*(row[number] for number in chosen))
        return grid

    def _chosen(self, width: int, staying: Container[int]) -> list[int]:
        """Return the columns that fit."""
        chosen = list(range(len(COLUMNS)))
        going = sorted(
            (it.going, number)
            for number, it in enumerate(COLUMNS)
            if it.going and number not in staying
        )
        for which, number in going:
            tells = min(self._widths[TELLS], NEEDED_TELLS if which >= NEEDED else LEAST_TELLS)
            if self._taken(chosen) + tells <= width:
                break
            chosen.remove(number)
        return chosen

    def _narrowed(self, width: int, chosen: Iterable[int]) -> list[int]:
        """Return the widths of the columns, where even the last of them do not fit narrower."""
        widths = list(self._widths)
        lacking = self._taken(chosen) + min(widths[TELLS], NEEDED_TELLS) - width
        for number, least in LEAST_NAMES.items():
            given = min(max(lacking, 0), max(widths[number] - least, 0))
            widths[number] -= given
            lacking -= given
        return widths

    def _taken(self, chosen: Iterable[int]) -> int:
        return sum(self._widths[number] + GAP for number in chosen if number != TELLS) + GAP


def _notice_lines(height: int, notices: int) -> int:
    """Return how many notices are shown."""
    return min(notices, MOST_NOTICES, max(height // 4, 1))


def _blind_text(view: View) -> str:
    """Return how many streams no connection carries, and for how long the first of them."""
    since = duration_text(view.blind_ms or 0)
    return f"{count_text(view.blind, 'stream')} blind for {since}"


def _more_text(view: View) -> str:
    more = f"… {count_text(view.hidden, 'more row')}"
    troubled = f", {view.hidden_troubled:,} of them not live" if view.hidden_troubled else ""
    forgotten = f", {view.forgotten:,} forgotten" if view.forgotten else ""
    return f"{more}{troubled}{forgotten}"


def _cells(line: Line) -> list[Text]:
    style = STYLES[line.state]
    is_heard = line.age_ms is not None
    return [
        Text(line.stream),
        Text(line.symbol),
        Text(line.tells, style="" if is_heard else "yellow"),
        Text(f"{line.messages:,}"),
        Text(_rate_text(line.rate)),
        Text(_age_text(line.age_ms), style="" if line.state == "live" else style),
        Text(NOTHING if line.delay_ms is None else _delay_text(line.delay_ms)),
        Text(f"{line.gaps:,}", style="bold red" if line.gaps else "dim"),
        Text(number_text(line.missing), style="bold red" if line.missing else "dim"),
        Text(line.state, style=style),
    ]


def _age_text(age_ms: float | None) -> str:
    return NOTHING if age_ms is None else duration_text(age_ms)


def _rate_text(rate: float | None) -> str:
    if rate is None:
        return NOTHING
    return f"{rate:.2f}" if rate < 9.995 else f"{rate:,.0f}"


def _delay_text(delay_ms: float) -> str:
    """Return a delay; one that is negative tells of clocks that disagree."""
    if abs(delay_ms) < 9_999:
        return f"{delay_ms:.0f} ms"
    return f"{'-' if delay_ms < 0 else ''}{duration_text(abs(delay_ms))}"
