"""The interfaces of the history that a market starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickerplant.events import Delivered, FundingPaid, Trade
from tickerplant.market.bars import Bars
from tickerplant.market.series import PositioningHistory
from tickerplant.market.tape import Rows


class BarHistory(Protocol):
    """Bars of one price from before the first event.

    Rows are oldest first, without gaps within one method. `minutes()` ends where the live bars
    begin, `hours()` where `minutes()` begins and `days()` where `hours()` begins, each at a
    boundary of the longer bar.
    """

    def minutes(self) -> Bars:
        """Return the minutes of the last days before the live bars."""
        ...

    def hours(self) -> Bars:
        """Return the hours before the first minute."""
        ...

    def days(self) -> Bars:
        """Return the days before the first hour."""
        ...


class PositionsAndMarks(PositioningHistory, BarHistory, Protocol):
    """The positioning of the past, and bars that open as those of the mark price do."""


class MarketHistory(BarHistory, Protocol):
    """The history of a market before the first event; all of it is consistent.

    `minutes()` ends where `day` begins.
    """

    @property
    def day(self) -> Bars:
        """Minutes that cover at least the 24 hours before the start."""
        ...

    @property
    def trades(self) -> Sequence[Trade]:
        """The trades of the current minute before the start; no bar contains them."""
        ...

    @property
    def last_trade(self) -> Trade | None:
        """The last trade before the start; None if there was none."""
        ...

    def older_trades(self) -> Rows:
        """Return the single trades before `trades`: rows as in `TRADE_ROW`."""
        ...

    def older_aggregates(self) -> Rows:
        """Return the aggregates of `older_trades`: rows as in `AGGREGATE_ROW`."""
        ...

    @property
    def first_aggregate_id(self) -> int:
        """Id of the aggregate that the first of `trades` opens."""
        ...

    @property
    def marks(self) -> BarHistory:
        """Bars of the mark price, in integers of 10^-8; they end before the current minute."""
        ...

    @property
    def indices(self) -> BarHistory:
        """Bars of the index price, in the same form."""
        ...

    @property
    def premiums(self) -> BarHistory:
        """Bars of the premium index, in the same form."""
        ...

    def fundings(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        """Return the funding payments since the listing, oldest first.

        At most `limit` of those in [`start_ms`, `end_ms`]: with a start the first ones, otherwise
        the latest ones.
        """
        ...

    def deliveries(self) -> Sequence[Delivered]:
        """Return the settlements of the pair's dated contracts since the listing, oldest first."""
        ...

    @property
    def positions(self) -> PositionsAndMarks:
        """The positioning at every five minutes of the last month, and bars that open as `marks` do."""
        ...
