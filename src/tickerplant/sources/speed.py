"""Whether a source keeps the speed of its clock, and if not, which speed it could keep."""

from __future__ import annotations

from collections.abc import Iterator

from tickerplant.logs import logger
from tickerplant.readiness import Readiness, Sample

WINDOW_S = 2.0
"""Time over which the speed is measured."""
LATE_S = 1.0
"""A source that is later than this, and later than a window ago, cannot keep its speed."""
CAUGHT_UP_S = 0.1
"""One that is later than this has not caught up."""
SUBJECT = "speed"


class SpeedWatch:
    """Says once when a source cannot keep its speed, and when it can again.

    All times are in seconds of the machine, except market time.
    """

    def __init__(self) -> None:
        self.is_short = False
        """Whether the source cannot keep its speed."""
        self._asked = 0.0
        self._held = 0.0
        self._began: tuple[float, float, float] | None = None
        """Machine time, market time and lateness at the beginning of the window."""

    def restart(self) -> None:
        """Begin to measure anew: the speed was changed, or the source waited for its readers."""
        self._began = None

    def stop(self, status: Readiness) -> None:
        """Withdraw what was said: the source is paused, or plays as fast as it can."""
        self._began = None
        self.is_short = False
        status.clear(SUBJECT)

    def note(
        self, status: Readiness, *, now_s: float, market_s: float, late_s: float, speed: float
    ) -> None:
        """Note where the source is; cheap enough for every round."""
        if self._began is None or speed != self._asked:
            self._asked, self._began = speed, (now_s, market_s, late_s)
            return
        began_s, began_market_s, began_late_s = self._began
        if now_s - began_s < WINDOW_S:
            return
        self._began = (now_s, market_s, late_s)
        if now_s - began_s > 2 * WINDOW_S and not self.is_short:
            return  # it was noted only now and then, because it was not late in between
        self._held = (market_s - began_market_s) / (now_s - began_s)
        if late_s > LATE_S and late_s > began_late_s > CAUGHT_UP_S:
            self._warn(status, late_s)
        elif self.is_short and late_s < CAUGHT_UP_S:
            self.is_short = False
            status.clear(SUBJECT)
            logger().info("= the speed is kept again", speed=self._asked)

    def samples(self) -> Iterator[Sample]:
        """Yield the metrics."""
        yield Sample(
            name="source_speed_short",
            value=self.is_short,
            doc="1 while the source cannot keep its speed, and falls ever further behind.",
        )
        yield Sample(
            name="source_speed_asked",
            value=self._asked,
            doc="Market seconds per second that the source should play.",
        )
        yield Sample(
            name="source_speed_held",
            value=self._held,
            doc="Market seconds per second that the source played lately.",
        )

    def _warn(self, status: Readiness, late_s: float) -> None:
        speed = f"speed {self._asked:g} cannot be kept"
        held = f"about {self._held:.2g} market seconds per second can"
        status.warn(SUBJECT, f"{speed}: {held}; the source is {late_s:.0f} s late")
        if not self.is_short:
            self.is_short = True
            logger().warning(f"! {speed}: {held}, and it falls ever further behind")
