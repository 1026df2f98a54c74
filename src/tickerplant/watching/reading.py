"""What a message tells, in a few words."""

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

SHOWN = 400
"""Most signs of what a message tells, and bytes of one that is shown as it came."""
UNKNOWN_NUMBER = "?"
NOTHING = "-"
TO = "\N{MULTIPLICATION SIGN}"
"""Between bid and ask."""

_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TOP_ONLY = re.compile(r"@depth[0-9]+(@|$)")
"""How the streams are called that tell the best levels, and not those that changed."""


def reading(message: Message) -> str:
    """Return what `message` tells, on one line."""
    tell = _READINGS.get(type(message), _json)
    try:
        said = tell(message)
    except Exception:  # noqa: BLE001  # nothing that a server says may end the watching
        said = _json(message)
    return printable(said[:SHOWN])


def amount(text: str) -> str:
    """Return a quantity in at most four digits: `12.3 k`."""
    value = _number(text)
    if math.isnan(value):
        return UNKNOWN_NUMBER
    for size, sign in _SIZES:
        if abs(value) >= size:
            return f"{value / size:.4g} {sign}"
    return f"{value:.4g}"


def change(first: str, last: str) -> str:
    """Return by how much `last` is above `first`, in percent."""
    before, now = _number(first), _number(last)
    if not before or math.isnan(before + now):
        return UNKNOWN_NUMBER
    return f"{(now / before - 1) * 100:+.2f} %"


def _number(text: str) -> float:
    """Return what `text` says, not-a-number if it is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _json(message: Message) -> str:
    return message.payload[:SHOWN].decode(errors="replace")


def _mini_ticker(it: MiniTicker) -> str:
    moved = change(it.open_price, it.close_price)
    return f"{it.close_price}  {moved}  volume {amount(it.volume)}"


def _ticker(it: Ticker) -> str:
    volume, trades = amount(it.volume), f"{it.trade_count:,}"
    return f"{it.close_price}  {it.price_change_percent} %  volume {volume}  {trades} trades"


def _book_ticker(it: BookTicker) -> str:
    return f"{it.bid_price} {TO} {it.ask_price}  ({it.bid_quantity} {TO} {it.ask_quantity})"


def _trade(it: Trade | AggregateTrade) -> str:
    # The maker was there before; the other one decided to trade.
    return f"{it.price}  {it.quantity}  {'sell' if it.buyer_is_maker else 'buy'}"


def _depth(it: DepthUpdate) -> str:
    bids, asks = _present(it.bids), _present(it.asks)
    best = f"{_best(bids, max)} {TO} {_best(asks, min)}"
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


_READINGS: Mapping[type[Message], Callable[[Any], str]] = {
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
"""By kind of message; what is not here is shown as it came."""
