"""What happens to the upstream's streams, in the manifest of a relay's recording.

A relay subscribes upstream to streams of its own choice and to those of its clients.  The manifest
names the recorded streams instead, under the names that they have here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from msgspec import structs

from tickerplant.feed.context import Observer
from tickerplant.notices import Notice
from tickerplant.recorder.manifest_writer import ManifestWriter


class Source(Protocol):
    """An upstream, as far as a recording needs it."""

    def observe(self, observer: Observer, overhear: Callable[[Notice], object]) -> None:
        """Notify `observer` of connections, and call `overhear` with every notice."""

    def source_of(self, name: str) -> str:
        """Return the upstream stream that the stream `name` is made from."""


class Relayed(Observer):
    """Passes notices of an upstream to the manifest, under the names of the recorded streams."""

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
