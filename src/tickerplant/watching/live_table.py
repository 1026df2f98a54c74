"""Streams in a table that is drawn again and again, on a terminal."""

from __future__ import annotations

import asyncio
import time

import click
from rich.console import Console, RenderableType
from rich.live import Live

from tickerplant.watching.interruption import interruption, is_interrupted
from tickerplant.watching.screen import REFRESHES_PER_S, Screen
from tickerplant.watching.table import Table
from tickerplant.watching.telling import count_text, duration_text, totals_text
from tickerplant.watching.watched import Watched, status_of


def on_terminal(watched: Watched) -> int | None:
    """Watch in a table, and return the exit status; None if the terminal cannot show one."""
    console = Console()
    return None if console.is_dumb_terminal else asyncio.run(_watch(watched, console))


async def _watch(watched: Watched, console: Console) -> int:
    interrupted = interruption()
    market, started_s = watched.market, time.monotonic()
    table = Table(watched.names, watched.hints)
    picture = _Picture(watched, table, console)
    async with market:
        market.on(table.take, *watched.names)
        over = asyncio.ensure_future(is_interrupted(interrupted, watched.seconds))
        with Live(
            get_renderable=picture.draw,
            console=console,
            screen=True,
            refresh_per_second=REFRESHES_PER_S,
        ):
            while not over.done():
                picture.take()
                await asyncio.wait({over}, timeout=1 / REFRESHES_PER_S)
    picture.take()  # all that the totals count
    console.print(picture.draw(), "")
    click.echo(totals_text(market.counters, len(watched.names), time.monotonic() - started_s))
    return status_of(market, is_interrupted=over.result())


class _Picture:
    """What the terminal shows: taken in the event loop, drawn in the thread of the screen."""

    def __init__(self, watched: Watched, table: Table, console: Console) -> None:
        self._market = watched.market
        self._table = table
        self._console = console
        self._screen = Screen()
        self._started_s = time.monotonic()
        self.take()

    def take(self) -> None:
        """Take what is to be shown."""
        width, height = self._console.size
        room = Screen.room(height, self._table.noticed)
        view = self._table.view(time.time_ns(), room)
        self._taken = self._about(), view, width, height

    def draw(self) -> RenderableType:
        """Return it as the terminal shows it."""
        return self._screen.draw(*self._taken)

    def _about(self) -> str:
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
