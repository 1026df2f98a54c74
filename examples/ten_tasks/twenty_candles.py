from tickerplant import blocking

with blocking.connect() as market:
    for candle in market.fetch_candles("BTCUSDT", "1m", limit=20):
        print(candle.open_time_ms, candle.close_price)
