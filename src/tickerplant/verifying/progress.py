"""How far a verification is: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tickerplant.logs import logger, plain
from tickerplant.verifying.walk import Walk

TERMINAL_EVERY_S = 0.2
LOG_EVERY_S = 10.0


class WalkProgress:
    """Shows how much of the recordings was walked, while it is entered."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._every_s = TERMINAL_EVERY_S if self._on_terminal else LOG_EVERY_S
        self._began_s = self._told_s = time.monotonic()
        self._messages = 0
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not self._on_terminal,
        )
        self._task = self._bar.add_task("verify", speed="", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def tell(self, walk: Walk, messages: int) -> None:
        """Tell that `messages` more were walked."""
        self._messages += messages
        now_s = time.monotonic()
        if now_s - self._told_s < self._every_s:
            return
        self._told_s = now_s
        rate = self._messages / max(now_s - self._began_s, 0.001)
        name = plain(walk.found.paths[0])
        if self._on_terminal:
            self._bar.update(
                self._task,
                description=name,
                completed=walk.position_bytes,
                total=walk.size_bytes,
                speed=f"{rate:,.0f} messages/s",
            )
        else:
            share = walk.position_bytes / max(walk.size_bytes, 1)
            logger().info(
                "= verify",
                recording=name,
                share=f"{share:.1%}",
                messages=self._messages,
                per_second=round(rate),
            )
