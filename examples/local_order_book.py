"""Keep a local order book, and check it against a fresh snapshot.

Run `python examples/local_order_book.py BTCUSDT`.  `plain_order_book.py` does it without a client.
"""

from __future__ import annotations

import sys
from itertools import islice

from tickerplant import blocking

CHANGES = 20


def main() -> None:
    """Print the book while it changes, and exit with 1 if it differs from the snapshot."""
    symbol = sys.argv[1].upper() if len(sys.argv) > 1 else "BTCUSDT"
    with blocking.connect() as market, market.books(symbol) as books:
        for book in islice(books.changes(live_only=True), CHANGES):
            print(f"{book.symbol:14} {book.state:8} {book.mid} ± {book.spread}")
        audit = books.audit(symbol)
    print(f"{symbol}: {audit.matched} of {audit.compared} levels are those of a fresh snapshot")
    sys.exit(audit.score != 1)


if __name__ == "__main__":
    main()
