"""Messages summarised in a few words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from tickerplant.formatting import printable
from tickerplant.messages.book import BookTicker, DepthUpdate
from tickerplant.messages.contracts import ContractInfo, TradingSession
from tickerplant.messages.kline import CandleMessage
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
    try:
        text = words(message)
    except Exception:  # noqa: BLE001  # values from a server must not end the program
        text = ""
    payload = message.payload[:MAX_CHARACTERS]
    return printable((text or payload.decode(errors="replace"))[:MAX_CHARACTERS])


def words(it: Message) -> str:  # noqa: C901, PLR0911, PLR0912  # a case for each class
    """Return what a message says; nothing for one of another class."""
    by = BID_ASK_SEPARATOR
    match it:
        case Trade() | AggregateTrade():
            # The side of a trade is that of its taker.
            return f"{it.price}  {it.quantity}  {'sell' if it.buyer_is_maker else 'buy'}"
        case BookTicker():
            sizes = f"({it.bid_quantity} {by} {it.ask_quantity})"
            return f"{it.bid_price} {by} {it.ask_price}  {sizes}"
        case DepthUpdate():
            bids, asks = _present(it.bids), _present(it.asks)
            best = f"{_best(bids, max)} {by} {_best(asks, min)}"
            counts = f"{len(it.bids)} + {len(it.asks)} levels"
            changed = "" if _TOP_ONLY.search(it.stream) else " changed"
            return f"{best}  {counts}{changed}"
        case MiniTicker():
            moved = change(it.open_price, it.close_price)
            return f"{it.close_price}  {moved}  volume {amount(it.volume)}"
        case Ticker():
            volume = f"volume {amount(it.volume)}  {it.trade_count:,} trades"
            return f"{it.close_price}  {it.price_change_percent} %  {volume}"
        case CandleMessage():
            candle = it.candle
            prices = f"o {candle.open_price}  h {candle.high_price}  l {candle.low_price}"
            state = "closed" if candle.is_closed else "open"
            return f"{prices}  c {candle.close_price}  {state}"
        case MarkPrice():
            funding = _number(it.funding_rate)
            rate = "" if math.isnan(funding) else f"  funding {funding * 100:.4f} %"
            return f"{it.mark_price}  index {it.index_price}{rate}"
        case IndexPrice():
            return f"index {it.price}"
        case CompositeIndex():
            return f"index {it.price}  of {len(it.composition)} assets"
        case AssetIndex():
            return f"index {it.index}  bid {it.bid_rate}  ask {it.ask_rate}"
        case Liquidation(order=order):
            return f"{order.side} {order.filled_quantity} at {order.average_price}  {order.status}"
        case ContractInfo():
            return f"{it.status}  {it.contract_type}"
        case TradingSession():
            return f"{it.event_type}  {it.kind}"
        case _:
            return ""


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


def _present(levels: Sequence[tuple[str, str]]) -> list[str]:
    """Return the prices of the levels that are not removed."""
    return [price for price, quantity in levels if _number(quantity) != 0]


def _best(prices: Sequence[str], best: Callable[..., str]) -> str:
    return best(prices, key=_number) if prices else NOTHING
