"""The layout of the exchange's public archive: folders, headers and rows of its CSV files.

The headers are those of the files at data.binance.vision under `data/futures/um` and `…/cm`, whose
columns are those of the REST answers `trades`, `aggTrades` and `klines`
(github.com/binance/binance-public-data, README.md and issues 20 and 62).  COIN-M differs in one
name: its trades have `base_qty` where those of USDⓈ-M have `quote_qty`.  Times are milliseconds,
truth is `true` and `false`, and candles end with a column that is always 0.

As in the archive, trades are those of the order book, and candles those that are closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_DOWN, Context, Decimal
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec import Struct

from tickerplant.exporting.places import path_part
from tickerplant.instrument import RATE_DECIMALS, coin_contract_size
from tickerplant.messages.book import BookTicker
from tickerplant.messages.kline import CandleMessage
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade
from tickerplant.venue import COINM, USDM

FOLDERS = {USDM.name: "um", COINM.name: "cm"}
"""The folder of each venue."""
ON_BOOK = "MARKET"
"""Origin of the trades of the order book."""

Row: TypeAlias = Callable[[Any], str | None]
"""Returns the line of a message; None if the archive has none for it."""

_EXACT = Context(prec=80)
_LAST_BASE = Decimal(1).scaleb(-RATE_DECIMALS)
_INTERVAL = re.compile(r"_(\d+[A-Za-z])$")
_TRADED = attrgetter("trade_time_ms")
_OPENED = attrgetter("candle.open_time_ms")
_TRUTH = {True: "true", False: "false"}
_CANDLE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,"
    "quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


class Kind(Struct, frozen=True):
    """One kind of files."""

    folder: str
    """Its folder, which is also a part of the names of its files, except of candles."""
    header: str
    row: Row
    time: Callable[[Any], int]
    """Takes the time out of a message, ms, by whose day the archive sorts."""
    has_interval: bool = False


def _trade(message: Trade) -> str | None:
    if message.origin != ON_BOOK:
        return None
    product = _EXACT.multiply(Decimal(message.price), Decimal(message.quantity))
    return _trade_line(message, f"{product.normalize(_EXACT):f}")


def _coin_trade(message: Trade) -> str | None:
    if message.origin != ON_BOOK:
        return None
    size = coin_contract_size(message.symbol.partition("USD")[0])
    base = Decimal(message.quantity) * size / Decimal(message.price)
    return _trade_line(message, f"{base.quantize(_LAST_BASE, ROUND_DOWN):f}")


def _trade_line(message: Trade, turnover: str) -> str:
    return (
        f"{message.trade_id},{message.price},{message.quantity},{turnover},"
        f"{message.trade_time_ms},{_TRUTH[message.buyer_is_maker]}\n"
    )


def _aggregate(message: AggregateTrade) -> str:
    return (
        f"{message.aggregate_id},{message.price},{message.quantity},{message.first_trade_id},"
        f"{message.last_trade_id},{message.trade_time_ms},{_TRUTH[message.buyer_is_maker]}\n"
    )


def _book_ticker(message: BookTicker) -> str:
    return (
        f"{message.update_id},{message.bid_price},{message.bid_quantity},{message.ask_price},"
        f"{message.ask_quantity},{message.transaction_time_ms},{message.event_time_ms}\n"
    )


def _candle(message: CandleMessage) -> str | None:
    candle = message.candle
    if not candle.is_closed:
        return None
    return (
        f"{candle.open_time_ms},{candle.open_price},{candle.high_price},{candle.low_price},"
        f"{candle.close_price},{candle.volume},{candle.close_time_ms},{candle.turnover},"
        f"{candle.trade_count},{candle.taker_buy_volume},{candle.taker_buy_turnover},0\n"
    )


def _liquidation(message: Liquidation) -> str:
    order = message.order
    return (
        f"{order.trade_time_ms},{order.side},{order.order_type},{order.time_in_force},"
        f"{order.quantity},{order.price},{order.average_price},{order.status},"
        f"{order.last_filled_quantity},{order.filled_quantity}\n"
    )


_TRADES = Kind("trades", "id,price,qty,quote_qty,time,is_buyer_maker", _trade, _TRADED)
_COIN_TRADES = Kind("trades", "id,price,qty,base_qty,time,is_buyer_maker", _coin_trade, _TRADED)
KINDS = {
    "trades": _TRADES,
    "agg_trades": Kind(
        "aggTrades",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        _aggregate,
        _TRADED,
    ),
    "book_tickers": Kind(
        "bookTicker",
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,"
        "transaction_time,event_time",
        _book_ticker,
        attrgetter("transaction_time_ms"),
    ),
    "klines": Kind("klines", _CANDLE_HEADER, _candle, _OPENED, has_interval=True),
    "index_price_klines": Kind(
        "indexPriceKlines", _CANDLE_HEADER, _candle, _OPENED, has_interval=True
    ),
    "mark_price_klines": Kind(
        "markPriceKlines", _CANDLE_HEADER, _candle, _OPENED, has_interval=True
    ),
    "liquidations": Kind(
        "liquidationSnapshot",
        "time,side,order_type,time_in_force,original_quantity,price,average_price,"
        "order_status,last_fill_quantity,accumulated_fill_quantity",
        _liquidation,
        attrgetter("order.trade_time_ms"),
    ),
}
"""The kinds of files, by table.  The archive has none of the other tables."""


def kind_of(table: str, venue: str) -> Kind:
    """Return the kind of files of a table."""
    return _COIN_TRADES if table == "trades" and venue == COINM.name else KINDS[table]


def path_of(kind: Kind, stream: str, venue: str, symbol: str, date: str) -> str:
    """Return where a file is in the archive.

    Raises:
        ValueError: symbol or interval are none.
    """
    name = path_part(symbol)
    folder = f"data/futures/{FOLDERS[venue]}/daily/{kind.folder}/{name}"
    if not kind.has_interval:
        return f"{folder}/{name}-{kind.folder}-{date}.csv"
    interval = _INTERVAL.search(stream)
    if interval is None:
        raise ValueError(f"{stream[:80]!r} tells no interval")
    return f"{folder}/{interval[1]}/{name}-{interval[1]}-{date}.csv"
