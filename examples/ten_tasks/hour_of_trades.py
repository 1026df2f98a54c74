import tickerplant

hour = tickerplant.open_recording("tape", start="2026-11-22T09:00", end="+1h")
print(hour.polars("trades"))
