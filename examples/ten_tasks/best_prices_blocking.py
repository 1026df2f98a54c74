from tickerplant import blocking
from tickerplant.messages import BookTicker

with blocking.connect() as market:
    for best in market.stream(BookTicker.of("BTCUSDT"), on_notice=print):
        print(best.bid_price, best.ask_price)
