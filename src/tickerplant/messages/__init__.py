"""Typed messages of every stream, and the notices that come between them."""

from __future__ import annotations

from tickerplant.messages.book import BookTicker, DepthSnapshot, DepthUpdate
from tickerplant.messages.contracts import Bracket, ContractInfo, TradingSession
from tickerplant.messages.kline import (
    Candle,
    CandleMessage,
    ContinuousKline,
    ContractType,
    IndexPriceKline,
    Interval,
    Kline,
    MarkPriceKline,
)
from tickerplant.messages.message import Message, UnknownMessage
from tickerplant.messages.prices import (
    AssetIndex,
    CompositeIndex,
    CompositePart,
    IndexPrice,
    MarkPrice,
)
from tickerplant.messages.rest import FundingRate, Instrument
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Liquidation, LiquidationOrder, Trade
from tickerplant.notices import (
    BookResyncing,
    BookSynced,
    DecodeFailed,
    Disconnected,
    Dropped,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
    UnknownStream,
)

__all__ = [
    "AggregateTrade",
    "AssetIndex",
    "BookResyncing",
    "BookSynced",
    "BookTicker",
    "Bracket",
    "Candle",
    "CandleMessage",
    "CompositeIndex",
    "CompositePart",
    "ContinuousKline",
    "ContractInfo",
    "ContractType",
    "DecodeFailed",
    "DepthSnapshot",
    "DepthUpdate",
    "Disconnected",
    "Dropped",
    "FundingRate",
    "Gap",
    "IndexPrice",
    "IndexPriceKline",
    "Instrument",
    "Interval",
    "Kline",
    "Liquidation",
    "LiquidationOrder",
    "MarkPrice",
    "MarkPriceKline",
    "Message",
    "MiniTicker",
    "Notice",
    "Recovered",
    "Stale",
    "SubscriptionRejected",
    "Ticker",
    "Trade",
    "TradingSession",
    "UnknownMessage",
    "UnknownStream",
]
