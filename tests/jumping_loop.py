"""An event loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine


class JumpingSelector(selectors.DefaultSelector):
    """Lets the time that nobody has anything to do pass at once."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


def jumping_loop() -> asyncio.AbstractEventLoop:
    selector = JumpingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now_s  # type: ignore[method-assign]
    return loop


def run_jumping(main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=jumping_loop) as runner:
        runner.run(main)
