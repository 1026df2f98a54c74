"""What the journal of a recording says of connections and streams, as a feed tells it.

The feed tells two sides: its consumers hear what costs them something (`Notice`), its observer hears
which connection carries what.  Here both become entries, each fact once:

- `connected` when a server says that it tells streams on a connection, and, with for how long they
  were not heard, when they are heard again;
- `disconnected` and `silent` when they are not, once until they are heard again, however many
  attempts fail meanwhile;
- `renewed` and `copy lost` when a connection ended and that cost nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from tickerplant.client.rest import is_json
from tickerplant.feed.observer import Observer
from tickerplant.messages.notice import (
    DecodeFailed,
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.recorder.gap_notes import GapNotes
from tickerplant.recording import manifest_entries

Note = Callable[[manifest_entries.Entry], object]
"""Takes an entry of the journal."""


class Noting(Observer):
    """Turns what is told of streams into entries.

    Args:
        note: Takes them.
        keep: Takes receive time, stream and payload of a message that is in no known form.
        clock_ns: The time, ns since the epoch.
    """

    def __init__(
        self,
        note: Note,
        keep: Callable[[int, str, bytes], object],
        clock_ns: Callable[[], int],
    ) -> None:
        self.gaps = 0
        """Gaps that were told."""
        self.lost = 0
        """Times that streams were not heard any more."""
        self._note = note
        self._gaps = GapNotes(note, clock_ns)
        self._keep = keep
        self._clock_ns = clock_ns
        self._connection: dict[str, int] = {}
        """The connection that was last said to carry a stream."""
        self._blind: set[str] = set()
        """Streams that the journal says are not connected."""
        self._unheard: set[str] = set()
        """Those, and the silent: consumers will be told when they are heard again."""

    def turn(self) -> None:
        """Note what waited for its turn; to be called now and then."""
        self._gaps.turn()

    def end(self) -> None:
        """Note all that waits."""
        self._gaps.end()

    # As a consumer

    def take(self, notice: Notice) -> None:
        """Take what consumers are told."""
        match notice:
            case Disconnected():
                self._disconnected(notice)
            case Stale():
                self._unheard.update(notice.streams)
                self._note(
                    manifest_entries.Silent(
                        time_ns=self._clock_ns(),
                        streams=notice.streams,
                        silent_ms=notice.silent_ms,
                        reason=notice.reason,
                    )
                )
            case Recovered():
                self._unheard.difference_update(notice.streams)
                self._blind.difference_update(notice.streams)
                self._connected(notice.streams, notice.outage_ms)
            case Gap():
                self._gap(notice)
            case SubscriptionRejected():
                self._note(
                    manifest_entries.Refused(
                        time_ns=self._clock_ns(),
                        streams=notice.streams,
                        code=notice.code,
                        reason=notice.reason,
                    )
                )
            case DecodeFailed():
                self._note(
                    manifest_entries.Unreadable(
                        time_ns=self._clock_ns(), streams=notice.streams, reason=notice.reason
                    )
                )

    def _disconnected(self, notice: Disconnected) -> None:
        news = tuple(name for name in notice.streams if name not in self._blind)
        self._unheard.update(notice.streams)
        if news:
            self.lost += 1
            self._blind.update(news)
            self._note(
                manifest_entries.Disconnected(
                    time_ns=self._clock_ns(), streams=news, reason=notice.reason
                )
            )

    def _gap(self, gap: Gap) -> None:
        self.gaps += 1
        for stream in gap.streams:
            self._gaps.add(
                manifest_entries.Missing(
                    time_ns=self._clock_ns(),
                    stream=stream,
                    symbol=gap.symbol,
                    after_id=gap.after_id,
                    before_id=gap.before_id,
                    missing=gap.missing,
                    reason=gap.reason,
                )
            )

    def _connected(self, names: Iterable[str], blind_ms: int = 0) -> None:
        carriers: defaultdict[int, list[str]] = defaultdict(list)
        for name in names:
            carriers[self._connection.get(name, 0)].append(name)
        for connection, streams in carriers.items():
            self._note(
                manifest_entries.Connected(
                    time_ns=self._clock_ns(),
                    streams=tuple(streams),
                    connection=connection,
                    blind_ms=blind_ms,
                )
            )

    # As an observer

    def carried(self, link: int, names: Iterable[str]) -> None:
        """Note what a connection carries; of what was not heard consumers are told right after."""
        names = tuple(names)
        self._connection.update(dict.fromkeys(names, link))
        self._connected(name for name in names if name not in self._unheard)

    def renewed(self, link: int, names: Iterable[str]) -> None:
        """Note that a connection took the place of another."""
        names = tuple(names)
        self._connection.update(dict.fromkeys(names, link))
        self._note(
            manifest_entries.Renewed(time_ns=self._clock_ns(), streams=names, connection=link)
        )

    def spared(self, link: int, names: Iterable[str], reason: str) -> None:
        """Note that one of several connections was lost."""
        self._note(
            manifest_entries.CopyLost(
                time_ns=self._clock_ns(), streams=tuple(names), connection=link, reason=reason
            )
        )

    def unread(self, stream: str, payload: bytes, received_ns: int) -> None:
        """Keep a message in an unknown form, if it is JSON; consumers are told what is odd in it."""
        if is_json(payload):
            self._keep(received_ns, stream, payload)
