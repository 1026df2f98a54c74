"""The table on a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

import click
from msgspec import Struct, structs
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from tickerplant.formatting import clock_text, count_text, duration_text, number_text
from tickerplant.notices import Disconnected
from tickerplant.watching.run import (
    WatchRun,
    interruption,
    is_interrupted,
    status_of,
    title_text,
    totals_text,
)
from tickerplant.watching.summary import NOTHING
from tickerplant.watching.table import RowView, StreamState, Table, View

REFRESHES_PER_S = 5
MAX_NOTICES = 5
GAP = 2
"""Spaces between columns."""
OTHER_LINES = 5
"""Lines around the rows: title, head, a count of the others, and empty ones."""


class Column(Struct, frozen=True):
    """A column of the table."""

    title: str
    width: int = 0
    """Its width; 0 if it takes what is left."""
    shown_from: int = 0
    """The width of the terminal from which it is shown."""
    justify: Literal["left", "right"] = "right"


SYMBOL = "symbol"
COLUMNS = (
    Column("stream", justify="left"),
    Column(SYMBOL, 12, 132, "left"),
    Column("latest", justify="left"),
    Column("messages", 9, 115),
    Column("rate/s", 7, 88),
    Column("age", 8, 50),
    Column("delay", 8, 106),
    Column("gaps", 4, 60),
    Column("missing", 7, 97),
    Column("state", 12, 72, "left"),
)
WIDEST_STREAM, LEAST_STREAM = 40, 4
"""The widest and the narrowest that names of streams get."""
LEAST_LATEST = 12
"""What they leave to the latest messages."""

STYLES: dict[StreamState, str] = {
    "waiting": "dim",
    "live": "green",
    "stale": "bold yellow",
    "disconnected": "bold red",
    "rejected": "bold red",
}


def room(height: int, notices: int) -> int:
    """Return how many rows fit next to everything else."""
    return max(height - _notice_lines(height, notices) - OTHER_LINES, 1)


def draw(title: str, view: View, width: int, height: int) -> RenderableType:
    """Return a view below a title, or below its outage."""
    head = _line(title, "bold")
    if view.outage_ms is not None:
        since = duration_text(view.outage_ms)
        text = f"{count_text(view.disconnected, 'stream')} disconnected for {since}"
        head = _line(text, STYLES["disconnected"]).append(f" · {title}", style="bold")
    parts: list[RenderableType] = [head, Text(""), _grid(view.rows, width)]
    if view.hidden or view.dropped:
        more = f"… {count_text(view.hidden, 'more row')}"
        more += f", {view.hidden_not_live:,} of them not live" if view.hidden_not_live else ""
        parts.append(_line(more + (f", {view.dropped:,} dropped" if view.dropped else ""), "dim"))
    shown = view.notices[-_notice_lines(height, len(view.notices)) or len(view.notices) :]
    if shown:
        parts.append(Text(""))
    for each in shown:
        # The next attempt was made since.
        notice = structs.replace(each, retry_ms=0) if isinstance(each, Disconnected) else each
        parts.append(_line(f"{clock_text(notice.time_ms)}  {notice.text}"))
    return Group(*parts)


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _grid(rows: Sequence[RowView], width: int) -> Grid:
    needs_symbol = any(row.symbol.lower() not in row.stream for row in rows)
    chosen = [
        each
        for each in COLUMNS
        if width >= each.shown_from or (each.title == SYMBOL and needs_symbol)
    ]
    names = max((cell_len(row.stream) for row in rows), default=0)
    left = width - sum(each.width + GAP for each in chosen)
    names = max(min(names, WIDEST_STREAM, left - LEAST_LATEST), LEAST_STREAM)
    grid = Grid(box=None, padding=(0, GAP, 0, 0), pad_edge=False, expand=True)
    for each in chosen:
        is_flexible = each.title == "latest"
        grid.add_column(
            each.title,
            justify=each.justify,
            no_wrap=True,
            overflow="ellipsis",
            header_style="dim",
            ratio=1 if is_flexible else None,
            width=None if is_flexible else each.width or names,
        )
    for row in rows:
        cells = _cells(row)
        grid.add_row(*(cells[each.title] for each in chosen))
    return grid


def _notice_lines(height: int, notices: int) -> int:
    """Return how many notices are shown."""
    return min(notices, MAX_NOTICES, max(height // 4, 1))


def _cells(row: RowView) -> dict[str, Text]:
    """Return the cells of a row by their columns."""
    style = STYLES[row.state]
    age = NOTHING if row.age_ms is None else duration_text(row.age_ms)
    return {
        "stream": Text(row.stream),
        SYMBOL: Text(row.symbol),
        "latest": Text(row.latest, style="yellow" if row.age_ms is None else ""),
        "messages": Text(number_text(row.messages)),
        "rate/s": Text(_rate_text(row.rate)),
        "age": Text(age, style="" if row.state == "live" else style),
        "delay": Text(NOTHING if row.delay_ms is None else _delay_text(row.delay_ms)),
        "gaps": Text(number_text(row.gaps), style="bold red" if row.gaps else "dim"),
        "missing": Text(number_text(row.missing), style="bold red" if row.missing else "dim"),
        "state": Text(row.state, style=style),
    }


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

    def drawn() -> RenderableType:
        width, height = console.size
        view = table.view(time.time_ns(), room(height, table.notice_count))
        return draw(title_text(market, time.monotonic() - started_s), view, width, height)

    async with market:
        market.on(*run.names, callback=table.take)
        over = asyncio.ensure_future(is_interrupted(interrupted, run.duration_ms))
        with Live(drawn(), console=console, screen=True, auto_refresh=False) as live:
            while not over.done():
                await asyncio.wait({over}, timeout=1 / REFRESHES_PER_S)
                await asyncio.to_thread(live.update, drawn(), refresh=True)
    console.print(drawn(), "")  # so that it agrees with the totals
    click.echo(totals_text(market.counters, len(run.names), time.monotonic() - started_s))
    return status_of(market, is_interrupted=over.result())
