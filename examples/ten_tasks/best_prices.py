import asyncio

import tickerplant
from tickerplant.messages import BookTicker


async def main() -> None:
    async with tickerplant.connect() as market:
        async for best in market.stream(BookTicker.of("BTCUSDT"), on_notice=print):
            print(best.bid_price, best.ask_price)


asyncio.run(main())
