"""An exchange for tests of the standard library's `unittest`."""

from __future__ import annotations

import unittest
from collections.abc import Mapping
from typing import Any, ClassVar

from tickerplant.testing.exchanges import Exchange, exchange


class ExchangeTestCase(unittest.TestCase):
    """A test case whose `exchange` is opened when a test first uses it, and ends with the test.

        class BotTest(ExchangeTestCase):
            exchange_settings = {"seed": 7, "symbols": ["BTCUSDT"]}

            def test_the_bot_sees_trades(self):
                self.exchange.step("10s")

    For coroutines, derive from it and from `unittest.IsolatedAsyncioTestCase`, in this order.
    """

    exchange_settings: ClassVar[Mapping[str, Any]] = {}
    """The arguments of `tickerplant.testing.exchange`."""

    _exchange: Exchange | None = None

    @property
    def exchange(self) -> Exchange:
        """The exchange of this test.

        Raises:
            ConfigError: an argument of `exchange_settings` is invalid.
            UpstreamError: its process ended.
        """
        if self._exchange is None:
            opened = exchange(**self.exchange_settings).open()
            self._exchange = opened
            self.addCleanup(self._close)
        return self._exchange

    def _close(self) -> None:
        opened, self._exchange = self._exchange, None
        if opened is not None:
            opened.close()
