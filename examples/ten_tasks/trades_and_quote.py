import asyncio

import tickerplant
from tickerplant.messages import BookTicker, Trade


async def main() -> None:
    names = Trade.of("BTCUSDT"), Trade.of("ETHUSDT"), BookTicker.of("BTCUSDT")
    async with tickerplant.connect() as market:
        async for message in market.stream(*names, on_notice=print):
            if isinstance(message, Trade):
                print(message.symbol, message.side, message.quantity, message.price)
            elif isinstance(message, BookTicker):
                print(message.symbol, message.bid_price, message.ask_price)


asyncio.run(main())
