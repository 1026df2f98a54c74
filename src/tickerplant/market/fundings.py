"""What was paid at the funding times of one contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from tickerplant.events import FundingPaid

KEPT = 1000
"""Funding times of this run that are kept; older ones are forgotten."""
AT_HAND = 10
"""Funding times before the start that are kept once somebody asked; older ones are made anew."""


class Earlier(Protocol):
    """Knows the funding times before the first event."""

    def __call__(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        """Return as `Fundings.within` does."""
        ...


class Fundings:
    """The funding times so far, those of the past when somebody asks for them."""

    def __init__(self) -> None:
        self._earlier: Earlier | None = None
        self._at_hand: Sequence[FundingPaid] | None = None
        self._since: deque[FundingPaid] = deque(maxlen=KEPT)

    def look_back(self, earlier: Earlier) -> None:
        """Let what `earlier` returns come before the first of this run."""
        self._earlier = earlier

    def add(self, funding: FundingPaid) -> None:
        """Add the latest one."""
        self._since.append(funding)

    def within(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[FundingPaid]:
        """Return up to `limit` of those in [`start_ms`, `end_ms`], oldest first.

        With a start the first ones from there on, otherwise the latest ones.
        """
        found = [*self._before(start_ms, end_ms, limit), *_inside(self._since, start_ms, end_ms)]
        return found[-limit:] if start_ms is None else found[:limit]

    def _before(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        if self._earlier is None:
            return ()
        if self._at_hand is None:
            self._at_hand = self._earlier(None, None, AT_HAND)
        found = _inside(self._at_hand, start_ms, end_ms)
        if start_ms is None:
            enough = len(found) >= limit
        else:
            enough = bool(self._at_hand) and start_ms >= self._at_hand[0].time_ms
        if enough or len(self._at_hand) < AT_HAND:
            return found
        return self._earlier(start_ms, end_ms, limit)


def _inside(
    paid: Iterable[FundingPaid], start_ms: int | None, end_ms: int | None
) -> list[FundingPaid]:
    return [
        each
        for each in paid
        if (start_ms is None or each.time_ms >= start_ms)
        and (end_ms is None or each.time_ms <= end_ms)
    ]
