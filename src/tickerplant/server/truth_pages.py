"""The pages `/plant/v1/truth/…`: the books that were, the trades, and what was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from tickerplant.errors import ConfigError, RequestError
from tickerplant.server.rest import Page, Response, problem_response
from tickerplant.suggestions import one_of
from tickerplant.truth.answers import (
    DEFAULT_ROWS,
    MAX_ROWS,
    TradeKind,
    sent_connections,
    sent_page,
    truth_book,
    truth_trades,
)
from tickerplant.truth.truth import Truth

BOOK_PATH = "/plant/v1/truth/book"
TRADES_PATH = "/plant/v1/truth/trades"
SENT_PATH = "/plant/v1/truth/sent"
NO_TRUTH = (
    "this server does not keep what was: only a test server does, `tickerplant test-server`, "
    "and the exchange of a test"
)
_Query = Mapping[str, str]


def truth_pages(truth: Truth | None) -> Mapping[str, Page]:
    """Return the pages of what was, by path; they say so where nothing is kept."""
    answers: Mapping[str, Callable[[Truth, _Query], Struct]] = {
        BOOK_PATH: _book,
        TRADES_PATH: _trades,
        SENT_PATH: _sent,
    }
    return {path: _page(truth, answer) for path, answer in answers.items()}


def _page(truth: Truth | None, answer: Callable[[Truth, _Query], Struct]) -> Page:
    def page(query_string: bytes) -> Response:
        if truth is None:
            return problem_response(404, NO_TRUTH)
        try:
            query = dict(parse_qsl(query_string.decode("utf-8", "replace"), keep_blank_values=True))
            return Response(msgspec.json.encode(answer(truth, query)))
        except ConfigError as error:
            return problem_response(400, str(error), error.setting)
        except RequestError as error:
            return problem_response(error.status, error.message)

    return page


def _book(truth: Truth, query: _Query) -> Struct:
    _check_names(query, "symbol", "update_id")
    return truth_book(truth.market, _symbol(query), _number(query, "update_id"))


def _trades(truth: Truth, query: _Query) -> Struct:
    _check_names(query, "symbol", "kind", "from_id", "start_ms", "end_ms", "limit")
    kind = query.get("kind", "trade")
    kinds = get_args(TradeKind)
    if kind not in kinds:
        raise ConfigError("kind", kind, one_of(kind, kinds))
    return truth_trades(
        truth.market,
        _symbol(query),
        kind="trade" if kind == "trade" else "aggTrade",
        from_id=_number(query, "from_id"),
        start_ms=_number(query, "start_ms"),
        end_ms=_number(query, "end_ms"),
        limit=_limit(query),
    )


def _sent(truth: Truth, query: _Query) -> Struct:
    _check_names(query, "connection", "from", "limit")
    connection = query.get("connection")
    if connection is None:
        return sent_connections(truth.sent)
    return sent_page(truth.sent, connection, _number(query, "from") or 0, _limit(query))


def _check_names(query: _Query, *names: str) -> None:
    for name in query:
        if name not in names:
            raise ConfigError("parameter", name, one_of(name, names))


def _symbol(query: _Query) -> str:
    symbol = query.get("symbol")
    if symbol is None:
        raise ConfigError("symbol", None, "a symbol, such as BTCUSDT")
    return symbol


def _limit(query: _Query) -> int:
    limit = _number(query, "limit")
    if limit is None:
        return DEFAULT_ROWS
    if not 1 <= limit <= MAX_ROWS:
        raise ConfigError("limit", limit, f"a number from 1 to {MAX_ROWS:,}")
    return limit


def _number(query: _Query, name: str) -> int | None:
    given = query.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and len(given) <= 18):
        raise ConfigError(name, given, "a whole number")
    return int(given)
