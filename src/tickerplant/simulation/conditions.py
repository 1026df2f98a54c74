"""The conditions under which one contract is traded: what levers make of an ordinary market."""

from __future__ import annotations

from msgspec import Struct


class Conditions(Struct, frozen=True):
    """Factors and shares; the defaults are an ordinary market."""

    flow: float = 1.0
    """Multiplies the orders of takers."""
    presence: float = 1.0
    """Share of the makers that quote; the fewer, the wider is the spread."""
    depth: float = 1.0
    """Multiplies the quantities that makers quote."""
    without_bids: bool = False
    """Whether the makers of the bid side are gone."""
    without_asks: bool = False
    """Whether the makers of the ask side are gone."""
    open_interest: float = 1.0
    """Multiplies the open interest that trading moves it towards."""
    is_stressed: bool = False
    """Whether forced orders move the fair value."""

    def presence_of(self, buy: bool) -> float:
        """Return the share of the makers of a side that quote."""
        return 0.0 if (self.without_bids if buy else self.without_asks) else self.presence


ORDINARY = Conditions()
