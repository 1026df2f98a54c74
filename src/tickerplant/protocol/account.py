"""What one address has used of each limit, and how near it came to it."""

from __future__ import annotations

from collections import Counter, defaultdict

from msgspec import Struct, field

CONNECTIONS = "connections"
STREAMS = "streams"
MESSAGES = "messages"
CONTROL_FRAMES = "controlFrames"


class Tally(Struct):
    """How much of one limit is used: in a window of time, or at once."""

    window: int = 0
    """The window in which `used` was counted; 0 for what is not counted by windows."""
    used: int = 0
    highest: int = 0
    """The most that was ever used."""
    exceeded: int = 0
    """How often more was wanted than there was."""

    def add(self, amount: int, window: int = 0) -> int:
        """Count `amount` in `window`, which begins at nothing, and return the sum."""
        if self.window != window:
            self.window, self.used = window, 0
        return self.reach(self.used + amount)

    def reach(self, used: int) -> int:
        """Take `used` as what is used now, and return it."""
        self.used = used
        self.highest = max(self.highest, used)
        return used


class Account(Struct):
    """What is remembered of one address; times are ms of the server's own clock."""

    exceeded: Counter[str] = field(default_factory=Counter)
    """How often each limit was exceeded, by all addresses that share the counter."""
    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    """By the name of the limit."""
    seen_ms: int = 0
    """When it last asked for something."""
    refusals_minute: int = 0
    refusals: int = 0
    """Refused requests of this minute, or since the last ban."""
    refused: dict[int, int] = field(default_factory=lambda: {429: 0, 418: 0})
    """Requests refused, by status."""
    bans: int = 0
    """Bans without a long time of good conduct between them."""
    banned_until_ms: int = 0

    def exceed(self, name: str) -> None:
        """Count that more was wanted of the limit `name` than there was."""
        self.tallies[name].exceeded += 1
        self.exceeded[name] += 1
