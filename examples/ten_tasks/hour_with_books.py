import tickerplant
from tickerplant.messages import Trade

hour = tickerplant.open_recording("tape", start="2026-11-22T09:00", end="+1h")
for message, books in hour.with_books():
    if isinstance(message, Trade):
        print(message.trade_id, message.price, books[message.symbol].mid)
