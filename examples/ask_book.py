"""Ask for best prices over the WebSocket API.

Run `python examples/ask_book.py BTCUSDT`; without a symbol it asks for all.
"""

from __future__ import annotations

import argparse
import sys

from tickerplant import RequestError, WeightBudget, blocking


def main() -> None:
    """Print the best prices, and what the question cost."""
    parser = argparse.ArgumentParser(description="Ask for best prices over the WebSocket API.")
    parser.add_argument("symbol", nargs="?", type=str.upper, help="all symbols if left out")
    parser.add_argument("--url", default="ws://127.0.0.1:9001", help="where the plant is")
    options = parser.parse_args()

    budget = WeightBudget()
    with blocking.connect("usdm", base_url=options.url, budget=budget) as market:
        try:
            result = market.ask("ticker.book", symbol=options.symbol)
        except RequestError as error:
            sys.exit(str(error))
    for best in result if isinstance(result, list) else [result]:
        print(f"{best['symbol']:14} {best['bidPrice']:>12} {best['askPrice']:>12}")
    print(f"weight spent: {budget.spent} of {budget.own_per_minute} a minute")


if __name__ == "__main__":
    main()
