"""What was, in the number formats of the exchange: books and trades as REST answers them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from tickerplant.errors import ConfigError, RequestError
from tickerplant.events import AggregateTrade, Level, Trade
from tickerplant.market.tape import AggregateTape, TradeTape
from tickerplant.queries.trades import past_aggregate, past_trade
from tickerplant.truth.journal import NOT_KEPT, Journal
from tickerplant.truth.scanner import SentKind
from tickerplant.truth.sent import Sent, SentJournal, SentLog
from tickerplant.truth.truth_book import TruthBook

MAX_ROWS = 10_000
"""Most trades or frames of one answer."""
MAX_SENT_BYTES = 1 << 22
"""Most bytes of the frames of one answer, unless one frame has more; in JSON they may be six times as many."""
DEFAULT_ROWS = 500

TradeKind: TypeAlias = Literal["trade", "aggTrade"]


class TruthTrades(Struct, frozen=True, kw_only=True):
    """Trades in the order in which they were published."""

    symbol: str
    published: int
    """How many were published so far."""
    trades: list[Any]
    """Those that were asked for, as REST answers `trades` or `aggTrades`."""


class SentEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to the handshake, or one frame, that was written to a connection."""

    number: int
    """Counts from 0 for each connection."""
    time_ms: int
    """The market time at which it was written.  A step writes in slices, so this may be later than the
    time in a message, and differ from run to run."""
    kind: SentKind
    stream: str | None = None
    """The stream of a message, where it is known."""
    text: str | UnsetType = UNSET
    """The text of a frame or of a handshake."""
    base64: str | UnsetType = UNSET
    """What was written, if it is not text."""
    code: int | UnsetType = UNSET
    """The code of a close frame that has one."""
    reason: str | UnsetType = UNSET
    """The reason of such a frame."""


class SentTo(Struct, frozen=True, kw_only=True):
    """What was written to one connection, in total."""

    connection: str
    """What it is called, also in the log and on `/plant/v1/connections`."""
    venue: str
    path: str
    """What it asked for."""
    open: bool
    """Whether it is still there."""
    opened_ms: int
    """The market time when it came."""
    written_bytes: int
    """All bytes that were written to it."""
    forgotten: int
    """How many of the first handshakes and frames are not kept any more."""


class SentPage(Struct, frozen=True, kw_only=True):
    """What was written to one connection, after faults."""

    connection: SentTo
    sent: list[SentEntry]
    """In the order of writing."""
    more: bool
    """Whether there is more than that; go on with `from` = the next number."""


class SentConnections(Struct, frozen=True, kw_only=True):
    """The connections to which anything was written, also those that have ended."""

    forgotten: int
    """Connections that are not remembered any more."""
    connections: list[SentTo]
    """Oldest first."""


def truth_book(journal: Journal, symbol: str, update_id: int | None = None) -> TruthBook:
    """Return the whole book of a symbol after the last change up to an update id."""
    found = journal.book(symbol, update_id)
    instrument, book = found.instrument, found.book
    prices, quantities = instrument.price.text, instrument.quantity.text

    def texts(levels: Sequence[Level]) -> list[tuple[str, str]]:
        return [(prices[price], quantities[quantity]) for price, quantity in levels]

    return TruthBook(
        symbol=instrument.symbol,
        oldest_id=found.oldest_id,
        newest_id=found.newest_id,
        asked_id=found.asked_id,
        last_update_id=book.last_update_id,
        transaction_time_ms=book.transaction_time_ms,
        bids=texts(book.bids),
        asks=texts(book.asks),
    )


def truth_trades(
    journal: Journal,
    symbol: str,
    kind: TradeKind = "trade",
    from_id: int | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    limit: int = DEFAULT_ROWS,
) -> TruthTrades:
    """Return trades or aggregate trades of a symbol that were published.

    With `from_id` or `start_ms` the first ones from there, otherwise the latest ones.

    Raises:
        ConfigError: there is no such contract, or an id is given together with times.
        RequestError: the first of them is forgotten; says what is kept.
    """
    found = journal.of(symbol)
    instrument, market = found.market.instrument, found.market
    if from_id is not None and not (start_ms is None and end_ms is None):
        raise ConfigError("from_id", from_id, "an id or times, not both")
    is_trade = kind == "trade"
    tape: TradeTape | AggregateTape = found.trades if is_trade else found.aggregates
    if tape.has_forgotten and (from_id is not None or start_ms is not None):
        oldest = tape.from_id(0, 1)[0]
        oldest_id = oldest.trade_id if isinstance(oldest, Trade) else oldest.aggregate_id
        if (from_id is not None and from_id < oldest_id) or (
            start_ms is not None and start_ms < oldest.trade_time_ms
        ):
            kept = f"those from id {oldest_id}, time {oldest.trade_time_ms}, are kept"
            reason = f"the trades of {instrument.symbol} from there are forgotten: {kept}"
            raise RequestError(NOT_KEPT, reason, 404)
    past: Sequence[Trade | AggregateTrade] = (
        tape.between(start_ms, end_ms, limit) if from_id is None else tape.from_id(from_id, limit)
    )
    normal = market.profile.carries_rest_normal_quantity(instrument.venue)
    return TruthTrades(
        symbol=instrument.symbol,
        published=found.trade_count if is_trade else found.aggregate_count,
        trades=[
            past_trade(instrument, each)
            if isinstance(each, Trade)
            else past_aggregate(instrument, each, normal=normal)
            for each in past
        ],
    )


def sent_connections(journal: SentJournal) -> SentConnections:
    """Return the connections to which anything was written."""
    return SentConnections(
        forgotten=journal.forgotten_logs,
        connections=[_sent_to(log) for log in journal.logs.values()],
    )


def sent_page(
    journal: SentJournal, connection: str, from_number: int = 0, limit: int = DEFAULT_ROWS
) -> SentPage:
    """Return what was written to a connection."""
    log = journal.of(connection)
    found: list[SentEntry] = []
    room = MAX_SENT_BYTES
    for each in log.entries(from_number):
        if len(found) == limit or (found and len(each.data) > room):
            return SentPage(connection=_sent_to(log), sent=found, more=True)
        found.append(_entry(each))
        room -= len(each.data)
    return SentPage(connection=_sent_to(log), sent=found, more=False)


def _sent_to(log: SentLog) -> SentTo:
    return SentTo(
        connection=log.identity,
        venue=log.venue,
        path=log.path,
        open=log.is_open,
        opened_ms=log.opened_ms,
        written_bytes=log.written_bytes,
        forgotten=log.forgotten,
    )


def _entry(sent: Sent) -> SentEntry:
    found: dict[str, Any] = {}
    if sent.kind in {"text", "handshake"}:
        with suppress(UnicodeDecodeError):
            found["text"] = sent.data.decode()
    if sent.kind != "close":
        found = found or {"base64": base64.b64encode(sent.data).decode()}
    elif len(sent.data) > 1:
        code, reason = int.from_bytes(sent.data[:2]), sent.data[2:].decode(errors="replace")
        found = {"code": code, "reason": reason}
    return SentEntry(
        number=sent.number, time_ms=sent.time_ms, kind=sent.kind, stream=sent.stream, **found
    )
