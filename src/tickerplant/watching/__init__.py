"""The client library on the command line: `tickerplant watch` and `tickerplant ask`."""
