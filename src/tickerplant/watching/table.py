"""The rows of watched streams: messages and notices go in, rows come out.

Nothing here reads a clock: the caller passes the time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.formatting import LATEST_S, printable
from tickerplant.messages.message import Message
from tickerplant.notices import (
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.units import NS_PER_MS, NS_PER_S
from tickerplant.watching.summary import summary

StreamState: TypeAlias = Literal["waiting", "live", "stale", "disconnected", "rejected"]
"""`waiting`: nothing was received yet; `stale`: silent for too long."""

KEPT_NOTICES = 20
MAX_ROWS = 2_000
"""Maximum number of rows of one stream, in case a server makes symbols up."""
DROPPED_AT_ONCE = MAX_ROWS // 10
"""Rows that are dropped when there would be more: those silent for longest."""
MAX_SYMBOL_CHARACTERS = 40
SAMPLE_NS = NS_PER_S
"""How often message counts are sampled."""
SAMPLES = 11
"""How many samples are kept: a rate is over ten seconds."""


class RowView(Struct, frozen=True, kw_only=True):
    """One row at a given time."""

    stream: str
    symbol: str
    latest: str
    """Summary of the last message."""
    messages: int
    rate: float | None
    """Messages per second; None while unknown."""
    age_ms: float | None
    """Since the last message; None before the first."""
    delay_ms: float | None
    """From event time to receive time of the last message; None if it has no event time."""
    gaps: int
    missing: int
    state: StreamState


class View(Struct, frozen=True, kw_only=True):
    """The rows that fit, and counts of the others."""

    rows: list[RowView]
    hidden: int
    """Rows that do not fit."""
    hidden_not_live: int
    """Hidden rows whose stream is not live."""
    dropped: int = 0
    """Rows dropped so far because there were too many."""
    notices: list[Notice]
    """The latest, oldest first."""
    disconnected: int = 0
    """Streams without a connection."""
    outage_ms: float | None = None
    """How long the first of them has been disconnected; None if there are none."""


class Row:
    """The state of one symbol of one stream."""

    __slots__ = ("gaps", "last", "messages", "missing", "samples", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.messages = 0
        self.last: Message | None = None
        self.gaps = 0
        self.missing = 0
        self.samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        """Times, and the message counts at these times."""

    def rate(self, now_ns: int) -> float | None:
        """Return the messages per second of the last ten seconds; None in the first second."""
        if not self.samples or now_ns - self.samples[0][0] < SAMPLE_NS:
            return None
        since_ns, messages = self.samples[0]
        return (self.messages - messages) * 1e9 / (now_ns - since_ns)


class StreamRows:
    """One stream and its rows."""

    __slots__ = ("disconnected_ms", "dropped", "hint", "name", "rows", "state")

    def __init__(self, name: str, hint: str) -> None:
        self.name = name
        self.hint = hint
        """Shown until the first message."""
        self.state: StreamState = "waiting"
        self.disconnected_ms = 0
        """When it was disconnected, if it is."""
        self.rows: dict[str, Row] = {"": Row("")}
        self.dropped = 0
        """Rows dropped because there were too many."""

    @property
    def has_many_symbols(self) -> bool:
        """Whether it has more than one symbol."""
        return self.name.startswith("!") or len(self.rows) > 1

    def row(self, symbol: str) -> Row:
        """Return the row of a symbol; the first symbol replaces the row without one."""
        row = self.rows.get(symbol)
        if row is None:
            unnamed = self.rows.get("")
            if unnamed is not None and not unnamed.messages:
                del self.rows[""]
            if len(self.rows) >= MAX_ROWS:
                for silent in self.latest_first()[-DROPPED_AT_ONCE:]:
                    del self.rows[silent.symbol]
                self.dropped += DROPPED_AT_ONCE
            row = self.rows[symbol] = Row(symbol)
        return row

    def latest_first(self) -> list[Row]:
        """Return the rows, the one with the latest message first."""

        def key(row: Row) -> tuple[int, str]:
            return (0 if row.last is None else -row.last.received_ns, row.symbol)

        return sorted(self.rows.values(), key=key)

    def take(self, notice: Notice) -> None:
        """Take a notice about this stream."""
        match notice:
            case Gap(symbol=symbol, missing=missing, backfilled=backfilled):
                row = self.row(symbol)
                row.gaps += 1
                row.missing += max((missing or 0) - backfilled, 0)
            case Disconnected(time_ms=time_ms) if self.state != "disconnected":
                self.state, self.disconnected_ms = "disconnected", time_ms
            case Stale():
                self.state = "stale"
            case SubscriptionRejected():
                self.state = "rejected"
            case Recovered():
                has_messages = any(row.messages for row in self.rows.values())
                self.state = "live" if has_messages else "waiting"
            case _:
                pass


class Table:
    """The rows of all watched streams.

    Args:
        names: The streams, in the order in which they are shown.
        hints: Shown for a stream until its first message, by name.
    """

    def __init__(self, names: Iterable[str], hints: Mapping[str, str] | None = None) -> None:
        self._streams = {name: StreamRows(name, (hints or {}).get(name, "")) for name in names}
        self._notices: deque[Notice] = deque(maxlen=KEPT_NOTICES)
        self._sampled_ns = 0

    def take(self, item: Message | Notice) -> None:
        """Take a message or a notice.  This is the hot path."""
        if isinstance(item, Notice):
            self._notices.append(item)
            for name in item.streams:
                if name in self._streams:
                    self._streams[name].take(item)
            return
        stream = self._streams.get(item.stream)
        if stream is None:
            return
        row = stream.rows.get(item.symbol) or stream.row(item.symbol)
        if row.last is None:
            row.samples.append((item.received_ns, 1))
            stream.state = "live"
        row.messages += 1
        row.last = item

    @property
    def notice_count(self) -> int:
        """How many notices are kept."""
        return len(self._notices)

    def view(self, now_ns: int, room: int) -> View:
        """Return the rows that fit in `room` lines.

        First come the streams of one symbol, in the given order; then, for each stream of many
        symbols, the symbols with the latest messages.  Short room is shared between these groups.
        """
        streams = self._streams.values()
        if now_ns - self._sampled_ns >= SAMPLE_NS:
            self._sampled_ns = now_ns
            for row in (row for stream in streams for row in stream.rows.values()):
                if row.samples and now_ns - row.samples[-1][0] >= SAMPLE_NS:
                    row.samples.append((now_ns, row.messages))
        few = [it for it in streams if not it.has_many_symbols]
        many = [it for it in streams if it.has_many_symbols]
        groups = [[(it, row) for it in few for row in it.rows.values()]]
        groups += [[(it, row) for row in it.latest_first()] for it in many]
        shares = share_out(room, [len(group) for group in groups])
        shared = list(zip(groups, shares, strict=True))
        hidden = [stream for group, share in shared for stream, _ in group[share:]]
        since_ms = [it.disconnected_ms for it in streams if it.state == "disconnected"]
        return View(
            rows=[_row_view(*each, now_ns) for group, share in shared for each in group[:share]],
            hidden=len(hidden),
            hidden_not_live=sum(stream.state != "live" for stream in hidden),
            dropped=sum(stream.dropped for stream in streams),
            notices=list(self._notices),
            disconnected=len(since_ms),
            outage_ms=max(now_ns / NS_PER_MS - min(since_ms), 0) if since_ms else None,
        )


def share_out(room: int, sizes: Sequence[int]) -> list[int]:
    """Return how many rows of each group fit: all of a small group, equal numbers of the others."""
    turns = range(max(sizes, default=0))
    taken = (group for turn in turns for group, size in enumerate(sizes) if turn < size)
    shares = Counter(islice(taken, max(room, 0)))
    return [shares[group] for group in range(len(sizes))]


def _row_view(stream: StreamRows, row: Row, now_ns: int) -> RowView:
    last, symbol = row.last, row.symbol
    if len(symbol) > MAX_SYMBOL_CHARACTERS:
        symbol = f"{symbol[: MAX_SYMBOL_CHARACTERS - 1]}…"
    sent_ms = 0 if last is None else last.event_time_ms
    is_possible = 0 < sent_ms < LATEST_S * 1_000
    return RowView(
        stream=printable(stream.name),
        symbol=printable(symbol),
        latest=printable(stream.hint) if last is None else summary(last),
        messages=row.messages,
        rate=row.rate(now_ns),
        age_ms=None if last is None else max(now_ns - last.received_ns, 0) / NS_PER_MS,
        delay_ms=last.received_ns / NS_PER_MS - sent_ms if last and is_possible else None,
        gaps=row.gaps,
        missing=row.missing,
        state=stream.state,
    )
