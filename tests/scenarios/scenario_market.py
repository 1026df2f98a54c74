"""A simulated market on which scenarios run, without sockets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
from market_invariants import MarketChecker

from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import MarketClock
from tickerplant.plant import Plant
from tickerplant.scenarios.board import ScenarioBoard
from tickerplant.scenarios.parse import parse_scenario
from tickerplant.scenarios.scenario import Scenario
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.instruments import instruments
from tickerplant.sources.simulated import open_market

START_MS = 1_795_305_600_000
SYMBOLS = ("BTCUSDT", "BTCUSDT_261225")


class ScenarioMarket:
    """A market of a few contracts, checked event by event."""

    def __init__(
        self,
        seed: int = 7,
        *,
        intensity: float = 0.02,
        symbols: tuple[str, ...] = SYMBOLS,
        hashes: bool = False,
    ) -> None:
        traded = instruments(START_MS, list(symbols), None)
        self.exchange = SimulatedExchange(traded, seed, START_MS, intensity, quoting=0.1)
        self.plant = Plant(traded, start_ms=START_MS, reserved_snapshot_ids=True)
        open_market(self.plant, self.exchange)
        self.checker = MarketChecker(self.exchange)
        self.faults = FaultBoard(MarketClock(self.plant.timers))
        self.log: list[str] = []
        self.scenarios = ScenarioBoard(
            self.faults.clock, self.faults, self.exchange, self.log.append
        )
        self._hash = hashlib.sha256() if hashes else None
        self.on_step: Callable[[], object] = lambda: None

    def step(self, seconds: float) -> None:
        """Go on by some market time, and then stand still, as a stepped server does."""
        until_ms = self.plant.now_ms + int(seconds * 1_000)
        while self.exchange.next_time_ms <= until_ms:
            time_ms, events = self.exchange.step()
            self.plant.advance_before(time_ms)
            self.checker.take(time_ms, events)
            for event in events:
                if self._hash is not None:
                    self._hash.update(repr(event).encode())
                self.plant.publish(event)
            self.on_step()
        self.plant.advance(until_ms)

    @property
    def digest(self) -> str:
        """What tells two runs apart: every event, the log, and what became of the changes."""
        assert self._hash is not None
        text = msgspec.json.encode([self.log, self.scenarios.states()])
        return self._hash.hexdigest() + hashlib.sha256(text).hexdigest()

    @property
    def kinds_on(self) -> list[str]:
        """The faults that are on."""
        return [on.rule.kind for on in self.faults if on.state == "on"]

    @property
    def levers_on(self) -> list[str]:
        """The levers that are on."""
        return [each.market for each in self.exchange.levers.state()]


def scenario(*changes: str, duration: str = "2m") -> Scenario:
    """Return a scenario of changes, each the lines of one."""
    text = f'title = "A bad day"\nduration = "{duration}"\n'
    return parse_scenario(text + "".join(f"[[change]]\n{each}\n" for each in changes), "day.toml")
