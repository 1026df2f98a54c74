"""Records what a plant sends: a tap on the hub of each venue, which writes a recording.

A tap listens to the same messages as any subscriber, in the same order.  Snapshots come from the
plant's own books, taken between two messages, so they are recorded exactly where they belong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct, structs

from tickerplant.errors import ConfigError
from tickerplant.feed.context import Observer
from tickerplant.formatting import printable
from tickerplant.hub.channel import Listener
from tickerplant.hub.hub import Hub
from tickerplant.instrument import Instrument
from tickerplant.logs import logger
from tickerplant.market.market import Market
from tickerplant.notices import Notice
from tickerplant.plant import Plant
from tickerplant.queries.depth import depth
from tickerplant.queries.exchange_info import coin_exchange_info, exchange_info
from tickerplant.recorder.contracts import Contracts
from tickerplant.recorder.known_books import KnownBooks
from tickerplant.recorder.manifest_writer import ManifestWriter
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.recording.manifest_entries import Connected, InstrumentsListed, SnapshotRecorded
from tickerplant.stream_name import book_of_diffs
from tickerplant.streams.spelling import unknown_reason
from tickerplant.venue import COINM, USDM, Venue

OPTION = "--record-streams"
CONTRACTS = "!contractInfo"
STREAMS_OF_EACH_SYMBOL = ("trade", "bookTicker", "depth@100ms")
STREAMS_OF_ALL_SYMBOLS = ("!markPrice@arr@1s", "!forceOrder@arr", CONTRACTS)
MAX_UNNAMED_SYMBOLS = 50
"""A relay with more symbols upstream must be given the names of streams to record: it subscribes
upstream to everything that it records."""
TICK_S = 0.1
SNAPSHOT_LEVELS = 1_000
"""Levels of each side in a snapshot."""
SNAPSHOT_BUDGET_S = 0.01
"""Longest time for snapshots in one go while the plant is serving, plus one snapshot; each takes
about a millisecond."""
_EXCHANGE_INFO = {USDM.name: exchange_info, COINM.name: coin_exchange_info}


def default_streams(symbols: Iterable[str]) -> list[str]:
    """Return the streams that are recorded of a venue with `symbols` unless streams are named."""
    names = [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in STREAMS_OF_EACH_SYMBOL]
    return [*STREAMS_OF_ALL_SYMBOLS, *names]


def named_streams(names: Sequence[str], venues: Sequence[Venue]) -> dict[str, tuple[str, ...]]:
    """Return the streams to record, by the name of their venue.

    A name that both venues have, such as `!contractInfo`, is recorded for both.

    Raises:
        ConfigError: A name is not a stream of any of these venues.
    """
    chosen: dict[str, list[str]] = {venue.name: [] for venue in venues}
    for name in dict.fromkeys(names):
        doubts = {venue.name: unknown_reason(venue, name) for venue in venues}
        if all(doubts.values()):
            raise ConfigError(OPTION, name, f"a stream ({next(iter(doubts.values()))})")
        for venue_name, doubt in doubts.items():
            if not doubt:
                chosen[venue_name].append(name)
    return {venue_name: tuple(found) for venue_name, found in chosen.items()}


class Tap:
    """Records streams of the hub of one venue.

    Args:
        names: The streams; if empty, the default streams of every symbol, including symbols that
            are listed later.
        host: The host that snapshots are said to come from, such as `http://127.0.0.1:9001`.
        notes_connections: Whether to write into the manifest which streams are connected.
    """

    def __init__(
        self,
        hub: Hub,
        writer: RecordingWriter,
        names: Sequence[str],
        host: str,
        *,
        notes_connections: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.writer = writer
        self.messages = 0
        self._hub = hub
        self._markets = hub.markets
        self._address = f"{host}{self._markets.venue.rest_prefix}/v1/depth"
        self._notes_connections = notes_connections
        self._clock_ns = clock_ns
        self._listeners: dict[str, Listener] = {}
        """By recorded stream."""
        self._default_symbols: set[str] | None = None if names else set()
        """Symbols whose default streams are recorded; None if streams were named."""
        self.snapshots = 0
        self._books = KnownBooks(SNAPSHOT_LEVELS)
        self._book_gaps: dict[str, int] = {}
        """Symbols whose depth updates are recorded, each with the gaps its book has had."""
        self._snapshots_due: dict[str, None] = {}
        """Symbols whose book needs a snapshot, in order."""
        self._instruments: tuple[Instrument, ...] = ()
        """The contracts as they were last noted."""
        self._contracts = Contracts(names or default_streams(()), self._markets.venue)
        self._rotated = self._dropped = 0
        self._is_dropping = self._is_flushing = False
        self._listen(names)
        self._note_contracts()
        self._take_snapshots(inf)  # the plant does not serve yet

    @property
    def streams(self) -> Collection[str]:
        """The streams that are recorded."""
        return self._listeners.keys()

    def _record(self, name: str, payload: bytes) -> None:
        self.writer.add(self._clock_ns(), name, payload)
        self.messages += 1

    def _record_update(self, name: str, payload: bytes) -> None:
        self._record(name, payload)
        if name in self._books and self._books.offer(name, payload, self._markets.now_ms):
            symbol = self._books.symbol_of(name)
            if symbol not in self._snapshots_due:
                self._snapshots_due[symbol] = None
                self._take_snapshots(SNAPSHOT_BUDGET_S)

    def _record_contract(self, name: str, payload: bytes) -> None:
        self._record(name, payload)
        self._note_contracts()
        self._take_snapshots(SNAPSHOT_BUDGET_S)

    def tick(self) -> None:
        """Do what is due; call it about every tenth of a second."""
        self.writer.tick()
        self._note_contracts()
        self._check_books()
        self._take_snapshots(SNAPSHOT_BUDGET_S)

    def close(self, reason: str) -> None:
        """Record the messages that wait, and end the recording because of `reason`."""
        self._hub.flush()
        for listener in self._listeners.values():
            listener.close()
        self.writer.close(reason)

    def _listen(self, names: Iterable[str]) -> None:
        names = tuple(sorted(names))
        if not names:
            return
        for name in names:
            record = self._record_contract if name == CONTRACTS else self._record
            key = book_of_diffs(name)
            if key is not None and key[1] == "depth":
                record = self._record_update
                self._books.add(name)
                self._book_gaps[key[0]] = 0
                self._snapshots_due[key[0]] = None
            self._listeners[name] = self._hub.listen(name, record)
        if self._notes_connections:
            connected = Connected(time_ns=self._clock_ns(), streams=names, connection=1)
            self.writer.note(connected)

    def _note_contracts(self) -> None:
        instruments = tuple(market.instrument for market in self._markets)
        if instruments == self._instruments:
            return
        self._instruments = instruments
        answer = _EXCHANGE_INFO[self._markets.venue.name](self._markets)
        if news := self._contracts.news(msgspec.json.encode(answer)):
            self.writer.note(InstrumentsListed(time_ns=self._clock_ns(), symbols=news))
        if self._default_symbols is not None:
            symbols = self._markets.by_symbol.keys() - self._default_symbols
            self._default_symbols |= symbols
            self._listen(set(default_streams(symbols)).difference(self._listeners))

    def _check_books(self) -> None:
        """Request snapshots in a new segment, after dropped blocks, and after a gap in a book."""
        rotated, dropped = self.writer.rotated, self.writer.totals.dropped
        was_dropping, self._is_dropping = self._is_dropping, dropped > self._dropped
        # While the disk cannot keep up, snapshots would only make it worse.
        if rotated > max(self._rotated, 1) or (was_dropping and not self._is_dropping):
            self._snapshots_due.update(dict.fromkeys(self._book_gaps))
        self._rotated, self._dropped = rotated, dropped
        for symbol, gaps in self._book_gaps.items():
            market = self._markets.by_symbol.get(symbol)
            if market is not None and (market.book_sync.gaps != gaps or not market.book_live):
                self._snapshots_due[symbol] = None

    def _take_snapshots(self, budget_s: float) -> None:
        """Record the snapshots that are due of books in sync, for about `budget_s` at most."""
        if self._is_flushing:
            return
        ready = [
            market
            for symbol in self._snapshots_due
            if (market := self._markets.by_symbol.get(symbol)) is not None and market.book_live
        ]
        if not ready:
            return
        self._is_flushing = True
        self._hub.flush()  # earlier messages are recorded before the snapshot
        self._is_flushing = False
        stop_s = time.monotonic() + budget_s
        for market in ready:
            self._record_book(market)
            if time.monotonic() > stop_s:
                return

    def _record_book(self, market: Market) -> None:
        symbol, now_ns = market.symbol, self._clock_ns()
        answer = depth(self._markets, market, SNAPSHOT_LEVELS)
        body = msgspec.json.encode(answer)
        address = f"{self._address}?symbol={quote(symbol)}&limit={SNAPSHOT_LEVELS}"
        self.writer.add_answer(now_ns, address, body)
        self.snapshots += 1
        self.writer.note(
            SnapshotRecorded(
                time_ns=now_ns,
                symbol=symbol,
                last_update_id=answer.last_update_id,
                levels=SNAPSHOT_LEVELS,
            )
        )
        self._book_gaps[symbol] = market.book_sync.gaps
        key, now_ms = (symbol, "depth"), self._markets.now_ms
        self._books.requested(key, now_ms)
        self._books.load(key, body, now_ms)
        del self._snapshots_due[symbol]


class Source(Protocol):
    """An upstream, as far as a recording needs it."""

    def observe(self, observer: Observer, overhear: Callable[[Notice], object]) -> None:
        """Notify `observer` of connections, and call `overhear` with every notice."""

    def source_of(self, name: str) -> str:
        """Return the upstream stream that the stream `name` is made from."""


class Relayed(Observer):
    """Passes notices of an upstream to the manifest, under the names of the recorded streams.

    A relay subscribes upstream to streams of its own choice and to those of its clients.
    """

    def __init__(
        self, source: Source, recorded: Callable[[], Collection[str]], manifest: ManifestWriter
    ) -> None:
        self._source = source
        self._recorded = recorded
        self._manifest = manifest
        source.observe(self, self.take)

    def take(self, notice: Notice) -> None:
        """Take a notice about streams of the upstream."""
        if names := self._names(notice.streams):
            self._manifest.take(structs.replace(notice, streams=names))

    def delivering(self, connection: int, names: Iterable[str]) -> None:
        """Note that a connection delivers `names`."""
        if recorded := self._names(names):
            self._manifest.delivering(connection, recorded)

    def renewed(self, connection: int, names: Iterable[str]) -> None:
        """Note that a connection replaced another one in time."""
        if recorded := self._names(names):
            self._manifest.renewed(connection, recorded)

    def covered(self, connection: int, names: Iterable[str], reason: str) -> None:
        """Note that one of several connections was lost."""
        if recorded := self._names(names):
            self._manifest.covered(connection, recorded, reason)

    def _names(self, upstream: Iterable[str]) -> tuple[str, ...]:
        """Return the recorded streams that are made from streams of the upstream."""
        sources, source_of = set(upstream), self._source.source_of
        return tuple(name for name in self._recorded() if source_of(name) in sources)


class TapSettings(Struct, frozen=True, kw_only=True):
    """What is recorded of a plant, and where."""

    folder: str = ""
    """Contains a folder for each venue: `usdm`, `coinm`.  If empty, nothing is recorded."""
    names: tuple[str, ...] = ()
    """The streams; if empty, the default streams of every symbol."""
    upstreams: Mapping[str, Source] = {}
    """Where the plant has its messages from, by venue.  An upstream cannot wait for the disk."""


class Taps:
    """Records the venues of a plant until `close`.

    A venue without contracts, or none of whose streams is named, is not recorded.

    Args:
        urls: Where the venues are served, such as `ws://127.0.0.1:9001`, by their names.
        warn: Takes a subject and a warning when a recording is incomplete or ends too soon;
            returns whether the warning is new.

    Raises:
        ConfigError: A name is not a stream, or a relay of many symbols has no names of streams to record.
        RecordingError: A folder cannot be written into.
    """

    def __init__(
        self,
        settings: TapSettings,
        plant: Plant,
        urls: Mapping[str, str],
        warn: Callable[[str, str], bool],
    ) -> None:
        self.taps: dict[str, Tap] = {}
        """By the name of the venue."""
        self._warn = warn
        self._log = logger()
        try:
            for venue, names in _chosen(settings, plant, urls):
                self.taps[venue.name] = _tap(venue, names, settings, plant, urls[venue.name])
        except BaseException:
            self.close("it failed")
            raise
        for name, tap in self.taps.items():
            for repair in tap.writer.repairs:
                self._log.warning(f"! {repair}", venue=name)
            self._log.info(
                "= recording begins", venue=name, streams=len(tap.streams), into=tap.writer.folder
            )

    @property
    def has_failed(self) -> bool:
        """Whether some of the received messages are not on disk."""
        writers = [tap.writer for tap in self.taps.values()]
        return any(writer.failure is not None or writer.totals.dropped for writer in writers)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Do what is due now, and warn about recordings that are incomplete."""
        for name, tap in self.taps.items():
            tap.tick()
            self._check(name, tap.writer)

    def _check(self, name: str, writer: RecordingWriter) -> None:
        if writer.failure_text:
            problem = f"nothing is recorded any more: {writer.failure_text}"
        elif writer.totals.dropped:
            problem = "messages are left out of the recording: the disk cannot keep up"
        else:
            return
        if self._warn(f"{name} recording", f"{name}: {problem}"):
            self._log.error(f"! {problem}", venue=name)

    def close(self, reason: str) -> list[str]:
        """Record the messages that wait, end the recordings; return a line on each."""
        lines = []
        for name, tap in self.taps.items():
            tap.close(reason)
            self._check(name, tap.writer)
            lines.append(_summary(tap))
        return lines


def _chosen(
    settings: TapSettings, plant: Plant, urls: Mapping[str, str]
) -> Iterable[tuple[Venue, Sequence[str]]]:
    venues = [plant.venues[name].venue for name in urls if len(plant.venues[name])]
    if not settings.folder:
        return
    if settings.names:
        named = named_streams(settings.names, venues)
        yield from ((venue, named[venue.name]) for venue in venues if named[venue.name])
        return
    for venue in venues:
        count = len(plant.venues[venue.name])
        if settings.upstreams and count > MAX_UNNAMED_SYMBOLS:
            expected = (
                "the streams to record, such as btcusdt@trade,btcusdt@depth@100ms: "
                f"{venue.title} has {count} symbols upstream, and without names all of them are "
                f"recorded only up to {MAX_UNNAMED_SYMBOLS}"
            )
            raise ConfigError(OPTION, "", expected)
        yield venue, ()


def _tap(venue: Venue, names: Sequence[str], settings: TapSettings, plant: Plant, url: str) -> Tap:
    folder = Path(settings.folder, venue.name)
    if folder.is_symlink():
        raise ConfigError("--record", settings.folder, f"a folder where {venue.name} is no link")
    writer = RecordingWriter(
        str(folder),
        venue=venue,
        url=url,
        profile=plant.profile.name,
        streams=names or default_streams(plant.venues[venue.name].by_symbol),
        settings=WriterSettings(when_full="drop" if settings.upstreams else "wait"),
    )
    source = settings.upstreams.get(venue.name)
    tap = Tap(
        plant.hubs[venue.name],
        writer,
        names,
        url.replace("ws", "http", 1),
        notes_connections=source is None,
    )
    if source is not None:
        Relayed(source, lambda: tap.streams, ManifestWriter(writer.note, writer.add, time.time_ns))
    return tap


def _summary(tap: Tap) -> str:
    writer = tap.writer
    totals = writer.totals
    text = (
        f"Recorded {totals.lines:,} messages and snapshots into {writer.folder}: "
        f"{totals.text_bytes:,} bytes, stored as {totals.stored_bytes:,}"
    )
    if totals.dropped:
        text += f"; {totals.dropped:,} are left out"
    if writer.failure_text:
        text += f": {writer.failure_text}"
    return printable(f"{text}.")
