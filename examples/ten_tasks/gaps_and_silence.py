import asyncio

import tickerplant
from tickerplant.messages import Trade


async def main() -> None:
    async with tickerplant.connect() as market:
        async for trade in market.stream(Trade.of("BTCUSDT"), on_notice=print):
            print(trade.trade_id, trade.price)


asyncio.run(main())
