"""The operations on what was: the books, the trades, and what was sent to each connection."""

from __future__ import annotations

from typing import get_args

from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, Operation, QueryParam, Request
from tickerplant.truth.answers import (
    DEFAULT_ROWS,
    MAX_ROWS,
    SentConnections,
    SentPage,
    TradeKind,
    TruthTrades,
    sent_connections,
    sent_page,
    truth_book,
    truth_trades,
)
from tickerplant.truth.truth import Truth
from tickerplant.truth.truth_book import TruthBook

BOOK_PATH = "/plant/v1/truth/book"
TRADES_PATH = "/plant/v1/truth/trades"
SENT_PATH = "/plant/v1/truth/sent"
NO_TRUTH = (
    "this server does not keep what was: only a test server does, `tickerplant test-server`, "
    "and the exchange of a test"
)
KINDS = get_args(TradeKind)
SYMBOL = QueryParam(name="symbol", doc="A symbol, such as BTCUSDT.", required=True)
LIMIT = QueryParam(
    name="limit", doc="How many.", kind="integer", default=DEFAULT_ROWS, least=1, most=MAX_ROWS
)
NOT_KEPT_STATUSES = {404: "It is not kept, or was not there; or the server keeps nothing of this."}


def _truth(plane: ControlPlane) -> Truth:
    if plane.truth is None:
        raise RequestError(NOT_THERE, NO_TRUTH, 404)
    return plane.truth


def _book(plane: ControlPlane, request: Request) -> TruthBook:
    params = request.params
    return truth_book(_truth(plane).market, params["symbol"], params["update_id"])


def _trades(plane: ControlPlane, request: Request) -> TruthTrades:
    truth, params = _truth(plane), request.params
    return truth_trades(
        truth.market,
        params["symbol"],
        kind=params["kind"],
        from_id=params["from_id"],
        start_ms=params["start_ms"],
        end_ms=params["end_ms"],
        limit=params["limit"],
    )


def _sent(plane: ControlPlane, request: Request) -> SentConnections | SentPage:
    truth, params = _truth(plane), request.params
    if params["connection"] is None:
        return sent_connections(truth.sent)
    return sent_page(truth.sent, params["connection"], params["from"], params["limit"])


OPERATIONS = (
    Operation(
        method="GET",
        path=BOOK_PATH,
        name="truthBook",
        summary="The book of a symbol as it was at an update id.",
        handler=_book,
        params=(
            SYMBOL,
            QueryParam(
                name="update_id",
                kind="integer",
                doc="The book after the last change whose id is at most this; the latest if missing.",
            ),
        ),
        answers=(TruthBook,),
        statuses=NOT_KEPT_STATUSES,
    ),
    Operation(
        method="GET",
        path=TRADES_PATH,
        name="truthTrades",
        summary="The trades that were published.",
        doc="With `from_id` or `start_ms` the first ones from there, otherwise the latest ones.",
        handler=_trades,
        params=(
            SYMBOL,
            QueryParam(name="kind", doc="`trade` or `aggTrade`.", choices=KINDS, default="trade"),
            QueryParam(name="from_id", kind="integer", doc="The first id."),
            QueryParam(
                name="start_ms", kind="integer", doc="The first market time, ms since 1970."
            ),
            QueryParam(name="end_ms", kind="integer", doc="The last market time, ms since 1970."),
            LIMIT,
        ),
        answers=(TruthTrades,),
        statuses=NOT_KEPT_STATUSES,
    ),
    Operation(
        method="GET",
        path=SENT_PATH,
        name="truthSent",
        summary="What was sent to a connection, after faults; or the connections.",
        handler=_sent,
        params=(
            QueryParam(
                name="connection",
                doc="The id of a connection, such as `c1`; all connections are listed if missing.",
            ),
            QueryParam(
                name="from", kind="integer", doc="The number of the first frame.", default=0
            ),
            LIMIT,
        ),
        answers=(SentPage, SentConnections),
        statuses=NOT_KEPT_STATUSES,
    ),
)
