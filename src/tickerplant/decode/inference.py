"""Instruments inferred from the messages of a recording that does not list them.

The symbol determines venue, pair and type of contract; the numbers determine scale and tick: as
many decimals as were written, and the largest step that all prices have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import gcd

from msgspec import Struct, field
from msgspec.json import Decoder as JsonDecoder

from tickerplant.instrument import PERPETUAL_DELIVERY_MS, Instrument, Scale, coin_contract_size
from tickerplant.messages import AggregateTrade
from tickerplant.messages.readers import UNREADABLE
from tickerplant.quarters import coded_delivery_ms, deliveries_ms
from tickerplant.raw_events import RawDepth, RawQuote, RawTrade
from tickerplant.stream_name import parse_stream_name
from tickerplant.venue import COINM, USDM, Venue

_SYMBOL = re.compile(r"(?P<pair>\w+?)(?:_(?P<series>PERP|\d{6}))?")
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "USD1", "USD", "BTC", "ETH", "BNB")

_PRICE_HEADROOM = 20
"""The highest allowed price, in multiples of the highest one seen."""
_LARGEST_ORDER = 1_000_000
"""The largest order, in units of the base asset; messages do not contain it."""


class ObservedNumbers:
    """The prices and quantities seen of one symbol."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._prices: set[str] = set()
        self._quantities: set[str] = set()

    def add(self, prices: Iterable[str], quantities: Iterable[str]) -> None:
        """Add numbers as they were written."""
        self._prices.update(prices)
        self._quantities.update(quantities)

    def instrument(self, time_ms: int) -> Instrument | None:
        """Return the instrument as of `time_ms`; None if the numbers do not determine it."""
        try:
            return self._infer(time_ms)
        except ValueError:  # nothing seen, not numbers, or a series that is not a date
            return None

    def _infer(self, time_ms: int) -> Instrument:
        name = _SYMBOL.fullmatch(self.symbol)
        pair = name["pair"] if name else self.symbol
        series = name["series"] if name else None
        venue = venue_of(self.symbol)
        base, quote = assets_of(pair)
        price, tick_size, highest = _scale(self._prices)
        quantity, step_size, _ = _scale(self._quantities)
        contract_type, delivery_ms = _contract(series, time_ms)
        largest = _LARGEST_ORDER * int(10**quantity.decimals)
        return Instrument(
            venue=venue,
            symbol=self.symbol,
            pair=pair,
            contract_type=contract_type,
            base_asset=base,
            quote_asset=quote,
            margin_asset=base if venue.inverse else quote,
            price=price,
            quantity=quantity,
            tick_size=tick_size,
            step_size=step_size,
            min_price=tick_size,
            max_price=highest * _PRICE_HEADROOM,
            min_quantity=step_size,
            max_quantity=largest,
            max_market_quantity=largest,
            contract_size=coin_contract_size(base) if venue.inverse else 1,
            delivery_date_ms=delivery_ms,
        )


class _Candle(Struct, gc=False):
    """The candle inside a `kline` message."""

    symbol: str = field(name="s")
    close: str = field(name="c")
    volume: str = field(name="v")


class _Kline(Struct, gc=False):
    candle: _Candle = field(name="k")


class InstrumentInference(dict[str, ObservedNumbers]):
    """The numbers seen so far, by symbol."""

    def __init__(self) -> None:
        super().__init__()
        self._trade = JsonDecoder(RawTrade).decode
        self._aggregate = JsonDecoder(AggregateTrade).decode
        self._quote = JsonDecoder(RawQuote).decode
        self._depth = JsonDecoder(RawDepth).decode
        self._kline = JsonDecoder(_Kline).decode

    def __missing__(self, symbol: str) -> ObservedNumbers:
        numbers = self[symbol] = ObservedNumbers(symbol)
        return numbers

    def observe(self, stream: str, payload: bytes) -> None:
        """Add the numbers in a message of `stream`; messages in other forms are ignored."""
        try:
            self._observe(parse_stream_name(stream).kind, payload)
        except UNREADABLE:
            return

    def _observe(self, kind: str, payload: bytes) -> None:
        match kind:
            case "trade":
                trade = self._trade(payload)
                self[trade.symbol].add([trade.price], [trade.quantity])
            case "aggTrade":
                aggregate = self._aggregate(payload)
                self[aggregate.symbol].add([aggregate.price], [aggregate.quantity])
            case "bookTicker":
                quote = self._quote(payload)
                self[quote.symbol].add(
                    [quote.bid_price, quote.ask_price], [quote.bid_quantity, quote.ask_quantity]
                )
            case "depth":
                depth = self._depth(payload)
                levels = depth.bids + depth.asks
                self[depth.symbol].add((p for p, _ in levels), (q for _, q in levels))
            case "kline":
                candle = self._kline(payload).candle
                self[candle.symbol].add([candle.close], [candle.volume])


def venue_of(symbol: str) -> Venue:
    """Return the venue of `symbol`: COIN-M lists `BTCUSD_PERP` and `BTCUSD_240927`."""
    pair, underscore, _ = symbol.upper().partition("_")
    return COINM if underscore and pair.endswith("USD") else USDM


def assets_of(symbol: str) -> tuple[str, str]:
    """Return the base and the quote asset of a symbol or pair; the quote is empty if it is not known."""
    pair = symbol.upper().partition("_")[0]
    quote = next((quote for quote in _QUOTES if pair.endswith(quote) and pair != quote), "")
    return pair.removesuffix(quote), quote


def _scale(texts: Iterable[str]) -> tuple[Scale, int, int]:
    """Return the scale of `texts`, their common step and the largest of them."""
    texts = list(texts)
    scale = Scale(max(len(text.partition(".")[2]) for text in texts))
    units = [scale.units[text] for text in texts]
    return scale, gcd(*units) or 1, max(units)


def _contract(series: str | None, time_ms: int) -> tuple[str, int]:
    """Return the contract type and the delivery time of a series, the part behind the underscore."""
    if series is None or series == "PERP":
        return "PERPETUAL", PERPETUAL_DELIVERY_MS
    delivery_ms = coded_delivery_ms(series)
    _, _, current_ms, _ = deliveries_ms(time_ms)
    return "CURRENT_QUARTER" if delivery_ms <= current_ms else "NEXT_QUARTER", delivery_ms
