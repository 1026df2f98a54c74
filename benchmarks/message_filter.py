"""What it costs the hub to pass the messages of a subscriber through faults."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from itertools import cycle, islice

from benchmarks.machine import SERVER_CORE, pin
from benchmarks.senders import STREAM, book_tickers, new_plant
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.faults.message_faults import message_fault
from tickerplant.faults.rule import parse_rule
from tickerplant.venue import USDM

SUBSCRIBERS = 100
PER_TURN = 16
REPETITIONS = 7
TURNS = 600
RULES = (
    "drop=0",
    "drop=0.1",
    "duplicate=0.1",
    "reorder=0.1",
    "fields",
    "missing_field",
    "scale=1",
    "clock=5s",
)
"""What the filters do, in the order of the rows."""

NOTES = [
    "CPU time per message and subscriber, median [least-greatest], without sockets:",
    f"{SUBSCRIBERS} subscribers of one stream, {PER_TURN} messages a turn.",
    "Ratios to no filter are medians of those within a repetition.",
    "Without a filter, all share one frame a message; with one, each has its own.",
    f"`1 of {SUBSCRIBERS}`: one subscriber has the filter `drop=0`, which lets everything pass.",
]


class _Nobody:
    """A subscriber without a socket."""

    def write(self, data: bytes) -> None:
        """Take the frames and forget them."""


class _Crowd:
    """Subscribers of one stream, some of whom have a filter.

    Args:
        rule: The fault; empty if nobody has one.
        filtered: How many have it.
    """

    def __init__(self, rule: str, filtered: int) -> None:
        plant = self._plant = new_plant()
        self._hub = hub = plant.hubs[USDM.name]
        self._tickers = cycle(book_tickers())
        clock = MarketClock(plant.timers)
        board = FaultBoard(clock)
        on = board.add(parse_rule(rule)) if rule else None
        for number in range(SUBSCRIBERS):
            nobody = _Nobody()
            hub.set_combined(nobody, True)
            hub.subscribe(nobody, [STREAM])
            if on is not None and number < filtered:
                chances = board.chances(on, number + 1)
                hub.set_filter(nobody, message_fault(on, chances, clock, _ignore))

    def cpu_us(self, turns: int) -> float:
        """Return the CPU time per message and subscriber, in µs."""
        plant, hub = self._plant, self._hub
        began_ns = time.process_time_ns()
        for _ in range(turns):
            plant.advance(plant.now_ms + 1)
            for ticker in islice(self._tickers, PER_TURN):
                plant.publish(ticker)
            hub.flush()
        used_ns = time.process_time_ns() - began_ns
        return used_ns / (turns * PER_TURN * SUBSCRIBERS) / 1_000


def run(*, quick: bool = False) -> list[Table]:
    """Measure all kinds, interleaved."""
    pin(SERVER_CORE)
    repetitions, turns = (2, TURNS // 10) if quick else (REPETITIONS, TURNS)
    crowds = [_Crowd("", 0), _Crowd(RULES[0], 1), *(_Crowd(rule, SUBSCRIBERS) for rule in RULES)]
    for crowd in crowds:
        crowd.cpu_us(turns // 10)
    gc.collect()
    gc.freeze()
    runs = [
        [crowd.cpu_us(_turns(turns, place)) for place, crowd in enumerate(crowds)]
        for _ in range(repetitions)
    ]
    gc.unfreeze()
    names = ("no filter", f"1 of {SUBSCRIBERS}", *RULES)
    return [
        Table(
            title="message_filter: hub CPU per message and subscriber, µs",
            columns=("filter", "µs", "ratio"),
            rows=_rows(names, runs),
            notes=NOTES,
        )
    ]


def _turns(turns: int, place: int) -> int:
    """Return how many turns a crowd gets: one in which every subscriber has a filter, fewer."""
    return turns if place <= 1 else max(1, turns // 10)


def _rows(names: Sequence[str], runs: Sequence[Sequence[float]]) -> list[tuple[Cell, ...]]:
    columns = list(zip(*runs, strict=True))
    return [
        (name, spread(values), median_ratio(values, columns[0]))
        for name, values in zip(names, columns, strict=True)
    ]


def _ignore(_messages: object) -> None:
    """Release nothing: no rule of these withholds messages for a time."""
