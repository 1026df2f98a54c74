"""What is received, typed: every message of every stream, and what is told between them."""

from __future__ import annotations

from tickerplant.messages.answers import aggregate_trades_of, klines_of, trades_of
from tickerplant.messages.asset_index import AssetIndex
from tickerplant.messages.book_ticker import BookTicker
from tickerplant.messages.composite_index import CompositeIndex, CompositePart
from tickerplant.messages.contract_info import Bracket, ContractInfo
from tickerplant.messages.depth import DepthUpdate
from tickerplant.messages.force_order import Liquidation, LiquidationOrder
from tickerplant.messages.kline import (
    Candle,
    CandleMessage,
    ContinuousKline,
    IndexPriceKline,
    Kline,
    MarkPriceKline,
)
from tickerplant.messages.mark_price import IndexPrice, MarkPrice
from tickerplant.messages.message import Message
from tickerplant.messages.notice import (
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
from tickerplant.messages.readers import UNREADABLE, Reader, reader, sequence_reader
from tickerplant.messages.sequenced import (
    Sequenced,
    SequencedAggregateTrade,
    SequencedBookTicker,
    SequencedCandle,
    SequencedCandleMessage,
    SequencedDepth,
    SequencedIndexPrice,
    SequencedKline,
    SequencedLiquidation,
    SequencedMarkPriceKline,
    SequencedOrder,
    SequencedOther,
    SequencedPairKline,
    SequencedTrade,
)
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Trade
from tickerplant.messages.trading_session import TradingSession
from tickerplant.messages.unknown import UnknownMessage

__all__ = [
    "UNREADABLE",
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
    "DecodeFailed",
    "DepthUpdate",
    "Disconnected",
    "Dropped",
    "Gap",
    "IndexPrice",
    "IndexPriceKline",
    "Kline",
    "Liquidation",
    "LiquidationOrder",
    "MarkPrice",
    "MarkPriceKline",
    "Message",
    "MiniTicker",
    "Notice",
    "Reader",
    "Recovered",
    "Sequenced",
    "SequencedAggregateTrade",
    "SequencedBookTicker",
    "SequencedCandle",
    "SequencedCandleMessage",
    "SequencedDepth",
    "SequencedIndexPrice",
    "SequencedKline",
    "SequencedLiquidation",
    "SequencedMarkPriceKline",
    "SequencedOrder",
    "SequencedOther",
    "SequencedPairKline",
    "SequencedTrade",
    "Stale",
    "SubscriptionRejected",
    "Ticker",
    "Trade",
    "TradingSession",
    "UnknownMessage",
    "UnknownStream",
    "aggregate_trades_of",
    "klines_of",
    "reader",
    "sequence_reader",
    "trades_of",
]
