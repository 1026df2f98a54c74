"""What a URL, stream or request would do, explained offline for `tickerplant explain`."""
