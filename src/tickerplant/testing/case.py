"""An exchange for tests of the standard library's `unittest`."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ClassVar

from tickerplant.errors import ConfigError
from tickerplant.suggestions import one_of
from tickerplant.testing.exchanges import ARGUMENTS, Exchange, exchange


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

    def __init__(self, methodName: str = "runTest") -> None:  # noqa: N803  # unittest's name
        super().__init__(methodName)
        if test := getattr(self, methodName, None):
            setattr(self, methodName, self._reported(test))

    def _reported(self, test: Callable[[], Any]) -> Callable[[], Any]:
        """Return a test whose failure says what the exchange says."""

        def run() -> None:
            with self._noted():
                test()

        async def run_async() -> None:
            with self._noted():
                await test()

        return wraps(test)(run_async if iscoroutinefunction(test) else run)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if self._exchange is not None:
                error.add_note(self._exchange.report())
            raise

    @property
    def exchange(self) -> Exchange:
        """The exchange of this test.

        Raises:
            ConfigError: an argument of `exchange_settings` is invalid.
            UpstreamError: its process ended.
        """
        if self._exchange is None:
            for name in self.exchange_settings:
                if name not in ARGUMENTS:
                    raise ConfigError("exchange_settings", name, one_of(name, ARGUMENTS))
            opened = exchange(**self.exchange_settings).open()
            self._exchange = opened
            self.addCleanup(self._close)
        return self._exchange

    def _close(self) -> None:
        opened, self._exchange = self._exchange, None
        if opened is not None:
            opened.close()
