"""How many typed messages a client takes from a server that sends as fast as it can."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from benchmarks.client_load import Load
from benchmarks.peers.environment import ROOT, python_of
from benchmarks.table import Cell, Table, median_ratio, shown, spread

MESSAGES = 200_000
QUICK_MESSAGES = 50_000
REPETITIONS = 5
QUICK_REPETITIONS = 2
TARGET = 1.5
"""Highest ratio to the limit that is good enough for our client."""
TARGET_LIBRARY = 3.0
"""Lowest ratio of a futures library to our client that is good enough."""
BUSY = 0.95
"""Share of the time that a client must have been busy, or the server was the limit."""
PATIENCE_S = 60.0


class Contender(Struct, frozen=True):
    """A client: its module in `benchmarks.peers`, and its files in `benchmarks/requirements`."""

    peer: str
    name: str
    target: float | None = None
    """Highest ratio to the limit."""
    library: bool = False
    """Whether it is a library for futures that ours is held against."""


LIMIT = Contender("bare", "limit: picows and typed decoding")
OURS = Contender("callback", "tickerplant, callback", TARGET)
CONTENDERS = (
    LIMIT,
    OURS,
    Contender("iterate", "tickerplant, async for", TARGET),
    Contender("websockets_json", "websockets and json"),
    Contender("aiohttp_orjson", "aiohttp and orjson"),
    Contender("python_binance", "python-binance (with orjson)", library=True),
    Contender("official_sdk", "official modular SDK", library=True),
)


class Taken(Struct, frozen=True):
    """What a client took, from the first message to the last."""

    messages: int
    wall_s: float
    cpu_s: float
    queued_s: float
    """Time it was ready to run and others had the core."""

    @property
    def cpu_us(self) -> float:
        """CPU time of a message, in µs."""
        return self.cpu_s / self.messages * 1e6

    @property
    def per_s(self) -> float:
        return self.messages / self.wall_s

    @property
    def busy(self) -> float:
        """Share of the time in which the client had something to do."""
        return (self.cpu_s + self.queued_s) / self.wall_s


class _Bout:
    """One contender and what it did, until it fails."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.taken: list[Taken] = []
        self.failure = ""

    def repeat(self, url: str, count: int) -> None:
        """Let the contender take the messages once more."""
        if self.failure:
            return
        try:
            self.taken.append(_take(self.contender.peer, url, count))
        except (RuntimeError, TimeoutError) as error:
            self.failure = str(error)


def run(*, quick: bool = False) -> list[Table]:
    """Measure all clients, interleaved."""
    count, repetitions = (QUICK_MESSAGES, QUICK_REPETITIONS) if quick else (MESSAGES, REPETITIONS)
    bouts = [_Bout(contender) for contender in CONTENDERS]
    with Load(count) as load:
        for _ in range(repetitions):
            for bout in bouts:
                bout.repeat(load.url, count)
    mix = ", ".join(f"{100 * share:.0f} % {channel}" for channel, share in load.shares.items())
    return [
        Table(
            title=f"client: {count:,} messages sent as fast as one core takes them",
            columns=(
                "client",
                "messages/s",
                "CPU µs a message",
                "to the limit",
                "target",
                "to tickerplant",
                "target",
                "busy",
            ),
            rows=[_row(bout, bouts) for bout in bouts],
            notes=[
                f"{mix};",
                f"{load.mean_bytes:.0f} bytes a message.  From the first message to the last, each client on a",
                "core of its own; ratios are of CPU time and medians of those within a repetition.",
                *_warnings(bouts),
            ],
        )
    ]


def _row(bout: _Bout, bouts: Sequence[_Bout]) -> tuple[Cell, ...]:
    contender, taken = bout.contender, bout.taken
    if bout.failure:
        return (contender.name, *[None] * 7)
    return (
        contender.name,
        spread(each.per_s for each in taken),
        spread(each.cpu_us for each in taken),
        _ratio(bout, _of(LIMIT, bouts)),
        contender.target,
        _ratio(bout, _of(OURS, bouts)),
        TARGET_LIBRARY if contender.library else None,
        min(each.busy for each in taken),
    )


def _of(contender: Contender, bouts: Sequence[_Bout]) -> _Bout:
    return next(bout for bout in bouts if bout.contender is contender)


def _ratio(bout: _Bout, base: _Bout) -> float | None:
    """Return the median of the ratios of CPU time; None if the base failed."""
    if base.failure:
        return None
    return median_ratio(*([each.cpu_us for each in one.taken] for one in (bout, base)))


def _warnings(bouts: Sequence[_Bout]) -> list[str]:
    failed = [f"{bout.contender.name}: {bout.failure}." for bout in bouts if bout.failure]
    idle = [
        f"{bout.contender.name}: busy {shown(least)} of the time only: the server was the limit."
        for bout in bouts
        if (least := min((each.busy for each in bout.taken), default=1.0)) < BUSY
    ]
    return failed + idle


def _take(peer: str, url: str, count: int) -> Taken:
    """Run a peer.

    Raises:
        RuntimeError: it failed, or could not be installed; the message says why.
    """
    command = [str(python_of(peer)), "-m", f"benchmarks.peers.{peer}", url, str(count)]
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"not all messages arrived within {PATIENCE_S:.0f} s") from error
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(said or f"ended with status {done.returncode}")
    taken = msgspec.json.decode(done.stdout, type=Taken)
    if taken.messages != count:
        raise RuntimeError(f"{taken.messages:,} messages arrived, {count:,} were sent")
    return taken
