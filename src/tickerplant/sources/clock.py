"""The clock of a replay or a simulation: how machine time becomes a position in market time.

    stopped ── start ──▶ running ── stop ──▶ stopped
    either  ── set_position, set_speed ──▶ the same state, at another position or speed

The clock runs while it is started and not paused.  Between calls of `set_position` the position
never decreases, whatever the speed.  At speed 0 everything is due at once, and the position is that
of the last line played.

Pure: machine time is an argument, in ns of a monotonic clock.
"""

from __future__ import annotations


class SourceClock:
    """Maps machine time to positions: ns since the epoch, in the times of the recorded lines."""

    def __init__(self, speed: float, *, is_paused: bool = False) -> None:
        self.speed = speed
        self.is_paused = is_paused
        self.is_started = False
        self._position_ns = 0
        self._machine_ns = 0
        """Machine time at `_position_ns`."""

    @property
    def is_stopped(self) -> bool:
        """Whether the position stays as it is."""
        return self.is_paused or not self.is_started

    def position_ns(self, machine_ns: int, next_ns: int) -> int:
        """Return the position.

        Args:
            machine_ns: The machine time.
            next_ns: The time of the next line, which the position does not pass before it is played.
        """
        position_ns = self._position_ns
        if not self.is_stopped and self.speed:
            position_ns += max(int((machine_ns - self._machine_ns) * self.speed), 0)
        return max(min(position_ns, next_ns), self._position_ns)

    def wait_ns(self, machine_ns: int, next_ns: int) -> int:
        """Return the machine time until a line with the time `next_ns` is due.

        It is negative if the line is overdue, and meaningless while the clock is stopped.
        """
        if not self.speed:
            return 0
        return int((next_ns - self._position_ns) / self.speed) - (machine_ns - self._machine_ns)

    def due_ns(self, machine_ns: int, next_ns: int) -> int:
        """Return the time up to which lines are due, at least `next_ns`."""
        passed_ns = int((machine_ns - self._machine_ns) * self.speed)
        return max(self._position_ns + passed_ns, next_ns)

    def set_position(self, position_ns: int, machine_ns: int) -> None:
        """Continue from another position."""
        self._position_ns, self._machine_ns = position_ns, machine_ns

    def start(self, machine_ns: int) -> None:
        """Run from the current position."""
        self._machine_ns = machine_ns
        self.is_started = True

    def stop(self, machine_ns: int, next_ns: int) -> None:
        """Keep the current position until `start`."""
        self.set_position(self.position_ns(machine_ns, next_ns), machine_ns)
        self.is_started = False

    def set_paused(self, machine_ns: int, next_ns: int, *, paused: bool) -> None:
        """Pause at the current position, or resume from it."""
        self.set_position(self.position_ns(machine_ns, next_ns), machine_ns)
        self.is_paused = paused

    def set_speed(self, speed: float, machine_ns: int, next_ns: int) -> None:
        """Continue from the current position at another speed; overdue lines no longer count as late."""
        self.set_position(self.position_ns(machine_ns, next_ns), machine_ns)
        self.speed = speed
