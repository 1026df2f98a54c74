"""The faults of one server: which are switched on, what chance decides, and how often each was done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import count
from random import Random

from tickerplant.errors import RequestError
from tickerplant.protocol.budget import REQUEST_WEIGHT, Budget, Charge
from tickerplant.server.faults import Fault, FaultRow

RETRY_AFTER_MS = 1_000
"""How long a client is told to wait by a 429 or a 418 on demand."""
OVERLOADED = -1008
OFF = Fault(text="off")


class Faults:
    """The faults of one server, of both its ports.

    Args:
        values: What is switched on, by the name of the row.
        seed: Decides the random choices: those for the n-th handshake that may meet a fault are the
            same in every run, and so are those for the n-th REST question.
    """

    def __init__(self, values: Mapping[str, Fault] | None = None, seed: int = 1) -> None:
        self.values = values or {}
        self.seed = seed
        self.done: Counter[str] = Counter()
        """How often each fault was done, by name."""
        self.http = Chances(self, "http")
        self._connections = count(1)
        self._hanging: dict[asyncio.Future[None], int] = {}

    @property
    def on(self) -> bool:
        """Whether any fault is switched on."""
        return bool(self.values)

    @property
    def times_ms(self) -> tuple[int, ...]:
        """The times in the values: deadlines have to be looked at more often than that."""
        times = (time for on in self.values.values() for time in (on.mean_ms, on.time_ms))
        return tuple(time for time in times if time)

    def next_connection(self) -> Chances:
        """Return what chance decides for the next handshake."""
        return Chances(self, f"connection {next(self._connections)}")

    def switch(self, values: Mapping[str, Fault]) -> None:
        """Switch other faults on: for handshakes and REST questions from now on.

        A server that was started without faults asks for none with its REST questions.
        """
        self.values = values
        self.http = Chances(self, "http")

    async def hang(self, until_ms: int) -> None:
        """Return when `tick` is told this time."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hanging[waiting] = until_ms
        try:
            await waiting
        finally:
            self._hanging.pop(waiting, None)

    def tick(self, now_ms: int) -> None:
        """Let those go on who were to hang until now."""
        for waiting, until_ms in self._hanging.items():
            if until_ms <= now_ms and not waiting.done():
                waiting.set_result(None)

    def end(self) -> None:
        """Let everybody go on."""
        for waiting in self._hanging:
            if not waiting.done():
                waiting.set_result(None)


class Chances:
    """What chance decides for one connection; each fault has a sequence of choices of its own.

    So what one fault decides does not depend on how often another was asked.
    """

    def __init__(self, faults: Faults, who: str) -> None:
        self._faults = faults
        self._values = faults.values
        self._who = who
        self._sequences: dict[str, Random] = {}

    def on(self, row: FaultRow) -> bool:
        """Whether a fault is switched on."""
        return row.name in self._values

    def value(self, row: FaultRow) -> Fault:
        """Return the value of a fault."""
        return self._values.get(row.name, OFF)

    def happens(self, row: FaultRow) -> bool:
        """Decide whether a fault with a share is done now, and count it if it is."""
        if not self.on(row) or self._sequence(row).random() >= self.value(row).share:
            return False
        self.count(row)
        return True

    def wait_ms(self, row: FaultRow) -> int:
        """Return how long it is until a fault with a mean time is done next, 0 if it is off."""
        if not self.on(row):
            return 0
        return max(1, round(self._sequence(row).expovariate(1 / self.value(row).mean_ms)))

    def count(self, row: FaultRow) -> None:
        """Count a fault as done."""
        self._faults.done[row.name] += 1

    def _sequence(self, row: FaultRow) -> Random:
        if row.name not in self._sequences:
            self._sequences[row.name] = Random(f"{self._faults.seed} {self._who} {row.name}")
        return self._sequences[row.name]


def refusal(status: int, budget: Budget, now_ms: int) -> RequestError:
    """Return what a question is answered that is refused on demand with 429, 418 or 503."""
    if status == 503:
        message = (
            "Server is currently overloaded with other requests. Please try again in a few minutes."
        )
        return RequestError(OVERLOADED, message, 503)
    until_ms = now_ms + RETRY_AFTER_MS if status == 418 else None
    rule = budget.rules[REQUEST_WEIGHT]
    return budget.refusal(Charge(0, True, until_ms, RETRY_AFTER_MS, rule.text))
