from __future__ import annotations

import json
from typing import Any

import msgspec

from tickerplant.protocol.limits import LIMITS, Limits
from tickerplant.protocol.limits_page import SHOWN_ADDRESSES, limits_page
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import StreamTarget

NOON_MS = 1_772_020_800_000
EMPTY = StreamTarget("", combined=False, names=())


def page_of(rate_limiter: RateLimiter, now_ms: int = NOON_MS) -> Any:
    """The page as a client reads it."""
    page = limits_page(rate_limiter, "usdm", now_ms, shared_budget=False)
    return msgspec.json.decode(msgspec.json.encode(page))


def session(rate_limiter: RateLimiter, limits: Limits, address: str = "a") -> StreamSession:
    return StreamSession(EMPTY, limits, NOON_MS, usage=rate_limiter.connection_opened(address))


def test_weight_is_reported_with_its_peak_and_restarts() -> None:
    rate_limiter = RateLimiter(msgspec.structs.replace(LIMITS, request_weight_per_minute=10))
    for weight in (4, 5, 3):
        rate_limiter.charge("a", weight, NOON_MS)
    rate_limiter.charge("a", 2, NOON_MS + 60_000)
    weight = page_of(rate_limiter, NOON_MS + 60_000)["addresses"]["a"]["limits"]["requestWeight"]
    assert weight == {"limit": 10, "windowMs": 60_000, "used": 2, "highest": 12, "exceeded": 1}
    assert (
        page_of(rate_limiter, NOON_MS + 120_000)["addresses"]["a"]["limits"]["requestWeight"][
            "used"
        ]
        == 0
    )


def test_refusals_and_bans_are_reported_until_they_end() -> None:
    limits = msgspec.structs.replace(LIMITS, request_weight_per_minute=1, refusals_before_ban=1)
    rate_limiter = RateLimiter(limits)
    for _ in range(4):
        rate_limiter.charge("a", 1, NOON_MS)
    until_ms = NOON_MS + limits.first_ban_ms
    address = page_of(rate_limiter)["addresses"]["a"]
    assert (address["bannedUntil"], address["refused"]) == (until_ms, {"429": 1, "418": 2})
    assert page_of(rate_limiter, until_ms)["addresses"]["a"]["bannedUntil"] is None


def test_usage_per_connection_is_reported_by_its_peak() -> None:
    rate_limiter = RateLimiter(LIMITS)
    first, second = session(rate_limiter, LIMITS), session(rate_limiter, LIMITS)
    for count, each in ((3, first), (2, second)):
        for number in range(count):
            text = json.dumps({"method": "SUBSCRIBE", "params": [f"s{number}"], "id": 1})
            each.receive_text(text, NOON_MS)
    limits = page_of(rate_limiter)["addresses"]["a"]["limits"]
    assert limits["streams"] == {"limit": 1024, "highest": 3, "exceeded": 0}
    assert limits["messages"] == {"limit": 15, "highest": 3, "exceeded": 0}
    assert limits["connections"] == {"limit": None, "used": 2, "highest": 2, "exceeded": 0}


def test_each_limit_is_reported_with_its_number_and_its_window() -> None:
    rate_limiter = RateLimiter(msgspec.structs.replace(LIMITS, connection_attempts=300))
    rate_limiter.charge("a", 1, NOON_MS)
    limits = page_of(rate_limiter)["addresses"]["a"]["limits"]
    assert {name: (use["limit"], use.get("windowMs")) for name, use in limits.items()} == {
        "requestWeight": (2400, 60_000),
        "funding": (500, 300_000),
        "statistics": (1000, 300_000),
        "connectionAttempts": (300, 300_000),
        "connections": (None, None),
        "streams": (1024, None),
        "messages": (15, None),
        "controlFrames": (5, None),
    }


def test_a_limit_of_zero_is_reported_as_null() -> None:
    rate_limiter = RateLimiter(LIMITS)
    rate_limiter.attempt("a", NOON_MS)
    attempts = page_of(rate_limiter)["addresses"]["a"]["limits"]["connectionAttempts"]
    assert attempts == {"limit": None, "windowMs": 300_000, "used": 1, "highest": 1, "exceeded": 0}


def test_an_address_was_last_seen_at_its_last_request_or_connection_attempt() -> None:
    rate_limiter = RateLimiter(LIMITS)
    rate_limiter.charge("a", 1, NOON_MS + 1)
    assert page_of(rate_limiter, NOON_MS + 9)["addresses"]["a"]["lastSeen"] == NOON_MS + 1
    rate_limiter.attempt("a", NOON_MS + 5)
    assert page_of(rate_limiter, NOON_MS + 9)["addresses"]["a"]["lastSeen"] == NOON_MS + 5


def test_the_latest_address_comes_first_and_the_oldest_is_forgotten() -> None:
    rate_limiter = RateLimiter(msgspec.structs.replace(LIMITS, max_addresses=2))
    for address in "abc":
        rate_limiter.charge(address, 1, NOON_MS)
    page = page_of(rate_limiter)
    assert (list(page["addresses"]), page["remembered"], page["forgotten"]) == (["c", "b"], 2, 1)


def test_a_page_shows_so_many_addresses_and_says_how_many_there_are() -> None:
    rate_limiter = RateLimiter(LIMITS)
    for number in range(SHOWN_ADDRESSES + 1):
        rate_limiter.charge(f"192.0.2.{number}", 1, NOON_MS)
    page = page_of(rate_limiter)
    assert (len(page["addresses"]), page["remembered"]) == (SHOWN_ADDRESSES, SHOWN_ADDRESSES + 1)
    assert next(iter(page["addresses"])) == f"192.0.2.{SHOWN_ADDRESSES}", "the latest first"
