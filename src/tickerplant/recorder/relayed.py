"""What an upstream tells of its streams, in the manifest of a recording of the relay.

A relay asks its upstream for streams of its own choice, and for those of its clients; the manifest
is told of what is recorded, by the names under which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from msgspec import structs

from tickerplant.feed.observer import Observer
from tickerplant.messages.notice import Notice
from tickerplant.recorder.manifest_writer import ManifestWriter


class Source(Protocol):
    """An upstream, as far as the recording of what it tells knows it."""

    def observe(self, observer: Observer, overhear: Callable[[Notice], object]) -> None:
        """Tell `observer` of connections, and `overhear` what consumers are told."""
        ...

    def source_of(self, name: str) -> str:
        """Return the stream of the upstream that a stream is made from."""
        ...


class Relayed(Observer):
    """Passes on what an upstream tells of the streams that are recorded.

    Args:
        source: The upstream.
        recorded: Returns the streams that are recorded.
        manifest: Writes the entries.
    """

    def __init__(
        self, source: Source, recorded: Callable[[], Collection[str]], manifest: ManifestWriter
    ) -> None:
        self._source = source
        self._recorded = recorded
        self._manifest = manifest
        source.observe(self, self.take)

    def take(self, notice: Notice) -> None:
        """Take what consumers are told."""
        if names := self._names(notice.streams):
            self._manifest.take(structs.replace(notice, streams=names))

    def carried(self, link: int, names: Iterable[str]) -> None:
        """Take note that a connection carries what `names` are made into."""
        if recorded := self._names(names):
            self._manifest.carried(link, recorded)

    def renewed(self, link: int, names: Iterable[str]) -> None:
        """Take note that a connection took the place of another."""
        if recorded := self._names(names):
            self._manifest.renewed(link, recorded)

    def spared(self, link: int, names: Iterable[str], reason: str) -> None:
        """Take note that one of several connections was lost."""
        if recorded := self._names(names):
            self._manifest.spared(link, recorded, reason)

    def _names(self, upstream: Iterable[str]) -> tuple[str, ...]:
        """Return the recorded streams that are made from streams of the upstream."""
        told, source_of = set(upstream), self._source.source_of
        return tuple(name for name in self._recorded() if source_of(name) in told)
