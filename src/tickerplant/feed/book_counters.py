"""What happened to a local order book since it was made."""

from __future__ import annotations

from msgspec import Struct


class BookCounters(Struct, gc=False):
    """How often what happened to it."""

    applied: int = 0
    """Updates that were applied as they came or when a snapshot was loaded."""
    left_out: int = 0
    """Updates that the book was already past, or that are of another symbol."""
    gaps: int = 0
    resyncs: int = 0
    """How often the book had to begin anew, or to reach farther."""
    stale_spells: int = 0
    buffered: int = 0
    """Updates kept for a snapshot."""
    forgotten: int = 0
    """Of those, the ones that did not fit."""
    snapshots_used: int = 0
    snapshots_unused: int = 0
    """Snapshots older than the updates at hand, or that nobody needed any more."""
    snapshots_failed: int = 0
    """Questions without an answer, or with one that could not be understood."""
    pruned: int = 0
    """Levels forgotten because their side was too wide."""
    notices_forgotten: int = 0
