"""Joins the history of streams, fetched over REST, to their live messages.

This is a state machine.  Live messages are held from the subscription on.  When the history of all
streams has come it is delivered, then what was held, then each live message as it comes.  Ids, or
the times of candles, decide what is a repetition.  If the first live message of a stream does not
follow its history, the messages in between are fetched too, and if the server does not have them, a
`Gap` takes their place.  From then on the feed itself notices gaps.

Its caller (`client/history.py`) carries out what `take_fetches` returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import merge
from operator import attrgetter, itemgetter
from typing import Any

from msgspec import Struct

from tickerplant.feed.cursor import ID_CURSORS, NONE, RESTARTED, CandleCursor, Step
from tickerplant.feed.identified import TOO_MANY
from tickerplant.feed.merged_stream import Sink
from tickerplant.messages.message import Message
from tickerplant.notices import Gap, Notice
from tickerplant.stream_name import parse_stream_name

CANDLES = ("kline", "continuousKline", "indexPriceKline", "markPriceKline")
"""The kinds of streams of candles."""
HAVE_HISTORY = ("trade", "aggTrade", *CANDLES)
"""The kinds of streams whose messages REST has, too."""
MAX_ATTEMPTS = 3
"""How often messages are fetched that the server does not have yet."""
MAX_REPEATED = 1_000
"""After so many live candles that are older than the history the server must have begun anew: candles
have no ids that would show it."""
NO_LONGER = "the server no longer has all of them"


class FetchHistory(Struct, frozen=True):
    """Fetch messages of a stream; call `answered`.

    Without ids these are the last ones.  With ids they are those between, both exclusive; of
    candles, those that open at `after_id` or later and before `before_id`, in ms.
    """

    stream: str
    after_id: int = NONE
    before_id: int = NONE
    attempt: int = 0
    """How often the same messages were fetched before."""


def has_history(stream: str) -> bool:
    """Whether REST has the messages of a stream, too."""
    return parse_stream_name(stream).family in HAVE_HISTORY


class HistoryJoin:
    """The join of several streams for one consumer."""

    def __init__(self, names: Iterable[str], deliver: Sink, max_held: int) -> None:
        self._deliver = deliver
        self._max_held = max_held
        self._joints: dict[str, _Joint] = {name: _joint_of(name) for name in names}
        """By stream, the end of the history to which no live message has been joined yet."""
        self._fetching: dict[str, FetchHistory] = {
            name: FetchHistory(name) for name in self._joints
        }
        self._fetches = list(self._fetching.values())
        self._histories: dict[str, Sequence[Message]] | None = {}
        """The histories that have come; None once they were delivered."""
        self._held: deque[Message | Notice] = deque()
        self.wall_ms = 0
        """The time for notices, ms since the epoch; set by the caller."""

    @property
    def is_joined(self) -> bool:
        """Whether all streams are joined: from now on messages may go directly to the consumer."""
        return not self._joints and not self._held

    @property
    def held_count(self) -> int:
        """Number of held messages and notices."""
        return len(self._held)

    def take_fetches(self) -> list[FetchHistory]:
        """Return what to fetch; each is returned once."""
        fetches, self._fetches = self._fetches, []
        return fetches

    def take(self, item: Message | Notice) -> None:
        """Take a live message, or a notice."""
        if not self._fetching:
            self._pass(item)
        elif self._held or not isinstance(item, Notice):
            self._held.append(item)
            if len(self._held) > self._max_held:
                self.give_up(TOO_MANY)
        else:
            self._deliver(item)

    def answered(self, stream: str, rows: Sequence[Any], reason: str = "") -> None:
        """Take the messages that were fetched.

        Args:
            stream: The stream.
            rows: The messages, oldest first.
            reason: Why some are missing; empty if none is, as far as that is known.
        """
        fetch = self._fetching.pop(stream, None)
        if fetch is None:
            return
        for row in rows:
            row.stream = stream
        if self._histories is None:
            self._fill(fetch, rows, reason)
        else:
            if reason:
                first_id = self._joints[stream].id_of(rows[0]) if rows else NONE
                self._deliver(self._gap(stream, (NONE, first_id), None, len(rows), reason))
            self._histories[stream] = rows
            if not self._fetching:
                self._deliver_histories(self._histories)
        self._release()

    def give_up(self, reason: str) -> None:
        """Stop waiting for what is being fetched, and deliver what is held."""
        while self._fetching:
            self.answered(next(iter(self._fetching)), (), reason)

    def _deliver_histories(self, histories: dict[str, Sequence[Message]]) -> None:
        self._histories = None
        timed = [self._timed(name, rows) for name, rows in histories.items()]
        for _, item in merge(*timed, key=itemgetter(0)):
            self._deliver(item)

    def _timed(self, stream: str, rows: Sequence[Any]) -> list[tuple[int, Message | Notice]]:
        """Return what to deliver of a history, by time, and move the joint to its end.

        An open candle is left out if the live stream has sent it already.
        """
        joint = self._joints[stream]
        live = {joint.id_of(item) for item in self._held if _is_message_of(item, stream)}
        if rows and joint.is_open(rows[-1]) and joint.id_of(rows[-1]) in live:
            rows = rows[:-1]
        timed: list[tuple[int, Message | Notice]] = []
        for row in rows:
            if joint.classify(row) is Step.GAP:
                bounds = joint.first_missing_id, joint.id_of(row)
                missing = joint.missing_between(*bounds)
                timed.append((row.event_time_ms, self._gap(stream, bounds, missing, 0, NO_LONGER)))
            joint.advance(row)
            timed.append((row.event_time_ms, row))
        return timed

    def _release(self) -> None:
        """Deliver what is held, up to the first message before which something is missing."""
        while self._held and not self._fetching:
            self._pass(self._held.popleft())

    def _pass(self, item: Message | Notice) -> None:
        """Deliver an item unless it is a repetition, or messages before it are missing."""
        if isinstance(item, Notice):
            if not self._is_superseded(item):
                self._deliver(item)
            return
        joint = self._joints.get(item.stream)
        if joint is None:
            self._deliver(item)
            return
        step = joint.classify(item)
        if step is Step.GAP:
            self._held.appendleft(item)
            self._fetch(FetchHistory(item.stream, joint.first_missing_id, joint.id_of(item)))
        elif step not in {Step.DUPLICATE, Step.LATE}:
            if step is not Step.NEXT:
                bounds = joint.first_missing_id, joint.id_of(item)
                self._deliver(self._gap(item.stream, bounds, None, 0, RESTARTED))
            del self._joints[item.stream]
            self._deliver(item)

    def _fetch(self, fetch: FetchHistory) -> None:
        self._fetching[fetch.stream] = fetch
        self._fetches.append(fetch)

    def _is_superseded(self, notice: Notice) -> bool:
        """Whether a notice reports a gap before the first message that is joined to the history.

        Whether anything is missing there is found out with that message.
        """
        if not isinstance(notice, Gap):
            return False
        joint = self._joints.get(notice.streams[0])
        return joint is not None and joint.has_position

    def _fill(self, fetch: FetchHistory, rows: Sequence[Any], reason: str) -> None:
        """Deliver messages between the history and the first live message."""
        joint = self._joints[fetch.stream]
        found = {
            row_id: row
            for row in rows
            if joint.is_between(row_id := joint.id_of(row), fetch.after_id, fetch.before_id)
        }
        missing = joint.missing_between(fetch.after_id, fetch.before_id)
        is_complete = len(found) >= missing
        if not is_complete and not reason and fetch.attempt + 1 < MAX_ATTEMPTS:
            self._fetch(
                FetchHistory(fetch.stream, fetch.after_id, fetch.before_id, fetch.attempt + 1)
            )
            return
        if not is_complete:
            bounds = fetch.after_id, fetch.before_id
            self._deliver(self._gap(fetch.stream, bounds, missing, len(found), reason or NO_LONGER))
        for _, row in sorted(found.items()):
            self._deliver(row)
        del self._joints[fetch.stream]  # the live message that is held first follows, or the gap

    def _gap(
        self, stream: str, bounds: tuple[int, int], missing: int | None, filled: int, reason: str
    ) -> Gap:
        return Gap(
            streams=(stream,),
            time_ms=self.wall_ms,
            symbol=parse_stream_name(stream).symbol,
            after_id=bounds[0],
            before_id=bounds[1],
            missing=missing,
            backfilled=filled,
            reason=reason,
        )


def _is_message_of(item: Message | Notice, stream: str) -> bool:
    return isinstance(item, Message) and item.stream == stream


class _Joint:
    """The end of a history of trades, whose ids rise by one, to which the first live message is joined."""

    def __init__(self, kind: str) -> None:
        self._cursor = ID_CURSORS[kind]()
        self.id_of: Callable[[Any], int] = self._cursor.id_of
        """Returns the id of a message."""

    @property
    def has_position(self) -> bool:
        """Whether there is a message in the history."""
        return self.first_missing_id != NONE

    @property
    def first_missing_id(self) -> int:
        """The `after_id` of a fetch of what follows: the last id, as bounds are exclusive."""
        return self._cursor.last_id

    def advance(self, message: Any) -> None:
        """Move behind a message of the history."""
        self._cursor.advance(message)

    def classify(self, message: Any) -> Step:
        """Return how a live message relates to the last one of the history."""
        return self._cursor.classify(message, self._cursor.event_time_ms)

    def is_between(self, item_id: int, after_id: int, before_id: int) -> bool:
        """Whether a message belongs to those that were fetched."""
        return after_id < item_id < before_id

    def missing_between(self, after_id: int, before_id: int) -> int:
        """Return how many messages there are between."""
        return before_id - after_id - 1

    def is_open(self, message: Any) -> bool:  # noqa: ARG002  # only candles are
        """Whether a message of the history is that of an open candle."""
        return False


class _CandleJoint(_Joint):
    """The end of a history of candles, the last of which may be open; their ids are their open times."""

    def __init__(self) -> None:
        self._candles = CandleCursor()
        self.id_of = attrgetter("candle.open_time_ms")
        self._repeated = 0

    @property
    def has_position(self) -> bool:
        return self._candles.open_time_ms != NONE

    @property
    def first_missing_id(self) -> int:
        """When the earliest candle opens of which the last message is not in the history."""
        return self._candles.first_missing_ms

    def advance(self, message: Any) -> None:
        self._candles.advance(message.candle)

    def classify(self, message: Any) -> Step:
        step = self._candles.classify(message.candle)
        if step in {Step.DUPLICATE, Step.LATE}:
            self._repeated += 1
            return step if self._repeated <= MAX_REPEATED else Step.RESTART
        return step

    def is_between(self, item_id: int, after_id: int, before_id: int) -> bool:
        return after_id <= item_id < before_id

    def missing_between(self, after_id: int, before_id: int) -> int:  # noqa: ARG002  # the cursor knows
        return self._candles.missing_before(before_id)

    def is_open(self, message: Any) -> bool:
        return not message.candle.is_closed


def _joint_of(stream: str) -> _Joint:
    kind = parse_stream_name(stream).kind
    return _CandleJoint() if kind in CANDLES else _Joint(kind)
