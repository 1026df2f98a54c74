"""What really was, in one server: its markets and its connections."""

from __future__ import annotations

from collections.abc import Mapping

from tickerplant.truth.journal import Journal
from tickerplant.truth.sent import SentJournal


class Truth:
    """What happened in the markets, and what was written to the clients."""

    def __init__(self) -> None:
        self.market = Journal()
        """Is the witness of a plant."""
        self.sent = SentJournal()

    @property
    def kept_bytes(self) -> Mapping[str, int]:
        """The memory for changes of books that are packed, and for what was written."""
        return {"books": self.market.book_bytes, "sent": self.sent.kept_bytes}

    @property
    def forgotten(self) -> Mapping[str, int]:
        """What was forgotten because there was too much: packed changes, writes, connections."""
        return {
            "book_chunks": self.market.forgotten_chunks,
            "writes": self.sent.forgotten_writes,
            "connections": self.sent.forgotten_logs,
        }
