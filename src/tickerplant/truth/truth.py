"""What really was, in one server: its markets and its connections."""

from __future__ import annotations

from tickerplant.truth.journal import MAX_BOOK_BYTES, Journal
from tickerplant.truth.sent import MAX_SENT_BYTES, SentJournal


class Truth:
    """What happened in the markets, and what was written to the clients.

    Args:
        max_book_bytes: The memory for the changes of all books.
        max_sent_bytes: The memory for what was written.
    """

    def __init__(
        self, *, max_book_bytes: int = MAX_BOOK_BYTES, max_sent_bytes: int = MAX_SENT_BYTES
    ) -> None:
        self.market = Journal(max_book_bytes)
        """Is the witness of a plant."""
        self.sent = SentJournal(max_sent_bytes)
