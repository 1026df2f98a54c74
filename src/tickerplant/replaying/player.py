"""Plays the lines of one recorded file into a plant, as fast as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tickerplant.decode.decoder import ANSWERS, Decoder
from tickerplant.decode.readers import RAW_EVENTS, raw_decoder
from tickerplant.envelope import NECK, head_of
from tickerplant.errors import DecodeError, ImpossibleTimeError
from tickerplant.frames import HEADERS
from tickerplant.hub.hub import Hub
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.raw_events import RawEvent
from tickerplant.recording.event_clock import MISTIMED, EventClock, mistimed_text
from tickerplant.recording.line import Line
from tickerplant.replaying.scan import FileScan, Scan

RUN_LINES = 64
"""Lines that are sent before what they say is applied: what was decoded should still be in the
processor's cache then, and the collector should not come to see it."""
SHOWN_BYTES = 60
"""As much of a message that is left out is shown."""
UNUSUAL = (KeyError, ValueError, RecursionError)
"""What is raised where a line is not in the usual form, of another stream or symbol, or its time
needs a closer look."""
UNDECODABLE = "no message"
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

    __slots__ = ("apply", "apply_run", "kind", "read", "run", "sender", "symbol")

    def __init__(self, stream: str, kind: type[RawEvent], market: Market, hub: Hub) -> None:
        self.kind = kind
        self.symbol = market.symbol
        self.read = raw_decoder(kind)
        self.sender = hub.sender(stream)
        self.apply = market.handler_for(kind)
        self.apply_run = market.batch_handler_for(kind)
        self.run: list[RawEvent] = []
        """What was sent and waits to be applied, if many can be at once."""


class _Waiting:
    """What was sent and waits to be applied.

    Runs of events replace each other, whatever happens meanwhile; the others take turns, each when
    market time is what it was at its line.
    """

    __slots__ = ("_plant", "lanes", "turns")

    def __init__(self, plant: Plant) -> None:
        self.lanes: list[_Lane] = []
        """Those that have a run."""
        self.turns: list[tuple[int, _Lane, RawEvent]] = []
        """Market time in ms, whose event it is, and the event."""
        self._plant = plant

    def settle(self, now_ms: int) -> None:
        """Apply everything; market time is `now_ms` then."""
        published, timers = self._plant.published, self._plant.timers
        for lane in self.lanes:
            published[lane.kind] += len(lane.run)
            if lane.apply_run is not None:
                lane.apply_run(lane.run)
            lane.run.clear()
        self.lanes.clear()
        for at_ms, lane, printed in self.turns:
            if at_ms > timers.now_ms:
                timers.advance_before(at_ms)
            published[lane.kind] += 1
            lane.apply(printed)
        self.turns.clear()
        if now_ms > timers.now_ms:
            timers.advance_before(now_ms)


class Player:
    """Plays the lines of one file.

    Args:
        plant: Where the messages go; made from the instruments that were found.
        found: What was found in all files.
        file: What was found in this one.
        applied: Whether the events of a stream are wanted; its messages are sent in any case.
        report: Takes what is incomplete; the same text may come more than once.
        clock: Judges the event times of this file; None is one that trusts its receive times.
        report_line: Takes which of the lines that are played is left out, by its number among them,
            what kind of damage it is, and in words; None is `report`.
    """

    def __init__(
        self,
        plant: Plant,
        found: Scan,
        file: FileScan,
        *,
        applied: Callable[[str], bool],
        report: Callable[[str], None],
        clock: EventClock | None = None,
        report_line: Callable[[int, str, str], None] | None = None,
    ) -> None:
        self.undecodable = 0
        """Lines left out because they are no message."""
        self.mistimed = 0
        """Lines left out because of a time that cannot be true."""
        self._clock = clock or EventClock(file.ahead_ms)
        self._report_line = report_line
        self._lines: Sequence[Line] = ()
        """What is being played."""
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

    def play(self, lines: Sequence[Line], *, prompt: bool = False) -> None:
        """Play `lines`: each moves the market's clock, is sent as it was, and is applied.

        While nobody hears what follows from them, a few at a time are sent and then applied: the
        markets come to the same, with less to do.

        Args:
            lines: What is played.
            prompt: If nobody hears what follows, all are with the subscribers before any is
                applied.
        """
        self._lines = lines
        if any(hub.publishers.count for hub in self._plant.hubs.values()):
            self._play_in_turn(lines)
        elif prompt:
            self._play_run(lines, prompt=True)
        else:
            for start in range(0, len(lines), RUN_LINES):
                self._play_run(lines[start : start + RUN_LINES])

    def _play_in_turn(self, lines: Sequence[Line]) -> None:
        """Play `lines`; what follows from one comes before the next.

        A line is read here as in `_play_run`: a function for both would be a call for each line.
        """
        lanes, timers, published = self._lanes, self._plant.timers, self._plant.published
        earliest_ms, latest_ms = self._clock.bounds_ms(lines)
        for line in lines:
            raw = line[1]
            head, _, rest = raw.partition(NECK)
            try:
                lane = lanes[head]
                payload = rest[:-1]
                printed = lane.read(payload)
                if printed.symbol != lane.symbol:
                    raise KeyError(printed.symbol)
                time_ms = printed.event_time_ms
                if not earliest_ms <= time_ms <= latest_ms and time_ms:
                    raise KeyError(time_ms)
            except UNUSUAL:
                self._play_any(line)
                earliest_ms, latest_ms = self._clock.bounds_ms(lines)
                continue
            if time_ms > timers.now_ms:
                timers.advance_before(time_ms)
            queue = lane.sender.queue
            if queue is not None:
                queue(HEADERS[len(raw)] + raw)
            else:
                lane.sender.send(payload, raw)
            published[lane.kind] += 1
            lane.apply(printed)

    def _play_run(  # noqa: C901  # functions for its parts would be calls for each line
        self, lines: Sequence[Line], *, prompt: bool = False
    ) -> None:
        """Play `lines`; what they say is applied at the end."""
        lanes, now_ms = self._lanes, self._plant.now_ms
        waiting = _Waiting(self._plant)
        earliest_ms, latest_ms = self._clock.bounds_ms(lines)
        for line in lines:
            raw = line[1]
            head, _, rest = raw.partition(NECK)
            try:
                lane = lanes[head]
                payload = rest[:-1]
                printed = lane.read(payload)
                if printed.symbol != lane.symbol:
                    raise KeyError(printed.symbol)
                time_ms = printed.event_time_ms
                if not earliest_ms <= time_ms <= latest_ms and time_ms:
                    raise KeyError(time_ms)
            except UNUSUAL:
                waiting.settle(now_ms)
                self._play_any(line)
                now_ms = self._plant.now_ms
                earliest_ms, latest_ms = self._clock.bounds_ms(lines)
                continue
            if time_ms > now_ms:  # noqa: PLR1730  # a call costs more than all of this
                now_ms = time_ms
            queue = lane.sender.queue
            if queue is not None:
                queue(HEADERS[len(raw)] + raw)
            else:
                lane.sender.send(payload, raw)
            if lane.apply_run is None:
                waiting.turns.append((now_ms, lane, printed))
                continue
            run = lane.run
            if not run:
                waiting.lanes.append(lane)
            run.append(printed)
        if prompt:
            for hub in self._plant.hubs.values():
                hub.flush()
        waiting.settle(now_ms)

    def _play_any(self, line: Line) -> None:
        """Play a line of any form; leave it out if it is no message, or its time cannot be true."""
        received_ns, raw = line
        try:
            stream, payload, time_ms, events = self.decoder.decode(raw)
        except ImpossibleTimeError as error:
            self.mistimed += 1
            self._leave_out(line, MISTIMED, str(error))
            return
        except DecodeError as error:
            self.undecodable += 1
            self._leave_out(line, UNDECODABLE, str(error))
            return
        if time_ms and not self._clock.believes(time_ms, received_ns, self._plant.now_ms):
            self.mistimed += 1
            text = f"{raw[:SHOWN_BYTES]!r}: {mistimed_text(time_ms, received_ns)}"
            self._leave_out(line, MISTIMED, text)
            return
        self._plant.advance_before(time_ms)
        if stream:
            hub = self._hubs.get(stream) or self._meet(stream)
            hub.broadcast(stream, payload)
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
        if stream not in hub.publishers.passthrough:
            self._plant.start_passthrough(venue_name, [stream])
        symbol, _, topic = stream.partition("@")
        kind = RAW_EVENTS.get(topic.partition("@")[0])
        market = self._plant.markets.get(symbol.upper())
        if kind is not None and market is not None and self._applied(stream):
            self._lanes[head_of(stream)] = _Lane(stream, kind, market, hub)
        return hub

    def _leave_out(self, line: Line, kind: str, text: str) -> None:
        """Report a line that is left out, if it is the first of its kind."""
        if {UNDECODABLE: self.undecodable, MISTIMED: self.mistimed}[kind] > 1:
            return
        if self._report_line is None:
            self._report(f"{self._file.path}: left out {text}")
            return
        number = next(n for n, each in enumerate(self._lines) if each is line)
        self._report_line(number, kind, text)
