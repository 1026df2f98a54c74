"""The exchange's book at one update id, as it is answered."""

from __future__ import annotations

from msgspec import Struct, field


class TruthBook(Struct, frozen=True, kw_only=True):
    """The book after one change."""

    symbol: str
    oldest_id: int = 0
    """The oldest update id at which the book is kept."""
    newest_id: int = 0
    """The highest update id that the market has reached."""
    asked_id: int
    """The update id that was asked for."""
    last_update_id: int = field(name="lastUpdateId")
    """The id of the last change up to there."""
    transaction_time_ms: int = field(name="T")
    """When that change happened."""
    bids: list[tuple[str, str]]
    """Price and quantity of every level, best first."""
    asks: list[tuple[str, str]]
