"""`tickerplant watch`: streams of a venue in a table, or line by line."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence

import click
from msgspec import Struct
from rich.console import Console, RenderableType
from rich.live import Live

from tickerplant.client.market import MarketClient, connect
from tickerplant.client.subscription import Subscription
from tickerplant.config.settings import WatchSettings
from tickerplant.feed.settings import FeedSettings
from tickerplant.standard_files import FAILED, cannot_print
from tickerplant.watching.interruption import interruption, is_interrupted
from tickerplant.watching.lines import ERRORS, OUTPUT, Lines, Writer
from tickerplant.watching.places import (
    check_text,
    hints_of,
    venue_named,
    venue_of_streams,
    venue_of_url,
)
from tickerplant.watching.screen import REFRESHES_PER_S, Screen
from tickerplant.watching.table import Table
from tickerplant.watching.telling import count_text, duration_text, totals_text

BATCH = 1_000
"""Messages that are printed at once, if so many wait."""
PARTING_S = 1.0
"""How long the reader of the lines has for the last of them."""


class Watched(Struct, frozen=True):
    """What is to be watched."""

    market: MarketClient
    names: tuple[str, ...]
    hints: Mapping[str, str]
    """What is wrong with names, by name."""
    seconds: float | None


def watch(settings: WatchSettings, names: Sequence[str]) -> int:
    """Watch streams until interrupted, or until the time is up; return the exit status.

    Raises:
        ConfigError: a name or a setting cannot be used.
    """
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        check_text("STREAM", name)
    venue = venue_named(settings.venue) or venue_of_url(settings.url) or venue_of_streams(unique)
    market = connect(
        venue.name, base_url=settings.url, settings=FeedSettings(copies=settings.copies)
    )
    watched = Watched(market, unique, hints_of(venue, unique), settings.seconds)
    if sys.stdout is None:  # ">&-": its number may soon be that of a socket
        click.echo("tickerplant: there is no standard output", err=True)
        return FAILED
    console = Console()
    if sys.stdout.isatty() and not console.is_dumb_terminal and not settings.json:
        return asyncio.run(_watch_table(watched, console))
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    lines = Lines(as_json=settings.json, encoding=encoding, terminals=_terminals())
    return asyncio.run(_watch_lines(watched, lines))


def _terminals() -> set[int]:
    """Return which of the places for lines are terminals."""
    files = ((OUTPUT, sys.stdout), (ERRORS, sys.stderr))
    return {place for place, file in files if file is not None and file.isatty()}


async def _watch_table(watched: Watched, console: Console) -> int:
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
    return _status(market, is_interrupted=over.result())


async def _watch_lines(watched: Watched, lines: Lines) -> int:
    interrupted = interruption()
    market, started_s = watched.market, time.monotonic()
    # The number of a standard error that is closed may be that of a socket.
    writer = Writer(closed={ERRORS} if sys.stderr is None else ())
    async with market:
        subscription = market.stream(*watched.names)
        printing = asyncio.ensure_future(_print(subscription, lines, writer))
        over = asyncio.ensure_future(is_interrupted(interrupted, watched.seconds))
        await asyncio.wait({printing, over}, return_when=asyncio.FIRST_COMPLETED)
        subscription.close()
        await asyncio.wait({printing}, timeout=PARTING_S)
        over.cancel()
    if printing.done() and (failure := printing.exception()) is not None:
        if isinstance(failure, OSError):
            return cannot_print(failure)
        raise failure
    printing.cancel()
    seconds = time.monotonic() - started_s
    last = lines.totals(market.counters, len(watched.names), seconds)
    await asyncio.wait({asyncio.ensure_future(writer.write([(ERRORS, last)]))}, timeout=PARTING_S)
    return _status(market, is_interrupted=over.result())


async def _print(subscription: Subscription, lines: Lines, writer: Writer) -> None:
    while items := await subscription.take(BATCH):
        await writer.write(lines.pieces(items))


def _status(market: MarketClient, *, is_interrupted: bool) -> int:
    return 0 if is_interrupted or market.counters.messages else FAILED


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
