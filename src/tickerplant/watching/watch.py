"""`tickerplant watch`: streams of a venue in a table, or line by line."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import click

from tickerplant.client.market import MarketClient
from tickerplant.client.subscription import Subscription
from tickerplant.config.settings import WatchSettings
from tickerplant.feed.hosts import hosts_of
from tickerplant.feed.observer import Observer
from tickerplant.feed.settings import FeedSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.stdio import FAILED, cannot_print
from tickerplant.watching.interruption import interruption, is_interrupted
from tickerplant.watching.lines import ERRORS, OUTPUT, Lines, Writer
from tickerplant.watching.places import (
    check_text,
    hints_of,
    venue_named,
    venue_of_streams,
    venue_of_url,
)
from tickerplant.watching.watched import Watched, status_of

BATCH = 1_000
"""Messages that are printed at once, if so many wait."""
PARTING_S = 1.0
"""How long the reader of the lines has for the last of them."""


def watch(settings: WatchSettings, names: Sequence[str]) -> int:
    """Watch streams until interrupted, or until the time is up; return the exit status.

    Raises:
        ConfigError: a name or a setting cannot be used.
    """
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        check_text("STREAM", name)
    venue = venue_named(settings.venue) or venue_of_url(settings.url) or venue_of_streams(unique)
    # What is doubtful is among the notices, and needs no line of the log.
    market = MarketClient(
        hosts_of(venue, settings.url, os.environ),
        FeedSettings(copies=settings.copies),
        WeightBudget(),
        observer=Observer(),
    )
    watched = Watched(market, unique, hints_of(venue, unique), settings.seconds)
    if sys.stdout is None:  # ">&-": its number may soon be that of a socket
        click.echo("tickerplant: there is no standard output", err=True)
        return FAILED
    if sys.stdout.isatty() and not settings.json:
        # Who has no terminal needs nothing that draws on one.
        from tickerplant.watching.live_table import on_terminal  # noqa: PLC0415

        status = on_terminal(watched)
        if status is not None:
            return status
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    lines = Lines(as_json=settings.json, encoding=encoding, terminals=_terminals())
    return asyncio.run(_watch_lines(watched, lines))


def _terminals() -> set[int]:
    """Return which of the places for lines are terminals."""
    files = ((OUTPUT, sys.stdout), (ERRORS, sys.stderr))
    return {place for place, file in files if file is not None and file.isatty()}


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
    return status_of(market, is_interrupted=over.result())


async def _print(subscription: Subscription, lines: Lines, writer: Writer) -> None:
    while items := await subscription.read_batch(BATCH):
        await writer.write(lines.pieces(items))
