"""Records what a plant sends of one venue: a subscriber of its hub that writes a recording.

It hears what every subscriber hears, in the same order.  Snapshots come from the plant's own books,
taken between two turns, so that they stand exactly where they belong among the messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby
from math import inf
from urllib.parse import quote

import msgspec

from tickerplant.frames import payloads
from tickerplant.hub.hub import Hub
from tickerplant.instrument import Instrument
from tickerplant.market.market import Market
from tickerplant.queries.depth import depth
from tickerplant.queries.exchange_info import coin_exchange_info, exchange_info
from tickerplant.recorder.anchors import symbol_of_diffs
from tickerplant.recorder.contracts import Contracts
from tickerplant.recorder.tapped import CONTRACTS, usual_streams
from tickerplant.recorder.writer import RecordingWriter
from tickerplant.recording.manifest_entries import Connected, InstrumentsListed, SnapshotRecorded
from tickerplant.streams import find
from tickerplant.venue import COINM, USDM

LEVELS = 1_000
"""Levels of each side in a snapshot."""
ANCHOR_S = 0.01
"""Longest time that snapshots take in one go while the plant is serving, and one more: each takes
about a millisecond."""
_PAYLOAD = b',"data":'
_EXCHANGE_INFO = {USDM.name: exchange_info, COINM.name: coin_exchange_info}


class Tap:
    """Records streams of a hub.

    Args:
        hub: Of the venue.
        writer: Where to.
        names: The streams; none: the usual ones of every symbol, also of those that are listed
            later.
        host: The host that is said to have answered, as in `http://127.0.0.1:9001`.
        is_told: Whether somebody else tells the manifest which streams are connected.
        clock_ns: When something is received, ns since the epoch.
    """

    def __init__(
        self,
        hub: Hub,
        writer: RecordingWriter,
        names: Sequence[str],
        host: str,
        *,
        is_told: bool = False,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.writer = writer
        self.messages = 0
        """Messages that were heard."""
        self.heard_bytes = 0
        """Bytes of their frames."""
        self._hub = hub
        self._markets = hub.markets
        self._address = f"{host}{self._markets.venue.rest_prefix}/v1/depth"
        self._is_told = is_told
        self._clock_ns = clock_ns
        self._names: dict[bytes, str] = {}
        """The recorded streams by how the envelope of their messages begins."""
        self._followed: set[str] | None = None if names else set()
        """Symbols of which the usual streams are recorded; None if streams were named."""
        self._symbols: dict[str, int] = {}
        """Symbols whose changes of the book are recorded, each with the gaps its book has had."""
        self._unanchored: dict[str, None] = {}
        """Those of which a snapshot is wanted."""
        self._instruments: tuple[Instrument, ...] = ()
        """The contracts as they were last told."""
        self._contracts = Contracts(names or usual_streams(()), self._markets.venue)
        self._rotated = self._dropped = 0
        self._is_dropping = False
        hub.set_combined(self, combined=True)
        self._hear(names)
        self._look_at_contracts()
        self._anchor(inf)  # nobody is served yet

    @property
    def streams(self) -> Collection[str]:
        """The streams that are recorded."""
        return self._names.values()

    def write(self, data: bytes) -> None:
        """Record whole frames."""
        now_ns = self._clock_ns()
        add, names = self.writer.add, self._names
        have_contracts_changed = False
        for message in payloads(data):
            head, _, rest = message.partition(_PAYLOAD)
            name = names[head]
            add(now_ns, name, rest[:-1])
            self.messages += 1
            have_contracts_changed |= name == CONTRACTS
        self.heard_bytes += len(data)
        if have_contracts_changed:  # what is listed now is to be heard from its first message
            self._look_at_contracts()
            self._anchor(ANCHOR_S)

    def tick(self) -> None:
        """Do what is due: to be called about every tenth of a second."""
        self.writer.tick()
        self._look_at_contracts()
        self._look_at_books()
        self._anchor(ANCHOR_S)

    def close(self, reason: str) -> None:
        """Record what waits, and end the recording because of `reason`."""
        self._hub.flush()
        self._hub.remove(self)
        self.writer.close(reason)

    def _hear(self, names: Iterable[str]) -> None:
        """Record `names` from now on."""
        names = tuple(sorted(names))
        if not names:
            return
        self._names.update({b'{"stream":%b' % msgspec.json.encode(name): name for name in names})
        for route, routed in groupby(sorted(names, key=self._route), self._route):
            self._hub.subscribe(self, routed, route)
        if not self._is_told:
            connected = Connected(time_ns=self._clock_ns(), streams=names, connection=1)
            self.writer.note(connected)
        for name in names:
            if symbol := symbol_of_diffs(name):
                self._symbols[symbol] = 0
                self._unanchored[symbol] = None

    def _route(self, name: str) -> str:
        """Return the path on which a strict hub delivers a stream."""
        found = find(self._markets, name)
        return "public" if found is None else found[0].route

    def _look_at_contracts(self) -> None:
        """Tell of contracts that are new or have changed, and record the streams of the new."""
        instruments = tuple(market.instrument for market in self._markets)
        if instruments == self._instruments:
            return
        self._instruments = instruments
        answer = _EXCHANGE_INFO[self._markets.venue.name](self._markets)
        if news := self._contracts.news(msgspec.json.encode(answer)):
            self.writer.note(InstrumentsListed(time_ns=self._clock_ns(), symbols=news))
        if self._followed is not None:
            symbols = self._markets.by_symbol.keys() - self._followed
            self._followed |= symbols
            self._hear(set(usual_streams(symbols)).difference(self._names.values()))

    def _look_at_books(self) -> None:
        """Want snapshots in a new segment, and of what was torn from its last one."""
        rotated, dropped = self.writer.rotated, self.writer.totals.dropped
        was_dropping, self._is_dropping = self._is_dropping, dropped > self._dropped
        # While the disk cannot keep up, snapshots would only make it worse.
        if rotated > max(self._rotated, 1) or (was_dropping and not self._is_dropping):
            self._unanchored.update(dict.fromkeys(self._symbols))
        self._rotated, self._dropped = rotated, dropped
        for symbol, gaps in self._symbols.items():
            market = self._markets.by_symbol.get(symbol)
            if market is not None and (market.book_sync.gaps != gaps or not market.book_live):
                self._unanchored[symbol] = None

    def _anchor(self, budget_s: float) -> None:
        """Record snapshots of books of which one is wanted, as far as they are whole."""
        ready = [
            market
            for symbol in self._unanchored
            if (market := self._markets.by_symbol.get(symbol)) is not None and market.book_live
        ]
        if not ready:
            return
        self._hub.flush()  # what was before the snapshot stands before it
        stop_s = time.monotonic() + budget_s
        for market in ready:
            self._record_book(market)
            if time.monotonic() > stop_s:
                return

    def _record_book(self, market: Market) -> None:
        symbol, now_ns = market.symbol, self._clock_ns()
        answer = depth(self._markets, market, LEVELS)
        address = f"{self._address}?symbol={quote(symbol)}&limit={LEVELS}"
        self.writer.add_answer(now_ns, address, msgspec.json.encode(answer))
        self.writer.note(
            SnapshotRecorded(
                time_ns=now_ns,
                symbol=symbol,
                last_update_id=answer.last_update_id,
                levels=LEVELS,
            )
        )
        self._symbols[symbol] = market.book_sync.gaps
        del self._unanchored[symbol]
