import asyncio

import tickerplant
from tickerplant.messages import Kline


async def main() -> None:
    async with tickerplant.connect() as market:
        async for kline in market.stream(Kline.of("BTCUSDT", "1m"), history=500, on_notice=print):
            if kline.is_closed:
                print(kline.open_time_ms, kline.candle.close_price)


asyncio.run(main())
