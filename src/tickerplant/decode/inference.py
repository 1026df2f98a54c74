"""Instruments of a recording, inferred from its messages.

A recording has no exchangeInfo.  The symbol tells venue, pair and kind of contract; the numbers
tell scale and tick: as many decimals as were printed, and the largest step that all prices share.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import gcd

import msgspec
from msgspec.json import Decoder as JsonDecoder

from tickerplant.decode.messages import Kline
from tickerplant.instrument import PERPETUAL_DELIVERY_MS, Instrument, Scale, coin_contract_size
from tickerplant.messages import AggregateTrade
from tickerplant.messages.readers import UNREADABLE
from tickerplant.quarters import coded_delivery_ms, deliveries_ms
from tickerplant.raw_events import RawDepth, RawQuote, RawTrade
from tickerplant.venue import COINM, USDM, Venue

_SYMBOL = re.compile(r"(?P<pair>\w+?)(?:_(?P<series>PERP|\d{6}))?")
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "USD1", "USD", "BTC", "ETH", "BNB")

_PRICE_HEADROOM = 20
"""A price may be so many times the highest one seen."""
_LARGEST_ORDER = 1_000_000
"""Whole units of quantity one order may have; a recording does not tell the limit."""


class ObservedNumbers:
    """What has been seen of one symbol, enough to draw its instrument."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._prices: set[str] = set()
        self._quantities: set[str] = set()

    def see(self, prices: Iterable[str], quantities: Iterable[str]) -> None:
        """Take note of printed numbers."""
        self._prices.update(prices)
        self._quantities.update(quantities)

    def instrument(self, time_ms: int) -> Instrument | None:
        """Return the instrument as it was at `time_ms`, None if its numbers do not tell."""
        try:
            return self._draw(time_ms)
        except ValueError:  # nothing seen, no numbers, or a series that is no date
            return None

    def _draw(self, time_ms: int) -> Instrument:
        name = _SYMBOL.fullmatch(self.symbol)
        pair = name["pair"] if name else self.symbol
        series = name["series"] if name else None
        venue = venue_of(self.symbol)
        base, quote = _assets(pair)
        price, tick_size, highest = _grid(self._prices)
        quantity, step_size, _ = _grid(self._quantities)
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


class InstrumentInference(dict[str, ObservedNumbers]):
    """Sketches by symbol, made as symbols are seen."""

    def __init__(self) -> None:
        super().__init__()
        self._trade = JsonDecoder(RawTrade).decode
        self._aggregate = JsonDecoder(AggregateTrade).decode
        self._book_ticker = JsonDecoder(RawQuote).decode
        self._depth = JsonDecoder(RawDepth).decode
        self._kline = JsonDecoder(dict[str, msgspec.Raw]).decode

    def __missing__(self, symbol: str) -> ObservedNumbers:
        sketch = self[symbol] = ObservedNumbers(symbol)
        return sketch

    def see(self, stream: str, payload: bytes) -> None:
        """Take note of the numbers in a message of `stream`; other forms tell nothing."""
        symbol, _, kind = stream.partition("@")
        kind = symbol[1:] if symbol.startswith("!") else kind
        try:
            self._see(re.split(r"[@_\d]", kind, maxsplit=1)[0], payload)
        except (*UNREADABLE, KeyError):  # a candle may lack what it is about
            return

    def _see(self, kind: str, payload: bytes) -> None:
        match kind:
            case "trade":
                trade = self._trade(payload)
                self[trade.symbol].see([trade.price], [trade.quantity])
            case "aggTrade":
                aggregate = self._aggregate(payload)
                self[aggregate.symbol].see([aggregate.price], [aggregate.quantity])
            case "bookTicker":
                top = self._book_ticker(payload)
                self[top.symbol].see(
                    [top.bid_price, top.ask_price], [top.bid_quantity, top.ask_quantity]
                )
            case "depth":
                depth = self._depth(payload)
                levels = depth.bids + depth.asks
                self[depth.symbol].see((p for p, _ in levels), (q for _, q in levels))
            case "kline":
                candle = msgspec.json.decode(self._kline(payload)["k"], type=Kline)
                self[candle.symbol].see([candle.close], [candle.volume])


def venue_of(symbol: str) -> Venue:
    """Return the venue that lists `symbol`: COIN-M has `BTCUSD_PERP` and `BTCUSD_240927`."""
    pair, underscore, _ = symbol.upper().partition("_")
    return COINM if underscore and pair.endswith("USD") else USDM


def _assets(pair: str) -> tuple[str, str]:
    quote = next((quote for quote in _QUOTES if pair.endswith(quote) and pair != quote), "")
    return pair.removesuffix(quote), quote


def _grid(texts: Iterable[str]) -> tuple[Scale, int, int]:
    """Return the scale of `texts`, which then remembers them, their common step and the largest."""
    texts = list(texts)
    scale = Scale(max(len(text.partition(".")[2]) for text in texts))
    units = [scale.units[text] for text in texts]
    return scale, gcd(*units) or 1, max(units)


def _contract(series: str | None, time_ms: int) -> tuple[str, int]:
    """Return contract type and delivery time of the series after the underscore."""
    if series is None or series == "PERP":
        return "PERPETUAL", PERPETUAL_DELIVERY_MS
    delivery_ms = coded_delivery_ms(series)
    _, _, current_ms, _ = deliveries_ms(time_ms)
    return "CURRENT_QUARTER" if delivery_ms <= current_ms else "NEXT_QUARTER", delivery_ms
