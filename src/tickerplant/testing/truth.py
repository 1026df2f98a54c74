"""What really was on an exchange, for the asserts of a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tickerplant.feed.order_book import BookSnapshot, OrderBook
from tickerplant.testing import trades
from tickerplant.testing.server import ServerProcess
from tickerplant.testing.trades import SeenTrade, trade_of
from tickerplant.truth.comparison import compare_book, id_of
from tickerplant.truth.truth_book import TruthBook

PAGE = 5_000
"""Trades or messages of one request."""


class Truth:
    """What really was: books, trades, and what was sent to each connection.

    Books and trades are those of the exchange, before any fault; what was sent is what clients got.
    """

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    def book(self, symbol: str, update_id: int | None = None) -> BookSnapshot:
        """Return the whole book of a symbol.

        Args:
            symbol: The symbol.
            update_id: As it was after this update; None: as it is now.

        Raises:
            ConfigError: there is no such symbol.
            RequestError: the update is not there yet, or was forgotten.
        """
        __tracebackhide__ = True
        found = self._book(symbol, update_id)
        return BookSnapshot(
            found.symbol,
            found.bids,
            found.asks,
            update_id=found.last_update_id,
            event_time_ms=found.transaction_time_ms,
            transaction_time_ms=found.transaction_time_ms,
        )

    def _book(self, symbol: str, update_id: int | None) -> TruthBook:
        __tracebackhide__ = True
        answer = self._server.ask(lambda it: it.truth_book(symbol, update_id))
        return msgspec.convert(answer, TruthBook)

    def trades(self, symbol: str, from_id: int | None = None) -> list[dict[str, Any]]:
        """Return the trades of a symbol since the exchange was opened, as REST has them.

        Args:
            symbol: The symbol.
            from_id: The first; None: the oldest that there is.

        Raises:
            ConfigError: there is no such symbol.
        """
        __tracebackhide__ = True
        found: list[dict[str, Any]] = []
        while True:
            first = found[-1]["id"] + 1 if found else from_id or 0
            page = self._page(symbol, first)
            found += page
            if len(page) < PAGE:
                return found

    def _page(self, symbol: str, from_id: int) -> Sequence[dict[str, Any]]:
        __tracebackhide__ = True
        answer = self._server.ask(lambda it: it.truth_trades(symbol, from_id=from_id, limit=PAGE))
        return list(answer["trades"])

    def sent(self, connection: str) -> list[dict[str, Any]]:
        """Return what was sent to a connection, faults included, in order.

        The oldest is left out once 64 MiB were sent to all connections: the first entry then has a
        `number` of more than 0.

        Args:
            connection: Its id, as in `Exchange.connections`.

        Raises:
            RequestError: there was no such connection.
        """
        __tracebackhide__ = True
        found: list[dict[str, Any]] = []
        while True:
            first = found[-1]["number"] + 1 if found else 0
            page = self._server.ask(
                lambda it: it.truth_sent(connection, from_number=first, limit=PAGE)  # noqa: B023
            )
            found += page["sent"]
            if not page["more"]:
                return found

    # Asserts

    def assert_book(
        self,
        my_book: object,
        symbol: str,
        *,
        update_id: int | None = None,
        depth: int | None = None,
        max_behind_ms: int | None = None,
    ) -> None:
        """Fail unless a book is that of the exchange after the same update, level by level.

        `my_book` may be an `OrderBook`, a dict as REST answers it, a pair of dicts from price to
        quantity, or any object with bids and asks; numbers may be text, `Decimal` or float.  Its id is
        found as `update_id`, `lastUpdateId`, `u` or the like.

            exchange.truth.assert_book(bot.book, "BTCUSDT")

        Args:
            my_book: The book of the program that is tested.
            symbol: Its symbol.
            update_id: The last update in it, if it does not tell; if nobody tells, it is compared
                with the present book.
            depth: Compare this many of the best levels of each side.  None: every level of `my_book`
                must be right, and none may be missing that an `OrderBook` says to know; in another
                book, none in its nearer half, because it began with a snapshot that did not reach to
                the end.
            max_behind_ms: How much older than the present book it may be, in market time; None: any.

        Raises:
            AssertionError: it differs; the message has the first differences, with both values.
            ConfigError: `my_book` is no book, or there is no such symbol.
            RequestError: the exchange had no such update, or has forgotten it.
        """
        __tracebackhide__ = True
        if isinstance(my_book, OrderBook):
            my_book = my_book.copy()  # it goes on
        at = id_of(my_book) if update_id is None else update_id
        true = self._book(symbol, at)
        if found := compare_book(my_book, true, depth=depth):
            text = found.text()
            if at is None:
                text += (
                    "\n  it does not tell its last update: it was compared with the present book"
                )
            raise AssertionError(text)
        if max_behind_ms is not None and at is not None:
            now = self._book(symbol, None)
            behind_ms = now.transaction_time_ms - true.transaction_time_ms
            if behind_ms > max_behind_ms:
                raise AssertionError(
                    f"{symbol}: my book is {behind_ms:,} ms behind, more than {max_behind_ms:,}: its last "
                    f"update is {at}, the exchange's {now.last_update_id}"
                )

    def assert_trades(self, mine: Iterable[object], symbol: str) -> None:
        """Fail unless trades are those of the exchange: none twice, none missing in between, in order.

        No trades at all are no claim that could fail, so that they are an error: that there were none
        on the exchange is `exchange.truth.trades("BTCUSDT") == []`.

        `mine` has ids, dicts as streams or REST have them, `Trade` messages, or any objects with an
        id, and with price and quantity if these are to be compared.

            exchange.truth.assert_trades(bot.trades, "BTCUSDT")

        Raises:
            AssertionError: they differ, or there is none; the message has the first problems.
            TypeError: one of `mine` is no trade.
            ConfigError: there is no such symbol.
        """
        __tracebackhide__ = True
        self._compare(mine, symbol, from_id=None, to_newest=False)

    def assert_complete(
        self, mine: Iterable[object], symbol: str, *, from_id: int | None = None
    ) -> None:
        """Fail unless trades are all those of the exchange up to now, as `assert_trades` says.

        Args:
            mine: See `assert_trades`.
            symbol: The symbol.
            from_id: The first that must be there; None: the first of `mine`.

        Raises:
            AssertionError: they differ, or one is missing at the end, or there is none.
            TypeError: one of `mine` is no trade.
            ConfigError: there is no such symbol.
        """
        __tracebackhide__ = True
        self._compare(mine, symbol, from_id=from_id, to_newest=True)

    def _compare(
        self, mine: Iterable[object], symbol: str, *, from_id: int | None, to_newest: bool
    ) -> None:
        __tracebackhide__ = True
        seen = [trade_of(each) for each in mine]
        first = min((each.trade_id for each in seen), default=None) if from_id is None else from_id
        true = [
            SeenTrade(each.trade_id, each.price, each.quantity)
            for each in map(trade_of, self.trades(symbol, first))
        ]
        last = true[-1].trade_id if true and to_newest else None
        if not seen:
            raise AssertionError(trades.nothing_compared(symbol, len(true)))
        problems = trades.problems_of(seen, true, from_id=first, to_id=last)
        if problems:
            raise AssertionError(trades.report_of(symbol, len(seen), problems))
