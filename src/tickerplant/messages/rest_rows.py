"""REST responses as messages, which fill the gaps of a stream.

Each row becomes the message that the stream would have carried, as far as the row has its fields.
The payload is the row, byte by byte, and the event time that of the trade or the end of the candle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError, field
from msgspec.json import Decoder

from tickerplant.messages.kline import Candle, Kline
from tickerplant.messages.trade import AggregateTrade, Trade

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
    """Return the trades of `symbol` in a response of `trades` or `historicalTrades`.

    Raises:
        msgspec.ValidationError: It is another response.
        msgspec.DecodeError: It is not valid JSON.
    """
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
    """Return the aggregate trades of `symbol` in a response of `aggTrades`.

    Raises:
        msgspec.ValidationError: It is another response.
        msgspec.DecodeError: It is not valid JSON.
    """
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


def parse_klines(response: bytes, symbol: str, interval: str, now_ms: int) -> list[Kline]:
    """Return the candles of `symbol` in a response of `klines`.

    Args:
        response: The body of the response.
        symbol: The symbol of the candles.
        interval: Their length.
        now_ms: The time of the exchange; candles that ended before it are closed.

    Raises:
        msgspec.ValidationError: It is another response.
        msgspec.DecodeError: It is not valid JSON.
    """
    return [
        Kline(
            payload=payload,
            backfilled=True,
            event_time_ms=row.close_time_ms,
            symbol=symbol,
            candle=Candle(
                open_time_ms=row.open_time_ms,
                close_time_ms=row.close_time_ms,
                symbol=symbol,
                interval=interval,
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
            ),
        )
        for payload, row in _rows(response, _candle_row)
    ]


def _rows(response: bytes, decode: Callable[[bytes], _Row]) -> list[tuple[bytes, _Row]]:
    """Return the rows of a response, each as its exact bytes and decoded."""
    try:
        payloads = map(bytes, _listed(response))
        return [(payload, decode(payload)) for payload in payloads]
    except UnicodeDecodeError as error:
        raise DecodeError(f"the response is not UTF-8: {error}") from None
    except RecursionError:
        raise ValidationError("the response is nested too deeply") from None
