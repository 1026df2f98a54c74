"""`tickerplant plot`: the market of a symbol, as it was recorded, as a picture."""
