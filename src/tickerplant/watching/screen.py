"""The table on a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Iterable, Sequence
from typing import Literal

import click
from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from tickerplant.formatting import clock_text, count_text, duration_text, number_text
from tickerplant.watching.notices import notice_text, totals_text
from tickerplant.watching.run import WatchRun, interruption, is_interrupted, status_of
from tickerplant.watching.summary import NOTHING
from tickerplant.watching.table import RowView, StreamState, Table, View

REFRESHES_PER_S = 5
MAX_NOTICES = 5
WANTED_SUMMARY_WIDTH = 30
"""Columns are hidden to give the summaries this width."""
MIN_SUMMARY_WIDTH = 12
"""Important columns are hidden only to give them this width."""
IMPORTANT = 6
"""Columns hidden in this place or later are important."""
GAP = 2
"""Spaces between columns."""


class Column(Struct, frozen=True):
    """A column of the table."""

    title: str
    justify: Literal["left", "right"]
    hidden_in: int = 0
    """In which place it is hidden on a narrow terminal; 0 for never."""


COLUMNS = (
    Column("stream", "left"),
    Column("symbol", "left", hidden_in=1),
    Column("latest", "left"),
    Column("messages", "right", hidden_in=2),
    Column("rate/s", "right", hidden_in=5),
    Column("age", "right", hidden_in=7),
    Column("delay", "right", hidden_in=3),
    Column("gaps", "right", hidden_in=6),
    Column("missing", "right", hidden_in=4),
    Column("state", "left", hidden_in=8),
)
STREAM, SYMBOL, LATEST = 0, 1, 2
"""Indices of these columns."""
MIN_NAME_WIDTHS = {STREAM: 4, SYMBOL: 7}
"""Columns that are cut on a very narrow terminal, in this order, and to which width."""

STYLES: dict[StreamState, str] = {
    "waiting": "dim",
    "live": "green",
    "stale": "bold yellow",
    "disconnected": "bold red",
    "rejected": "bold red",
}


class Screen:
    """Draws views.  Columns never become narrower, so that nothing jumps."""

    def __init__(self) -> None:
        self._widths = [cell_len(column.title) for column in COLUMNS]

    @staticmethod
    def room(height: int, notices: int) -> int:
        """Return how many rows fit next to everything else."""
        return max(height - _notice_lines(height, notices) - 5, 1)

    def draw(self, title: str, view: View, width: int, height: int) -> RenderableType:
        """Return a view below a title, or below its outage."""
        head = Text(title, style="bold", no_wrap=True, overflow="ellipsis")
        if view.outage_ms is not None:
            head = Text(_outage_text(view), style=STYLES["disconnected"]).append(
                f" · {title}", style="bold"
            )
            head.no_wrap, head.overflow = True, "ellipsis"
        parts: list[RenderableType] = [head]
        parts += [Text(""), self._grid(view.rows, width)]
        if view.hidden or view.dropped:
            more = _more_text(view)
            parts.append(Text(more, style="dim", no_wrap=True, overflow="ellipsis"))
        shown = view.notices[-_notice_lines(height, len(view.notices)) or len(view.notices) :]
        if shown:
            parts.append(Text(""))
        for notice in shown:
            line = f"{clock_text(notice.time_ms)}  {notice_text(notice, is_news=False)}"
            parts.append(Text(line, no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _grid(self, rows: Sequence[RowView], width: int) -> Grid:
        cells = [_cells(row) for row in rows]
        for row_cells in cells:
            self._widths = [
                max(known, cell_len(cell.plain))
                for known, cell in zip(self._widths, row_cells, strict=True)
            ]
        needs_symbol = any(row.symbol.lower() not in row.stream for row in rows)
        chosen = self._chosen(width, {SYMBOL} if needs_symbol else set())
        widths = self._narrowed(width, chosen)
        grid = Grid(box=None, padding=(0, GAP, 0, 0), pad_edge=False, expand=True)
        for number in chosen:
            column = COLUMNS[number]
            is_flexible = number == LATEST
            grid.add_column(
                column.title,
                justify=column.justify,
                no_wrap=True,
                overflow="ellipsis",
                header_style="dim",
                ratio=1 if is_flexible else None,
                width=None if is_flexible else widths[number],
            )
        for row_cells in cells:
            grid.add_row(*(row_cells[number] for number in chosen))
        return grid

    def _chosen(self, width: int, kept: Container[int]) -> list[int]:
        """Return the columns that fit."""
        chosen = list(range(len(COLUMNS)))
        hiding = sorted(
            (it.hidden_in, number)
            for number, it in enumerate(COLUMNS)
            if it.hidden_in and number not in kept
        )
        for place, number in hiding:
            wanted = min(
                self._widths[LATEST],
                MIN_SUMMARY_WIDTH if place >= IMPORTANT else WANTED_SUMMARY_WIDTH,
            )
            if self._taken(chosen) + wanted <= width:
                break
            chosen.remove(number)
        return chosen

    def _narrowed(self, width: int, chosen: Iterable[int]) -> list[int]:
        """Return the widths of the columns, with names cut if the remaining columns do not fit."""
        widths = list(self._widths)
        excess = self._taken(chosen) + min(widths[LATEST], MIN_SUMMARY_WIDTH) - width
        for number, least in MIN_NAME_WIDTHS.items():
            cut = min(max(excess, 0), max(widths[number] - least, 0))
            widths[number] -= cut
            excess -= cut
        return widths

    def _taken(self, chosen: Iterable[int]) -> int:
        return sum(self._widths[number] + GAP for number in chosen if number != LATEST) + GAP


def _notice_lines(height: int, notices: int) -> int:
    """Return how many notices are shown."""
    return min(notices, MAX_NOTICES, max(height // 4, 1))


def _outage_text(view: View) -> str:
    """Return how many streams are disconnected, and for how long the first of them has been."""
    since = duration_text(view.outage_ms or 0)
    return f"{count_text(view.disconnected, 'stream')} disconnected for {since}"


def _more_text(view: View) -> str:
    more = f"… {count_text(view.hidden, 'more row')}"
    not_live = f", {view.hidden_not_live:,} of them not live" if view.hidden_not_live else ""
    dropped = f", {view.dropped:,} dropped" if view.dropped else ""
    return f"{more}{not_live}{dropped}"


def _cells(row: RowView) -> list[Text]:
    style = STYLES[row.state]
    has_messages = row.age_ms is not None
    return [
        Text(row.stream),
        Text(row.symbol),
        Text(row.latest, style="" if has_messages else "yellow"),
        Text(f"{row.messages:,}"),
        Text(_rate_text(row.rate)),
        Text(_age_text(row.age_ms), style="" if row.state == "live" else style),
        Text(NOTHING if row.delay_ms is None else _delay_text(row.delay_ms)),
        Text(f"{row.gaps:,}", style="bold red" if row.gaps else "dim"),
        Text(number_text(row.missing), style="bold red" if row.missing else "dim"),
        Text(row.state, style=style),
    ]


def _age_text(age_ms: float | None) -> str:
    return NOTHING if age_ms is None else duration_text(age_ms)


def _rate_text(rate: float | None) -> str:
    if rate is None:
        return NOTHING
    return f"{rate:.2f}" if rate < 9.995 else f"{rate:,.0f}"


def _delay_text(delay_ms: float) -> str:
    """Return a delay; a negative one means that the clocks disagree."""
    if abs(delay_ms) < 9_999:
        return f"{delay_ms:.0f} ms"
    return f"{'-' if delay_ms < 0 else ''}{duration_text(abs(delay_ms))}"


def watch_on_terminal(run: WatchRun) -> int | None:
    """Watch streams in a table; return the exit status, or None for a dumb terminal."""
    console = Console()
    return None if console.is_dumb_terminal else asyncio.run(_watch(run, console))


async def _watch(run: WatchRun, console: Console) -> int:
    interrupted = interruption()
    market, started_s = run.market, time.monotonic()
    table = Table(run.names, run.hints)
    picture = _Picture(run, table, console)
    async with market:
        market.on(*run.names, callback=table.take)
        over = asyncio.ensure_future(is_interrupted(interrupted, run.seconds))
        with Live(
            get_renderable=picture.draw,
            console=console,
            screen=True,
            refresh_per_second=REFRESHES_PER_S,
        ):
            while not over.done():
                picture.take()
                await asyncio.wait({over}, timeout=1 / REFRESHES_PER_S)
    picture.take()  # so that it agrees with the totals
    console.print(picture.draw(), "")
    click.echo(totals_text(market.counters, len(run.names), time.monotonic() - started_s))
    return status_of(market, is_interrupted=over.result())


class _Picture:
    """The content of the terminal: taken in the event loop, drawn in the thread of `Live`."""

    def __init__(self, run: WatchRun, table: Table, console: Console) -> None:
        self._market = run.market
        self._table = table
        self._console = console
        self._screen = Screen()
        self._started_s = time.monotonic()
        self.take()

    def take(self) -> None:
        """Take the current content."""
        width, height = self._console.size
        room = Screen.room(height, self._table.notice_count)
        view = self._table.view(time.time_ns(), room)
        self._taken = self._title(), view, width, height

    def draw(self) -> RenderableType:
        """Return the content taken last."""
        return self._screen.draw(*self._taken)

    def _title(self) -> str:
        hosts, counters = self._market.hosts, self._market.counters
        parts = [
            f"{hosts.venue.title} at {hosts.streams}",
            duration_text((time.monotonic() - self._started_s) * 1_000),
            count_text(counters.messages, "message"),
        ]
        if counters.lost:
            parts.append(count_text(counters.lost, "connection lost", "connections lost"))
        if counters.refused:
            parts.append(count_text(counters.refused, "attempt failed", "attempts failed"))
        return " · ".join(parts)
