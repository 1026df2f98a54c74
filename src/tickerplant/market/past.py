"""What a market looks back on when it opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickerplant.events import Trade
from tickerplant.market.bars import Bars


class Past(Protocol):
    """Bars and trades from before the first event, all agreeing with each other.

    Rows are oldest first and without holes inside one kind.  `minutes()` ends with the rows of
    `day`; `hours()` ends where `minutes()` begins and `days()` where `hours()` begins, each
    boundary on a boundary of the longer bar.
    """

    @property
    def day(self) -> Bars:
        """Minutes that cover at least the 24 hours before the start."""
        ...

    @property
    def trades(self) -> Sequence[Trade]:
        """The last trades before the start, not contained in any bar."""
        ...

    @property
    def first_aggregate_id(self) -> int:
        """Id of the aggregate that the first of `trades` opens."""
        ...

    def minutes(self) -> Bars:
        """Return the minutes of the last days."""
        ...

    def hours(self) -> Bars:
        """Return the hours before the first minute."""
        ...

    def days(self) -> Bars:
        """Return the days before the first hour."""
        ...
