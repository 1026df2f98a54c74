"""How the source is doing, as it tells it itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Literal, Protocol

MAX_WARNINGS = 1_000
"""Most warnings that are listed at once; more are counted, the first are the telling ones."""


class Sample(Protocol):
    """One number that `/metrics` prints."""

    @property
    def name(self) -> str:
        """Without the prefix of the program and, of a counter, without `_total`."""
        ...

    @property
    def value(self) -> float:
        """The number."""
        ...

    @property
    def doc(self) -> str:
        """One sentence."""
        ...

    @property
    def type(self) -> Literal["counter", "gauge"]:
        """What kind of number it is."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Whose number it is."""
        ...


class Readiness:
    """What `/readyz` answers; the source keeps it true."""

    def __init__(self) -> None:
        self.is_ready = False
        self.reason = "starting"
        """Why it is not ready, or what it is doing; one line."""
        self.lag_ms = 0
        """How far the source is behind its own clock."""
        self.skipped: Callable[[], Mapping[str, int]] = dict
        """Counts what the source could not use so far, by reason; asked for the metrics."""
        self.unlisted = 0
        """Times a warning found the list full."""
        self._warnings: dict[str, str] = {}
        self._measures: list[Callable[[], Iterable[Sample]]] = []

    @property
    def warnings(self) -> list[str]:
        """What is incomplete now while ready, such as a symbol without a book."""
        return list(self._warnings.values())

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Say whether the source is flowing, and why not."""
        self.is_ready = is_ready
        self.reason = reason

    def warn(self, subject: str, text: str) -> bool:
        """List `text` until `subject` has another warning or is cleared.

        Returns:
            Whether that is new, and listed.
        """
        if self._warnings.get(subject) == text:
            return False
        if subject not in self._warnings and len(self._warnings) >= MAX_WARNINGS:
            self.unlisted += 1
            return False
        self._warnings[subject] = text
        return True

    def clear(self, subject: str) -> bool:
        """Withdraw the warning about `subject`; return whether there was one."""
        return self._warnings.pop(subject, None) is not None

    def measure(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Let `/metrics` print these too; asked for each time somebody reads it."""
        self._measures.append(samples)

    @property
    def samples(self) -> Iterator[Sample]:
        """What the source measures now."""
        return chain.from_iterable(samples() for samples in self._measures)
