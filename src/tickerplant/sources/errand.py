"""Requests to change the clock of a source, and the seek or step that one of them began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from tickerplant.control.clock import CONFLICT, ClockRequest, parse_clock_request
from tickerplant.errors import RequestError

State = TypeVar("State")


class Errand:
    """The seek or step that was requested last, until it is done."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._what = ""
        self._done = asyncio.Event()
        self._done.set()

    @property
    def is_pending(self) -> bool:
        """Whether it is not done yet."""
        return not self._done.is_set()

    def end(self) -> None:
        """Note that it is done: whoever waits for it is answered."""
        self._done.set()

    async def steer(
        self,
        given: Mapping[str, object],
        wait_s: float,
        change: Callable[[ClockRequest], None],
        state: Callable[[], State],
    ) -> State:
        """Change a clock as requested; return its state when that is done.

        A seek takes the place of a seek or a step that is not done yet; a step is refused then.

        Args:
            given: The fields of the request, see `ClockFields`.
            wait_s: If a seek or a step takes longer, return the state on the way.
            change: Changes the clock, and begins the seek or step; or raises RequestError, with
                nothing changed.
            state: Returns the state.

        Raises:
            ConfigError: A field is unknown, or its value is invalid; nothing is changed.
            RequestError: The request is not possible now; nothing is changed.
        """
        request = parse_clock_request(given)
        if request.step is not None and self.is_pending:
            reason = f"another {self._what} is not done yet: wait until `pending` is false, or seek to +0s to end it"
            raise RequestError(CONFLICT, f"step: {reason}", 409)
        change(request)
        what = "step" if request.step is not None else "seek" if request.seek is not None else ""
        if what:
            self._what = what
            self._done.clear()
            if wait_s:  # `wait_for` gives 0 s a turn of the loop or none, by the version of Python
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._done.wait(), wait_s)
        return state()

    def refuse_step(self, phase: str, *, is_paused: bool, seeks: bool) -> None:
        """Raise RequestError if a step is not possible in a phase of the source."""
        reason = ""
        if phase not in {"playing", "waiting"}:
            reason = f"the {self._source} is {phase}"
        elif not is_paused:
            reason = f"the {self._source} is not paused: pause it first"
        elif seeks:
            reason = "it cannot be combined with a seek"
        if reason:
            raise RequestError(CONFLICT, f"step: {reason}", 409)
