"""Messages summarised in a few words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tickerplant.formatting import printable
from tickerplant.messages.book import BookTicker, DepthUpdate
from tickerplant.messages.contracts import ContractInfo, TradingSession
from tickerplant.messages.kline import (
    CandleMessage,
    ContinuousKline,
    IndexPriceKline,
    Kline,
    MarkPriceKline,
)
from tickerplant.messages.message import Message
from tickerplant.messages.prices import AssetIndex, CompositeIndex, IndexPrice, MarkPrice
from tickerplant.messages.ticker import MiniTicker, Ticker
from tickerplant.messages.trade import AggregateTrade, Liquidation, Trade

MAX_CHARACTERS = 400
"""Longest summary, in characters, and longest part of a raw payload, in bytes."""
UNKNOWN_NUMBER = "?"
NOTHING = "-"
BID_ASK_SEPARATOR = "\N{MULTIPLICATION SIGN}"

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TOP_ONLY = re.compile(r"@depth[0-9]+(@|$)")
"""Matches streams of the best levels, which are not updates."""


def summary(message: Message) -> str:
    """Return a message in a few words, on one line; its payload if it is of another class."""
    describe = SUMMARIES.get(type(message), _payload)
    try:
        text = describe(message)
    except Exception:  # noqa: BLE001  # values from a server must not end the program
        text = _payload(message)
    return printable(text[:MAX_CHARACTERS])


def amount(text: str) -> str:
    """Return a quantity with at most four digits, such as `12.3 k`."""
    value = _number(text)
    if math.isnan(value):
        return UNKNOWN_NUMBER
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor:
            return f"{value / factor:.4g} {prefix}"
    return f"{value:.4g}"


def change(first: str, last: str) -> str:
    """Return the change from `first` to `last`, in percent."""
    before, now = _number(first), _number(last)
    if not before or math.isnan(before + now):
        return UNKNOWN_NUMBER
    return f"{(now / before - 1) * 100:+.2f} %"


def _number(text: str) -> float:
    """Return the number in `text`; not-a-number if it is invalid or infinite."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _payload(message: Message) -> str:
    return message.payload[:MAX_CHARACTERS].decode(errors="replace")


def _mini_ticker(it: MiniTicker) -> str:
    moved = change(it.open_price, it.close_price)
    return f"{it.close_price}  {moved}  volume {amount(it.volume)}"


def _ticker(it: Ticker) -> str:
    volume, trades = amount(it.volume), f"{it.trade_count:,}"
    return f"{it.close_price}  {it.price_change_percent} %  volume {volume}  {trades} trades"


def _book_ticker(it: BookTicker) -> str:
    return f"{it.bid_price} {BID_ASK_SEPARATOR} {it.ask_price}  ({it.bid_quantity} {BID_ASK_SEPARATOR} {it.ask_quantity})"


def _trade(it: Trade | AggregateTrade) -> str:
    # The side of a trade is that of its taker.
    return f"{it.price}  {it.quantity}  {'sell' if it.buyer_is_maker else 'buy'}"


def _depth(it: DepthUpdate) -> str:
    bids, asks = _present(it.bids), _present(it.asks)
    best = f"{_best(bids, max)} {BID_ASK_SEPARATOR} {_best(asks, min)}"
    counts = f"{len(it.bids)} + {len(it.asks)} levels"
    return f"{best}  {counts}" if _TOP_ONLY.search(it.stream) else f"{best}  {counts} changed"


def _present(levels: Sequence[tuple[str, str]]) -> list[str]:
    """Return the prices of the levels that are not removed."""
    return [price for price, quantity in levels if _number(quantity) != 0]


def _best(prices: Sequence[str], best: Callable[..., str]) -> str:
    return best(prices, key=_number) if prices else NOTHING


def _candle(it: CandleMessage) -> str:
    candle = it.candle
    prices = f"o {candle.open_price}  h {candle.high_price}  l {candle.low_price}  c {candle.close_price}"
    return f"{prices}  {'closed' if candle.is_closed else 'open'}"


def _mark_price(it: MarkPrice) -> str:
    funding = _number(it.funding_rate)
    rate = "" if math.isnan(funding) else f"  funding {funding * 100:.4f} %"
    return f"{it.mark_price}  index {it.index_price}{rate}"


def _index_price(it: IndexPrice) -> str:
    return f"index {it.price}"


def _composite_index(it: CompositeIndex) -> str:
    return f"index {it.price}  of {len(it.composition)} assets"


def _asset_index(it: AssetIndex) -> str:
    return f"index {it.index}  bid {it.bid_rate}  ask {it.ask_rate}"


def _liquidation(it: Liquidation) -> str:
    order = it.order
    return f"{order.side} {order.filled_quantity} at {order.average_price}  {order.status}"


def _contract_info(it: ContractInfo) -> str:
    return f"{it.status}  {it.contract_type}"


def _trading_session(it: TradingSession) -> str:
    return f"{it.event_type}  {it.kind}"


SUMMARIES: Mapping[type[Message], Callable[[Any], str]] = {
    AggregateTrade: _trade,
    AssetIndex: _asset_index,
    BookTicker: _book_ticker,
    CompositeIndex: _composite_index,
    ContinuousKline: _candle,
    ContractInfo: _contract_info,
    DepthUpdate: _depth,
    IndexPrice: _index_price,
    IndexPriceKline: _candle,
    Kline: _candle,
    Liquidation: _liquidation,
    MarkPrice: _mark_price,
    MarkPriceKline: _candle,
    MiniTicker: _mini_ticker,
    Ticker: _ticker,
    Trade: _trade,
    TradingSession: _trading_session,
}
"""By class of message; the payload of any other class is shown."""
