"""One reader per kind of stream: payload bytes to event time and events.

A reader finds the instrument by the symbol in the payload, and converts text to the instrument's
units.  It raises `msgspec.DecodeError` for another form, `KeyError` for an unknown symbol,
`TimeMismatchError` for a time that is far from the event time, and another `ValueError` for a
number with more decimals than the instrument has, or a larger one than a market can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.json import Decoder

from tickerplant import messages
from tickerplant.events import (
    AggregateTrade,
    AssetIndex,
    BookSnapshot,
    CompositeIndex,
    CompositePart,
    Event,
    Liquidation,
    MarkPrice,
)
from tickerplant.instrument import LARGEST, RATE_DECIMALS, Instrument, decimal_units
from tickerplant.messages.book import requested_levels
from tickerplant.raw_events import (
    FAR_MS,
    RawDepth,
    RawEvent,
    RawQuote,
    RawTrade,
    level_units,
)
from tickerplant.stream_name import parse_stream_name
from tickerplant.units import DAY_MS

Instruments: TypeAlias = Mapping[str, Instrument]
DecodedEvent: TypeAlias = Event | RawEvent
Read: TypeAlias = Callable[[bytes], tuple[int, tuple[DecodedEvent, ...]]]
"""Returns the event time of a payload, 0 if it has none, and its events."""

LONGEST_FUNDING_MS = 366 * DAY_MS
"""A next funding time that is farther ahead is damaged: the exchange pays every few hours."""


class TimeMismatchError(ValueError):
    """A time in a payload is far from the event time of the same payload."""

    def __init__(self, name: str, time_ms: int, event_time_ms: int) -> None:
        super().__init__(f"its {name} is {time_ms}, far from its event time {event_time_ms}")


class _Timed(Struct, gc=False):
    event_time_ms: int = field(name="E", default=0)


RAW_EVENTS: Mapping[str, type[RawEvent]] = {
    "trade": RawTrade,
    "bookTicker": RawQuote,
    "depth": RawDepth,
}
"""The class of events that stay text, by kind of stream."""


def reader(stream: str, instruments: Instruments) -> Read:
    """Return the reader for the payloads of `stream`; for unknown kinds, one that builds no events."""
    name = parse_stream_name(stream)
    has_events = not name.levels and (name.topic or name.is_of_all)
    make = _READERS.get(name.kind) if has_events else None
    return make(instruments) if make else time_reader()


def time_reader() -> Read:
    """Return a reader that reads the event time and builds no events."""
    decode = Decoder(_Timed | list[_Timed]).decode

    def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
        message = decode(payload)
        if isinstance(message, list):
            return max((each.event_time_ms for each in message), default=0), ()
        return message.event_time_ms, ()

    return read


def _aggregate_trades(instruments: Instruments) -> Read:
    decode = Decoder(messages.AggregateTrade).decode

    def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
        message = decode(payload)
        instrument = instruments[message.symbol]
        _check_near("trade time", message.trade_time_ms, message.event_time_ms)
        units = instrument.quantity.units
        price, quantity = instrument.price.units[message.price], units[message.quantity]
        if not instrument.can_count(price, quantity):
            raise ValueError(f"{message.quantity} at {message.price} cannot be counted")
        first_id, last_id = message.first_trade_id, message.last_trade_id
        if not 0 <= first_id <= last_id <= LARGEST:
            raise ValueError(f"{first_id} to {last_id} are not trade ids")
        normal = message.normal_quantity
        aggregate = AggregateTrade(
            instrument.symbol,
            _whole(message.aggregate_id),
            price,
            quantity,
            quantity if normal is None else units[normal],
            first_id,
            last_id,
            _whole(message.trade_time_ms),
            message.buyer_is_maker,
        )
        return message.event_time_ms, (aggregate,)

    return read


def raw_decoder(kind: type[RawEvent]) -> Callable[[bytes], RawEvent]:
    """Return the function that decodes payloads to `kind`.

    It raises `TimeMismatchError` for a trade whose time is far from its event time.
    """
    decode: Callable[[bytes], RawEvent] = Decoder(kind).decode
    if kind is not RawTrade:
        return decode
    decode_trade = Decoder(RawTrade).decode

    def decode_checked(payload: bytes) -> RawTrade:
        trade = decode_trade(payload)
        if -FAR_MS <= trade.trade_time_ms - trade.event_time_ms <= FAR_MS:
            return trade
        raise TimeMismatchError("trade time", trade.trade_time_ms, trade.event_time_ms)

    return decode_checked


def _check_near(name: str, time_ms: int, event_time_ms: int) -> None:
    if not -FAR_MS <= time_ms - event_time_ms <= FAR_MS:
        raise TimeMismatchError(name, time_ms, event_time_ms)


def _raw_events(kind: type[RawEvent]) -> Callable[[Instruments], Read]:
    """Return the function that makes readers for a class of events that stay text."""

    def make(instruments: Instruments) -> Read:
        decode = raw_decoder(kind)

        def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
            event = decode(payload)
            if event.symbol not in instruments:
                raise KeyError(event.symbol)
            return event.event_time_ms, (event,)

        return read

    return make


def _mark_prices(instruments: Instruments) -> Read:
    decode = Decoder(messages.MarkPrice | list[messages.MarkPrice]).decode

    def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
        found = decode(payload)
        if isinstance(found, list):
            rows = found
        elif found.symbol in instruments:
            rows = [found]
        else:
            raise KeyError(found.symbol)
        time_ms = max((message.event_time_ms for message in rows), default=0)
        known = (message for message in rows if message.symbol in instruments)
        return time_ms, tuple(map(_mark_price, known))

    return read


def _mark_price(message: messages.MarkPrice) -> MarkPrice:
    rate = message.funding_rate
    unfunded = not rate or not message.next_funding_time_ms
    if message.next_funding_time_ms > message.event_time_ms + LONGEST_FUNDING_MS:
        raise TimeMismatchError(
            "next funding time", message.next_funding_time_ms, message.event_time_ms
        )
    return MarkPrice(
        message.symbol,
        _rate(message.mark_price),
        _rate(message.index_price),
        _rate(message.estimated_settle_price),
        None if unfunded else _rate(rate),
        _whole(message.next_funding_time_ms),
        _whole(message.event_time_ms),
    )


def _liquidations(instruments: Instruments) -> Read:
    decode = Decoder(messages.Liquidation).decode

    def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
        message = decode(payload)
        order = message.order
        instrument = instruments[order.symbol]
        _check_near("trade time", order.trade_time_ms, message.event_time_ms)
        prices, quantities = instrument.price.units, instrument.quantity.units
        liquidation = Liquidation(
            order.symbol,
            order.side,
            quantities[order.quantity],
            prices[order.price],
            prices[order.average_price],
            order.status,
            quantities[order.last_filled_quantity],
            quantities[order.filled_quantity],
            _whole(order.trade_time_ms),
        )
        return message.event_time_ms, (liquidation,)

    return read


def _composite_indices(instruments: Instruments) -> Read:
    decode = Decoder(messages.CompositeIndex).decode

    def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
        message = decode(payload)
        parts = tuple(
            CompositePart(
                part.base_asset,
                part.quote_asset,
                _rate(part.weight_in_quantity),
                _rate(part.weight_in_percentage),
                _rate(part.index_price),
            )
            for part in message.composition
        )
        symbol = instruments[message.symbol].symbol
        composite = CompositeIndex(
            symbol, _rate(message.price), parts, _whole(message.event_time_ms)
        )
        return message.event_time_ms, (composite,)

    return read


def _asset_indices(instruments: Instruments) -> Read:
    del instruments  # assets are no contracts
    decode = Decoder(messages.AssetIndex | list[messages.AssetIndex]).decode

    def read(payload: bytes) -> tuple[int, tuple[DecodedEvent, ...]]:
        found = decode(payload)
        rows = found if isinstance(found, list) else [found]
        time_ms = max((message.event_time_ms for message in rows), default=0)
        return time_ms, tuple(map(_asset_index, rows))

    return read


def _asset_index(message: messages.AssetIndex) -> AssetIndex:
    return AssetIndex(
        message.symbol,
        _rate(message.index),
        _rate(message.bid_buffer),
        _rate(message.ask_buffer),
        _rate(message.bid_rate),
        _rate(message.ask_rate),
        _rate(message.auto_exchange_bid_buffer),
        _rate(message.auto_exchange_ask_buffer),
        _rate(message.auto_exchange_bid_rate),
        _rate(message.auto_exchange_ask_rate),
        _whole(message.event_time_ms),
    )


def _rate(text: str) -> int:
    return _whole(decimal_units(text, RATE_DECIMALS))


def _whole(number: int) -> int:
    """Return `number`; raise ValueError if it is larger than a market can hold."""
    if not -LARGEST <= number <= LARGEST:
        raise ValueError(f"{number} is larger than a market can hold")
    return number


def snapshot(response: messages.DepthSnapshot, instrument: Instrument) -> BookSnapshot:
    """Return the REST response `depth` as an event.

    Of a side with as many levels as were requested, there may be more (`requested_levels`).

    Raises:
        ValueError: A number has more decimals than the instrument, or is larger than a market
            can hold.
    """
    bids, asks = (level_units(instrument, side) for side in (response.bids, response.asks))
    limit = requested_levels(response)
    return BookSnapshot(
        instrument.symbol,
        response.last_update_id,
        bids,
        asks,
        _whole(response.transaction_time_ms),
        min(price for price, _ in bids) if bids and len(bids) >= limit else None,
        max(price for price, _ in asks) if asks and len(asks) >= limit else None,
    )


_READERS: Mapping[str, Callable[[Instruments], Read]] = {
    **{kind: _raw_events(event) for kind, event in RAW_EVENTS.items()},
    "aggTrade": _aggregate_trades,
    "markPrice": _mark_prices,
    "forceOrder": _liquidations,
    "compositeIndex": _composite_indices,
    "assetIndex": _asset_indices,
}
"""By kind of stream."""
