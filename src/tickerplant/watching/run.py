"""One run of `watch` or `record`: when it stops, and its exit status."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping

from msgspec import Struct

from tickerplant.client.market import Market
from tickerplant.feed.feed import FeedCounters
from tickerplant.formatting import count_text, duration_text, number_text
from tickerplant.stdio import FAILED


class WatchRun(Struct, frozen=True):
    """What to watch, and for how long."""

    market: Market
    names: tuple[str, ...]
    hints: Mapping[str, str]
    """What is wrong with names, by name."""
    duration_ms: int | None


def status_of(market: Market, *, is_interrupted: bool) -> int:
    """Return the exit status: a failure if nothing was received before the time was up."""
    return 0 if is_interrupted or market.counters.messages else FAILED


def title_text(market: Market, seconds: float) -> str:
    """Return what is being watched, for how long, and what was received and lost."""
    hosts, counters = market.hosts, market.counters
    parts = [
        f"{hosts.venue.title} at {hosts.streams}",
        duration_text(seconds * 1_000),
        count_text(counters.messages, "message"),
    ]
    if counters.lost:
        parts.append(count_text(counters.lost, "connection lost", "connections lost"))
    if counters.refused:
        parts.append(count_text(counters.refused, "attempt failed", "attempts failed"))
    return " · ".join(parts)


def totals_text(counters: FeedCounters, streams: int, seconds: float) -> str:
    """Return the last line of a run: what was received, and what went wrong."""
    parts = [
        count_text(counters.gaps, "gap"),
        f"{number_text(counters.missing)} missing",
        count_text(counters.duplicates, "duplicate"),
        count_text(counters.lost, "connection lost", "connections lost"),
    ]
    if counters.refused:
        parts.append(count_text(counters.refused, "attempt failed", "attempts failed"))
    if counters.unreadable:
        parts.append(f"{counters.unreadable:,} unreadable")
    messages = count_text(counters.messages, "message")
    received = f"{messages} of {count_text(streams, 'stream')} in {seconds:.1f} s"
    return f"{received}: {', '.join(parts)}."


def interruption() -> asyncio.Event:
    """Return an event that Ctrl-C, SIGTERM and the end of the terminal set from now on.

    Further signals change nothing; under `nohup`, the end of the terminal changes nothing either.
    """
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) == signal.SIG_DFL:
            loop.add_signal_handler(number, interrupted.set)
    return interrupted


async def is_interrupted(interrupted: asyncio.Event, duration_ms: int | None) -> bool:
    """Wait for the interruption or until the time is up; return whether it was interrupted."""
    try:
        async with asyncio.timeout(None if duration_ms is None else duration_ms / 1_000):
            await interrupted.wait()
    except TimeoutError:
        return False
    return True
