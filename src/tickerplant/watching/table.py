"""The table of what is watched: messages and notices go in, rows come out.

Nothing here knows a clock: whoever wants to see rows says what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from tickerplant.formatting import printable
from tickerplant.messages.message import Message
from tickerplant.messages.notice import (
    Disconnected,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.units import NS_PER_MS
from tickerplant.watching.reading import reading

State: TypeAlias = Literal["waiting", "live", "stale", "blind", "refused"]
"""`waiting`: nothing came yet; `stale`: silent for too long; `blind`: no connection carries it."""

KEPT_NOTICES = 20
MOST_ROWS = 2_000
"""Most rows of one stream: the exchange has some hundred symbols, but who can tell what a server
makes up."""
FORGOTTEN_AT_ONCE = MOST_ROWS // 10
"""Rows that go when there would be more: those that were silent for longest."""
SHOWN_SYMBOL = 40
"""Most signs of a symbol that are shown."""
LATEST_MS = 253_402_300_800_000
"""The end of the year 9999; what is later is no time."""
MARK_NS = 1_000_000_000
"""How often counts are noted, for rates."""
MARKS = 11
"""How many are kept: a rate is over ten seconds."""


class Line(Struct, frozen=True, kw_only=True):
    """One row as it is at a moment."""

    stream: str
    symbol: str
    tells: str
    messages: int
    rate: float | None
    """Messages a second; None while it is too early to tell."""
    age_ms: float | None
    """Since the last message; None before the first."""
    delay_ms: float | None
    """From the exchange's clock to ours, of the last message; None if it does not tell."""
    gaps: int
    missing: int
    state: State


class View(Struct, frozen=True, kw_only=True):
    """The rows that there is room for."""

    lines: list[Line]
    hidden: int
    """Rows beside them."""
    hidden_troubled: int
    """Those of them that are not live."""
    forgotten: int = 0
    """Rows that were given up since there were too many, as often as that happened."""
    notices: list[Notice]
    """The latest, oldest first."""
    blind: int = 0
    """Streams that no connection carries."""
    blind_ms: float | None = None
    """For how long the first of them; None if there are none."""


class Row:
    """What is known of one symbol of one stream."""

    __slots__ = ("gaps", "last", "marks", "messages", "missing", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.messages = 0
        self.last: Message | None = None
        self.gaps = 0
        self.missing = 0
        self.marks: deque[tuple[int, int]] = deque(maxlen=MARKS)
        """Times and what was counted then."""

    @property
    def received_ns(self) -> int:
        """When the last message was received, 0 before the first."""
        return 0 if self.last is None else self.last.received_ns

    def mark(self, now_ns: int) -> None:
        """Note the count, once a second."""
        if self.marks and now_ns - self.marks[-1][0] >= MARK_NS:
            self.marks.append((now_ns, self.messages))

    def rate(self, now_ns: int) -> float | None:
        """Return how many messages a second came lately, None if it is too early to tell."""
        if not self.marks or now_ns - self.marks[0][0] < MARK_NS:
            return None
        since_ns, counted = self.marks[0]
        return (self.messages - counted) * 1e9 / (now_ns - since_ns)


class Source:
    """One stream and its rows."""

    __slots__ = ("blind_since_ms", "forgotten", "hint", "name", "rows", "state")

    def __init__(self, name: str, hint: str) -> None:
        self.name = name
        self.hint = hint
        """What should be known of it while nothing is heard."""
        self.state: State = "waiting"
        self.blind_since_ms = 0
        """When it was told to be blind, if it is."""
        self.rows: dict[str, Row] = {"": Row("")}
        self.forgotten = 0
        """Rows that were given up."""

    @property
    def is_of_many(self) -> bool:
        """Whether it tells of more than one symbol."""
        return self.name.startswith("!") or len(self.rows) > 1

    @property
    def is_heard(self) -> bool:
        """Whether there was ever a message."""
        return any(row.messages for row in self.rows.values())

    def row(self, symbol: str) -> Row:
        """Return the row of a symbol that has none yet; it takes the place of the one of nothing."""
        row = self.rows.get(symbol)
        if row is None:
            nothing = self.rows.get("")
            if nothing is not None and not nothing.messages:
                del self.rows[""]
            if len(self.rows) >= MOST_ROWS:
                self._forget()
            row = self.rows[symbol] = Row(symbol)
        return row

    def _forget(self) -> None:
        """Give up the rows that were silent for longest."""
        for row in self.lately_changed()[-FORGOTTEN_AT_ONCE:]:
            del self.rows[row.symbol]
        self.forgotten += FORGOTTEN_AT_ONCE

    def lately_changed(self) -> list[Row]:
        """Return the rows, the one that changed last first."""
        return sorted(self.rows.values(), key=lambda row: (-row.received_ns, row.symbol))


class Table:
    """What is watched.

    Args:
        names: The streams, in the order in which they are shown.
        hints: What is shown of a stream as long as nothing is heard of it.
    """

    def __init__(self, names: Iterable[str], hints: Mapping[str, str] | None = None) -> None:
        self._sources = {name: Source(name, (hints or {}).get(name, "")) for name in names}
        self._notices: deque[Notice] = deque(maxlen=KEPT_NOTICES)
        self._marked_ns = 0

    def take(self, item: Message | Notice) -> None:
        """Take a message or a notice; this is the hot path."""
        if isinstance(item, Notice):
            self._take_notice(item)
            return
        source = self._sources.get(item.stream)
        if source is None:
            return
        symbol = item.symbol
        row = source.rows.get(symbol)
        if row is None:
            row = source.row(symbol)
        if row.last is None:
            row.marks.append((item.received_ns, 1))
            source.state = "live"
        row.messages += 1
        row.last = item

    @property
    def noticed(self) -> int:
        """How many notices are kept."""
        return len(self._notices)

    def _take_notice(self, notice: Notice) -> None:
        self._notices.append(notice)
        if isinstance(notice, Gap):
            for source in self._of(notice):
                row = source.row(notice.symbol)
                row.gaps += 1
                row.missing += max((notice.missing or 0) - notice.backfilled, 0)
            return
        for source in self._of(notice):
            match notice:
                case Disconnected(time_ms=time_ms):
                    if source.state != "blind":
                        source.state, source.blind_since_ms = "blind", time_ms
                case Stale():
                    source.state = "stale"
                case SubscriptionRejected():
                    source.state = "refused"
                case Recovered():
                    source.state = "live" if source.is_heard else "waiting"
                case _:
                    pass

    def _of(self, notice: Notice) -> list[Source]:
        return [self._sources[name] for name in notice.streams if name in self._sources]

    def view(self, now_ns: int, room: int) -> View:
        """Return the rows that fit in `room` lines.

        First stand the streams of one symbol, as they were named; then, of each stream of many
        symbols, those that changed last.  Where room is short, each of these groups has its share.
        """
        self._mark(now_ns)
        groups = self._groups()
        shares = share_out(room, [len(group) for group in groups])
        shown = [
            _line(source, row, now_ns)
            for group, share in zip(groups, shares, strict=True)
            for source, row in group[:share]
        ]
        hidden = [
            source
            for group, share in zip(groups, shares, strict=True)
            for source, _ in group[share:]
        ]
        blind = [it.blind_since_ms for it in self._sources.values() if it.state == "blind"]
        return View(
            lines=shown,
            hidden=len(hidden),
            hidden_troubled=sum(source.state != "live" for source in hidden),
            forgotten=sum(source.forgotten for source in self._sources.values()),
            notices=list(self._notices),
            blind=len(blind),
            blind_ms=max(now_ns / NS_PER_MS - min(blind), 0) if blind else None,
        )

    def _mark(self, now_ns: int) -> None:
        if now_ns - self._marked_ns >= MARK_NS:
            self._marked_ns = now_ns
            for source in self._sources.values():
                for row in source.rows.values():
                    row.mark(now_ns)

    def _groups(self) -> list[list[tuple[Source, Row]]]:
        few = [source for source in self._sources.values() if not source.is_of_many]
        many = [source for source in self._sources.values() if source.is_of_many]
        first = [(source, row) for source in few for row in source.rows.values()]
        return [first, *([(each, row) for row in each.lately_changed()] for each in many)]


def share_out(room: int, sizes: Sequence[int]) -> list[int]:
    """Return how many of each group fit: all of small ones, the same number of the others."""
    shares = [0] * len(sizes)
    left = max(room, 0)
    while left:
        wanting = [number for number, size in enumerate(sizes) if shares[number] < size]
        if not wanting:
            break
        each = max(left // len(wanting), 1)
        for number in wanting:
            more = min(each, sizes[number] - shares[number], left)
            shares[number] += more
            left -= more
    return shares


def _line(source: Source, row: Row, now_ns: int) -> Line:
    last = row.last
    return Line(
        stream=printable(source.name),
        symbol=_symbol_text(row.symbol),
        tells=printable(source.hint) if last is None else reading(last),
        messages=row.messages,
        rate=row.rate(now_ns),
        age_ms=None if last is None else max(now_ns - last.received_ns, 0) / NS_PER_MS,
        delay_ms=None if last is None else _delay_ms(last),
        gaps=row.gaps,
        missing=row.missing,
        state=source.state,
    )


def _symbol_text(symbol: str) -> str:
    return printable(symbol if len(symbol) <= SHOWN_SYMBOL else f"{symbol[: SHOWN_SYMBOL - 1]}…")


def _delay_ms(message: Message) -> float | None:
    """Return how long a message was on its way, None if it does not tell when it was sent."""
    sent_ms = message.event_time_ms
    return message.received_ns / NS_PER_MS - sent_ms if 0 < sent_ms < LATEST_MS else None
