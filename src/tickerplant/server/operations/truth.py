"""The operations on what was: the books, the trades, and what was sent to each connection."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from tickerplant.errors import RequestError
from tickerplant.server.operations.control_plane import ControlPlane
from tickerplant.server.operations.operation import NOT_THERE, operation
from tickerplant.truth import answers
from tickerplant.truth.truth import Truth
from tickerplant.truth.truth_book import TruthBook

NO_TRUTH = (
    "this server does not keep what was: only a test server does, `tickerplant test-server`, "
    "and the exchange of a test"
)
NOT_KEPT_STATUSES = {404: "It is not kept, or was not there; or the server keeps nothing of this."}
Symbol: TypeAlias = Annotated[str, "A symbol, such as BTCUSDT."]
Limit: TypeAlias = Annotated[int, "How many.", range(1, answers.MAX_ROWS + 1)]


def _truth(plane: ControlPlane) -> Truth:
    if plane.truth is None:
        raise RequestError(NOT_THERE, NO_TRUTH, 404)
    return plane.truth


@operation("GET", "/plant/v1/truth/book", statuses=NOT_KEPT_STATUSES)
def truth_book(
    plane: ControlPlane,
    symbol: Symbol,
    update_id: Annotated[
        int | None,
        "The book after the last change whose id is at most this; the latest if missing.",
    ] = None,
) -> TruthBook:
    """The book of a symbol as it was at an update id."""
    return answers.truth_book(_truth(plane).market, symbol, update_id)


@operation("GET", "/plant/v1/truth/trades", statuses=NOT_KEPT_STATUSES)
def truth_trades(
    plane: ControlPlane,
    symbol: Symbol,
    kind: Annotated[answers.TradeKind, "`trade` or `aggTrade`."] = "trade",
    from_id: Annotated[int | None, "The first id."] = None,
    start_ms: Annotated[int | None, "The first market time, ms since 1970."] = None,
    end_ms: Annotated[int | None, "The last market time, ms since 1970."] = None,
    limit: Limit = answers.DEFAULT_ROWS,
) -> answers.TruthTrades:
    """The trades that were published.

    With `from_id` or `start_ms` the first ones from there, otherwise the latest ones.
    """
    return answers.truth_trades(
        _truth(plane).market, symbol, kind, from_id, start_ms, end_ms, limit
    )


@operation("GET", "/plant/v1/truth/sent", statuses=NOT_KEPT_STATUSES)
def truth_sent(
    plane: ControlPlane,
    connection: Annotated[
        str | None, "The id of a connection, such as `c1`; all connections are listed if missing."
    ] = None,
    from_: Annotated[int, "The number of the first frame."] = 0,
    limit: Limit = answers.DEFAULT_ROWS,
) -> answers.SentPage | answers.SentConnections:
    """What was sent to a connection, after faults; or the connections."""
    journal = _truth(plane).sent
    if connection is None:
        return answers.sent_connections(journal)
    return answers.sent_page(journal, connection, from_, limit)
