"""One scenario that was started: its changes happen at their market times, and are undone at its end.

Levers are pulled by the exchange before anything else of their millisecond; faults begin when the
clock of faults, which in a simulation is market time as well, reaches theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.clock import FaultClock, Timer
from tickerplant.faults.rule import Rule
from tickerplant.scenarios.scenario import (
    Change,
    ChangeState,
    Progress,
    Scenario,
    ScenarioState,
)
from tickerplant.simulation.exchange import SimulatedExchange
from tickerplant.simulation.levers import Lever


class Stage(Struct, frozen=True):
    """Where scenarios happen."""

    clock: FaultClock
    faults: FaultBoard
    exchange: SimulatedExchange | None
    log: Callable[[str], object]


class _Step(Struct):
    """A change, and what became of it."""

    change: Change
    number: int
    due_ms: int
    state: Progress = "to come"
    reason: str = ""
    handle: str = ""
    """The id of the lever or of the fault."""


class ScenarioRun:
    """A scenario from its start to its end."""

    def __init__(self, run_id: str, scenario: Scenario, start_ms: int, stage: Stage) -> None:
        self.id = run_id
        self.scenario = scenario
        self.is_over = False
        self._stage = stage
        self._start_ms = start_ms
        self._end_ms = start_ms + scenario.duration_ms
        self._was_stopped = False
        self._timers: list[Timer] = []
        """What is due by the clock of faults."""
        self._steps = [
            _Step(change, number, start_ms + change.at_ms)
            for number, change in enumerate(scenario.changes, 1)
        ]

    def begin(self) -> None:
        """Schedule everything; what is due now happens now."""
        self._log(f"starts: {self.scenario.title}")
        exchange, clock = self._stage.exchange, self._stage.clock
        for step in self._steps:
            if isinstance(step.change.action, Lever):
                self._at_exchange(step.due_ms, partial(self._pull, step))
            elif step.due_ms <= clock.now_ms:
                self._add(step, clock.now_ms)
            else:
                self._timers.append(clock.at(step.due_ms, partial(self._add, step)))
        if exchange is not None:
            self._at_exchange(self._end_ms, self._release_all)
        self._timers.append(clock.at(self._end_ms, self._end))

    def _at_exchange(self, time_ms: int, action: Callable[[int], None]) -> None:
        """Let the exchange act at a market time, or as soon as it can."""
        exchange = self._stage.exchange
        if exchange is not None:
            # The millisecond that is over is not played again.
            exchange.at(max(time_ms, self._stage.clock.now_ms + 1), action)

    def stop(self) -> None:
        """End it now."""
        if self.is_over:
            return
        self._was_stopped = True
        self._release_all(self._stage.clock.now_ms + 1)
        self._finish("was stopped")

    def state(self) -> ScenarioState:
        """Return how far it is."""
        now_ms = self._stage.clock.now_ms
        states = [step.state for step in self._steps]
        is_begun = now_ms >= self._start_ms
        return ScenarioState(
            id=self.id,
            name=self.scenario.name,
            title=self.scenario.title,
            state="over" if self.is_over else "running" if is_begun else "waiting",
            stopped=self._was_stopped,
            start_ms=self._start_ms,
            end_ms=self._end_ms,
            done=states.count("done"),
            to_come=states.count("to come"),
            changes=tuple(
                ChangeState(
                    time_ms=step.due_ms,
                    text=step.change.text,
                    state=step.state,
                    reason=step.reason,
                )
                for step in self._steps
            ),
        )

    # What happens

    def _pull(self, step: _Step, time_ms: int) -> None:
        exchange, lever = self._stage.exchange, step.change.action
        if step.state == "to come" and exchange is not None and isinstance(lever, Lever):
            self._do(step, lambda: exchange.levers.pull(lever, time_ms))

    def _add(self, step: _Step, _: int) -> None:
        rule = step.change.action
        if step.state == "to come" and isinstance(rule, Rule):
            self._do(step, lambda: self._stage.faults.add(rule).id)

    def _do(self, step: _Step, action: Callable[[], str]) -> None:
        where = f"change {step.number} of {len(self._steps)}: {step.change.text}"
        try:
            step.handle = action()
        except ConfigError as error:  # the market has changed since it was checked
            step.state, step.reason = "failed", str(error)
            self._log(f"{where} failed: {error}", sign="!")
        else:
            step.state = "done"
            self._log(where)

    def _end(self, _: int) -> None:
        if not self.is_over:
            self._finish("is over")

    def _finish(self, how: str) -> None:
        """Remove the faults; the levers are released already."""
        self.is_over = True
        for timer in self._timers:
            timer.cancel()
        for step in self._steps:
            if step.state == "to come":
                step.state = "cancelled"
            elif step.handle and isinstance(step.change.action, Rule):
                _unless_over(self._stage.faults.remove, step.handle)
        self._log(how)

    def _release_all(self, time_ms: int) -> None:
        exchange = self._stage.exchange
        for step in self._steps:
            if exchange is not None and step.handle and isinstance(step.change.action, Lever):
                _unless_over(exchange.levers.release, step.handle, time_ms)
                step.handle = ""

    def _log(self, text: str, sign: str = "=") -> None:
        self._stage.log(f"{sign} {self.id} {self.scenario.name} {text}")


def _unless_over(action: Callable[..., object], *arguments: object) -> None:
    """Undo a change; do nothing if it is over by itself."""
    try:
        action(*arguments)
    except KeyError:
        return
