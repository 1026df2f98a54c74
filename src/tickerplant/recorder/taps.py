"""The taps of a plant, one for each venue, with what people hear of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from tickerplant.errors import ConfigError
from tickerplant.formatting import printable
from tickerplant.logs import logger
from tickerplant.plant import Plant
from tickerplant.recorder.noting import Noting
from tickerplant.recorder.relayed import Relayed, Source
from tickerplant.recorder.tap import Tap
from tickerplant.recorder.tapped import OPTION, named_streams, usual_streams
from tickerplant.recorder.writer import RecordingWriter, WriterSettings
from tickerplant.venue import Venue

TICK_S = 0.1
MOST_UNNAMED = 50
"""Symbols of an upstream of which the usual streams are recorded although nobody named them: a
relay asks its upstream for everything that is recorded."""


class Warns(Protocol):
    """Who tells that something is wrong while all else goes on."""

    def warn(self, subject: str, text: str) -> bool:
        """List `text` until `subject` has another warning."""
        ...


class Tapping(Struct, frozen=True, kw_only=True):
    """What is to be recorded of a plant, and where."""

    folder: str
    """Holds a folder for each venue: `usdm`, `coinm`."""
    names: tuple[str, ...] = ()
    """The streams; none: the usual ones of every symbol."""
    upstreams: Mapping[str, Source] = {}
    """Where the plant has its messages from, by venue.  An upstream cannot wait for the disk, and is
    asked for very much only if that was said."""


NOTHING = Tapping(folder="")
"""Nothing is recorded."""


class Taps:
    """Records the venues of a plant until `close`.

    A venue without contracts, or of which no stream is named, is not recorded.

    Args:
        tapping: What and where.
        plant: Who tells it.
        urls: Where the venues are served, such as `ws://127.0.0.1:9001`, by their names.
        warns: Is told when a recording has come to its end before its time.

    Raises:
        ConfigError: a stream is none, or nobody said which of very many are to be recorded.
        RecordingError: a folder cannot be written into.
    """

    def __init__(
        self, tapping: Tapping, plant: Plant, urls: Mapping[str, str], warns: Warns
    ) -> None:
        self._taps: dict[str, Tap] = {}
        self._warns = warns
        self._warned: set[str] = set()
        self._log = logger()
        try:
            for venue, names in _chosen(tapping, plant, urls):
                self._taps[venue.name] = _tap(venue, names, tapping, plant, urls[venue.name])
        except BaseException:
            self.close("it failed")
            raise
        for name, tap in self._taps.items():
            for repair in tap.writer.repairs:
                self._log.warning(f"! {repair}", venue=name)
            self._log.info(
                "= recording begins", venue=name, streams=len(tap.streams), into=tap.writer.folder
            )

    @property
    def messages(self) -> int:
        """Messages that were heard."""
        return sum(tap.messages for tap in self._taps.values())

    @property
    def heard_bytes(self) -> int:
        """Bytes of their frames."""
        return sum(tap.heard_bytes for tap in self._taps.values())

    @property
    def has_failed(self) -> bool:
        """Whether not all that was heard is on disk."""
        writers = [tap.writer for tap in self._taps.values()]
        return any(writer.failure is not None or writer.totals.dropped for writer in writers)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            for name, tap in self._taps.items():
                tap.tick()
                self._look_at(name, tap.writer)

    def _look_at(self, name: str, writer: RecordingWriter) -> None:
        """Tell once when a recording lacks something."""
        if writer.failure_text:
            lack = f"nothing is recorded any more: {writer.failure_text}"
        elif writer.totals.dropped:
            lack = "messages are left out of the recording: the disk cannot keep up"
        else:
            return
        if self._warns.warn(f"{name} recording", f"{name}: {lack}"):
            self._log.error(f"! {lack}", venue=name)

    def close(self, reason: str) -> list[str]:
        """Record what waits, end the recordings because of `reason`; return a line on each."""
        lines = []
        for tap in self._taps.values():
            tap.close(reason)
            lines.append(_conclusion(tap))
        return lines


def _chosen(
    tapping: Tapping, plant: Plant, urls: Mapping[str, str]
) -> Iterable[tuple[Venue, Sequence[str]]]:
    """Yield the venues that are recorded, each with the streams that are named, or none."""
    venues = [plant.venues[name].venue for name in urls if len(plant.venues[name])]
    if not tapping.folder:
        return
    if tapping.names:
        named = named_streams(tapping.names, venues)
        yield from ((venue, named[venue.name]) for venue in venues if named[venue.name])
        return
    for venue in venues:
        count = len(plant.venues[venue.name])
        if tapping.upstreams and count > MOST_UNNAMED:
            expected = (
                "the streams to record, such as btcusdt@trade,btcusdt@depth@100ms: "
                f"{venue.title} has {count} symbols upstream, and without names all of them are "
                f"recorded only up to {MOST_UNNAMED}"
            )
            raise ConfigError(OPTION, "", expected)
        yield venue, ()


def _tap(venue: Venue, names: Sequence[str], tapping: Tapping, plant: Plant, url: str) -> Tap:
    writer = RecordingWriter(
        str(Path(tapping.folder, venue.name)),
        venue=venue,
        url=url,
        profile=plant.profile.name,
        streams=names or usual_streams(plant.venues[venue.name].by_symbol),
        settings=WriterSettings(when_full="drop" if tapping.upstreams else "wait"),
    )
    source = tapping.upstreams.get(venue.name)
    tap = Tap(
        plant.hubs[venue.name],
        writer,
        names,
        url.replace("ws", "http", 1),
        is_told=source is not None,
    )
    if source is not None:
        Relayed(source, lambda: tap.streams, Noting(writer.note, writer.add, time.time_ns))
    return tap


def _conclusion(tap: Tap) -> str:
    """Return what was recorded, in one line."""
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
