"""Watch the best prices of some symbols.

Run `python examples/best_prices.py btcusdt ethusdt`.
"""

from __future__ import annotations

import argparse
from itertools import islice

from tickerplant import blocking
from tickerplant.messages import BookTicker


def main() -> None:
    """Print one line for each change of a best price or quantity, and what happens to the stream."""
    parser = argparse.ArgumentParser(description="Watch the best prices of some symbols.")
    parser.add_argument("symbols", nargs="*", default=["btcusdt"])
    parser.add_argument("--url", default="ws://127.0.0.1:9001", help="where the plant is")
    parser.add_argument("--messages", type=int, default=20, help="stop after so many")
    options = parser.parse_args()

    names = [f"{symbol.lower()}@bookTicker" for symbol in options.symbols]
    with blocking.connect("usdm", base_url=options.url) as market:
        for best in islice(market.stream(*names), options.messages):
            if isinstance(best, BookTicker):
                bid = f"{best.bid_price:>12} x {best.bid_quantity:<12}"
                print(f"{best.symbol:14} {bid} {best.ask_price:>12} x {best.ask_quantity}")
            else:
                print(best)


if __name__ == "__main__":
    main()
