"""Answers from elsewhere that are kept for a while: which questions are the same, and how long.

Pure: a question is a value, and the time is given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct

from tickerplant.errors import RequestError
from tickerplant.queries import request_errors
from tickerplant.queries.query import Query

MAX_ANSWERS = 1_000
MAX_BYTES = 64 << 20
FOLDED = frozenset({"symbol", "pair"})
"""Parameters that may be written in lower case and mean the same."""


class Keeping(Struct, frozen=True):
    """How long the answers to some questions are kept after they came."""

    kept_ms: int
    names: tuple[str, ...]
    """Paths without the prefix of the venue, or methods of questions that have no path."""
    doc: str


KEEPINGS = (
    Keeping(0, ("/v1/ping", "/v1/time"), "These ask the server itself."),
    Keeping(
        250,
        (
            "/v1/depth",
            "/v1/rpiDepth",
            "/v1/ticker/price",
            "/v2/ticker/price",
            "ticker.book",
            "/v1/ticker/bookTicker",
            "/v1/ticker/24hr",
            "/v1/premiumIndex",
            "/v1/openInterest",
            "/v1/assetIndex",
        ),
        "What is true now: as old as the slowest update of the depth streams is apart, at most.",
    ),
    Keeping(
        1_000,
        (
            "/v1/trades",
            "/v1/historicalTrades",
            "/v1/aggTrades",
            "/v1/klines",
            "/v1/continuousKlines",
            "/v1/indexPriceKlines",
            "/v1/markPriceKlines",
            "/v1/premiumIndexKlines",
            "/v1/fundingRate",
            "/v1/constituents",
            "/futures/data/openInterestHist",
            "/futures/data/globalLongShortAccountRatio",
            "/futures/data/topLongShortAccountRatio",
            "/futures/data/topLongShortPositionRatio",
            "/futures/data/takerlongshortRatio",
            "/futures/data/takerBuySellVol",
            "/futures/data/basis",
        ),
        "What was: only its end changes, and streams tell that sooner.",
    ),
    Keeping(
        1_000,
        ("/v1/exchangeInfo",),
        "What is traded: `!contractInfo` tells that it changed, and who asks then is told how.",
    ),
    Keeping(
        60_000,
        (
            "/v1/fundingInfo",
            "/v1/indexInfo",
            "/v1/insuranceBalance",
            "/v1/symbolAdlRisk",
            "/v1/tradingSchedule",
            "/futures/data/delivery-price",
        ),
        "What changes a few times a day, and is long.",
    ),
)
"""Every question, with a time in which nobody is misled and many can ask the same."""
_KEPT_MS = {name: row.kept_ms for row in KEEPINGS for name in row.names}


class Question(Struct, frozen=True):
    """What is asked; equal questions have equal answers."""

    name: str
    """The path without the prefix of the venue, or the method of what has no path."""
    params: tuple[tuple[str, str], ...]
    """The parameters that the question knows, sorted, as REST has them."""

    @property
    def size(self) -> int:
        """About how many bytes it has."""
        return len(self.name) + sum(len(name) + len(value) for name, value in self.params)


def question_of(query: Query, params: Mapping[str, object]) -> Question:
    """Return `query` with `params` as they are alike over REST and the WebSocket API.

    Keys, signatures and whatever else the question does not ask for are left out.

    Raises:
        RequestError: -1130, a value cannot be written as text.
    """
    asked_for = sorted(param.name for param in query.params)
    sent = ((name, params.get(name)) for name in asked_for)
    texts = tuple((name, _text(name, value)) for name, value in sent if value is not None)
    return Question(name_of(query), texts)


def name_of(query: Query) -> str:
    """Return what a question is called in `KEEPINGS`."""
    return query.path or query.method or ""


def kept_ms(query: Query) -> int:
    """Return how long its answers are kept; not at all if that has not been said."""
    return _KEPT_MS.get(name_of(query), 0)


def _text(name: str, value: object) -> str:
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        text.encode()
    except (UnicodeEncodeError, RecursionError):
        raise request_errors.not_valid(name) from None
    return text.upper() if name in FOLDED else text


class Refusal(Struct, frozen=True):
    """An answer that is an error, as a value: an exception that is kept would keep who met it."""

    code: int
    message: str
    status: int

    @classmethod
    def of(cls, error: RequestError) -> Refusal:
        """Return what `error` says."""
        return cls(error.code, error.message, error.status)

    @property
    def error(self) -> RequestError:
        """The error, to raise."""
        return RequestError(self.code, self.message, self.status)


Outcome: TypeAlias = bytes | Refusal


class _Kept(Struct, frozen=True):
    outcome: Outcome
    until_ms: int
    size: int


class KeptAnswers:
    """Answers by question; the one that was not asked for longest makes room for others.

    Args:
        max_answers: Most answers that are kept.
        max_bytes: Most bytes that they have together.
    """

    def __init__(self, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self.displaced = 0
        """Answers that made room for others before their time was over."""
        self.size = 0
        """Bytes that are kept."""
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: Question, now_ms: int) -> Outcome | None:
        """Return the answer to `question` if its time is not over."""
        kept = self._kept.get(question)
        if kept is None:
            return None
        if kept.until_ms <= now_ms:
            self._forget(question)
            return None
        self._kept.move_to_end(question)
        return kept.outcome

    def put(self, question: Question, outcome: Outcome, now_ms: int, until_ms: int) -> None:
        """Keep an answer that came at `now_ms` as long as there is time and room."""
        self._forget(question)
        length = len(outcome if isinstance(outcome, bytes) else outcome.message)
        size = question.size + length
        if until_ms <= now_ms or size > self._max_bytes:
            return
        self._kept[question] = _Kept(outcome, until_ms, size)
        self.size += size
        while len(self._kept) > self._max_answers or self.size > self._max_bytes:
            oldest = next(iter(self._kept))
            self.displaced += self._kept[oldest].until_ms > now_ms
            self._forget(oldest)

    def _forget(self, question: Question) -> None:
        kept = self._kept.pop(question, None)
        if kept is not None:
            self.size -= kept.size
