"""That the client loses nothing: an hour of connections that fail, compared message by message.

A simulated market cuts every connection once a minute, the day of the exchange scaled down, and
does to it what else can happen.  A witness in the server writes down what is sent, the client what
it gets; the ledger compares both.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar, cast

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import endurance_client, endurance_server
from benchmarks.endurance_client import BookTotals, Taken
from benchmarks.endurance_ledger import Ledger, Totals
from benchmarks.endurance_server import Served
from benchmarks.table import Cell, Table
from tickerplant.feed.feed import FeedCounters
from tickerplant.feed.settings import ClientSettings, ConnectionSettings, RetrySettings
from tickerplant.simulation.instruments import instruments
from tickerplant.venue import COINM, USDM, VenueName

MINUTES = 60.0
QUICK_MINUTES = 3.0
COPIES = 2
STREAMS = 300
LIFE_MS = 60_000
SEED = 1
REORDER_MS = 6_000
"""Longer than a connection stands still: what another left out meanwhile is waited for."""
MANY_BOOKS = 200
MANY_SYMBOLS = 230
MANY_SHARE = 1 / 6
"""Part of the time that many books take."""
PROGRESS_S = 10.0
READ_S = 1.0
DRAIN_S = 25.0
"""Time for what is on its way at the end: longer than a stall, and than a gap waits for REST."""
SETTLED_S = 120.0
"""Age from which on the memory of the client should not grow."""
START_S = 60.0
STOP_S = 10.0

FAULTS = {
    "reset": "2m",
    "close": "1001@2m",
    "stall": "5s@1m",
    "garbage": "30s",
    "chain": "20s",
    "fields": "1",
    "silent": "0.002",
    "no_ack": "0.02",
    "refuse": "0.1",
    "limit_handshakes": "0.02",
    "http_429": "0.02",
    "http_503": "0.05",
    "http_garbage": "0.05",
    "http_hang": "0.01",
}
LIMITS = {"ping_interval_ms": 10_000, "pong_timeout_ms": 30_000}

USDM_KINDS = (
    "aggTrade",
    "trade",
    "bookTicker",
    "depth",
    "depth@100ms",
    "depth@500ms",
    "depth5@100ms",
    "depth20@500ms",
    "rpiDepth@500ms",
    "kline_1m",
    "kline_1h",
    "miniTicker",
    "ticker",
    "markPrice@1s",
    "forceOrder",
)
USDM_ALONE = (
    "!bookTicker",
    "!miniTicker@arr",
    "!ticker@arr",
    "!markPrice@arr",
    "!markPrice@arr@1s",
    "!forceOrder@arr",
    "!contractInfo",
    "!assetIndex@arr",
    "btcusd@assetIndex",
    "defiusdt@compositeIndex",
    "btcusdt_perpetual@continuousKline_1m",
    "ethusdt_perpetual@continuousKline_5m",
    "tradingSession",
)
COINM_KINDS = (
    "aggTrade",
    "trade",
    "bookTicker",
    "depth",
    "depth@100ms",
    "depth@500ms",
    "depth10@100ms",
    "kline_1m",
    "kline_15m",
    "miniTicker",
    "ticker",
    "markPrice@1s",
    "markPriceKline_1m",
    "forceOrder",
)
COINM_ALONE = (
    "!bookTicker",
    "!miniTicker@arr",
    "!ticker@arr",
    "!forceOrder@arr",
    "!contractInfo",
    "btcusd@indexPrice@1s",
    "ethusd@indexPrice",
    "btcusd@markPrice@1s",
    "btcusd@indexPriceKline_1m",
    "btcusd_perpetual@continuousKline_1m",
)

S = TypeVar("S", bound=Struct)


class Outcome(Struct):
    """What was found, and whether the client did what it has to."""

    tables: list[Table]
    failures: list[str]
    """Empty if nothing was lost silently and no book was wrong."""


class Trial(Struct, kw_only=True):
    """One run: what is subscribed to, and for how long."""

    title: str
    minutes: float
    names: dict[str, list[str]]
    books: dict[str, list[str]]
    audit_every_s: float
    copies: int
    faults: dict[str, str]
    speed: float
    symbol_count: int | None = None

    @property
    def max_connection_age_ms(self) -> int:
        """How long a connection lives: a minute of the market."""
        return round(LIFE_MS / self.speed)


class Found(Struct):
    """What one run found."""

    served: Served
    taken: Taken
    totals: Totals
    by_kind: dict[str, Totals]
    minutes: float = 0.0
    settled_rss: int = 0
    """When the client had settled."""
    most_rss: int = 0
    least_live: int = 0
    most_lag_ms: int = 0
    failures: list[str] = field(default_factory=list)


def run(
    *,
    quick: bool = False,
    minutes: float | None = None,
    copies: int = COPIES,
    faults: Mapping[str, str] | None = None,
    speed: float = 1.0,
    log_dir: str | None = None,
) -> Outcome:
    """Run both trials; the second, of many books, takes a sixth of the time.

    With `speed` the market goes faster, and the lives of connections are as much shorter.
    """
    minutes = minutes or (QUICK_MINUTES if quick else MINUTES)
    with tempfile.TemporaryDirectory() as temporary:
        trials = (
            _everything(minutes, copies, FAULTS | dict(faults or {}), speed),
            _many_books(minutes * MANY_SHARE, copies, FAULTS | dict(faults or {}), speed),
        )
        return asyncio.run(_try_all(trials, Path(log_dir or temporary)))


async def _try_all(trials: Iterable[Trial], directory: Path) -> Outcome:
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    outcome = Outcome([], [])
    for trial in trials:
        if interrupted.is_set():
            break
        found = await _Run(trial, directory / trial.title, interrupted).run()
        outcome.tables += _tables(trial, found)
        outcome.failures += [f"{trial.title}: {each}" for each in _failures(found)]
    return outcome


def _everything(minutes: float, copies: int, faults: dict[str, str], speed: float) -> Trial:
    listed = instruments(time.time_ns() // 1_000_000)
    usdm = [each.symbol for each in listed if each.venue is USDM]
    coinm = [each.symbol for each in listed if each.venue is COINM]
    names = {COINM.name: [*_names(coinm, COINM_KINDS), *COINM_ALONE]}
    room = STREAMS - len(names[COINM.name]) - len(USDM_ALONE)
    names[USDM.name] = [*_names(usdm, USDM_KINDS)[:room], *USDM_ALONE]
    return Trial(
        title="streams",
        minutes=minutes,
        names={venue.name: names[venue.name] for venue in (USDM, COINM)},
        books={USDM.name: usdm[:18], COINM.name: coinm},
        audit_every_s=2.0,
        copies=copies,
        faults=faults,
        speed=speed,
    )


def _many_books(minutes: float, copies: int, faults: dict[str, str], speed: float) -> Trial:
    listed = instruments(time.time_ns() // 1_000_000, None, MANY_SYMBOLS)
    return Trial(
        title="books",
        minutes=minutes,
        names={},
        books={USDM.name: [each.symbol for each in listed if each.venue is USDM][:MANY_BOOKS]},
        audit_every_s=1.0,
        copies=copies,
        faults=faults,
        speed=speed,
        symbol_count=MANY_SYMBOLS,
    )


def _names(symbols: Iterable[str], kinds: Sequence[str]) -> list[str]:
    return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds]


class _Child:
    """A process of ours that says one line of JSON now and then."""

    def __init__(self, module: str, log: Path) -> None:
        self._module = module
        self._log = log
        self._process: asyncio.subprocess.Process

    async def start(self, order: Struct) -> None:
        """Start it; Ctrl-C is not for it."""
        with self._log.open("w") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                msgspec.json.encode(order).decode(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 20,
                start_new_session=True,
            )

    async def hear(self, kind: type[S]) -> S:
        """Return what it says next.

        Raises:
            RuntimeError: it ended; what it wrote is the message.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended: {self._log.read_text()[-2000:]}")
        return msgspec.json.decode(line, type=kind)

    def command(self) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def end(self) -> str:
        """Close its input, and wait until it has ended; return what went wrong, if anything did."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                while await self._process.stdout.read(1 << 16):
                    pass
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            return f"{self._module} did not end"
        return self._log.read_text()[-2000:] if self._process.returncode else ""


class _Run:
    """One trial from the start of its processes to their end."""

    def __init__(self, trial: Trial, directory: Path, interrupted: asyncio.Event) -> None:
        self._trial = trial
        self._interrupted = interrupted
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._origin_ms = time.monotonic_ns() // 1_000_000
        self._sent, self._received = (str(directory / name) for name in ("sent", "received"))
        names = [f"{venue} {name}" for venue, each in trial.names.items() for name in each]
        self._ledger = Ledger(names, self._sent, self._received)
        self._server = _Child(endurance_server.__name__, directory / "server.err")
        self._client = _Child(endurance_client.__name__, directory / "client.err")
        self._found = Found(Served({}), Taken(), Totals(), {})

    async def run(self) -> Found:
        """Return what was found."""
        found = self._found
        found.served = await self._start_server()
        await self._start_client()
        heard = [asyncio.create_task(self._hear_server()), asyncio.create_task(self._hear_client())]
        try:
            await self._watch(heard)
            await self._drain()
        finally:
            for task in heard:
                task.cancel()
            await asyncio.gather(*heard, return_exceptions=True)
            ends = [await self._client.end(), await self._server.end()]
            found.failures += [end for end in ends if end]
        self._ledger.finish(found.served.stopped_ms or 1 << 32)
        found.totals, found.by_kind = self._ledger.totals, self._ledger.by_kind()
        holes = msgspec.json.encode(self._ledger.holes)
        (self._directory / "holes.json").write_bytes(msgspec.json.format(holes))
        self._ledger.remove_files()
        return found

    async def _start_server(self) -> Served:
        await self._server.start(
            endurance_server.Order(
                names=self._trial.names,
                records=self._sent,
                log=str(self._directory / "server.log"),
                origin_ms=self._origin_ms,
                faults=self._trial.faults,
                limits=LIMITS | {"lifetime_ms": self._trial.max_connection_age_ms},
                speed=self._trial.speed,
                seed=SEED,
                symbol_count=self._trial.symbol_count,
            )
        )
        async with asyncio.timeout(START_S):
            return await self._server.hear(Served)

    async def _start_client(self) -> None:
        wanted = self._trial.names.keys() | self._trial.books.keys()
        await self._client.start(
            endurance_client.Order(
                urls={
                    cast("VenueName", venue): f"ws://{address}"
                    for venue, address in self._found.served.urls.items()
                    if venue in wanted
                },
                names=self._trial.names,
                books=self._trial.books,
                audit_every_s=self._trial.audit_every_s,
                records=self._received,
                log=str(self._directory / "client.log"),
                origin_ms=self._origin_ms,
                settings=ClientSettings(
                    connections=ConnectionSettings(
                        copies=self._trial.copies,
                        max_connection_age_ms=self._trial.max_connection_age_ms,
                    ),
                    retries=RetrySettings(reorder_ms=REORDER_MS),
                ),
            )
        )

    async def _hear_server(self) -> None:
        while True:
            self._found.served = await self._server.hear(Served)
            self._found.most_lag_ms = max(self._found.most_lag_ms, self._found.served.lag_ms)

    async def _hear_client(self) -> None:
        while True:
            taken = await self._client.hear(Taken)
            if not self._found.served.stopped_ms:  # afterwards silence is right
                self._found.taken = taken
                self._found.most_rss = max(self._found.most_rss, taken.rss_bytes)

    async def _watch(self, heard: Sequence[asyncio.Task[None]]) -> None:
        """Read along until the time is up, or somebody has had enough.

        Raises:
            RuntimeError: one of the processes ended.
        """
        seconds = self._trial.minutes * 60
        began_s = told_s = time.monotonic()
        with _Shown(self._trial.title, seconds) as shown_as:
            while (
                age_s := time.monotonic() - began_s
            ) < seconds and not self._interrupted.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(READ_S):
                        await self._interrupted.wait()
                for task in heard:
                    if task.done():
                        task.result()
                await asyncio.to_thread(self._ledger.read)
                if age_s >= min(SETTLED_S, seconds / 2) and not self._found.settled_rss:
                    self._found.settled_rss = self._found.taken.rss_bytes
                if time.monotonic() - told_s >= PROGRESS_S:
                    told_s += PROGRESS_S
                    shown_as.tell(age_s, self._progress())
        self._found.minutes = (time.monotonic() - began_s) / 60

    async def _drain(self) -> None:
        """Let nothing more be sent, and the client take what is on its way."""
        self._interrupted.clear()
        self._server.command()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._interrupted.wait()
        self._client.command()

    def _progress(self) -> str:
        found, totals = self._found, self._ledger.totals
        taken, books = found.taken, found.taken.books
        counters = _sum(taken.counters.values())
        return (
            f"{taken.messages:,} messages, {totals.expected:,} compared: "
            f"{totals.duplicated} twice, {totals.disordered} late, {totals.told} lost (told), "
            f"{totals.silent} lost silently; {counters.lost} connections lost, "
            f"{counters.renewed} renewed; {books.live}/{books.books} books live, "
            f"{books.audits} audits {_percent(books)}; {taken.rss_bytes >> 20} MB"
        )


class _Shown:
    """Progress on a terminal, lines elsewhere; a context."""

    def __init__(self, title: str, seconds: float) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._task = TaskID(0)
        if sys.stdout.isatty():
            self._progress = Progress(
                TextColumn(title),
                BarColumn(bar_width=12),
                TimeElapsedColumn(),
                TextColumn("{task.fields[words]}"),
                console=Console(),
            )
            self._task = self._progress.add_task(title, total=seconds, words="")

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def tell(self, age_s: float, words: str) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=age_s, words=words)
        else:
            print(f"{self._title} {age_s / 60:5.1f} min: {words}", flush=True)


# Results


def _failures(found: Found) -> list[str]:
    """Return what must not be."""
    totals, books = found.totals, found.taken.books
    failures = found.failures + found.taken.failures
    for count, words in (
        (totals.silent, "messages were lost silently"),
        (totals.duplicated, "messages came twice"),
        (totals.unknown, "messages came that were not sent"),
    ):
        if count:
            failures.append(f"{count:,} {words}")
    if books.least_score < 1:
        failures.append(f"an audit found {books.least_score:.4%} of a book right")
    if not books.audits:
        failures.append("no book was audited")
    if found.totals.streams and not found.totals.expected:
        failures.append("nothing was compared")
    return failures


def _tables(trial: Trial, found: Found) -> list[Table]:
    tables = [_books_table(trial, found), _events_table(trial, found)]
    if trial.names:
        tables.insert(0, _streams_table(trial, found))
    return tables


def _streams_table(trial: Trial, found: Found) -> Table:
    kinds = dict(sorted(found.by_kind.items())) | {"all": found.totals}
    return Table(
        title=f"endurance: {found.totals.streams} streams, {found.minutes:.1f} minutes, "
        f"{trial.copies} copies",
        columns=(
            "kind",
            "streams",
            "expected",
            "received",
            "of them over REST",
            "twice",
            "out of order",
            "lost, told",
            "lost silently",
        ),
        rows=[
            (
                kind,
                each.streams,
                each.expected,
                each.received,
                each.backfilled,
                each.duplicated,
                each.disordered,
                each.told,
                each.silent,
            )
            for kind, each in kinds.items()
        ],
        notes=[
            f"Connections live {trial.max_connection_age_ms // 1000} s of {trial.speed:g} market seconds each.",
            "Faults on all of them:",
            ", ".join(f"{name}={value}" for name, value in trial.faults.items()) + ".",
        ],
    )


def _books_table(trial: Trial, found: Found) -> Table:
    books = found.taken.books
    audits = books.audits or None
    rows: list[tuple[Cell, ...]] = [
        ("books", books.books),
        ("all live after, s", books.all_live_s or None),
        ("fewest live at once since", books.least_live),
        ("audits", books.audits),
        ("levels compared", books.levels),
        ("score, mean", f"{books.score_sum / audits:.4%}" if audits else None),
        ("score, least", f"{books.least_score:.4%}" if audits else None),
        *((f"audit skipped: {why}", count) for why, count in _most(books.skipped_audits)),
        *((f"began anew: {why}", count) for why, count in _most(books.resyncs)),
        ("request weight a minute", round(books.weight / max(found.minutes, 0.1))),
        ("questions waited for weight, s", books.waited_s),
    ]
    return Table(
        title=f"endurance: {books.books} books, {found.minutes:.1f} minutes, {trial.copies} copies",
        columns=("", "tickerplant"),
        rows=rows,
    )


def _events_table(trial: Trial, found: Found) -> Table:
    taken = found.taken
    counters = _sum(taken.counters.values())
    rows: list[tuple[Cell, ...]] = [
        *((name, getattr(counters, name)) for name in counters.__struct_fields__),
        *((f"fault: {name}", count) for name, count in sorted(found.served.faults.items())),
        *((name, count) for name, count in _most(taken.events)[:12]),
        *((f"notice: {name}", count) for name, count in _most(taken.notices)),
        ("memory when settled, MB", found.settled_rss >> 20),
        ("memory at the end, MB", taken.rss_bytes >> 20),
        ("memory at most, MB", found.most_rss >> 20),
        ("share of a core", taken.cpu_s / max(found.minutes * 60, 1)),
        ("server behind its clock at most, ms", found.most_lag_ms),
    ]
    return Table(
        title=f"endurance: what happened to the client ({trial.title})",
        columns=("", "count"),
        rows=rows,
        notes=["Notices are counted for each stream that they are about."],
    )


def _sum(counters: Iterable[FeedCounters]) -> FeedCounters:
    total = FeedCounters()
    for each in counters:
        for name in total.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(each, name))
    return total


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return Counter(counts).most_common()


def _percent(books: BookTotals) -> str:
    return f"{books.score_sum / books.audits:.4%}" if books.audits else "-"
