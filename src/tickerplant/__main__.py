"""`python -m tickerplant` is `tickerplant`."""

from __future__ import annotations

from tickerplant.cli import main

main()
