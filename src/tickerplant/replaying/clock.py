"""The clock of a replay: how the time of this machine becomes a position in the recordings.

    standing ── go ──▶ running ── stand ──▶ standing
    either   ── jump, set_speed ──▶ the same, elsewhere or faster

It runs while it is both started and not paused.  Between jumps a position never goes back, whatever
happens to the speed.  With speed 0 there is no time to wait for: everything is due at once, and the
position is that of what was played last.

Pure: the machine's time is an argument, in ns of a clock that never goes back.
"""

from __future__ import annotations

SLOWEST, FASTEST = 0.001, 1_000_000.0
"""Recorded seconds per second, if there is a pace at all."""
EXPECTED_SPEED = f"a number from {SLOWEST:g} to {FASTEST:,.0f}, or 0 for as fast as it goes"


class ReplayClock:
    """Positions are ns since the epoch, as the lines of the recordings have them.

    Args:
        speed: Recorded seconds per second; 0 is without a pace.
    """

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.is_paused = False
        self.is_started = False
        self._position_ns = 0
        self._at_ns = 0
        """When it was at that position."""

    @property
    def stands(self) -> bool:
        """Whether the position stays where it is."""
        return self.is_paused or not self.is_started

    def position_ns(self, at_ns: int, next_ns: int) -> int:
        """Return where the replay is.

        Args:
            at_ns: The time of this machine.
            next_ns: The time of the next line; the position does not pass it before it is played.
        """
        position_ns = self._position_ns
        if not self.stands and self.speed:
            position_ns += max(int((at_ns - self._at_ns) * self.speed), 0)
        return max(min(position_ns, next_ns), self._position_ns)

    def wait_ns(self, at_ns: int, next_ns: int) -> int:
        """Return how long it is until a line with the time `next_ns` is due.

        Negative if it was due before.  Means nothing while the clock stands.
        """
        if not self.speed:
            return 0
        return int((next_ns - self._position_ns) / self.speed) - (at_ns - self._at_ns)

    def reached_ns(self, at_ns: int, next_ns: int) -> int:
        """Return up to which time lines are due, at least up to `next_ns`."""
        passed_ns = int((at_ns - self._at_ns) * self.speed)
        return max(self._position_ns + passed_ns, next_ns)

    def jump(self, position_ns: int, at_ns: int) -> None:
        """Be at a position, and go on from there."""
        self._position_ns, self._at_ns = position_ns, at_ns

    def go(self, at_ns: int) -> None:
        """Run from here on."""
        self._at_ns = at_ns
        self.is_started = True

    def stand(self, at_ns: int, next_ns: int) -> None:
        """Stay here until `go`."""
        self.jump(self.position_ns(at_ns, next_ns), at_ns)
        self.is_started = False

    def pause(self, at_ns: int, next_ns: int, *, paused: bool) -> None:
        """Stand still, or go on, from the present position."""
        self.jump(self.position_ns(at_ns, next_ns), at_ns)
        self.is_paused = paused

    def set_speed(self, speed: float, at_ns: int, next_ns: int) -> None:
        """Go on from here at another speed; what was late is late no longer."""
        self.jump(self.position_ns(at_ns, next_ns), at_ns)
        self.speed = speed


def read_speed(given: object) -> float:
    """Return a speed that a replay can have.

    Raises:
        ValueError: it is none; says what is expected.
    """
    try:
        speed = float(str(given))
    except ValueError:
        raise ValueError(EXPECTED_SPEED) from None
    if isinstance(given, bool) or not (speed == 0 or SLOWEST <= speed <= FASTEST):
        raise ValueError(EXPECTED_SPEED)
    return speed
