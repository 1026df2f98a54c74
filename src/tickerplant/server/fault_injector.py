"""The faults of one server: which are on, what the random draws decide, and how often each happened."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from itertools import count
from random import Random

from tickerplant.errors import RequestError
from tickerplant.protocol.client_requests import overloaded
from tickerplant.protocol.rate_limiter import REQUEST_WEIGHT, Charge, RateLimiter
from tickerplant.server.faults import Fault, FaultRow

RETRY_AFTER_MS = 1_000
"""The wait that an injected 429 or 418 asks for."""
OFF = Fault(text="off")


class FaultInjector:
    """The faults of one server, for all its ports.

    Args:
        values: The faults that are on, by the name of the row.
        seed: Decides the random draws: those for the n-th handshake that is not exempt are the same
            in every run, and so are those for the n-th REST request.
    """

    def __init__(self, values: Mapping[str, Fault] | None = None, seed: int = 1) -> None:
        self.values = values or {}
        self.seed = seed
        self.done: Counter[str] = Counter()
        """How often each fault happened, by name."""
        self.http = FaultDraws(self, "http")
        self._connections = count(1)
        self._hanging: dict[asyncio.Future[None], int] = {}

    @property
    def is_on(self) -> bool:
        """Whether any fault is on."""
        return bool(self.values)

    @property
    def times_ms(self) -> tuple[int, ...]:
        """The times in the values: deadlines must be checked more often than the shortest."""
        times = (time for on in self.values.values() for time in (on.mean_ms, on.time_ms))
        return tuple(time for time in times if time)

    def next_connection(self) -> FaultDraws:
        """Return the draws for the next handshake."""
        return FaultDraws(self, f"connection {next(self._connections)}")

    def switch(self, values: Mapping[str, Fault]) -> None:
        """Switch to other faults for the handshakes and REST requests that follow.

        A server that was started without faults injects none into REST requests.
        """
        self.values = values
        self.http = FaultDraws(self, "http")

    async def hang(self, until_ms: int) -> None:
        """Return when `tick` is called with this time or a later one."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hanging[waiting] = until_ms
        try:
            await waiting
        finally:
            self._hanging.pop(waiting, None)

    def tick(self, now_ms: int) -> None:
        """Release the requests that hang until `now_ms` or earlier."""
        for waiting, until_ms in self._hanging.items():
            if until_ms <= now_ms and not waiting.done():
                waiting.set_result(None)

    def end(self) -> None:
        """Release every request that hangs."""
        for waiting in self._hanging:
            if not waiting.done():
                waiting.set_result(None)


class FaultDraws:
    """The random draws for one connection, or for all REST requests.

    Each fault has a sequence of its own, so how often one is drawn does not change another.
    """

    def __init__(self, injector: FaultInjector, name: str) -> None:
        self._injector = injector
        self._values = injector.values
        self._name = name
        self._sequences: dict[str, Random] = {}

    def is_on(self, row: FaultRow) -> bool:
        """Whether a fault is on."""
        return row.name in self._values

    def value(self, row: FaultRow) -> Fault:
        """Return the value of a fault."""
        return self._values.get(row.name, OFF)

    def happens(self, row: FaultRow) -> bool:
        """Draw whether a fault with a share happens now, and count it if it does."""
        if not self.is_on(row) or self._sequence(row).random() >= self.value(row).share:
            return False
        self.count(row)
        return True

    def wait_ms(self, row: FaultRow) -> int:
        """Draw how long it is until a fault with a mean time happens next; 0 if it is off."""
        if not self.is_on(row):
            return 0
        return max(1, round(self._sequence(row).expovariate(1 / self.value(row).mean_ms)))

    def count(self, row: FaultRow) -> None:
        """Count that a fault happened."""
        self._injector.done[row.name] += 1

    def _sequence(self, row: FaultRow) -> Random:
        if row.name not in self._sequences:
            self._sequences[row.name] = Random(f"{self._injector.seed} {self._name} {row.name}")
        return self._sequences[row.name]


def injected_error(status: int, rate_limiter: RateLimiter, now_ms: int) -> RequestError:
    """Return the error of a request that is refused by a fault with 429, 418 or 503."""
    if status == 503:
        return overloaded()
    until_ms = now_ms + RETRY_AFTER_MS if status == 418 else None
    limit = rate_limiter.window_limits[REQUEST_WEIGHT]
    return rate_limiter.refusal(Charge(0, True, until_ms, RETRY_AFTER_MS, limit.text))
