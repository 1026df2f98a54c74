"""One reader per kind of stream: the bytes of a payload to typed messages.

The name of a stream tells how its payloads are read; what they say of themselves is not looked at.
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
"""All that the `decode` of a reader raises: for bytes that are no JSON or not of the kind of the
stream (`msgspec.ValidationError` is a `DecodeError`), for text that is not UTF-8, and for values
nested about a thousand levels deep.  What no field is for is passed over, be it UTF-8 or not."""


class Reader(Struct, frozen=True):
    """How the payloads of a stream are read."""

    decode: Callable[[bytes], Any]
    """A payload to a `message`, or to a list of them; raises one of `UNREADABLE`."""
    message: type[Message]
    """The class of the messages."""
    array: bool
    """Whether a payload may be a list; if not, it never is."""


def reader(stream: str) -> Reader:
    """Return the reader for the payloads of `stream`; of unknown kinds they become `UnknownMessage`."""
    return _TYPED.get(parse_stream_name(stream).family, _UNKNOWN)


def sequence_reader(stream: str) -> Reader:
    """Return a reader that reads no more of the payloads of `stream` than ids and times."""
    return _SEQUENCED.get(parse_stream_name(stream).family, _UNSEQUENCED)


def payload_reader(stream: str) -> Reader:
    """Return a reader as `sequence_reader`, that makes one message of an array: its first."""
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
    """A kind of streams."""

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
    "markPrice": _Kind(MarkPrice, SequencedOther, _either),  # of a symbol one, of a pair several
    "!markPrice@arr": _Kind(MarkPrice, SequencedOther, _several),
    "indexPrice": _Kind(IndexPrice, SequencedIndexPrice),
    "compositeIndex": _Kind(CompositeIndex, SequencedOther),
    "forceOrder": _Kind(Liquidation, SequencedLiquidation),
    "!forceOrder@arr": _Kind(Liquidation, SequencedLiquidation),  # one, whatever its name says
    "!contractInfo": _Kind(ContractInfo, SequencedOther),
    "assetIndex": _Kind(AssetIndex, SequencedOther, _either),  # only the array is documented
    "!assetIndex@arr": _Kind(AssetIndex, SequencedOther, _several),
    "tradingSession": _Kind(TradingSession, Sequenced),
}
_TYPED = {kind: row.shape(row.typed) for kind, row in _KINDS.items()}
_SEQUENCED = {kind: row.shape(row.sequenced) for kind, row in _KINDS.items()}
_UNKNOWN = _either(UnknownMessage)
_UNSEQUENCED = _either(Sequenced)
