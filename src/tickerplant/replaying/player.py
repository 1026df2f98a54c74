"""Plays the lines of one recorded file into a plant, applied to its markets or only passed on.

Both players find the stream of a line by the beginning of its envelope, which is known once the
stream was seen.  Everything else goes the slow path, through the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from tickerplant.decode.decoder import Decoder
from tickerplant.decode.readers import RAW_EVENTS, raw_decoder
from tickerplant.envelope import NECK, head_of, wrap
from tickerplant.errors import DecodeError, ImpossibleTimeError
from tickerplant.events import BookSnapshot
from tickerplant.frames import HEADERS
from tickerplant.hub.hub import Sender
from tickerplant.market.market import Market
from tickerplant.plant import Plant
from tickerplant.raw_events import RawEvent
from tickerplant.recording.event_clock import MISTIMED, EventClock, mistimed_text
from tickerplant.recording.line import Line
from tickerplant.replaying.message_times import event_time_ms
from tickerplant.replaying.scan import FileScan, Scan
from tickerplant.stream_name import SNAPSHOT_SUFFIX, parse_stream_name

RUN_LINES = 64
"""Lines that are sent before their events are applied, while the decoded events are still in the
processor's cache."""
SHOWN_BYTES = 60
"""How much of a skipped message is shown."""
SLOW_PATH = (KeyError, ValueError, RecursionError)
"""Raised for a line in an unusual form, of another stream or symbol, or with a suspicious time."""
UNDECODABLE = "no message"
DEPTH_SUFFIXES = ("", "@100ms", "@500ms")
"""What follows `<symbol>@depth` in the names of the streams that local books follow."""
DEFAULT_DEPTH_MS = 250
"""Speed of `<symbol>@depth`, which names none."""


class SkippedLine(Struct, frozen=True):
    """A line that is not played."""

    line: Line
    kind: str
    """`UNDECODABLE` or `MISTIMED`."""
    reason: str


class FastestDepth:
    """Selects the streams that are applied: of several depth streams of a symbol, the fastest.

    Every speed describes the complete book; applied together, their chains of ids would break each
    other.  A stream that was not among `streams` is applied if its symbol has no other.
    """

    def __init__(self, streams: Iterable[str]) -> None:
        self._chosen: dict[str, str] = {}
        for stream in sorted(streams, key=_speed_ms):
            self(stream)

    def __call__(self, stream: str) -> bool:
        """Return whether the events of `stream` are applied."""
        name = parse_stream_name(stream)
        if name.kind != "depth" or name.levels:
            return True
        return self._chosen.setdefault(name.topic, stream) == stream

    def __contains__(self, symbol: str) -> bool:
        """Return whether there is a depth stream of `symbol`."""
        return symbol.lower() in self._chosen


def _speed_ms(stream: str) -> int:
    speed_ms = parse_stream_name(stream).speed_ms
    return DEFAULT_DEPTH_MS if speed_ms is None else speed_ms


class _Senders:
    """The streams of one file, each with what sends its messages to the subscribers."""

    def __init__(self, plant: Plant, found: Scan, file: FileScan) -> None:
        self._plant = plant
        self._found = found
        self._file = file
        self._by_name: dict[str, Sender] = {}

    def get(self, stream: str) -> Sender | None:
        """Return the sender of `stream`; None if no message of it was played yet."""
        return self._by_name.get(stream)

    def open(self, stream: str) -> Sender:
        """Return the sender of a new stream; the plant passes its messages through from now on."""
        venue_name = self._found.stream_venue(stream, self._file)
        hub = self._plant.hubs[venue_name]
        if stream not in hub.publishers.passthrough:
            self._plant.start_passthrough(venue_name, [stream])
        sender = self._by_name[stream] = hub.sender(stream)
        return sender


class _Route:
    """Where the usual messages of one stream go: to its subscribers and to its market."""

    __slots__ = ("apply", "apply_run", "decode", "kind", "run", "sender", "symbol")

    def __init__(self, sender: Sender, kind: type[RawEvent], market: Market) -> None:
        self.sender = sender
        self.kind = kind
        self.symbol = market.symbol
        self.decode = raw_decoder(kind)
        self.apply = market.handler_for(kind)
        self.apply_run = market.batch_handler_for(kind)
        self.run: list[RawEvent] = []
        """Events that were sent and not applied yet, if the market takes several at once."""


class _Unapplied:
    """Events that were sent and not applied yet.

    The order between the runs of different streams does not matter.  Other events are applied one
    by one, each at the market time of its line.
    """

    __slots__ = ("_plant", "routes", "singles")

    def __init__(self, plant: Plant) -> None:
        self.routes: list[_Route] = []
        """The routes with a run."""
        self.singles: list[tuple[int, _Route, RawEvent]] = []
        """Market time in ms, route and event."""
        self._plant = plant

    def apply(self, now_ms: int) -> None:
        """Apply all events, and let market time reach `now_ms`."""
        published, timers = self._plant.published, self._plant.timers
        for route in self.routes:
            published[route.kind] += len(route.run)
            if route.apply_run is not None:
                route.apply_run(route.run)
            route.run.clear()
        self.routes.clear()
        for time_ms, route, event in self.singles:
            if time_ms > timers.now_ms:
                timers.advance_before(time_ms)
            published[route.kind] += 1
            route.apply(event)
        self.singles.clear()
        if now_ms > timers.now_ms:
            timers.advance_before(now_ms)


class Player:
    """Sends the lines of one file to the subscribers, and applies them to the markets.

    Args:
        plant: Takes the messages; made from the instruments in `found`.
        found: The scan of all files.
        file: The scan of this file.
        applied: Whether the events of a stream are applied; its messages are sent in any case.
        clock: Judges the event times of this file; by default, one that trusts its receive times.
        shows_snapshots: See `Plan`.
    """

    def __init__(
        self,
        plant: Plant,
        found: Scan,
        file: FileScan,
        *,
        applied: Callable[[str], bool],
        clock: EventClock | None = None,
        shows_snapshots: bool = False,
    ) -> None:
        self.undecodable = 0
        """Lines skipped because they are not messages."""
        self.mistimed = 0
        """Lines skipped because of a time that cannot be true."""
        self.skipped: list[SkippedLine] = []
        """The first line of each kind that was skipped, until the list is cleared."""
        instruments = {instrument.symbol: instrument for instrument in found.instruments}
        self.decoder = Decoder(instruments, applied, file.only_symbol)
        self._clock = clock or EventClock(file.ahead_ms)
        self._plant = plant
        self._file = file
        self._found = found
        self._applied = applied
        self._shows_snapshots = shows_snapshots
        self._senders = _Senders(plant, found, file)
        self._routes: dict[bytes, _Route] = {}
        """By the beginning of the usual envelope, up to the end of the name."""

    def open_books(self) -> None:
        """Apply the first snapshots recorded soon after the beginning, before the first line is played.

        Updates from before a snapshot are then ignored until they reach it.
        """
        opened: set[str] = set()
        for raw in self._file.snapshots:
            for event in self.decoder.decode(raw)[3]:
                if event.symbol not in opened:
                    opened.add(event.symbol)
                    self._plant.publish(event)

    def play(self, lines: Sequence[Line], *, prompt: bool = False) -> None:
        """Play `lines`: each advances market time, is sent as it was recorded, and is applied.

        While no derived stream has subscribers, several lines are sent before they are applied,
        which leads to the same state with less work.

        Args:
            lines: What to play.
            prompt: In that case, write all lines to the subscribers before any is applied.
        """
        if any(hub.publishers.count for hub in self._plant.hubs.values()):
            self._play_in_turn(lines)
        elif prompt:
            hubs = self._plant.hubs.values()
            for hub in hubs:
                hub.wakes = False
            try:
                self._play_run(lines, prompt=True)
            finally:
                for hub in hubs:
                    hub.wakes = True
                    hub.flush()
        else:
            for start in range(0, len(lines), RUN_LINES):
                self._play_run(lines[start : start + RUN_LINES])

    def _play_in_turn(self, lines: Sequence[Line]) -> None:
        """Play `lines`, and apply each before the next is sent.

        Decodes lines as `_play_run` does: a shared function would cost a call per line.
        """
        routes, timers, published = self._routes, self._plant.timers, self._plant.published
        earliest_ms, latest_ms = self._clock.bounds_ms(lines)
        for line in lines:
            raw = line[1]
            head, _, rest = raw.partition(NECK)
            try:
                route = routes[head]
                payload = rest[:-1]
                event = route.decode(payload)
                if event.symbol != route.symbol:
                    raise KeyError(event.symbol)
                time_ms = event.event_time_ms
                if not earliest_ms <= time_ms <= latest_ms and time_ms:
                    raise KeyError(time_ms)
            except SLOW_PATH:
                self.play_slow(line)
                earliest_ms, latest_ms = self._clock.bounds_ms(lines)
                continue
            if time_ms > timers.now_ms:
                timers.advance_before(time_ms)
            queue = route.sender.queue
            if queue is not None:
                queue(HEADERS[len(raw)] + raw)
            else:
                route.sender.send(payload, raw)
            published[route.kind] += 1
            route.apply(event)

    def _play_run(  # noqa: C901  # functions for its parts would be calls for each line
        self, lines: Sequence[Line], *, prompt: bool = False
    ) -> None:
        routes, now_ms = self._routes, self._plant.now_ms
        unapplied = _Unapplied(self._plant)
        earliest_ms, latest_ms = self._clock.bounds_ms(lines)
        for line in lines:
            raw = line[1]
            head, _, rest = raw.partition(NECK)
            try:
                route = routes[head]
                payload = rest[:-1]
                event = route.decode(payload)
                if event.symbol != route.symbol:
                    raise KeyError(event.symbol)
                time_ms = event.event_time_ms
                if not earliest_ms <= time_ms <= latest_ms and time_ms:
                    raise KeyError(time_ms)
            except SLOW_PATH:
                unapplied.apply(now_ms)
                self.play_slow(line)
                now_ms = self._plant.now_ms
                earliest_ms, latest_ms = self._clock.bounds_ms(lines)
                continue
            if time_ms > now_ms:  # noqa: PLR1730  # a call costs more than all of this
                now_ms = time_ms
            queue = route.sender.queue
            if queue is not None:
                queue(HEADERS[len(raw)] + raw)
            else:
                route.sender.send(payload, raw)
            if route.apply_run is None:
                unapplied.singles.append((now_ms, route, event))
                continue
            run = route.run
            if not run:
                unapplied.routes.append(route)
            run.append(event)
        if prompt:
            for hub in self._plant.hubs.values():
                hub.flush()
        unapplied.apply(now_ms)

    def play_slow(self, line: Line) -> None:
        """Play a line in any form; skip it if it is not a message, or its time cannot be true."""
        received_ns, raw = line
        try:
            stream, payload, time_ms, events = self.decoder.decode(raw)
        except ImpossibleTimeError as error:
            self._skip_mistimed(line, str(error))
            return
        except DecodeError as error:
            if not self.undecodable:
                self.skipped.append(SkippedLine(line, UNDECODABLE, str(error)))
            self.undecodable += 1
            return
        if time_ms and not self._clock.believes(time_ms, received_ns, self._plant.now_ms):
            reason = f"{raw[:SHOWN_BYTES]!r}: {mistimed_text(time_ms, received_ns)}"
            self._skip_mistimed(line, reason)
            return
        self._plant.advance_before(time_ms)
        if stream:
            sender = self._senders.get(stream) or self._open(stream)
            sender.send(payload, b"")
        for event in events:
            if self._shows_snapshots and isinstance(event, BookSnapshot):
                self._show(event.symbol, payload)
            self._plant.publish(event)

    def _show(self, symbol: str, snapshot: bytes) -> None:
        for suffix in DEPTH_SUFFIXES:
            stream = f"{symbol.lower()}@depth{suffix}"
            hub = self._plant.hubs[self._found.stream_venue(stream, self._file)]
            hub.broadcast(stream, snapshot, wrap(stream + SNAPSHOT_SUFFIX, snapshot))

    def _open(self, stream: str) -> Sender:
        """Return the sender of a new stream, and set up its route if its events stay text."""
        sender = self._senders.open(stream)
        name = parse_stream_name(stream)
        kind = None if name.levels else RAW_EVENTS.get(name.kind)
        market = self._plant.markets.get(name.topic.upper())
        if kind is not None and market is not None and self._applied(stream):
            self._routes[head_of(stream)] = _Route(sender, kind, market)
        return sender

    def _skip_mistimed(self, line: Line, reason: str) -> None:
        if not self.mistimed:
            self.skipped.append(SkippedLine(line, MISTIMED, reason))
        self.mistimed += 1


class VerbatimPlayer:
    """Sends the lines of one file to the subscribers, and derives nothing from them.

    Only the stream name of a message is read, and the event times at the end of each run of lines,
    which advance market time.  So a message with a damaged payload is sent as it is.  A message in
    an unusual envelope is decoded, and sent in the usual one.
    """

    def __init__(
        self, plant: Plant, found: Scan, file: FileScan, *, clock: EventClock | None = None
    ) -> None:
        self.undecodable = 0
        """Lines skipped because they are not messages."""
        self.mistimed = 0
        """Always 0: messages are sent whatever their event time."""
        self.skipped: list[SkippedLine] = []
        """The first line that was skipped, until the list is cleared."""
        self.decoder = Decoder({}, applied=lambda _: False)
        self._clock = clock or EventClock(file.ahead_ms)
        self._plant = plant
        self._senders = _Senders(plant, found, file)
        self._by_head: dict[bytes, Sender] = {}
        """By the beginning of the usual envelope, up to the end of the name."""

    def open_books(self) -> None:
        """Do nothing: there are no books."""

    def play(self, lines: Sequence[Line], *, prompt: bool = False) -> None:
        """Send `lines` as they are; market time reaches the last event time that can be true."""
        del prompt  # nothing is applied
        by_head = self._by_head
        for line in lines:
            raw = line[1]
            head, _, rest = raw.partition(NECK)
            sender = by_head.get(head)
            if sender is None:
                self._play_slow(line, head)
            elif (queue := sender.queue) is not None:
                queue(HEADERS[len(raw)] + raw)
            else:
                sender.send(rest[:-1], raw)
        now_ms = self._plant.now_ms
        for received_ns, raw in reversed(lines):
            time_ms = event_time_ms(raw)
            if time_ms and self._clock.believes(time_ms, received_ns, now_ms):
                self._plant.advance_before(time_ms)
                break

    def _play_slow(self, line: Line, head: bytes) -> None:
        try:
            stream, payload, _, _ = self.decoder.decode(line[1])
        except DecodeError as error:
            if not self.undecodable:
                self.skipped.append(SkippedLine(line, UNDECODABLE, str(error)))
            self.undecodable += 1
            return
        if not stream:
            return
        sender = self._senders.get(stream) or self._senders.open(stream)
        sender.send(payload, b"")
        if head == head_of(stream):
            self._by_head[head] = sender
