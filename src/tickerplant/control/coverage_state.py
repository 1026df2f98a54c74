"""What clients may read of the recordings that a market is replayed from: `/plant/v1/coverage`."""

from __future__ import annotations

from msgspec import Struct


class Hole(Struct, frozen=True, kw_only=True):
    """A time in which messages of streams are missing, or may be."""

    from_ns: int
    """When it begins."""
    to_ns: int
    """When it ends; the time at which it begins if all that is known is that messages are missing
    there."""
    streams: int
    """How many streams it is about."""
    reason: str
    """Why, as the recorder wrote it, or as the files show."""


class ReplayCoverage(Struct, frozen=True, kw_only=True):
    """What the recordings of a replay cover.

    Times are positions of the replay, as `received_ns` of the clock: those of the recordings, without
    the shift of `--rebase`.
    """

    from_ns: int
    """Where the replay begins."""
    to_ns: int | None
    """Where it ends; null while that is not known."""
    spans: tuple[tuple[int, int], ...]
    """The times in which messages were recorded, each from its first to its last: between two of
    them, nothing was recorded for five seconds or more."""
    holes: tuple[Hole, ...]
    """What is missing, in order of time: streams that were not received, messages that were lost, and
    times in which nothing was recorded."""
    streams: int
    """How many streams are played."""
    truncated: bool
    """Whether there is more than is listed: short quiet times within spans, or shorter holes."""
    complete: bool
    """Whether the recordings were looked through to the end; else this is what is known so far."""
