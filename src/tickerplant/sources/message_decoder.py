"""Decodes the messages of an upstream into events, as far as a market can use them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import DecodeError as NotJson

from tickerplant.client.rest import is_json
from tickerplant.decode.readers import DecodedEvent, Read
from tickerplant.decode.readers import reader as event_reader
from tickerplant.instrument import Instrument
from tickerplant.market.markets import Markets
from tickerplant.messages.message import Message
from tickerplant.messages.readers import UNREADABLE, Reader, payload_reader, reader
from tickerplant.sources.subscriptions import symbol_of_base
from tickerplant.streams import matches


class _Stream(NamedTuple):
    """How the messages of a stream are decoded."""

    read: Read
    topic: str
    """The symbol or pair of the stream; empty if it is of all."""
    may_be_pair: bool
    """Whether the topic may be a pair."""


class MessageDecoder:
    """Decodes messages, and counts those that cannot be used."""

    def __init__(self, skipped: Counter[str], forward: Callable[[str, bytes], object]) -> None:
        self._skipped = skipped
        self._forward = forward
        self._streams: dict[str, _Stream] = {}
        self._unknown: tuple[str, bytes] | None = None
        """The message that was forwarded undecoded, until the feed is done with it."""

    def payload_reader(self, stream: str) -> Reader:
        """Return the reader of a stream: a full one where a book is made from its messages."""
        symbol = symbol_of_base(stream)
        found = reader(stream) if symbol else payload_reader(stream)

        def decode(payload: bytes) -> Any:
            try:
                message = found.decode(payload)
                if symbol and message.symbol != symbol:
                    raise NotJson(f"a message of another symbol than {symbol}")
            except UNREADABLE:
                self._forward_unknown(stream, payload)
                raise
            return message

        return Reader(decode, found.message, found.array)

    def _forward_unknown(self, stream: str, payload: bytes) -> None:
        """Forward a message of an unknown form, once: the feed decodes it several times."""
        if not is_json(payload):
            return  # or the envelope is written in another way
        if self._unknown == (stream, payload):
            return
        self._unknown = (stream, payload)
        asyncio.get_running_loop().call_soon(self._forget_unknown)
        self._skipped["unknown form"] += 1
        self._forward(stream, payload)

    def _forget_unknown(self) -> None:
        self._unknown = None

    def events(self, message: Message, markets: Markets) -> Sequence[DecodedEvent]:
        """Return the events of a message in `markets`; none if it cannot be decoded.

        Events of other symbols than the stream's are dropped.
        """
        stream = message.stream
        known = self._streams.get(stream) or self._add(stream, markets)
        topic = known.topic
        try:
            _, events = known.read(message.payload)
        except KeyError:
            self._skipped["unknown symbol"] += 1
            return ()
        except (NotJson, ValueError, RecursionError):
            self._skipped["unknown form"] += 1
            return ()
        for event in events:
            if topic and event.symbol != topic:
                return self._of_topic(known, events, markets)
        return events

    def _of_topic(
        self, stream: _Stream, events: Sequence[DecodedEvent], markets: Markets
    ) -> Sequence[DecodedEvent]:
        """Return the events that belong to a stream; count the message if it has others."""
        is_pair = stream.may_be_pair and markets.find_in_universe(stream.topic) is None
        fitting = []
        for event in events:
            market = markets.find_in_universe(event.symbol) if is_pair else None
            pair = "" if market is None else market.instrument.pair
            if stream.topic in {event.symbol, pair}:
                fitting.append(event)
        if len(fitting) < len(events):
            self._skipped["another symbol than that of the stream"] += 1
        return fitting

    def forget(self, stream: str) -> None:
        """Forget a stream that is not subscribed to any more."""
        self._streams.pop(stream, None)

    def _add(self, stream: str, markets: Markets) -> _Stream:
        read = event_reader(stream, _Instruments(markets))
        name, at, _ = stream.partition("@")
        topic = name.upper() if at and not name.startswith("!") else ""
        may_be_pair = any("pair" in args for _, args in matches(markets.venue, stream))
        added = self._streams[stream] = _Stream(read, topic, may_be_pair)
        return added


class _Instruments(Mapping[str, Instrument]):
    """The instruments of markets that come and go."""

    def __init__(self, markets: Markets) -> None:
        self._markets = markets

    def __getitem__(self, symbol: str) -> Instrument:
        market = self._markets.find_in_universe(symbol)
        if market is None:
            raise KeyError(symbol)
        return market.instrument

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and self._markets.find_in_universe(symbol) is not None

    def __iter__(self) -> Iterator[str]:
        return (market.symbol for market in self._markets.universe)

    def __len__(self) -> int:
        return len(self._markets.universe)
