"""Crowds: what ten thousand connections cost, and what they cost each other.

The market is the default simulation at its own pace, so a message can be timed from its event: the
market's clock is the wall clock, to about a millisecond.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.crowd_clients import Crowd, Habit, Witness
from benchmarks.machine import allowed_files, description
from benchmarks.processes import usages
from benchmarks.program import Program
from benchmarks.table import Cell, Table, median_ratio, spread
from tickerplant.protocol.close_reasons import CLOSE_REASONS

CONNECTIONS = 10_000
QUICK_CONNECTIONS = 2_000
ORDINARY = 1_000
"""Clients of the isolation benchmark that behave."""
SETTLE_S = 3.0
SECONDS = 12.0
QUICK_SECONDS = 3.0
LAG_EVERY_S = 1.0
SPARE_FILES = 256

ONE_STREAM = "/ws/btcusdt@bookTicker"
ARRAYS = ("!miniTicker@arr", "!ticker@arr", "!markPrice@arr@1s")
CLOSED = "tickerplant_connections_closed_total"
CLOSE_NAMES = {row.name for row in CLOSE_REASONS}
LAG = "tickerplant_source_lag_seconds"
SENT = "tickerplant_messages_sent_total"

SIZES = (100, 1_000, 3_000, 10_000)
GROWTH_SECONDS = 5.0
LATE_S = 0.1
WAYS: dict[str, tuple[str, ...]] = {"one process": (), "2 workers": ("--workers=2",)}
"""How a server is started, by name."""
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "crowd.svg"

ISOLATION_REPETITIONS = 4
PHASE_S = 6.0
PHASE_SETTLE_S = 2.0
QUESTIONS_PER_S = 10
QUESTION = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500"
AIM_ISOLATION = 1.2


class Scene(Struct, frozen=True):
    """A crowd: who listens to what."""

    name: str
    paths: Callable[[Sequence[str], int], list[str]]
    """Return so many paths, given the symbols."""
    share_not_reading: float = 0.0
    aims_ms: tuple[float, float] = (10.0, 50.0)
    """p50 and p99."""


def _one_stream(_symbols: Sequence[str], connections: int) -> list[str]:
    return [ONE_STREAM] * connections


def mixed(symbols: Sequence[str], connections: int) -> list[str]:
    """Return paths of a mixed crowd: a fifth arrays, half best prices, the rest depth."""
    kinds: list[Iterator[str]] = [cycle(f"/ws/{name}" for name in ARRAYS)] * 2
    kinds += [cycle(f"/ws/{symbol}@bookTicker" for symbol in symbols)] * 5
    kinds += [cycle(f"/ws/{symbol}@depth@100ms" for symbol in symbols)] * 2
    kinds += [cycle(f"/ws/{symbol}@depth20@100ms" for symbol in symbols)]
    return [next(kind) for kind in islice(cycle(kinds), connections)]


SCENES = (
    Scene("all on btcusdt@bookTicker", _one_stream),
    Scene("the same, half do not read", _one_stream, share_not_reading=0.5),
    Scene("mixed", mixed, aims_ms=(5.0, 25.0)),
)
SHORT = {SCENES[0].name: "one stream", SCENES[2].name: "mixed"}
"""The scenes that are drawn, as they are called there."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What a crowd cost."""

    connections: int
    cores: float
    """CPU time of all processes of the program, by time."""
    waited: float
    """Share of the time in which they were ready to run and other processes had the cores."""
    sent_per_s: float
    last_ms: tuple[float, float]
    """p50 and p99 at the connection to `btcusdt@bookTicker` that was opened last."""
    other_ms: tuple[float, float]
    """p50 and p99 at a connection with other streams."""
    lag_s: float
    """Farthest that the market was behind."""
    connection_bytes: float
    """Resident memory by connection."""
    ended: str
    """Whom the server closed, and why."""

    @property
    def cpu_us(self) -> float:
        """CPU time by message sent, in microseconds."""
        return self.cores / self.sent_per_s * 1e6 if self.sent_per_s else float("nan")


def run(*, quick: bool = False, connections: int | None = None) -> list[Table]:
    """Measure the crowds of `SCENES`; unless it shall be quick, also how the cost grows."""
    if sys.platform != "linux":
        return [_unavailable()]
    wanted = connections or (QUICK_CONNECTIONS if quick else CONNECTIONS)
    number, notes = _affordable(wanted)
    found = [
        measure(scene, number, seconds=QUICK_SECONDS if quick else SECONDS) for scene in SCENES
    ]
    table = Table(
        title="crowd: the default market at speed 1, one process",
        columns=(
            *("crowd", "connections", "core", "waited", "messages/s", "CPU µs a message"),
            *("last p50, ms", "last p99, ms", "other p50, ms", "other p99, ms", "aims"),
            *("market late, s", "KiB a connection", "closed by the server"),
        ),
        rows=[_row(scene, each) for scene, each in zip(SCENES, found, strict=True)],
        notes=[
            *notes,
            "From an event to its arrival at a client's socket.  Last: the last connection to the stream",
            "of the crowd; other: a connection with the best prices of ten symbols.",
            "Server and crowd have a core each, where the system can pin them.  Waited: the share of time in",
            "which the server was ready to run and another program had its core; far from 0, only ratios count.",
        ],
    )
    return [table] if quick else [table, _growth(number)]


def _growth(most: int) -> Table:
    """Measure crowds of growing size, served by one process and by workers, and draw the cost."""
    sizes = [size for size in SIZES if size < most] + [most]
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    rows: list[tuple[Cell, ...]] = []
    for size in sizes:
        for scene in (SCENES[0], SCENES[2]):
            for way, options in WAYS.items():
                found = measure(scene, size, *options, seconds=GROWTH_SECONDS, is_pinned=False)
                outcomes.setdefault((scene.name, way), []).append(found)
                late = (*found.last_ms, *found.other_ms)
                rows.append((scene.name, way, size, found.cores, found.waited, found.cpu_us, *late))
    PICTURE.write_text(_drawn(outcomes), encoding="utf-8")
    return Table(
        title="crowd: cost against its size",
        columns=(
            *("crowd", "served by", "connections", "cores", "waited", "CPU µs a message"),
            *("last p50, ms", "last p99, ms", "other p50, ms", "other p99, ms"),
        ),
        rows=rows,
        notes=[
            "Of all processes of the program, nats-server included.  All processes, also the crowd, share",
            f"all cores.  Drawn in {PICTURE.relative_to(PICTURE.parents[2])}.",
        ],
    )


def _drawn(outcomes: dict[tuple[str, str], list[Outcome]]) -> str:
    """Return the picture of cost against crowd."""
    from benchmarks.plot import Line, Panel, lines_picture  # noqa: PLC0415  # not while measuring

    def lines(value: Callable[[Outcome], float]) -> list[Line]:
        return [
            Line(
                f"{SHORT[scene]}, {way}",
                [(found.connections, value(found)) for found in series if value(found) > 0],
                colour=0 if scene == SCENES[0].name else 1,
                is_dashed=way != next(iter(WAYS)),
            )
            for (scene, way), series in outcomes.items()
        ]

    return lines_picture(
        "Cost against crowd",
        [
            Panel("CPU a message delivered, µs, by connections", lines(lambda each: each.cpu_us)),
            Panel("p99 from event to socket, ms, by connections", lines(_timely_p99_ms)),
        ],
        f"The default market at speed 1; server, crowd and all else on {description()}.  "
        "No p99 where the market was late.",
    )


def _timely_p99_ms(found: Outcome) -> float:
    """Return the latency that is drawn; 0 if the market itself had no core, so that it says nothing."""
    return found.other_ms[1] if found.lag_s < LATE_S else 0.0


def _row(scene: Scene, found: Outcome) -> tuple[Cell, ...]:
    return (
        scene.name,
        found.connections,
        found.cores,
        found.waited,
        found.sent_per_s,
        found.cpu_us,
        *found.last_ms,
        *found.other_ms,
        "≤ {:g}, {:g}".format(*scene.aims_ms),
        found.lag_s,
        found.connection_bytes / 1024,
        found.ended or "nobody",
    )


def measure(
    scene: Scene, connections: int, *arguments: str, seconds: float, is_pinned: bool = True
) -> Outcome:
    """Let a crowd listen to a server of its own, and measure.

    Args:
        scene: The crowd.
        connections: Its size.
        arguments: More options of `tickerplant simulate`.
        seconds: How long is measured, after a time to settle.
        is_pinned: Whether server and crowd have a core each.
    """
    with _serving(*arguments, is_pinned=is_pinned) as program, Crowd(is_pinned=is_pinned) as crowd:
        symbols = _symbols(program.port)
        paths = scene.paths(symbols, connections)
        idle = round(connections * scene.share_not_reading)
        time.sleep(1.0)
        resident_bytes = _resident_bytes(program)
        crowd.join(program.port, paths[idle:])
        crowd.join(program.port, paths[:idle], "never reads")
        witness_paths = (ONE_STREAM, _best_prices(symbols))
        with Witness(program.port, witness_paths, is_pinned=is_pinned) as witness:
            time.sleep(SETTLE_S)
            connection_bytes = (_resident_bytes(program) - resident_bytes) / connections
            before, began_s, (cpu_s, waited_s) = (
                program.metrics(),
                time.monotonic(),
                _used_s(program),
            )
            witness.heard()
            lags_s = [_lag_s(before)]
            while (left_s := began_s + seconds - time.monotonic()) > 0:
                time.sleep(min(left_s, LAG_EVERY_S))
                lags_s.append(_lag_s(program.metrics()))
            last_ms, other_ms = witness.latencies_ms()
            elapsed_s, (cpu_end_s, waited_end_s) = time.monotonic() - began_s, _used_s(program)
            after = program.metrics()
        tally = crowd.tally()
    assert not tally.refused, f"{tally.refused} of {connections} handshakes failed"
    return Outcome(
        connections=connections,
        cores=(cpu_end_s - cpu_s) / elapsed_s,
        waited=(waited_end_s - waited_s) / elapsed_s,
        sent_per_s=(_total(after, SENT) - _total(before, SENT)) / elapsed_s,
        last_ms=_percentiles_ms(last_ms),
        other_ms=_percentiles_ms(other_ms),
        lag_s=max(lags_s),
        connection_bytes=connection_bytes,
        ended=_ended(after),
    )


# Isolation


def run_isolation(*, quick: bool = False, connections: int | None = None) -> list[Table]:
    """Measure what clients that behave notice of those that do not, in turns."""
    if sys.platform != "linux":
        return [_unavailable()]
    repetitions = 2 if quick else ISOLATION_REPETITIONS
    seconds = PHASE_S / 2 if quick else PHASE_S
    ordinary, notes = _affordable(connections or ORDINARY)
    few = max(1, ordinary // 100)
    with _serving() as program, Crowd() as crowd:
        symbols = _symbols(program.port)
        greedy = _greedy(symbols)
        crowd.join(program.port, mixed(symbols, ordinary))
        with Witness(program.port, [_best_prices(symbols)]) as witness, Stranger() as stranger:
            time.sleep(SETTLE_S)
            alone: list[Phase] = []
            beset: list[Phase] = []
            for _ in range(repetitions):
                alone.append(_phase(program, witness, seconds))
                crowd.join(program.port, [greedy] * few, "never reads")
                crowd.join(program.port, [greedy] * few, "reads slowly")
                crowd.join(program.port, [ONE_STREAM] * few, "reconnects")
                with stranger.asking(program.port):
                    beset.append(_phase(program, witness, seconds))
                habits: tuple[Habit, ...] = ("never reads", "reads slowly", "reconnects")
                for habit in habits:
                    crowd.leave(habit)
        tally = crowd.tally()
        ended = _ended(program.metrics())
    notes += [
        f"With: {few} of each, not reading and reading 10 kB/s of twenty streams, and connecting again",
        f"after each message ({tally.reconnects:,} times), and a stranger asking for 1,500 candles {QUESTIONS_PER_S} times a second",
        f"({stranger.answers} answers).  Closed by the server: {ended or 'nobody'}.",
        "Phases with and without alternate; the ratio is the median of the ratios within a repetition.",
    ]
    columns = zip(*(phase.figures for phase in alone), strict=True)
    besets = zip(*(phase.figures for phase in beset), strict=True)
    names = ("p50, ms", "p99, ms", "market late, s", "share of a core", "waited for a core")
    aims = (None, AIM_ISOLATION, None, None, None)
    return [
        Table(
            title=f"isolation: {ordinary:,} clients that behave, with and without those that do not",
            columns=("", "without", "with", "ratio", "aim"),
            rows=[
                (
                    name,
                    spread(without),
                    spread(with_),
                    median_ratio(with_, without) if min(without) > 0 else None,
                    aim,
                )
                for name, without, with_, aim in zip(names, columns, besets, aims, strict=True)
            ],
            notes=notes,
        )
    ]


class Phase(Struct, frozen=True):
    """A few seconds of the isolation benchmark."""

    figures: tuple[float, ...]
    """p50, p99, lag, cores, share of time waited for a core."""


def _phase(program: Program, witness: Witness, seconds: float) -> Phase:
    time.sleep(PHASE_SETTLE_S)
    witness.heard()
    began_s, before_s = time.monotonic(), _used_s(program)
    time.sleep(seconds)
    (late_ms,) = witness.latencies_ms()
    elapsed_s, after_s = time.monotonic() - began_s, _used_s(program)
    cores, waited = ((b - a) / elapsed_s for a, b in zip(before_s, after_s, strict=True))
    return Phase((*_percentiles_ms(late_ms), _lag_s(program.metrics()), cores, waited))


class Stranger:
    """Asks for candles at a steady pace, while it is told to; a context."""

    def __init__(self) -> None:
        self.answers = 0
        self._port = 0
        self._is_asking = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._is_asking.set()
        self._thread.join()

    @contextmanager
    def asking(self, port: int) -> Iterator[None]:
        """Ask this port meanwhile."""
        self._port = port
        self._is_asking.set()
        try:
            yield
        finally:
            self._is_asking.clear()

    def _run(self) -> None:
        self._is_asking.wait()
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        while not self._is_over:
            next_s = time.monotonic() + 1 / QUESTIONS_PER_S
            connection.request("GET", QUESTION)
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            answer.read()
            self.answers += 1
            time.sleep(max(0, next_s - time.monotonic()))
            self._is_asking.wait()
        connection.close()


# What is measured


@contextmanager
def _serving(*arguments: str, is_pinned: bool = True) -> Iterator[Program]:
    with Program("simulate", "--limits=off", *arguments, is_pinned=is_pinned) as program:
        yield program


def _symbols(port: int) -> list[str]:
    """Return the symbols of the perpetuals, in lower case."""
    with urlopen(f"http://127.0.0.1:{port}/fapi/v1/exchangeInfo") as answer:  # loopback
        listed = msgspec.json.decode(answer.read())["symbols"]
    return [each["symbol"].lower() for each in listed if each["contractType"] == "PERPETUAL"]


def _best_prices(symbols: Sequence[str]) -> str:
    return "/stream?streams=" + "/".join(f"{symbol}@bookTicker" for symbol in symbols[:10])


def _greedy(symbols: Sequence[str]) -> str:
    kinds = ("bookTicker", "depth@100ms")
    names = (f"{symbol}@{kind}" for symbol in symbols[:10] for kind in kinds)
    return "/stream?streams=" + "/".join(names)


def _percentiles_ms(late_ms: NDArray[np.float64]) -> tuple[float, float]:
    if not len(late_ms):
        return float("nan"), float("nan")
    p50, p99 = np.percentile(late_ms, (50, 99))
    return float(p50), float(p99)


def _used_s(program: Program) -> tuple[float, float]:
    """Return the CPU time of a program's processes, and how long they waited for a core."""
    found = usages(program.pid)
    return sum(usage.cpu_s for usage in found), sum(usage.waited_s for usage in found)


def _resident_bytes(program: Program) -> int:
    return sum(usage.resident_bytes for usage in usages(program.pid))


def _lag_s(metrics: dict[str, float]) -> float:
    """Return how far the market is behind; edges have no market."""
    return max(value for key, value in metrics.items() if key.partition("{")[0] == LAG)


def _total(metrics: dict[str, float], name: str) -> float:
    """Return the sum of a metric over its labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)


def _ended(metrics: dict[str, float]) -> str:
    """Return how many connections the server ended, by reason."""
    reasons: dict[str, int] = {}
    for key, value in metrics.items():
        if key.startswith(CLOSED) and value:
            reason = key.partition('reason="')[2].partition('"')[0]
            if reason in CLOSE_NAMES:  # the others were ended by the client
                reasons[reason] = reasons.get(reason, 0) + int(value)
    return ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))


def _affordable(connections: int) -> tuple[int, list[str]]:
    """Return how many connections this process's limit of open files allows, and a note if fewer."""
    most = allowed_files() - SPARE_FILES
    if connections <= most:
        return connections, []
    note = f"Only {most:,} connections and not {connections:,}: a process may open {most + SPARE_FILES:,} files (ulimit -n)."
    print(note, file=sys.stderr)
    return most, [note]


def _unavailable() -> Table:
    return Table(
        title="crowd",
        columns=("",),
        rows=[],
        notes=["Not measured: it needs Linux (epoll, /proc)."],
    )
