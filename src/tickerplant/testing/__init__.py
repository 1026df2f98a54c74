"""An exchange for tests: one that stands still, goes on when told to, and misbehaves on request.

    import tickerplant.testing
    with tickerplant.testing.exchange(seed=7, symbols=["BTCUSDT"]) as exchange:
        exchange.step("10s")
        print(exchange.usdm_url, exchange.now, exchange.truth.trades("BTCUSDT")[-1])

In pytest, the fixture `exchange` is such an exchange; `ExchangeTestCase` has one for unittest.
`point` replaces every address of a client library, so that it can reach nothing but a server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickerplant.testing.case import ExchangeTestCase
    from tickerplant.testing.exchanges import Exchange, exchange
    from tickerplant.testing.handles import Fault, Lever, Scenario
    from tickerplant.testing.pointing import point
    from tickerplant.testing.truth import Truth

__all__ = [
    "Exchange",
    "ExchangeTestCase",
    "Fault",
    "Lever",
    "Scenario",
    "Truth",
    "exchange",
    "point",
]

_HOME = {
    "Exchange": "exchanges",
    "ExchangeTestCase": "case",
    "Fault": "handles",
    "Lever": "handles",
    "Scenario": "handles",
    "Truth": "truth",
    "exchange": "exchanges",
    "point": "pointing",
}
"""The module of each name; imports are lazy, because pytest imports this package in every run."""


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name in _HOME:
            return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
