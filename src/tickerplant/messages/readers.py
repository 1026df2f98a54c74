"""One reader per kind of stream: decodes payloads to typed messages.

The stream name decides how a payload is decoded; its event type is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import GenericAlias
from typing import Any, cast

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from tickerplant.messages.book import BookTicker, DepthUpdate
from tickerplant.messages.contracts import ContractInfo, TradingSession
from tickerplant.messages.kline import ContinuousKline, IndexPriceKline, Kline, MarkPriceKline
from tickerplant.messages.message import Message, UnknownMessage
from tickerplant.messages.prices import AssetIndex, CompositeIndex, IndexPrice, MarkPrice
from tickerplant.messages.sequenced import (
    Sequenced,
    SequencedAggregateTrade,
    SequencedBookTicker,
    SequencedDepth,
    SequencedIndexPrice,
    SequencedKline,
    SequencedLiquidation,
    SequencedMarkPriceKline,
    SequencedOther,
    SequencedPairKline,
    SequencedTrade,
)
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade
from tickerplant.stream_name import parse_stream_name

UNREADABLE = (DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions that the `decode` of a reader raises: for invalid JSON or another kind of message
(`msgspec.ValidationError` is a `DecodeError`), for text that is not UTF-8, and for values nested
about a thousand levels deep.  Unknown fields are ignored, even if they are not UTF-8."""


class Reader(Struct, frozen=True):
    """How the payloads of a stream are decoded."""

    decode: Callable[[bytes], Any]
    """Returns the `message` of a payload, or a list of them; raises one of `UNREADABLE`."""
    message: type[Message]
    """The class of the messages."""
    array: bool
    """Whether a payload may be a list."""


def reader(stream: str) -> Reader:
    """Return the reader of a stream; for an unknown kind, it returns `UnknownMessage`."""
    return _TYPED.get(parse_stream_name(stream).family, _UNKNOWN)


def sequence_reader(stream: str) -> Reader:
    """Return a reader of only the ids and times of a stream."""
    return _SEQUENCED.get(parse_stream_name(stream).family, _UNSEQUENCED)


def payload_reader(stream: str) -> Reader:
    """Return a reader like `sequence_reader` that returns only the first message of an array."""
    found = sequence_reader(stream)
    if not found.array:
        return found

    def decode(payload: bytes) -> Message:
        several = found.decode(payload)
        if not isinstance(several, list):
            return cast("Message", several)
        return several[0] if several else Sequenced()

    return Reader(decode, found.message, array=False)


@cache
def _one(message: type[Message]) -> Reader:
    return Reader(Decoder(message).decode, message, array=False)


@cache
def _several(message: type[Message]) -> Reader:
    several: Any = GenericAlias(list, (message,))
    return Reader(Decoder(several).decode, message, array=True)


@cache
def _either(message: type[Message]) -> Reader:
    either: Any = message | GenericAlias(list, (message,))
    return Reader(Decoder(either).decode, message, array=True)


class _Kind(Struct, frozen=True):
    typed: type[Message]
    sequenced: type[Message]
    shape: Callable[[type[Message]], Reader] = _one


_KINDS: Mapping[str, _Kind] = {
    "trade": _Kind(Trade, SequencedTrade),
    "aggTrade": _Kind(AggregateTrade, SequencedAggregateTrade),
    "bookTicker": _Kind(BookTicker, SequencedBookTicker),
    "!bookTicker": _Kind(BookTicker, SequencedBookTicker),
    "depth": _Kind(DepthUpdate, SequencedDepth),
    "rpiDepth": _Kind(DepthUpdate, SequencedDepth),
    "kline": _Kind(Kline, SequencedKline),
    "continuousKline": _Kind(ContinuousKline, SequencedPairKline),
    "indexPriceKline": _Kind(IndexPriceKline, SequencedPairKline),
    "markPriceKline": _Kind(MarkPriceKline, SequencedMarkPriceKline),
    "miniTicker": _Kind(MiniTicker, SequencedOther),
    "!miniTicker@arr": _Kind(MiniTicker, SequencedOther, _several),
    "ticker": _Kind(Ticker, SequencedOther),
    "!ticker@arr": _Kind(Ticker, SequencedOther, _several),
    "markPrice": _Kind(
        MarkPrice, SequencedOther, _either
    ),  # an object for a symbol, an array for a pair
    "!markPrice@arr": _Kind(MarkPrice, SequencedOther, _several),
    "indexPrice": _Kind(IndexPrice, SequencedIndexPrice),
    "compositeIndex": _Kind(CompositeIndex, SequencedOther),
    "forceOrder": _Kind(Liquidation, SequencedLiquidation),
    "!forceOrder@arr": _Kind(Liquidation, SequencedLiquidation),  # an object, despite its name
    "!contractInfo": _Kind(ContractInfo, SequencedOther),
    "assetIndex": _Kind(AssetIndex, SequencedOther, _either),  # only the array is documented
    "!assetIndex@arr": _Kind(AssetIndex, SequencedOther, _several),
    "tradingSession": _Kind(TradingSession, Sequenced),
}
_TYPED = {kind: row.shape(row.typed) for kind, row in _KINDS.items()}
_SEQUENCED = {kind: row.shape(row.sequenced) for kind, row in _KINDS.items()}
_UNKNOWN = _either(UnknownMessage)
_UNSEQUENCED = _either(Sequenced)
