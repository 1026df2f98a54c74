"""Which recorded streams are played: all, or those that are chosen by name or by symbol.

The others are dropped as they are read: their messages are neither decoded nor sent, and a file
without a chosen stream is not read at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from msgspec import structs

from tickerplant.archive.selection import Selection, missing_names
from tickerplant.decode.requests import requested_symbol
from tickerplant.envelope import HEAD, NAME_AT, split
from tickerplant.errors import ConfigError
from tickerplant.formatting import count_text
from tickerplant.recording.line import Batched, Line
from tickerplant.replaying.scan import FileScan, Scan
from tickerplant.stream_name import StreamParts, parse_stream_name, upper_case
from tickerplant.suggestions import suggestion

MAX_HEADS = 1 << 16
"""Beginnings of messages that are remembered; then all are forgotten."""


def _folded(name: str) -> str:
    """Return a stream name with its symbol in lower case."""
    topic, at, kind = name.partition("@")
    return name if name.startswith("!") else f"{topic.lower()}{at}{kind}"


class Choice:
    """Chooses streams: those of the given names, and of the given symbols, or all.

    A stream of a pair is one of each contract on it.  With symbols, streams of all symbols are not
    chosen; without, they are like any other.

    Args:
        streams: The names; empty: of any name.
        symbols: The symbols, in any case; empty: of any symbol.
    """

    def __init__(self, streams: Collection[str] = (), symbols: Collection[str] = ()) -> None:
        self.streams = frozenset(map(_folded, streams))
        self.symbols = frozenset(map(upper_case, symbols))
        self._topics = self.symbols | {each.partition("_")[0] for each in self.symbols}
        self._by_head: dict[bytes, bool] = {}

    @property
    def is_everything(self) -> bool:
        """Whether every stream is chosen."""
        return not self.streams and not self.symbols

    def has_stream(self, name: str) -> bool:
        """Whether the stream `name` is chosen."""
        if self.streams and _folded(name) not in self.streams:
            return False
        return not self.symbols or _is_about(parse_stream_name(name), self.symbols, self._topics)

    def has_symbol(self, symbol: str) -> bool:
        """Whether anything about a contract, or about its pair, may be chosen."""
        if self.symbols and symbol not in self.symbols:
            return False
        names = [parse_stream_name(name) for name in self.streams]
        topics = {name.symbol for name in names}
        return not names or not all(topics) or not topics.isdisjoint({symbol, _pair(symbol)})

    def keeps(self, raw: bytes) -> bool:
        """Whether a recorded message is played; also the depth snapshots of chosen symbols."""
        if not raw.startswith(HEAD):
            return self._keeps_slow(raw)
        head = raw[: raw.find(b'"', NAME_AT)]
        kept = self._by_head.get(head)
        if kept is None:
            if len(self._by_head) >= MAX_HEADS:
                self._by_head.clear()
            kept = self._by_head[head] = self._keeps_slow(raw)
        return kept

    def _keeps_slow(self, raw: bytes) -> bool:
        if not raw.startswith(b"{"):
            symbol = requested_symbol(raw[: raw.find(b" {")])
            return not symbol or self.has_symbol(symbol)
        try:
            found = split(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True  # it is reported as it is played
        return found is None or self.has_stream(found[0])


EVERYTHING = Choice()


class Chosen:
    """The chosen lines of a recording, read as the recording is."""

    def __init__(self, recording: Batched, choice: Choice) -> None:
        self._recording = recording
        self._keeps = choice.keeps

    def batches(self, start_ns: int = 0, *, pauses: bool = False) -> Iterator[list[Line]]:
        """Yield the chosen lines received at `start_ns` or later, in batches.

        A batch is empty only with `pauses`, once for each that is skipped.
        """
        keeps = self._keeps
        for lines in self._recording.batches(start_ns, pauses=pauses):
            kept = [line for line in lines if keeps(line[1])]
            if kept or pauses:
                yield kept


def chosen(found: Scan, choice: Choice) -> Scan:
    """Return the part of a scan that is about chosen streams.

    Raises:
        ConfigError: A stream or symbol was not recorded, as far as the scan shows; nothing recorded
            is about both.
    """
    if choice.is_everything:
        return found
    recorded = {_folded(name) for file in found.files for name in file.streams}
    paths = ", ".join(file.path for file in found.files[:3])
    known = {each.symbol for each in found.instruments}
    for symbol in sorted(choice.symbols - known):
        expected = f"a symbol in {paths}, which has {count_text(len(known), 'symbol')}"
        raise ConfigError("--symbols", symbol, f"{expected}{suggestion(symbol, known)}")
    # A stream may begin after the lines that were scanned.
    if all(file.is_complete for file in found.files):
        for missing in missing_names(Selection(choice.streams), recorded):
            expected = missing.refusal(paths, len(recorded)).expected
            raise ConfigError("--streams", missing.names[0], expected)
    files = [_chosen_file(file, choice) for file in found.files]
    files = [file for file in files if file.streams or not file.is_complete]
    if not files:
        names = ", ".join(sorted(choice.streams))
        raise ConfigError("--streams", names, f"streams of {', '.join(sorted(choice.symbols))}")
    instruments = tuple(each for each in found.instruments if choice.has_symbol(each.symbol))
    return Scan(tuple(files), instruments, found.start_ms)


def _chosen_file(file: FileScan, choice: Choice) -> FileScan:
    return structs.replace(
        file,
        streams=frozenset(filter(choice.has_stream, file.streams)),
        requested=frozenset(filter(choice.has_symbol, file.requested)),
        snapshots=tuple(filter(choice.keeps, file.snapshots)),
    )


def _is_about(name: StreamParts, symbols: Collection[str], topics: Collection[str]) -> bool:
    is_pair_stream = name.kind in {"indexPrice", "indexPriceKline", "continuousKline"}
    return name.symbol in (topics if is_pair_stream else symbols)


def _pair(symbol: str) -> str:
    return symbol.partition("_")[0]
