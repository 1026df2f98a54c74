import asyncio

import tickerplant


async def main() -> None:
    async with tickerplant.replay("tape", start="2026-11-22T09:00", end="+1h", speed=10) as market:
        async with market.books("BTCUSDT", "ETHUSDT") as books:
            async for book in books.changes(live_only=True):
                print(book.symbol, book.mid, book.bids(5))


asyncio.run(main())
