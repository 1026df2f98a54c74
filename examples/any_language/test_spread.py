"""A test of a REST client with unittest and the standard library: python test_spread.py."""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any, ClassVar


def ask(address: str, method: str, path: str, token: str = "", body: object = None) -> Any:
    """Return the answer of a server to a request."""
    connection = HTTPConnection(address)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def spread(address: str, symbol: str) -> Decimal:
    """Return the difference of the best prices: the program under test."""
    ticker = ask(address, "GET", f"/fapi/v1/ticker/bookTicker?symbol={symbol}")
    return Decimal(ticker["askPrice"]) - Decimal(ticker["bidPrice"])


class SpreadTest(unittest.TestCase):
    """Tests against a market that is the same in every run."""

    server: ClassVar[subprocess.Popen[bytes]]
    address: ClassVar[str]
    token: ClassVar[str]

    @classmethod
    def setUpClass(cls) -> None:
        """Start the server, which ends with its input."""
        program = [sys.executable, "-m", "tickerplant", "test-server", "--json", "--quiet"]
        cls.server = subprocess.Popen(  # noqa: S603
            [*program, "--symbols", "BTCUSDT"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        ready = json.loads(cls.server.stdout.readline() if cls.server.stdout else b"")
        cls.address = ready["venues"]["usdm"]["rest"].removeprefix("http://")
        cls.token = ready["token"]

    @classmethod
    def tearDownClass(cls) -> None:
        """End the server."""
        cls.server.communicate()

    def test_the_spread_is_the_exchanges_after_each_second(self) -> None:
        """Step, and compare with what really was."""
        for _ in range(3):
            ask(self.address, "POST", "/plant/v1/clock", self.token, {"step": "1s"})
            path = "/plant/v1/truth/book?symbol=BTCUSDT"
            book = ask(self.address, "GET", path, self.token)
            true_spread = Decimal(book["asks"][0][0]) - Decimal(book["bids"][0][0])
            print(f"the spread is {true_spread}")
            self.assertEqual(spread(self.address, "BTCUSDT"), true_spread)  # noqa: PT009


if __name__ == "__main__":
    unittest.main()
