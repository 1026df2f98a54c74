"""What edges count per address, and how it becomes part of what their plant has counted.

An edge counts the connections, streams and messages of its clients itself; it asks its plant about
everything that is charged or refused.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from tickerplant.bus.questions import AddressNote, TallyNote
from tickerplant.protocol.rate_limiter import (
    CONNECTIONS,
    CONTROL_FRAMES,
    MESSAGES,
    STREAMS,
    RateLimiter,
    Tally,
)

COUNTED = (CONNECTIONS, STREAMS, MESSAGES, CONTROL_FRAMES)
"""What an edge counts."""
ADDRESSES_AT_ONCE = 1_000
"""Most addresses that are looked at for one report; the others are looked at for the next ones."""
NOTHING = TallyNote(0, 0, 0)


class ChangedTallies:
    """Finds what has changed at an edge since it was told last."""

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self._rate_limiter = rate_limiter
        self._told: dict[str, dict[str, TallyNote]] = {}
        self._turn: list[str] = []
        """The addresses that are still to be looked at in this round."""

    def changes(self) -> list[AddressNote]:
        """Return what has changed; of many addresses only some."""
        clients = self._rate_limiter.clients
        if not self._turn:
            self._turn = [*clients, *(self._told.keys() - clients.keys())]
        turn, self._turn = self._turn[:ADDRESSES_AT_ONCE], self._turn[ADDRESSES_AT_ONCE:]
        notes = []
        for address in turn:
            usage = clients.get(address)
            tallies = {} if usage is None else usage.tallies
            told = self._told.get(address, {})
            now = {name: _note(tallies[name]) for name in COUNTED if name in tallies}
            if now == told:
                continue
            gone = dict.fromkeys(told.keys() - now.keys(), NOTHING)
            changed = {name: note for name, note in now.items() if told.get(name) != note}
            notes.append(AddressNote(address, changed | gone))
            if now:
                self._told[address] = now
            else:
                del self._told[address]
        return notes

    def tell_all(self) -> None:
        """Tell everything again: a plant has lost it."""
        self._told.clear()
        self._turn.clear()


class EdgeTallies:
    """Adds what one edge has counted to what its plant has counted."""

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self._rate_limiter = rate_limiter
        self._known: dict[str, dict[str, TallyNote]] = {}

    def add(self, notes: Iterable[AddressNote]) -> None:
        """Add what has changed since it was added last."""
        most = self._rate_limiter.limits.max_addresses
        for note in notes:
            known = self._known.pop(note.address, {})
            for name, tally in note.tallies.items():
                if name in COUNTED:
                    before = known.get(name, NOTHING)
                    added = tally.used - before.used if name == CONNECTIONS else 0
                    exceeded = max(0, tally.exceeded - before.exceeded)
                    self._rate_limiter.note(note.address, name, added, tally.highest, exceeded)
                    known[name] = tally
            self._known[note.address] = known
            if len(self._known) > most:
                del self._known[next(iter(self._known))]

    def end(self) -> None:
        """Count the connections of the edge as closed: it is gone."""
        for address, known in self._known.items():
            if CONNECTIONS in known:
                self._rate_limiter.note(address, CONNECTIONS, -known[CONNECTIONS].used, 0, 0)
        self._known.clear()


def _note(tally: Tally) -> TallyNote:
    return TallyNote(tally.used, tally.highest, tally.exceeded)
