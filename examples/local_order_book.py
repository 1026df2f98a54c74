"""Keep a local order book, and check it against a fresh snapshot.

Run `python examples/local_order_book.py BTCUSDT`.  `plain_order_book.py` does it without a client.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import tickerplant


async def keep(url: str, symbol: str, changes: int) -> bool:
    """Print the top of the book when it changes; return whether the book is right."""
    async with (
        tickerplant.connect("usdm", base_url=url) as market,
        market.books(symbol) as books,
    ):
        await books.wait_until_live()
        changed = books.changes()
        for _ in range(changes):
            book = await anext(changed)
            print(f"{book.symbol:14} {book.state:8} {book.mid} ± {book.spread}", flush=True)
        audit = await books.audit(symbol)
    print(f"{symbol}: {audit.matched} of {audit.compared} levels are those of a fresh snapshot")
    return audit.score == 1


def main() -> None:
    """Keep the book for a while, and exit with 1 if it is not right."""
    parser = argparse.ArgumentParser(description="Keep a local order book and check it.")
    parser.add_argument("symbol", nargs="?", default="BTCUSDT", type=str.upper)
    parser.add_argument("--url", default="ws://127.0.0.1:9001", help="where the plant is")
    parser.add_argument("--changes", type=int, default=20, help="stop after so many")
    options = parser.parse_args()
    sys.exit(not asyncio.run(keep(options.url, options.symbol, options.changes)))


if __name__ == "__main__":
    main()
