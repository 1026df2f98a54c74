"""The tables that recordings are read into: each column, and the field that it comes from.

A message is a row; a depth message is a row per level.  Times are timestamps in ns, UTC, ids and
counts are integers, and what the exchange did not send is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.messages.book import BookTicker, DepthSnapshot, DepthUpdate
from tickerplant.messages.kline import ContinuousKline, IndexPriceKline, Kline, MarkPriceKline
from tickerplant.messages.message import Message
from tickerplant.messages.prices import IndexPrice, MarkPrice
from tickerplant.messages.readers import reader
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade
from tickerplant.stream_name import parse_stream_name
from tickerplant.suggestions import one_of
from tickerplant.units import NS_PER_MS

TableName: TypeAlias = Literal[
    "trades",
    "agg_trades",
    "book_tickers",
    "depth_updates",
    "rpi_depth_updates",
    "klines",
    "continuous_klines",
    "index_price_klines",
    "mark_price_klines",
    "mark_prices",
    "index_prices",
    "tickers",
    "mini_tickers",
    "liquidations",
]
"""The name of a table."""
Numbers: TypeAlias = Literal["decimal", "float", "text"]
"""How a table holds prices and quantities: exact, as float64, or as the text that was received."""

DIGITS = 38
"""Digits of exact numbers."""
DECIMALS = 12
"""Digits after the point: the exchange sends up to 8, and products of two numbers still fit."""
MAX_CACHED_STREAMS = 1 << 16
"""Stream names whose table is cached."""


class Kind(Enum):
    """The type of a column."""

    TIME = "time"
    """A timestamp in ns, UTC."""
    ID = "id"
    """int64."""
    NUMBER = "number"
    """A price, quantity or rate: exact, as float64 or as text."""
    TEXT = "text"
    """Text with few distinct values."""
    FLAG = "flag"
    """True or false."""


class Column(Struct, frozen=True):
    """One column of a table."""

    name: str
    kind: Kind
    get: Callable[[Any], Any]
    """Returns its value in a message; for a time, ms or ns since the epoch."""
    doc: str
    missing: Any = None
    """The value of a message field that the exchange did not send, besides None."""
    unit_ns: int = NS_PER_MS
    """For a time, the length of its unit in a message."""


Level: TypeAlias = tuple[str | None, str | None]
"""Price and quantity."""
_NO_LEVEL: Sequence[Level] = ((None, None),)


class Table(Struct, frozen=True):
    """One table."""

    name: TableName
    doc: str
    message: type[Message]
    """The messages it is made of."""
    columns: tuple[Column, ...]
    """In addition to those that all tables have."""
    topic: str = ""
    """The beginning of the stream name after the `@`, if the class alone does not decide."""
    levels: tuple[Column, ...] = ()
    """Side, price and quantity, if each level is a row."""

    @property
    def takes_snapshots(self) -> bool:
        """Whether it contains depth snapshots."""
        return self.name == DEPTH_TABLE

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Every column but the venue, which is not in a message."""
        return (*COMMON, *self.columns, *self.levels)


DEPTH_TABLE: TableName = "depth_updates"
_PARTIAL = re.compile(r"@depth\d")


def level_count(message: Any) -> int:
    """Return the number of rows of a depth message: at least one."""
    return len(message.bids) + len(message.asks) or 1


def levels_of(message: Any) -> Sequence[Level]:
    """Return price and quantity of the rows of a depth message: bids, then asks, as received."""
    return message.bids + message.asks or _NO_LEVEL


def _final_update_id(message: Any) -> int:
    if isinstance(message, DepthSnapshot):
        return message.last_update_id
    final_update_id: int = message.final_update_id
    return final_update_id


def _is_snapshot(message: Message) -> bool:
    return isinstance(message, DepthSnapshot) or _PARTIAL.search(message.stream) is not None


def _time(name: str, doc: str, path: str = "", missing: Any = None) -> Column:
    return Column(name, Kind.TIME, attrgetter(f"{path or name}_ms"), doc, missing)


def _id(name: str, doc: str, path: str = "") -> Column:
    return Column(name, Kind.ID, attrgetter(path or name), doc)


def _number(name: str, doc: str, path: str = "", missing: Any = None) -> Column:
    return Column(name, Kind.NUMBER, attrgetter(path or name), doc, missing)


def _text(name: str, doc: str, path: str = "", missing: Any = None) -> Column:
    return Column(name, Kind.TEXT, attrgetter(path or name), doc, missing)


def _flag(name: str, doc: str, path: str = "") -> Column:
    return Column(name, Kind.FLAG, attrgetter(path or name), doc)


VENUE = "venue"
"""The first column of every table; its value is that of the recording."""
VENUE_DOC = "`usdm` or `coinm`: where it was recorded."
COMMON = (
    _text("symbol", "The pair, for pair streams."),
    _text("stream", "The stream it came from; null for REST responses.", missing=""),
    Column(
        "received_time",
        Kind.TIME,
        attrgetter("received_ns"),
        "When it was received.",
        unit_ns=1,
    ),
    _time("event_time", "When the exchange sent it.", missing=0),
)
"""The columns of all tables besides the venue."""

_QUANTITY = "In base asset on USDⓈ-M, in contracts on COIN-M."
_TURNOVER = "In quote asset on USDⓈ-M, in base asset on COIN-M."
_TRADED = (
    _time("trade_time", "When it happened."),
    _number("price", ""),
    _number("quantity", _QUANTITY),
    _flag("buyer_is_maker", "Whether the seller was the taker."),
)
_CANDLE = (
    _text("interval", "`1m`, `4h` and so on.", "candle.interval"),
    _time("open_time", "When it began.", "candle.open_time"),
    _time("close_time", "The last millisecond in it.", "candle.close_time"),
    _number("open_price", "", "candle.open_price"),
    _number("high_price", "", "candle.high_price"),
    _number("low_price", "", "candle.low_price"),
    _number("close_price", "", "candle.close_price"),
    _number("volume", _QUANTITY, "candle.volume"),
    _number("turnover", _TURNOVER, "candle.turnover"),
    _id("trade_count", "For candles of prices, the number of data points.", "candle.trade_count"),
    _number("taker_buy_volume", "The part that takers bought.", "candle.taker_buy_volume"),
    _number("taker_buy_turnover", "The part that takers bought.", "candle.taker_buy_turnover"),
    _id("first_trade_id", "For candles of trades of a symbol.", "candle.first_trade_id"),
    _id("last_trade_id", "As the first.", "candle.last_trade_id"),
    _flag("is_closed", "Whether the candle is closed: true in its last row.", "candle.is_closed"),
)
_DAY = (
    _number("open_price", "24 hours before."),
    _number("high_price", ""),
    _number("low_price", ""),
    _number("close_price", "The last price."),
    _number("volume", _QUANTITY),
    _number("turnover", _TURNOVER),
)
_CHANGED = (
    _time("transaction_time", "When the book last changed.", missing=0),
    Column(
        "first_update_id",
        Kind.ID,
        lambda message: getattr(message, "first_update_id", None),
        "Null in a snapshot from REST.",
    ),
    Column(
        "final_update_id",
        Kind.ID,
        _final_update_id,
        "For a snapshot from REST, its `lastUpdateId`.",
    ),
    Column(
        "previous_update_id",
        Kind.ID,
        lambda message: getattr(message, "previous_update_id", None),
        "The final id of the previous message; null in a snapshot from REST.",
    ),
    Column(
        "is_snapshot",
        Kind.FLAG,
        _is_snapshot,
        "True for a complete (if shallow) book, false for changes: true for REST responses and for "
        "the streams `@depth5`, `@depth10`, `@depth20`.",
    ),
)
_LEVEL = (
    _text("side", "`bid` or `ask`; null if there is no level."),
    _number("price", "Null if there is no level."),
    _number("quantity", "The total at the price; 0 removes the level."),
)

TABLES = (
    Table(
        "trades",
        "`<symbol>@trade`: single trades.",
        Trade,
        (
            _id("trade_id", "Consecutive for a symbol."),
            *_TRADED,
            _text(
                "origin", "`MARKET` for trades on the order book; other values are off-book trades."
            ),
        ),
    ),
    Table(
        "agg_trades",
        "`<symbol>@aggTrade`: the fills of one taker at one price.",
        AggregateTrade,
        (
            _id("aggregate_id", "Consecutive for a symbol."),
            _id("first_trade_id", ""),
            _id("last_trade_id", ""),
            *_TRADED,
            _number(
                "normal_quantity",
                "Quantity excluding RPI trades; null if the exchange did not send it.",
            ),
        ),
    ),
    Table(
        "book_tickers",
        "`<symbol>@bookTicker`, `!bookTicker`: the best bid and ask after each change.",
        BookTicker,
        (
            _time("transaction_time", "When the book changed.", missing=0),
            _id("update_id", "Of the change of the book."),
            _number("bid_price", ""),
            _number("bid_quantity", ""),
            _number("ask_price", ""),
            _number("ask_quantity", ""),
        ),
    ),
    Table(
        DEPTH_TABLE,
        "`<symbol>@depth`, also partial, and snapshots from REST: a row for each level.  "
        "A message without levels is one row without side, price and quantity.",
        DepthUpdate,
        _CHANGED,
        topic="depth",
        levels=_LEVEL,
    ),
    Table(
        "rpi_depth_updates",
        "`<symbol>@rpiDepth`: the same of the book with RPI orders.",
        DepthUpdate,
        _CHANGED,
        topic="rpiDepth",
        levels=_LEVEL,
    ),
    Table(
        "klines",
        "`<symbol>@kline_<interval>`: candles of trades, one row per message.",
        Kline,
        _CANDLE,
    ),
    Table(
        "continuous_klines",
        "`<pair>_<contractType>@continuousKline_<interval>`: of the contract that is of the type.",
        ContinuousKline,
        (_text("contract_type", "`PERPETUAL`, `CURRENT_QUARTER`, …"), *_CANDLE),
    ),
    Table(
        "index_price_klines",
        "`<pair>@indexPriceKline_<interval>` of COIN-M.",
        IndexPriceKline,
        _CANDLE,
    ),
    Table(
        "mark_price_klines",
        "`<symbol>@markPriceKline_<interval>` of COIN-M.",
        MarkPriceKline,
        _CANDLE,
    ),
    Table(
        "mark_prices",
        "`<symbol>@markPrice`, `<pair>@markPrice`, `!markPrice@arr`: mark price and funding.",
        MarkPrice,
        (
            _number("mark_price", ""),
            _number("mark_price_average", "Null if the exchange did not send it.", missing=""),
            _number("index_price", ""),
            _number("estimated_settle_price", "Of meaning in the last hour before a settlement."),
            _number("funding_rate", "Null of contracts without funding.", missing=""),
            _time("next_funding_time", "Null of contracts without funding.", missing=0),
        ),
    ),
    Table(
        "index_prices",
        "`<pair>@indexPrice`.",
        IndexPrice,
        (_number("price", ""),),
    ),
    Table(
        "tickers",
        "`<symbol>@ticker`, `!ticker@arr`: the last 24 hours.",
        Ticker,
        (
            *_DAY,
            _number("price_change", "Last price less opening price."),
            _number("price_change_percent", ""),
            _number("weighted_average_price", ""),
            _number("last_quantity", ""),
            _time("open_time", "When the 24 hours began."),
            _time("close_time", "When they ended."),
            _id("first_trade_id", ""),
            _id("last_trade_id", ""),
            _id("trade_count", ""),
        ),
    ),
    Table(
        "mini_tickers",
        "`<symbol>@miniTicker`, `!miniTicker@arr`: the last 24 hours, in short.",
        MiniTicker,
        _DAY,
    ),
    Table(
        "liquidations",
        "`<symbol>@forceOrder`, `!forceOrder@arr`: forced orders.",
        Liquidation,
        (
            _time("trade_time", "When it was filled.", "order.trade_time"),
            _text("side", "`BUY` or `SELL`: a long position is closed by selling.", "order.side"),
            _text("order_type", "", "order.order_type"),
            _text("time_in_force", "", "order.time_in_force"),
            _number("price", "Of the order.", "order.price"),
            _number("average_price", "Of its fills.", "order.average_price"),
            _number("quantity", _QUANTITY, "order.quantity"),
            _number("last_filled_quantity", "", "order.last_filled_quantity"),
            _number("filled_quantity", "Of all its fills together.", "order.filled_quantity"),
            _text("status", "`FILLED`, rarely another.", "order.status"),
        ),
    ),
)
"""All tables.  There is none for contracts, composite indices, asset indices and sessions."""

_NAMED: dict[str, Table] = {table.name: table for table in TABLES}


def table_named(name: str) -> Table:
    """Return a table by name.

    Raises:
        ConfigError: There is no table of the name.
    """
    try:
        return _NAMED[name]
    except KeyError:
        raise ConfigError("table", name, one_of(name, _NAMED)) from None


@lru_cache(MAX_CACHED_STREAMS)
def table_of(stream: str) -> Table | None:
    """Return the table for the messages of a stream; None if there is none.

    The stream of REST snapshots is the empty one.
    """
    if not stream:
        return _NAMED[DEPTH_TABLE]
    message = reader(stream).message
    kind = parse_stream_name(stream).kind
    for table in TABLES:
        if table.message is message and kind.startswith(table.topic):
            return table
    return None
