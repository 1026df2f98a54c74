"""An event loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import partial


class JumpingSelector(selectors.DefaultSelector):
    """Lets the time that nobody has anything to do pass at once."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


def no_time() -> float:
    return 0.0


def jumping_loop(passed_s: Callable[[], float] = no_time) -> asyncio.AbstractEventLoop:
    selector = JumpingSelector()
    loop = asyncio.SelectorEventLoop(selector)

    def now_s() -> float:
        selector.now_s += passed_s()
        return selector.now_s

    loop.time = now_s  # type: ignore[method-assign]
    return loop


def run_jumping(main: Coroutine[None, None, None], passed_s: Callable[[], float] = no_time) -> None:
    """Run `main` to its end.

    Args:
        main: What is run.
        passed_s: Returns how much time passes until the clock is looked at once more: a machine
            that is slow, or sometimes.
    """
    with asyncio.Runner(loop_factory=partial(jumping_loop, passed_s)) as runner:
        runner.run(main)
