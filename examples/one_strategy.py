"""Run one strategy on three origins of a market: the exchange, a simulation, or a recording.

Run `python examples/one_strategy.py live`, `simulated` or `FOLDER`, the folder of a recording.
Of a recording it prints every change, the same lines in every run and at every speed, unless the price
leaves the levels of a book: then it depends on the moment when the book is known again.
"""

from __future__ import annotations

import asyncio
import sys

import tickerplant


async def trade(market: tickerplant.Market) -> None:
    """Print the mid price of two books whenever they change while they are in sync."""
    async with market.books("BTCUSDT", "ETHUSDT") as books:
        async for book in books.changes(live_only=True):
            print(book.symbol, book.mid, book.imbalance)


async def main(origin: str) -> None:
    """Trade on the market of an origin; a recording ends, the others do not."""
    if origin == "live":
        market = tickerplant.connect()
    elif origin == "simulated":
        market = tickerplant.simulate(symbols=["BTCUSDT", "ETHUSDT"])
    else:
        market = tickerplant.replay(origin, speed=10)
    async with market:
        await trade(market)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
