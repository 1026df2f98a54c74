"""The interfaces of the history that a market starts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from tickerplant.events import Delivered, FundingPaid, Trade
from tickerplant.instrument import Instrument
from tickerplant.market.bars import Bars
from tickerplant.market.series import PositioningHistory
from tickerplant.market.tape import PastRows


class BarHistory(Protocol):
    """Bars of one price from before the first event, without gaps."""

    @property
    def begins_ms(self) -> int:
        """Open time of the first minute: that of the listing."""

    @property
    def ends_ms(self) -> int:
        """Open time of the first minute of the live bars."""

    def bars(self, length_ms: int, from_ms: int, until_ms: int) -> Bars:
        """Return the bars of [`from_ms`, `until_ms`), which are whole minutes, oldest first.

        Each is as long as `length_ms`, a day or a part of one, or a part of such a bar, the longer
        the better.
        """


class Predecessor(Struct, frozen=True):
    """A dated contract that had a type before the first event, and when."""

    instrument: Instrument
    history: MarketHistory
    """Its history as if it had been traded until the first event."""
    from_ms: int
    until_ms: int


class MarketHistory(BarHistory, Protocol):
    """The history of a market before the first event; all of it is consistent.

    Its bars end where `day` begins.
    """

    @property
    def day(self) -> Bars:
        """Minutes that cover at least the 24 hours before the start."""

    @property
    def trades(self) -> Sequence[Trade]:
        """The trades of the current minute before the start; no bar contains them."""

    @property
    def last_trade(self) -> Trade | None:
        """The last trade before the start; None if there was none."""

    @property
    def older_trades(self) -> PastRows:
        """The single trades before `trades`: rows as in `TRADE_ROW`."""

    @property
    def older_aggregates(self) -> PastRows:
        """The aggregates of `older_trades`: rows as in `AGGREGATE_ROW`."""

    @property
    def first_aggregate_id(self) -> int:
        """Id of the aggregate that the first of `trades` opens."""

    @property
    def marks(self) -> BarHistory:
        """Bars of the mark price, in integers of 10^-8; they end before the current minute."""

    @property
    def indices(self) -> BarHistory:
        """Bars of the index price, in the same form."""

    @property
    def premiums(self) -> BarHistory:
        """Bars of the premium index, in the same form."""

    def fundings(
        self, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Sequence[FundingPaid]:
        """Return the funding payments since the listing, oldest first.

        At most `limit` of those in [`start_ms`, `end_ms`]: with a start the first ones, otherwise
        the latest ones.
        """

    def deliveries(self) -> Sequence[Delivered]:
        """Return the settlements of the pair's dated contracts since the listing, oldest first."""

    def predecessors(self, contract_type: str) -> Sequence[Predecessor]:
        """Return the pair's contracts that had a type and have it no more, oldest first."""

    @property
    def positions(self) -> PositioningHistory:
        """The positioning at every five minutes of the last month."""
