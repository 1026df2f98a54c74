"""CSV in the layout of the exchange's public archive: a file per kind, symbol and day.

The headers are those of the files at data.binance.vision under `data/futures/um` and `…/cm`, whose
columns are those of the REST responses `trades`, `aggTrades` and `klines`
(github.com/binance/binance-public-data, README.md and issues 20 and 62).  COIN-M differs in one
name: its trades have `base_qty` where those of USDⓈ-M have `quote_qty`.  Times are milliseconds,
booleans are `true` and `false`, and candles end with a column that is always 0.  As in the archive,
only trades on the order book and closed candles are written.

A day spans several units, and a unit may have to be exported again.  Therefore every unit writes its
own compressed parts into the folder `.parts`; at the end each file is assembled from its parts under
another name and renamed.  The parts are kept for the next export.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Context, Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias

import zstandard
from msgspec import Struct

from tickerplant.archive.number_arrays import have_valid_numbers
from tickerplant.archive.tables import Table
from tickerplant.archive.validation import RejectedMessage, invalid_value
from tickerplant.exporting.journal import UNFINISHED, Assembled, Journal, size_of
from tickerplant.exporting.writer import path_part
from tickerplant.instrument import RATE_DECIMALS, coin_contract_size
from tickerplant.messages.book import BookTicker
from tickerplant.messages.kline import CandleMessage
from tickerplant.messages.message import Message
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade
from tickerplant.own_folder import OwnFolder
from tickerplant.regular_files import open_regular
from tickerplant.stream_name import parse_stream_name
from tickerplant.venue import COINM, USDM

PARTS = ".parts"
"""The folder of the parts."""
COMPRESSION_LEVEL = 3
COPIED_BYTES = 1 << 20
FOLDERS = {USDM.name: "um", COINM.name: "cm"}
"""The folder of each venue."""
ON_BOOK = "MARKET"
"""Origin of trades on the order book."""

Row: TypeAlias = Callable[[Any], str | None]
"""Returns the line of a message; None if the archive leaves it out."""

_EXACT = Context(prec=80)
_LAST_BASE = Decimal(1).scaleb(-RATE_DECIMALS)
_TRADED = attrgetter("trade_time_ms")
_OPENED = attrgetter("candle.open_time_ms")
_BOOLEANS = {True: "true", False: "false"}
_CANDLE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,"
    "quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


class CsvLayout(Struct, frozen=True):
    """The layout of one kind of files."""

    folder: str
    """The folder, which is also part of the file names, except for candles."""
    header: str
    row: Row
    time: Callable[[Any], int]
    """Returns the time of a message, ms, that decides to which day it belongs."""
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
        f"{message.trade_time_ms},{_BOOLEANS[message.buyer_is_maker]}\n"
    )


def _aggregate(message: AggregateTrade) -> str:
    return (
        f"{message.aggregate_id},{message.price},{message.quantity},{message.first_trade_id},"
        f"{message.last_trade_id},{message.trade_time_ms},{_BOOLEANS[message.buyer_is_maker]}\n"
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


_TRADES = CsvLayout("trades", "id,price,qty,quote_qty,time,is_buyer_maker", _trade, _TRADED)
_COIN_TRADES = CsvLayout(
    "trades", "id,price,qty,base_qty,time,is_buyer_maker", _coin_trade, _TRADED
)
LAYOUTS = {
    "trades": _TRADES,
    "agg_trades": CsvLayout(
        "aggTrades",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        _aggregate,
        _TRADED,
    ),
    "book_tickers": CsvLayout(
        "bookTicker",
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,"
        "transaction_time,event_time",
        _book_ticker,
        attrgetter("transaction_time_ms"),
    ),
    "klines": CsvLayout("klines", _CANDLE_HEADER, _candle, _OPENED, has_interval=True),
    "index_price_klines": CsvLayout(
        "indexPriceKlines", _CANDLE_HEADER, _candle, _OPENED, has_interval=True
    ),
    "mark_price_klines": CsvLayout(
        "markPriceKlines", _CANDLE_HEADER, _candle, _OPENED, has_interval=True
    ),
    "liquidations": CsvLayout(
        "liquidationSnapshot",
        "time,side,order_type,time_in_force,original_quantity,price,average_price,"
        "order_status,last_fill_quantity,accumulated_fill_quantity",
        _liquidation,
        attrgetter("order.trade_time_ms"),
    ),
}
"""The layouts, by table.  The archive has no files for the other tables."""


def layout_of(table: str, venue: str) -> CsvLayout:
    """Return the layout of the files of a table."""
    return _COIN_TRADES if table == "trades" and venue == COINM.name else LAYOUTS[table]


def path_of(layout: CsvLayout, stream: str, venue: str, symbol: str, date: str) -> str:
    """Return the path of a file in the archive.

    Raises:
        ValueError: The symbol is invalid, or the stream has no interval.
    """
    name = path_part(symbol)
    folder = f"data/futures/{FOLDERS[venue]}/daily/{layout.folder}/{name}"
    if not layout.has_interval:
        return f"{folder}/{name}-{layout.folder}-{date}.csv"
    interval = parse_stream_name(stream).interval
    if not interval:
        raise ValueError(f"{stream[:80]!r} has no interval")
    return f"{folder}/{interval}/{name}-{interval}-{date}.csv"


class CsvWriter:
    """Writes units as CSV into a folder."""

    patterns: tuple[str, ...] = (
        *(f"{PARTS}/**/*.csv.zst{end}" for end in ("", UNFINISHED)),
        f"data/**/*.csv{UNFINISHED}",
    )
    tables: frozenset[str] = frozenset(LAYOUTS)

    def __init__(self, folder: Path) -> None:
        self.rejected = 0
        """Messages of this unit that were not written."""
        self.first_rejected: RejectedMessage | None = None
        self._folder = folder
        self._own = OwnFolder(folder)
        self._number = 0
        self._layouts: dict[str, CsvLayout] = {}
        """By place."""
        self._parts: dict[str, None] = {}
        self._compress = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress

    def begin(self, number: int) -> None:
        """Begin a unit."""
        self._number = number
        self.rejected = 0
        self.first_rejected = None
        self._layouts.clear()
        self._parts.clear()

    def time_of(self, table: Table, /) -> Callable[[Any], int]:
        """Return a function from a message to the time that decides to which day it belongs."""
        return LAYOUTS[table.name].time

    def place(self, table: Table, stream: str, venue: str, symbol: str, date: str) -> str:
        """Return the path of a file.

        Raises:
            ValueError: The symbol is invalid, or the stream has no interval.
        """
        layout = layout_of(table.name, venue)
        place = path_of(layout, stream, venue, symbol, date)
        self._layouts[place] = layout
        return place

    def write(self, table: Table, place: str, messages: Sequence[Message], /) -> int:
        """Write messages; return the number of rows.

        Raises:
            OSError: A file cannot be written.
        """
        layout = self._layouts[place]
        row, commas = layout.row, layout.header.count(",")
        lines = []
        if not have_valid_numbers(table, messages):
            messages = [message for message in messages if not self._rejects(table, message)]
        for message in messages:
            try:
                line = row(message)
            except ArithmeticError:
                self._reject(table, message, "its turnover cannot be calculated")
                continue
            if line is None:
                continue
            if line.count(",") == commas and line.count("\n") == 1:
                lines.append(line)
            else:
                self._reject(table, message, "a text in it would break the file")
        if lines:
            part = f"{PARTS}/{place.removesuffix('.csv')}/{self._number:06d}.csv.zst"
            mode = "ab" if part in self._parts else "wb"
            with self._own.open(f"{part}{UNFINISHED}", mode) as file:
                self._parts[part] = None
                file.write(self._compress("".join(lines).encode()))
        return len(lines)

    def _rejects(self, table: Table, message: Message) -> bool:
        reason = invalid_value(table, message)
        if reason:
            self._reject(table, message, reason)
        return bool(reason)

    def _reject(self, table: Table, message: Message, reason: str) -> None:
        self.rejected += 1
        self.first_rejected = self.first_rejected or RejectedMessage(table, message, reason)

    def finish(self) -> dict[str, int]:
        """Finish the unit; return the sizes of its files by their paths in the folder.

        Raises:
            OSError: A file cannot be written.
        """
        sizes = {}
        for part in self._parts:
            self._own.replace(f"{part}{UNFINISHED}", Path(part).name)
            sizes[part] = (self._folder / part).stat().st_size
        return sizes

    def abandon(self) -> None:
        """Remove the files of the unit."""
        for part in self._parts:
            self._own.remove(f"{part}{UNFINISHED}")

    def complete(self, journal: Journal) -> int:
        """Assemble the files whose parts have changed; return the number of all files.

        Raises:
            OSError: A file cannot be written.
        """
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for unit in journal.finished:
            for part in unit.parts:
                wanted[_assembled_path(part)].append(part)
        for place, parts in wanted.items():
            made = journal.assembled.get(place)
            present = tuple(parts), size_of(self._folder / place)
            if made is None or (made.parts, made.size_bytes) != present:
                size_bytes = self._assemble(place, parts)
                journal.write(Assembled(path=place, parts=tuple(parts), size_bytes=size_bytes))
        return len(wanted)

    def _assemble(self, place: str, parts: Sequence[str]) -> int:
        reader = zstandard.ZstdDecompressor()
        with self._own.open(f"{place}{UNFINISHED}", "wb") as file:
            file.write(f"{_header(place)}\n".encode())
            for part in parts:
                with (
                    open_regular(self._folder / part) as stored,
                    reader.stream_reader(stored, read_across_frames=True) as text,
                ):
                    shutil.copyfileobj(text, file, COPIED_BYTES)
            size_bytes = file.tell()
        self._own.replace(f"{place}{UNFINISHED}", Path(place).name)
        return size_bytes


def _assembled_path(part: str) -> str:
    """Return the path of the file that a part belongs to."""
    return f"{part.removeprefix(f'{PARTS}/').rpartition('/')[0]}.csv"


def _header(place: str) -> str:
    """Return the header of the file at a path."""
    _, _, venue, _, folder, *_ = place.split("/")
    table = next(name for name, layout in LAYOUTS.items() if layout.folder == folder)
    return layout_of(table, "coinm" if venue == "cm" else "usdm").header
