"""What faults do to the answers to requests: order books that are wrong, times that are off.

An answer is changed after it was made and after any cache of answers, so what is kept stays right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from tickerplant.faults.board import Chances, FaultBoard, FaultOn
from tickerplant.faults.message_faults import Clock
from tickerplant.faults.rule import matches
from tickerplant.faults.snapshot_faults import Book, EarlierBook, SnapshotFault
from tickerplant.queries import depth
from tickerplant.units import parse_whole

DEPTH_METHOD = "depth"
DEPTH_PATHS = ("/v1/depth", "/v1/rpiDepth")
"""The ends of the paths that answer order books; what was earlier is known of the first."""
MAX_FIRST_ANSWERS = 100
"""Books that are kept as they were first answered; the oldest are forgotten."""

_decode = msgspec.json.decode
_encode = msgspec.json.encode


class _Asked(NamedTuple):
    """A request for an order book: a path or a method, with its parameters."""

    venue_name: str
    name: str
    symbol: str
    limit: int


class AnswerFaults:
    """The faults that act on answers, of one server.

    Args:
        board: Its rules.
        find: Returns the book of a venue and a symbol as it was for a rule; None if that is not known.
    """

    def __init__(
        self, board: FaultBoard, find: Callable[[FaultOn, str, str], EarlierBook | None]
    ) -> None:
        self._board = board
        self._find = find
        self._chances: dict[FaultOn, Chances] = {}
        self._first: dict[tuple[FaultOn, _Asked], EarlierBook] = {}
        """The books that were answered first."""
        board.subscribe(self._on_change)

    def _on_change(self, on: FaultOn) -> None:
        if on.state == "over":
            self._chances.pop(on, None)
            for key in [key for key in self._first if key[0] is on]:
                del self._first[key]

    def revised(
        self, venue_name: str, name: str, params: Mapping[str, object], body: bytes
    ) -> bytes:
        """Return what faults make of a successful answer."""
        if name == DEPTH_METHOD or name.endswith(DEPTH_PATHS):
            asked = _Asked(venue_name, name, str(params.get("symbol", "")).upper(), _limit(params))
            for on in self._board.on("snapshot"):
                symbol = on.rule.aim.symbol
                if on.rule.aim.takes_request(venue_name, name) and (
                    not symbol or matches(symbol, asked.symbol)
                ):
                    body = self._with_other_book(on, asked, body)
        for on in self._board.on("clock"):
            aim, fault = on.rule.aim, on.rule.fault
            if aim.stream or aim.connection or aim.connections is not None:
                continue
            if isinstance(fault, Clock) and aim.takes_request(venue_name, name):
                (changed,) = fault.change(body)
                if changed is not body and self._chances_of(on).occurs():
                    body = changed
        return body

    def _chances_of(self, on: FaultOn) -> Chances:
        if on.all_requests is not None:
            return on.all_requests
        if on not in self._chances:
            self._chances[on] = Chances(self._board, on, 0)
        return self._chances[on]

    def _with_other_book(self, on: FaultOn, asked: _Asked, body: bytes) -> bytes:
        try:
            answer = _decode(body)
        except msgspec.DecodeError:
            return body
        is_reply = isinstance(answer, dict) and "lastUpdateId" not in answer
        book = answer.get("result") if is_reply else answer
        if not isinstance(book, dict) or not book.keys() >= {"lastUpdateId", "bids", "asks"}:
            return body
        fault = on.rule.fault
        assert isinstance(fault, SnapshotFault)  # noqa: S101  # tells the type checker
        changed = fault.revise(book, asked.limit, partial(self._earlier_book, on, asked, book))
        if changed is None or not self._chances_of(on).occurs():
            return body
        return _encode({**answer, "result": changed} if is_reply else changed)

    def _earlier_book(self, on: FaultOn, asked: _Asked, book: Book) -> EarlierBook | None:
        """Return the book as it was earlier, or was first answered; None if it is answered first."""
        if not asked.name.endswith(DEPTH_PATHS[1]):
            found = self._find(on, asked.venue_name, asked.symbol)
            if found is not None:
                return found
        if (on, asked) in self._first:
            return self._first[on, asked]
        self._first[on, asked] = EarlierBook(
            book["lastUpdateId"], book.get("E"), book.get("T"), book["bids"], book["asks"]
        )
        if len(self._first) > MAX_FIRST_ANSWERS:
            del self._first[next(iter(self._first))]
        return None


def _limit(params: Mapping[str, object]) -> int:
    try:
        return parse_whole(params.get("limit") or depth.DEFAULT_LIMIT)
    except ValueError:
        return depth.DEFAULT_LIMIT
