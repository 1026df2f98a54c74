"""Plays recorded streams as they are, and keeps nothing of what they say.

Of a message only the name of its stream is looked at, and of those that are played together the
event time of the last that has one that can be true: market time goes on, but no market hears of anything.  So a
message whose payload is damaged is sent as it is.  What is not in the usual envelope is decoded,
and sent in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tickerplant.decode.decoder import Decoder
from tickerplant.envelope import HEAD, NECK, head_of
from tickerplant.errors import DecodeError, RequestError
from tickerplant.frames import HEADERS
from tickerplant.hub.hub import Hub, Sender
from tickerplant.plant import Plant
from tickerplant.queries.query import Query
from tickerplant.recording.event_clock import EventClock
from tickerplant.recording.line import Line
from tickerplant.replaying.event_time import event_time_ms
from tickerplant.replaying.scan import FileScan, Scan

NO_STATE = -1
"""Code of the error that everything is answered with that asks for state."""
_CONTRACTS = "/v1/exchangeInfo"
"""The question about a market that needs no more than was seen before the replay."""


class VerbatimPlayer:
    """Plays the lines of one file; does what `Player` does, but for all that follows from them.

    Args:
        plant: Where the messages go.
        found: What was found in all files.
        file: What was found in this one.
        report: Takes what is incomplete; the same text may come more than once.
        clock: Judges the event times of this file; None is one that trusts its receive times.
    """

    def __init__(
        self,
        plant: Plant,
        found: Scan,
        file: FileScan,
        *,
        report: Callable[[str], None],
        clock: EventClock | None = None,
    ) -> None:
        self.undecodable = 0
        """Lines left out because they are no message."""
        self.mistimed = 0
        """Lines left out because of their event time: none, they are sent as they are."""
        self._clock = clock or EventClock(file.ahead_ms)
        self.decoder = Decoder({}, applied=lambda _: False)
        self._plant = plant
        self._found = found
        self._file = file
        self._report = report
        self._hubs: dict[str, Hub] = {}
        """By stream."""
        self._senders: dict[bytes, Sender] = {}
        """By what the usual envelope begins with, up to the end of the name."""

    def open_books(self) -> None:
        """Do nothing: there are no books."""

    def report_unapplied(self) -> None:
        """Report nothing: no message is applied."""

    def play(self, lines: Sequence[Line], *, prompt: bool = False) -> None:
        """Send `lines` as they are; the market's clock reaches the last of them."""
        del prompt  # nothing is applied that they could wait for
        senders = self._senders
        for _, raw in lines:
            name = raw.partition(NECK)[0]
            sender = senders.get(name)
            if sender is None:
                self._play_any(name, raw)
            elif (queue := sender.queue) is not None:
                queue(HEADERS[len(raw)] + raw)
            else:
                sender.send(raw[len(name) + len(NECK) : -1], raw)
        now_ms, believes = self._plant.now_ms, self._clock.believes
        for received_ns, raw in reversed(lines):
            time_ms = event_time_ms(raw)
            if time_ms and believes(time_ms, received_ns, now_ms):
                self._plant.advance_before(time_ms)
                break

    def _play_any(self, name: bytes, raw: bytes) -> None:
        """Play a line of any form."""
        try:
            stream, payload, _, _ = self.decoder.decode(raw)
        except DecodeError as error:
            if not self.undecodable:
                self._report(f"{self._file.path}: left out {error}")
            self.undecodable += 1
            return
        if not stream:
            return
        hub = self._hubs.get(stream) or self._meet(stream)
        hub.broadcast(stream, payload)
        if raw.startswith(HEAD) and head_of(stream) == name:
            self._senders[name] = hub.sender(stream)

    def _meet(self, stream: str) -> Hub:
        """Return the hub of a stream, tell the plant of the stream if it is new."""
        venue_name = self._found.stream_venue(stream, self._file)
        hub = self._hubs[stream] = self._plant.hubs[venue_name]
        if stream not in hub.publishers.passthrough:
            self._plant.start_passthrough(venue_name, [stream])
        return hub


class Stateless:
    """A forwarder that refuses what only markets know that have heard of what was recorded."""

    counts: Mapping[str, int] = {}

    def wants(self, query: Query, _params: Mapping[str, object]) -> bool:
        """Let questions about the server and its contracts be answered here.

        Raises:
            RequestError: the question is about the state of a market.
        """
        if query.is_market_data and query.path != _CONTRACTS:
            message = "The replay is verbatim and keeps no derived state: this is not known."
            raise RequestError(NO_STATE, message, 503)
        return False

    async def answer(self, _query: Query, _params: Mapping[str, object]) -> bytes:
        """Answer nothing; it is never asked."""
        raise NotImplementedError
