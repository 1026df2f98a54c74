"""Ask for best prices over the WebSocket API, and see what the request costs.

Run `python examples/ask_book.py BTCUSDT`; without a symbol it asks for all.
"""

from __future__ import annotations

import sys
from typing import Any

from tickerplant import RequestError, WeightBudget, blocking


def main() -> None:
    """Print the best prices, and the request weight that was spent."""
    symbol = sys.argv[1].upper() if len(sys.argv) > 1 else None
    budget = WeightBudget()
    with blocking.connect(budget=budget) as market:
        try:
            result = market.ask("ticker.book", symbol=symbol)
        except RequestError as error:
            sys.exit(str(error))
    listed: list[dict[str, Any]] = result if symbol is None else [result]
    for best in listed:
        print(f"{best['symbol']:14} {best['bidPrice']:>12} {best['askPrice']:>12}")
    print(f"weight spent: {budget.spent} of {budget.own_per_minute} a minute")


if __name__ == "__main__":
    main()
