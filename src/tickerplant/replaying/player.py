"""Plays the lines of one recorded file into a plant, as fast as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.json import Decoder as JsonDecoder

from tickerplant.decode.decoder import ANSWERS, NECK, Decoder, envelope_of
from tickerplant.decode.readers import PRINTED
from tickerplant.errors import DecodeError
from tickerplant.frames import HEADERS
from tickerplant.hub import Frames, Hub
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.printed import Printed
from tickerplant.recording.line import Line
from tickerplant.replaying.scan import FileScan, Scan

DEFAULT_DEPTH_MS = 250
"""Speed of `<symbol>@depth`, which names none."""


class FastestDepth:
    """Chooses the streams that are applied: of several depth streams of a symbol, the fastest.

    Every speed tells the whole book; applied together, their chains of ids would break each
    other.  A stream that was not known from the beginning counts only for a symbol without one.
    """

    def __init__(self, streams: Iterable[str]) -> None:
        self._chosen: dict[str, str] = {}
        for stream in sorted(streams, key=_speed_ms):
            self(stream)

    def __call__(self, stream: str) -> bool:
        """Return whether the events of `stream` are applied."""
        symbol, _, kind = stream.partition("@")
        if kind.partition("@")[0] != "depth":
            return True
        return self._chosen.setdefault(symbol, stream) == stream

    def __contains__(self, symbol: str) -> bool:
        """Return whether there is a depth stream of `symbol`."""
        return symbol.lower() in self._chosen


def _speed_ms(stream: str) -> int:
    speed = stream.rpartition("@")[2].removesuffix("ms")
    return int(speed) if speed.isdecimal() else DEFAULT_DEPTH_MS


class _Lane:
    """The way of a stream's usual messages: nothing about them is looked up a second time."""

    __slots__ = ("apply", "hub", "kind", "played", "read", "stream", "symbol", "way")

    def __init__(self, stream: str, kind: type[Printed], market: Market, hub: Hub) -> None:
        self.stream = stream
        self.kind = kind
        self.symbol = market.symbol
        self.read: Callable[[bytes], Printed] = JsonDecoder(kind).decode
        self.hub = hub
        self.way: Frames | None = None
        """Where its frames wait while lines are played; None if they have to be sent one by one."""
        self.apply = market.applier(kind)
        self.played = 0

    def send(self, payload: bytes, raw: bytes) -> None:
        """Send a message, and find the way of those that are played after it."""
        self.hub.pass_on(self.stream, payload, raw)
        self.way = self.hub.frames_of(self.stream)


class Player:
    """Plays the lines of one file.

    Args:
        plant: Where the messages go; made from the instruments that were found.
        found: What was found in all files.
        file: What was found in this one.
        applied: Whether the events of a stream are wanted; its messages are sent in any case.
        report: Takes what is incomplete; the same text may come more than once.
    """

    def __init__(
        self,
        plant: Plant,
        found: Scan,
        file: FileScan,
        *,
        applied: Callable[[str], bool],
        report: Callable[[str], None],
    ) -> None:
        self.undecodable = 0
        """Lines left out because they are no message."""
        instruments = {instrument.symbol: instrument for instrument in found.instruments}
        self.decoder = Decoder(instruments, applied, file.answered_symbol)
        self._plant = plant
        self._found = found
        self._file = file
        self._report = report
        self._applied = applied
        self._hubs: dict[str, Hub] = {}
        self._lanes: dict[bytes, _Lane] = {}
        """By what the usual envelope begins with, up to the end of the name."""

    def open_books(self) -> None:
        """Load the snapshots that were recorded soon after the beginning, before it is played.

        Updates from before a snapshot are then passed over until they reach it.
        """
        for raw in self._file.answers:
            for event in self.decoder.decode(raw)[3]:
                self._plant.publish(event)

    def play(self, lines: Sequence[Line]) -> None:
        """Play `lines`: each moves the market's clock, is sent as it was, and is applied."""
        lanes, timers = self._lanes, self._plant.timers
        for _, raw in lines:
            envelope, _, rest = raw.partition(NECK)
            lane = lanes.get(envelope)
            if lane is None:
                self._play_any(raw)
                continue
            payload = rest[:-1]
            try:
                printed = lane.read(payload)
            except ValueError:
                self._play_any(raw)
                continue
            if printed.symbol != lane.symbol:
                self._play_any(raw)
                continue
            if printed.event_time_ms > timers.now_ms:
                timers.approach(printed.event_time_ms)
            way = lane.way
            if way is None:
                lane.send(payload, raw)
            else:
                way.append(HEADERS[len(raw)] + raw)
            lane.apply(printed)
            lane.played += 1
        for lane in lanes.values():
            self._plant.published[lane.kind] += lane.played
            lane.played, lane.way = 0, None

    def _play_any(self, raw: bytes) -> None:
        """Play a line of any form."""
        try:
            stream, payload, time_ms, events = self.decoder.decode(raw)
        except DecodeError as error:
            self._skip(error)
            return
        self._plant.approach(time_ms)
        if stream:
            hub = self._hubs.get(stream) or self._meet(stream)
            hub.pass_on(stream, payload)
        for event in events:
            self._plant.publish(event)

    def report_unapplied(self) -> None:
        """Report every kind of message that was sent on but could not be applied."""
        for kind in self.decoder.unapplied:
            if kind != ANSWERS:
                self._report(f"{self._file.path}: sent on but not applied: {kind}")

    def _meet(self, stream: str) -> Hub:
        """Return the hub of a stream, tell the plant of the stream if it is new, open its lane."""
        venue_name = self._found.stream_venue(stream, self._file)
        hub = self._hubs[stream] = self._plant.hubs[venue_name]
        if stream not in hub.verbatim:
            self._plant.deliver_verbatim(venue_name, [stream])
        symbol, _, topic = stream.partition("@")
        kind = PRINTED.get(topic.partition("@")[0])
        market = self._plant.markets.get(symbol.upper())
        if kind is not None and market is not None and self._applied(stream):
            self._lanes[envelope_of(stream).removesuffix(NECK)] = _Lane(stream, kind, market, hub)
        return hub

    def _skip(self, error: DecodeError) -> None:
        if not self.undecodable:
            self._report(f"{self._file.path}: left out {error}")
        self.undecodable += 1
