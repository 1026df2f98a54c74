"""`tickerplant watch`: streams in a table or line by line."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import click

from tickerplant.client.market import Market
from tickerplant.client.subscription import Subscription
from tickerplant.config.settings import WatchSettings
from tickerplant.feed.context import Observer
from tickerplant.feed.settings import ClientSettings, ConnectionSettings
from tickerplant.feed.weight import WeightBudget
from tickerplant.messages.message import Message
from tickerplant.notices import Notice
from tickerplant.stdio import FAILED, cannot_print
from tickerplant.watching.arguments import (
    hints_of,
    hosts_given,
    streams_of,
    venue_of_settings,
    venue_of_streams,
)
from tickerplant.watching.lines import ERRORS, OUTPUT, Lines, Writer
from tickerplant.watching.run import (
    WatchRun,
    interruption,
    is_interrupted,
    status_of,
)

BATCH = 1_000
"""Maximum number of messages printed at once."""
LAST_LINES_TIMEOUT_S = 1.0
"""How long the last lines may take."""


def watch(settings: WatchSettings, names: Sequence[str]) -> int:
    """Watch streams until interrupted, or until the time is up; return the exit status."""
    unique = streams_of(names)
    venue = venue_of_settings(settings) or venue_of_streams(unique)
    market = Market(
        hosts_given(venue, settings, os.environ),
        ClientSettings(connections=ConnectionSettings(copies=settings.copies)),
        WeightBudget(),
        observer=Observer(),  # logs nothing: notices are shown anyway
    )
    run = WatchRun(market, unique, hints_of(venue, unique), settings.duration_ms)
    if sys.stdout is None:  # closed by ">&-": a socket may get its file descriptor
        click.echo("tickerplant: there is no standard output", err=True)
        return FAILED
    if sys.stdout.isatty() and not settings.json:
        # Without a terminal, the libraries that draw on it need not be there.
        from tickerplant.watching.screen import watch_on_terminal  # noqa: PLC0415

        status = watch_on_terminal(run)
        if status is not None:
            return status
    files = ((OUTPUT, sys.stdout), (ERRORS, sys.stderr))
    lines = Lines(
        as_json=settings.json,
        encoding=getattr(sys.stderr, "encoding", None) or "utf-8",
        terminals={fd for fd, file in files if file is not None and file.isatty()},
        log_level=settings.log_level,
    )
    return asyncio.run(_watch_lines(run, lines))


async def _watch_lines(run: WatchRun, lines: Lines) -> int:
    interrupted = interruption()
    market, started_s = run.market, time.monotonic()
    # A socket may have got the file descriptor of a closed standard error.
    writer = Writer(closed={ERRORS} if sys.stderr is None else ())
    async with market:
        subscription = market.stream(*run.names)
        printing = asyncio.ensure_future(_print(subscription, lines, writer))
        over = asyncio.ensure_future(is_interrupted(interrupted, run.duration_ms))
        await asyncio.wait({printing, over}, return_when=asyncio.FIRST_COMPLETED)
        subscription.close()
        await asyncio.wait({printing}, timeout=LAST_LINES_TIMEOUT_S)
        over.cancel()
    if printing.done() and (failure := printing.exception()) is not None:
        if isinstance(failure, OSError):
            return cannot_print(failure)
        raise failure
    printing.cancel()
    seconds = time.monotonic() - started_s
    last = lines.totals(market.counters, len(run.names), seconds)
    await asyncio.wait(
        {asyncio.ensure_future(writer.write([(ERRORS, last)]))}, timeout=LAST_LINES_TIMEOUT_S
    )
    return status_of(market, is_interrupted=over.result())


async def _print(
    subscription: Subscription[Message | Notice], lines: Lines, writer: Writer
) -> None:
    while items := await subscription.read_batch(BATCH):
        await writer.write(lines.pieces(items))
