"""What a URL, a stream or a question would do, told without a market: for `tickerplant explain`."""
