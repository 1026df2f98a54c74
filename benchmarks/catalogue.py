"""What a full exchange costs: frames that list 500 symbols, and the memory of 500 markets."""

from __future__ import annotations

import gc
import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from urllib.request import urlopen

from benchmarks.machine import RECEIVER_CORE, SERVER_CORE, pin
from benchmarks.program import Program
from benchmarks.receiver import shake_hands
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.events import BookTicker, Event, MarkPrice, Trade
from tickerplant.instrument import Instrument
from tickerplant.plant import Plant
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import USDM

START_MS = 1_772_323_200_000
SYMBOLS = 500
FRAMES = 30
WARM_FRAMES = 5
TRADES = 3
"""Trades of each symbol between two frames."""
ARRAYS = (("!ticker@arr", 5.0), ("!miniTicker@arr", None), ("!markPrice@arr@1s", None))
"""Streams that list every symbol once a second, and the CPU time a frame may take, in ms."""

RESIDENT_BYTES = re.compile(r"^process_resident_memory_bytes (\S+)$", re.MULTILINE)
SETTLE_S = 3.0


def run(*, quick: bool = False) -> list[Table]:
    """Measure a market of 500 symbols."""
    return [_frames(FRAMES // 3 if quick else FRAMES), _market(1 if quick else 3)]


# Frames of all symbols


class _Ear:
    """A subscriber that keeps the last thing it was sent."""

    def __init__(self) -> None:
        self.heard = b""

    def write(self, data: bytes) -> None:
        self.heard = data

    def rows(self) -> list[object]:
        """Return the rows of the frame, which is longer than 64 KiB."""
        rows: list[object] = json.loads(self.heard[10:])
        return rows


def _frames(count: int) -> Table:
    pin(SERVER_CORE)
    rows: list[tuple[Cell, ...]] = []
    for name, target_ms in ARRAYS:
        ours, plain, size = _measure(name, count)
        figures = spread(ours), spread(plain), median_ratio(ours, plain)
        rows.append((f"`{name}`", size, *figures, target_ms))
    return Table(
        title=f"catalogue: one frame of {SYMBOLS} symbols that all changed, CPU ms",
        columns=("stream", "bytes", "tickerplant", "json.dumps", "ratio", "target"),
        rows=rows,
        notes=[
            "tickerplant: statistics, messages, encoding and one write.  Held against",
            "`json.dumps` of the finished rows alone.",
        ],
    )


def _measure(name: str, count: int) -> tuple[list[float], list[float], int]:
    traded = [each for each in instruments(START_MS, symbol_count=2 * SYMBOLS) if _listed(each)]
    plant = Plant(traded[:SYMBOLS], start_ms=START_MS, reserved_snapshot_ids=True)
    ear = _Ear()
    plant.hubs[USDM.name].subscribe(ear, [name])
    random = Random(1)
    ours, plain = [], []
    now_ms = START_MS
    for number in range(WARM_FRAMES + count):
        for event in _second(traded[:SYMBOLS], now_ms, number, random):
            plant.publish(event)
        plant.advance(now_ms + 900)
        now_ms += 1000
        ours_ms = _cpu_ms(partial(_tell, plant, now_ms))
        rows = ear.rows()
        assert len(rows) == SYMBOLS, f"a frame of {len(rows)} rows, expected {SYMBOLS}"
        plain_ms = _cpu_ms(partial(json.dumps, rows))
        if number >= WARM_FRAMES:
            ours.append(ours_ms)
            plain.append(plain_ms)
    return ours, plain, len(ear.heard)


def _tell(plant: Plant, now_ms: int) -> None:
    """Let the second strike: the frame is made and written."""
    plant.advance(now_ms)
    plant.hubs[USDM.name].flush()


def _listed(instrument: Instrument) -> bool:
    return instrument.venue is USDM and instrument.perpetual


def _second(traded: list[Instrument], now_ms: int, number: int, random: Random) -> Iterator[Event]:
    """Yield what happens to every symbol in a second."""
    for instrument in traded:
        symbol, middle, tick = instrument.symbol, instrument.max_price // 60, instrument.tick_size
        prices = [middle + tick * random.randrange(-50, 50) for _ in range(TRADES)]
        for index, price in enumerate(prices):
            trade_id = number * TRADES + index + 1
            quantity = instrument.step_size * random.randrange(1, 5000)
            yield Trade(symbol, trade_id, price, quantity, random.random() < 0.5, now_ms)
        yield BookTicker(symbol, number, prices[-1], 1, prices[-1] + tick, 1, now_ms)
        mark = prices[-1] * 10 ** (8 - instrument.price.decimals)
        yield MarkPrice(symbol, mark, mark, mark, 10_000, now_ms + 3_600_000, now_ms)


def _cpu_ms(work: Callable[[], object]) -> float:
    gc.collect()
    began_s = time.process_time()
    work()
    return (time.process_time() - began_s) * 1e3


# The market


def _market(starts: int) -> Table:
    pin(RECEIVER_CORE)
    waits_s: list[float] = []
    resident: list[float] = []
    for _ in range(starts):
        with Program("simulate", f"--symbol-count={SYMBOLS}") as program:
            with shake_hands(program.port, "/ws/btcusdt@bookTicker") as sock:
                sock.recv(1)
            waits_s.append(time.monotonic() - program.began_s)
            time.sleep(SETTLE_S)
            with urlopen(f"http://127.0.0.1:{program.port}/metrics") as page:  # loopback
                found = RESIDENT_BYTES.search(page.read().decode())
            if found:
                resident.append(float(found[1]) / 1e6)
    return Table(
        title=f"catalogue: a simulated market of {SYMBOLS} symbols",
        columns=("", "tickerplant"),
        rows=[
            ("process start to first event at a subscriber, s", spread(waits_s)),
            ("resident memory, MB", spread(resident) if resident else None),
        ],
    )
