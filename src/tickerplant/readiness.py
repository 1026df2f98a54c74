"""The state of the source, for `/readyz` and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Literal

from msgspec import Struct

from tickerplant.latency import Histogram
from tickerplant.units import NS_PER_S

CLOCK_STEP_MS = 500
"""By how much the clock of the machine is set at least, to be noticed."""
MAX_WARNINGS = 1_000
"""Most warnings that are listed at once; further ones are only counted."""


class Sample(Struct, frozen=True, kw_only=True):
    """One number that `/metrics` prints."""

    name: str
    """Without the prefix of the program and, of a counter, without `_total`."""
    value: float
    doc: str
    """One sentence; samples of one name have one sentence and one type."""
    type: Literal["counter", "gauge"] = "gauge"
    labels: Mapping[str, str] = {}
    """Few values each: no symbols, no streams."""


class Readiness:
    """The state of the source, which keeps it up to date."""

    def __init__(self) -> None:
        self.is_ready = False
        """Whether clients should come here."""
        self.reason = "starting"
        """Why it is not ready, or what it is doing, in one line."""
        self.lag_ms = 0
        """How far the source is behind its own clock."""
        self.skipped: Callable[[], Mapping[str, int]] = dict
        """Returns how many messages the source could not use so far, by reason."""
        self.late_ns: Callable[[], int | None] = lambda: None
        """Returns how late, in ns, is what the source publishes now; None if it keeps no pace."""
        self.event_to_publish = Histogram()
        """How late the source published, one count for the first event of a slice."""
        self.dropped_warnings = 0
        """Warnings dropped because the list was full."""
        self._warnings: dict[str, str] = {}
        self.machine_set_ms: Callable[[], int] = lambda: 0
        """Returns how far the clock of the machine was set since the start."""
        self._followed_ms: int | None = None
        """The same when market time was that of the machine last; None if it is another."""
        self._measures: list[Callable[[], Iterable[Sample]]] = []
        self.on_start: Callable[[], object] | None = None
        """Called once, when the source begins: it is ready, and waits for nothing."""

    @property
    def warnings(self) -> list[str]:
        """What is incomplete now while ready, such as a symbol without a book."""
        return [*self._warnings.values(), *self._clock_warnings()]

    @property
    def incomplete_count(self) -> int:
        """How much is incomplete now: the warnings without that of the clock, which has a metric."""
        return len(self._warnings)

    def follow_machine(self, *, follows: bool) -> None:
        """Set whether market time is the time of the machine, as that is now."""
        self._followed_ms = self.machine_set_ms() if follows else None

    @property
    def clock_offset_ms(self) -> int:
        """How far the machine is ahead of market time that was its own, because its clock was set."""
        return 0 if self._followed_ms is None else self.machine_set_ms() - self._followed_ms

    def _clock_warnings(self) -> Iterator[str]:
        if abs(offset_ms := self.clock_offset_ms) >= CLOCK_STEP_MS:
            side = "ahead of" if offset_ms > 0 else "behind"
            yield (
                f"the clock of the machine was set: it is {abs(offset_ms) / 1_000:.3f} s {side} market "
                "time; `tickerplant control seek now` brings the market back to it"
            )

    def ready(self, is_ready: bool, reason: str = "") -> None:
        """Set whether the source is running, and why not."""
        self.is_ready, self.reason = is_ready, reason
        if is_ready and not reason and self.on_start is not None:
            on_start, self.on_start = self.on_start, None
            on_start()

    def warn(self, subject: str, text: str) -> bool:
        """List `text` until `subject` has another warning or is cleared.

        Returns:
            Whether the warning is new, and listed.
        """
        if self._warnings.get(subject) == text:
            return False
        if subject not in self._warnings and len(self._warnings) >= MAX_WARNINGS:
            self.dropped_warnings += 1
            return False
        self._warnings[subject] = text
        return True

    def clear(self, subject: str) -> bool:
        """Withdraw the warning about `subject`; return whether there was one."""
        return self._warnings.pop(subject, None) is not None

    def observe_lateness(self, late_ns: int) -> None:
        """Count how late the first event of a slice is published; negative if it is early."""
        self.event_to_publish.observe(late_ns / NS_PER_S)

    def measure(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Add samples to `/metrics`; `samples` is called at each request."""
        self._measures.append(samples)

    @property
    def samples(self) -> Iterator[Sample]:
        """The current samples of the source."""
        return chain.from_iterable(samples() for samples in self._measures)
