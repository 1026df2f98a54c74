"""Responses that are cached for a while: which requests are equal, and for how long.

Pure: a request is a value, and the time is an argument.
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
from tickerplant.stream_name import upper_case

MAX_RESPONSES = 1_000
MAX_BYTES = 32 << 20
SWEEP_MS = 1_000
"""How often, at most, responses that have expired are looked for."""
CASE_INSENSITIVE = frozenset({"symbol", "pair"})
"""Parameters that may be written in lower case."""


class CacheRule(Struct, frozen=True):
    """How long the responses to some queries are cached."""

    max_age_ms: int
    names: tuple[str, ...]
    """Paths without the prefix of the venue, or methods of queries that have no path."""
    doc: str


CACHE_RULES = (
    CacheRule(0, ("/v1/ping", "/v1/time"), "Requests about the server itself."),
    CacheRule(
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
        "Current state: at most as old as the interval of the slowest depth streams.",
    ),
    CacheRule(
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
        "History: only its end changes, and streams carry that sooner.",
    ),
    CacheRule(
        1_000,
        ("/v1/exchangeInfo",),
        "Contracts: `!contractInfo` announces a change, and clients fetch the list then.",
    ),
    CacheRule(
        60_000,
        (
            "/v1/fundingInfo",
            "/v1/indexInfo",
            "/v1/insuranceBalance",
            "/v1/symbolAdlRisk",
            "/v1/tradingSchedule",
            "/futures/data/delivery-price",
        ),
        "Long lists that change a few times a day.",
    ),
)
"""Every query, with a time that is short enough not to mislead and long enough to share."""
_MAX_AGE_MS = {name: rule.max_age_ms for rule in CACHE_RULES for name in rule.names}


class CacheKey(Struct, frozen=True):
    """A request; equal requests have equal responses."""

    name: str
    """The path without the prefix of the venue, or the method of a query that has no path."""
    params: tuple[tuple[str, str], ...]
    """The parameters that the query knows, sorted, as REST has them."""

    @property
    def size_bytes(self) -> int:
        """Its size, about."""
        return len(self.name) + sum(len(name) + len(value) for name, value in self.params)


def cache_key(query: Query, params: Mapping[str, object]) -> CacheKey:
    """Return the key of a request, the same over REST and the WebSocket API.

    Keys, signatures and other parameters that the query does not know are left out.

    Raises:
        RequestError: -1130, a value cannot be written as text.
    """
    known = sorted(param.name for param in query.params)
    sent = ((name, params.get(name)) for name in known)
    texts = tuple((name, _text(name, value)) for name, value in sent if value is not None)
    return CacheKey(name_of(query), texts)


def name_of(query: Query) -> str:
    """Return the name of a query in `CACHE_RULES`."""
    return query.path or query.method or ""


def max_age_ms(query: Query) -> int:
    """Return how long the responses to a query are cached; 0 if there is no rule."""
    return _MAX_AGE_MS.get(name_of(query), 0)


def _text(name: str, value: object) -> str:
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        text.encode()
    except (UnicodeEncodeError, RecursionError):
        raise request_errors.not_valid(name) from None
    return upper_case(text) if name in CASE_INSENSITIVE else text


class CachedError(Struct, frozen=True):
    """An error as a value: a cached exception would keep the frames that raised it alive."""

    code: int
    message: str
    status: int

    @classmethod
    def of(cls, error: RequestError) -> CachedError:
        """Return `error` as a value."""
        return cls(error.code, error.message, error.status)

    @property
    def error(self) -> RequestError:
        """The error, to raise."""
        return RequestError(self.code, self.message, self.status)


Outcome: TypeAlias = bytes | CachedError


class _Entry(Struct, frozen=True):
    outcome: Outcome
    expires_ms: int
    size_bytes: int


class ResponseCache:
    """Responses by request; those that have expired make room, then the least recently used."""

    def __init__(self, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self.evicted = 0
        """Responses that made room for others before they expired."""
        self.size_bytes = 0
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._entries: OrderedDict[CacheKey, _Entry] = OrderedDict()
        self._swept_ms = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: CacheKey, now_ms: int) -> Outcome | None:
        """Return the response to a request; None if there is none that has not expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_ms <= now_ms:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.outcome

    def put(self, key: CacheKey, outcome: Outcome, now_ms: int, expires_ms: int) -> None:
        """Cache a response that came at `now_ms`, if it fits and has not expired."""
        self._remove(key)
        if not 0 <= now_ms - self._swept_ms < SWEEP_MS:
            self._swept_ms = now_ms
            for expired in [k for k, entry in self._entries.items() if entry.expires_ms <= now_ms]:
                self._remove(expired)
        length = len(outcome if isinstance(outcome, bytes) else outcome.message)
        size_bytes = key.size_bytes + length
        if expires_ms <= now_ms or size_bytes > self._max_bytes:
            return
        self._entries[key] = _Entry(outcome, expires_ms, size_bytes)
        self.size_bytes += size_bytes
        while len(self._entries) > self._max_responses or self.size_bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self.evicted += self._entries[oldest].expires_ms > now_ms
            self._remove(oldest)

    def _remove(self, key: CacheKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes
