"""REST responses, typed.

Trades and candles become the messages that a stream would have carried, as far as a row has their
fields.  The payload is the row, byte by byte, and the event time that of the trade or the end of the
candle.  Another response raises `msgspec.ValidationError`, and what is not JSON
`msgspec.DecodeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError, field
from msgspec.json import Decoder
from msgspec.structs import replace

from tickerplant.messages.book import DepthSnapshot
from tickerplant.messages.kline import (
    Candle,
    CandleMessage,
    ContinuousKline,
    IndexPriceKline,
    Kline,
    MarkPriceKline,
)
from tickerplant.messages.rest import FundingRate, Instrument
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.stream_name import StreamParts

UNKNOWN_ID = -1
"""The trade ids of a candle, which a REST response does not contain."""


class _TradeRow(Struct, gc=False):
    """A row of `trades` and `historicalTrades`, which list only trades on the order book."""

    trade_id: int = field(name="id")
    price: str
    quantity: str = field(name="qty")
    time: int
    buyer_is_maker: bool = field(name="isBuyerMaker")


class _AggregateTradeRow(Struct, gc=False):
    """A row of `aggTrades`."""

    aggregate_id: int = field(name="a")
    price: str = field(name="p")
    quantity: str = field(name="q")
    first_trade_id: int = field(name="f")
    last_trade_id: int = field(name="l")
    trade_time_ms: int = field(name="T")
    buyer_is_maker: bool = field(name="m")
    normal_quantity: str | None = field(name="nq", default=None)


class _CandleRow(Struct, array_like=True, gc=False):
    """A row of `klines`."""

    open_time_ms: int
    open_price: str
    high_price: str
    low_price: str
    close_price: str
    volume: str
    close_time_ms: int
    turnover: str
    trade_count: int
    taker_buy_volume: str
    taker_buy_turnover: str
    ignored: str


_Row = TypeVar("_Row", _TradeRow, _AggregateTradeRow, _CandleRow)

_listed = Decoder(list[Raw]).decode
_trade_row = Decoder(_TradeRow).decode
_aggregate_trade_row = Decoder(_AggregateTradeRow).decode
_candle_row = Decoder(_CandleRow).decode


def parse_trades(response: bytes, symbol: str) -> list[Trade]:
    """Return the trades of `symbol` in a response of `trades` or `historicalTrades`."""
    return [
        Trade(
            payload=payload,
            backfilled=True,
            event_time_ms=row.time,
            trade_time_ms=row.time,
            symbol=symbol,
            trade_id=row.trade_id,
            price=row.price,
            quantity=row.quantity,
            buyer_is_maker=row.buyer_is_maker,
        )
        for payload, row in _rows(response, _trade_row)
    ]


def parse_aggregate_trades(response: bytes, symbol: str) -> list[AggregateTrade]:
    """Return the aggregate trades of `symbol` in a response of `aggTrades`."""
    return [
        AggregateTrade(
            payload=payload,
            backfilled=True,
            event_time_ms=row.trade_time_ms,
            aggregate_id=row.aggregate_id,
            symbol=symbol,
            price=row.price,
            quantity=row.quantity,
            normal_quantity=row.normal_quantity,
            first_trade_id=row.first_trade_id,
            last_trade_id=row.last_trade_id,
            trade_time_ms=row.trade_time_ms,
            buyer_is_maker=row.buyer_is_maker,
        )
        for payload, row in _rows(response, _aggregate_trade_row)
    ]


def parse_candles(response: bytes, stream: StreamParts, now_ms: int) -> list[CandleMessage]:
    """Return the candles of a stream in a response of `klines` or one of its relatives.

    Args:
        response: The body of the response.
        stream: The stream that carries these candles.
        now_ms: The time of the exchange; candles that ended before it are closed.
    """
    message, fields_of = _CANDLE_MESSAGES[stream.kind]
    fields = fields_of(stream)
    return [
        message(
            payload=payload,
            backfilled=True,
            event_time_ms=row.close_time_ms,
            candle=_candle(row, stream, now_ms),
            **fields,
        )
        for payload, row in _rows(response, _candle_row)
    ]


def _candle(row: _CandleRow, stream: StreamParts, now_ms: int) -> Candle:
    return Candle(
        open_time_ms=row.open_time_ms,
        close_time_ms=row.close_time_ms,
        symbol=_CANDLE_SYMBOLS.get(stream.kind, stream.symbol),
        interval=stream.interval,
        first_trade_id=UNKNOWN_ID,
        last_trade_id=UNKNOWN_ID,
        open_price=row.open_price,
        close_price=row.close_price,
        high_price=row.high_price,
        low_price=row.low_price,
        volume=row.volume,
        trade_count=row.trade_count,
        is_closed=row.close_time_ms < now_ms,
        turnover=row.turnover,
        taker_buy_volume=row.taker_buy_volume,
        taker_buy_turnover=row.taker_buy_turnover,
    )


_CANDLE_MESSAGES: Mapping[
    str, tuple[Callable[..., CandleMessage], Callable[[StreamParts], dict[str, str]]]
] = {
    "kline": (Kline, lambda stream: {"symbol": stream.symbol}),
    "continuousKline": (
        ContinuousKline,
        lambda stream: {"pair": stream.symbol, "contract_type": stream.contract_type},
    ),
    "indexPriceKline": (IndexPriceKline, lambda stream: {"pair": stream.symbol}),
    "markPriceKline": (
        MarkPriceKline,
        lambda stream: {"pair": stream.symbol.partition("_")[0]},
    ),
}
"""The message of each kind of candles, and the fields that follow from the stream."""
_CANDLE_SYMBOLS = {"continuousKline": "", "indexPriceKline": "0"}
"""The symbol in candles of streams that do not have the candle of a symbol."""


def parse_depth(response: bytes, symbol: str) -> DepthSnapshot:
    """Return the snapshot of `symbol` in a response of `depth`."""
    snapshot = _decoded(_snapshot, response)
    snapshot.symbol = snapshot.symbol or symbol
    snapshot.payload = response
    return snapshot


def parse_funding_rates(response: bytes) -> list[FundingRate]:
    """Return the rows of a response of `fundingRate`."""
    return _decoded(_funding_rates, response)


class _Filter(Struct, rename="camel"):
    """One of the rules of a contract; each kind has some of the fields."""

    filter_type: str
    tick_size: str = ""
    min_price: str = ""
    max_price: str = ""
    step_size: str = ""
    min_qty: str = ""
    max_qty: str = ""
    notional: str = ""


class _Filters(Struct):
    filters: list[_Filter] = []
    contract_status: str = field(name="contractStatus", default="")


class _Listed(Struct):
    symbols: list[Raw]


def parse_instruments(response: bytes) -> list[Instrument]:
    """Return the contracts in a response of `exchangeInfo`."""
    return [_instrument(bytes(raw)) for raw in _decoded(_listed_symbols, response).symbols]


def _instrument(raw: bytes) -> Instrument:
    instrument, rest = _decoded(_one_instrument, raw), _decoded(_filters, raw)
    rules = {each.filter_type: each for each in rest.filters}
    none = _Filter("")
    price, lot = rules.get("PRICE_FILTER", none), rules.get("LOT_SIZE", none)
    market_lot = rules.get("MARKET_LOT_SIZE", none)
    return replace(
        instrument,
        status=instrument.status or rest.contract_status,
        tick_size=price.tick_size,
        min_price=price.min_price,
        max_price=price.max_price,
        step_size=lot.step_size,
        min_quantity=lot.min_qty,
        max_quantity=lot.max_qty,
        market_step_size=market_lot.step_size,
        market_min_quantity=market_lot.min_qty,
        market_max_quantity=market_lot.max_qty,
        min_notional=rules.get("MIN_NOTIONAL", none).notional,
    )


_snapshot = Decoder(DepthSnapshot).decode
_funding_rates = Decoder(list[FundingRate]).decode
_listed_symbols = Decoder(_Listed).decode
_one_instrument = Decoder(Instrument).decode
_filters = Decoder(_Filters).decode

T = TypeVar("T")


def _decoded(decode: Callable[[bytes], T], response: bytes) -> T:
    """Return a decoded response; what it is not becomes one of the two errors."""
    try:
        return decode(response)
    except UnicodeDecodeError as error:
        raise DecodeError(f"the response is not UTF-8: {error}") from None
    except RecursionError:
        raise ValidationError("the response is nested too deeply") from None


def _rows(response: bytes, decode: Callable[[bytes], _Row]) -> list[tuple[bytes, _Row]]:
    """Return the rows of a response, each as its exact bytes and decoded."""
    return _decoded(
        lambda raw: [(payload, decode(payload)) for payload in map(bytes, _listed(raw))], response
    )
