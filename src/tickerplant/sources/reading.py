"""How the messages of an upstream are read: as far as a market can take them in."""

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
from tickerplant.sources.wanted import symbol_of_base
from tickerplant.streams import matches


class _Row(NamedTuple):
    """How the messages of a stream are read."""

    read: Read
    topic: str
    """The symbol or pair that the stream is of; empty if it is of all."""
    may_be_pair: bool
    """Whether the topic may be a pair."""


class Reading:
    """Reads what comes, and counts what cannot be read.

    Args:
        left_out: Messages that were not taken in are counted here, by what was wrong with them.
        pass_on: Is called with the stream and the payload of a message in no known form.
    """

    def __init__(self, left_out: Counter[str], pass_on: Callable[[str, bytes], object]) -> None:
        self._left_out = left_out
        self._pass_on = pass_on
        self._rows: dict[str, _Row] = {}
        self._unread: tuple[str, bytes] | None = None
        """What was passed on and could not be read, until the feed has no more to do with it."""

    def payload_reader(self, stream: str) -> Reader:
        """Return how messages are read: whole where a book is made of them."""
        symbol = symbol_of_base(stream)
        found = reader(stream) if symbol else payload_reader(stream)

        def decode(payload: bytes) -> Any:
            try:
                message = found.decode(payload)
                if symbol and message.symbol != symbol:
                    raise NotJson(f"a message of another symbol than {symbol}")
            except UNREADABLE:
                self._pass_unread(stream, payload)
                raise
            return message

        return Reader(decode, found.message, found.array)

    def _pass_unread(self, stream: str, payload: bytes) -> None:
        """Pass on what is not in a known form; the feed, which reads it again and again, does not."""
        if not is_json(payload):
            return  # or it is the envelope that is written in another way
        if self._unread == (stream, payload):
            return
        self._unread = (stream, payload)
        asyncio.get_running_loop().call_soon(self._forget_unread)
        self._left_out["unknown form"] += 1
        self._pass_on(stream, payload)

    def _forget_unread(self) -> None:
        self._unread = None

    def events(self, message: Message, markets: Markets) -> Sequence[DecodedEvent]:
        """Return what happened in `markets`, nothing if that cannot be read.

        What a message of one symbol says of another is no part of it.
        """
        stream = message.stream
        row = self._rows.get(stream) or self._row(stream, markets)
        topic = row.topic
        try:
            _, events = row.read(message.payload)
        except KeyError:
            self._left_out["unknown symbol"] += 1
            return ()
        except (NotJson, ValueError, RecursionError):
            self._left_out["unknown form"] += 1
            return ()
        for event in events:
            if topic and event.symbol != topic:
                return self._of_topic(row, events, markets)
        return events

    def _of_topic(
        self, row: _Row, events: Sequence[DecodedEvent], markets: Markets
    ) -> Sequence[DecodedEvent]:
        """Return those of the events that a stream can have; count the message if it has others."""
        is_pair = row.may_be_pair and markets.find_in_universe(row.topic) is None
        fitting = []
        for event in events:
            market = markets.find_in_universe(event.symbol) if is_pair else None
            pair = "" if market is None else market.instrument.pair
            if row.topic in {event.symbol, pair}:
                fitting.append(event)
        if len(fitting) < len(events):
            self._left_out["another symbol than that of the stream"] += 1
        return fitting

    def forget(self, stream: str) -> None:
        """Take note that a stream does not come any more."""
        self._rows.pop(stream, None)

    def _row(self, stream: str, markets: Markets) -> _Row:
        read = event_reader(stream, _Instruments(markets))
        name, at, _ = stream.partition("@")
        topic = name.upper() if at and not name.startswith("!") else ""
        may_be_pair = any("pair" in args for _, args in matches(markets.venue, stream))
        row = self._rows[stream] = _Row(read, topic, may_be_pair)
        return row


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
