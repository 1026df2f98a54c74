"""One reader per kind of stream: the bytes of a payload to typed messages.

The name of a stream tells how its payloads are read; what they say of themselves is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import GenericAlias
from typing import Any, cast

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from tickerplant.messages.asset_index import AssetIndex
from tickerplant.messages.book_ticker import BookTicker
from tickerplant.messages.composite_index import CompositeIndex
from tickerplant.messages.contract_info import ContractInfo
from tickerplant.messages.depth import DepthUpdate
from tickerplant.messages.force_order import Liquidation
from tickerplant.messages.kline import ContinuousKline, IndexPriceKline, Kline, MarkPriceKline
from tickerplant.messages.mark_price import IndexPrice, MarkPrice
from tickerplant.messages.message import Message
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
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.messages.trading_session import TradingSession
from tickerplant.messages.unknown import UnknownMessage

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
    return _TYPED.get(_kind(stream), _UNKNOWN)


def sequence_reader(stream: str) -> Reader:
    """Return a reader that reads no more of the payloads of `stream` than ids and times."""
    return _SEQUENCED.get(_kind(stream), _UNSEQUENCED)


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


_SPEED = re.compile(r"@[0-9]+m?s$")
_VARIANT = re.compile(r"(?<=[kK]line)_[0-9]+[A-Za-z]$|(?<=^depth)[0-9]+$")


def _kind(stream: str) -> str:
    """Return what the names of the streams of a kind have in common.

    That is `depth` of `btcusdt@depth20@100ms`, `kline` of `btcusdt@kline_1m`, `!markPrice@arr` of
    `!markPrice@arr@1s` and `tradingSession` of itself.
    """
    name = _SPEED.sub("", stream)
    topic, _, rest = name.partition("@")
    return _VARIANT.sub("", rest) if rest and not topic.startswith("!") else name


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
