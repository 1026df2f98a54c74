from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import RequestError
from tickerplant.queries import QUERIES, find_method, find_path
from tickerplant.queries.query import Query
from tickerplant.server.response_cache import (
    CACHE_RULES,
    SWEEP_MS,
    CachedError,
    CacheKey,
    ResponseCache,
    cache_key,
    max_age_ms,
    name_of,
)
from tickerplant.venue import USDM

NOW_MS = 1_772_000_000_000


def query_of(path: str) -> Query:
    query = find_path(USDM, path)
    assert query is not None, f"no {path}"
    return query


DEPTH = query_of("/fapi/v1/depth")


def key(name: str) -> CacheKey:
    return CacheKey(name, ())


def test_every_query_has_one_cache_rule() -> None:
    said = [name for row in CACHE_RULES for name in row.names]
    assert len(set(said)) == len(said)
    assert set(said) == {name_of(query) for query in QUERIES}


@pytest.mark.parametrize(
    ("path", "expected_ms"),
    [
        ("time", 0),
        ("depth", 250),
        ("klines", 1_000),
        ("exchangeInfo", 1_000),
        ("indexInfo", 60_000),
    ],
)
def test_responses_are_cached_by_how_fast_they_change(path: str, expected_ms: int) -> None:
    assert max_age_ms(query_of(f"/fapi/v1/{path}")) == expected_ms


@pytest.mark.parametrize(
    "params",
    [
        {"symbol": "BTCUSDT", "limit": "5"},
        {"limit": 5, "symbol": "btcusdt"},
        {"symbol": "BTCUSDT", "limit": 5, "apiKey": "k", "timestamp": 1, "signature": "s"},
    ],
)
def test_equal_requests_have_equal_keys_without_api_keys(params: dict[str, Any]) -> None:
    assert cache_key(DEPTH, params).params == (("limit", "5"), ("symbol", "BTCUSDT"))


def test_a_letter_that_is_one_of_a_symbol_in_upper_case_only_is_another() -> None:
    assert cache_key(DEPTH, {"symbol": "btcu\u017fdt"}) != cache_key(DEPTH, {"symbol": "btcusdt"})


def test_both_interfaces_make_the_same_request() -> None:
    method = find_method(USDM, "depth")
    assert method is not None
    assert cache_key(method, {"symbol": "X"}) == cache_key(DEPTH, {"symbol": "X"})


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), ("", ""), (True, "true"), (["A"], '["A"]'), (1.5, "1.5")]
)
def test_values_of_other_types_are_sent_as_they_are(value: object, text: str | None) -> None:
    asked = dict(cache_key(DEPTH, {"limit": value}).params)
    assert asked.get("limit") == text


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"]])
def test_what_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises(RequestError) as refused:
        cache_key(DEPTH, {"symbol": value})
    assert refused.value.code == -1130


def test_a_response_is_cached_until_it_expires() -> None:
    cache = ResponseCache()
    cache.put(key("a"), b"[]", NOW_MS, NOW_MS + 250)
    assert cache.get(key("a"), NOW_MS + 249) == b"[]"
    assert cache.get(key("b"), NOW_MS) is None
    assert cache.get(key("a"), NOW_MS + 250) is None
    assert (len(cache), cache.size_bytes) == (0, 0), "what is over is forgotten"
    cache.put(key("a"), b"[]", NOW_MS, NOW_MS)
    assert len(cache) == 0, "no time, no room"


def test_responses_that_nobody_asks_for_again_are_not_kept() -> None:
    cache = ResponseCache()
    cache.put(key("long"), bytes(1_000), NOW_MS, NOW_MS + 60_000)
    for name in "abc":
        cache.put(key(name), bytes(1_000), NOW_MS, NOW_MS + 250)
    cache.put(key("d"), b"", NOW_MS + SWEEP_MS, NOW_MS + SWEEP_MS + 250)
    assert (len(cache), cache.size_bytes) == (2, 1_005)
    assert cache.evicted == 0


def test_the_least_recently_used_response_makes_room() -> None:
    cache = ResponseCache(max_responses=2)
    for name in ("a", "b"):
        cache.put(key(name), b"[]", NOW_MS, NOW_MS + 250)
    assert cache.get(key("a"), NOW_MS)
    cache.put(key("c"), b"[]", NOW_MS, NOW_MS + 250)
    assert cache.get(key("b"), NOW_MS) is None
    assert cache.get(key("a"), NOW_MS)
    assert cache.evicted == 1
    cache.put(key("d"), b"[]", NOW_MS + 250, NOW_MS + 500)
    assert cache.evicted == 1, "the time of the one that went was over"


def test_a_response_larger_than_the_cache_is_not_cached() -> None:
    cache = ResponseCache(max_bytes=10)
    cache.put(key("a"), b"12345", NOW_MS, NOW_MS + 1)
    cache.put(key("b"), b"1234567890", NOW_MS, NOW_MS + 1)
    assert cache.get(key("a"), NOW_MS) == b"12345"
    assert cache.get(key("b"), NOW_MS) is None
    cache.put(key("c"), b"12345", NOW_MS, NOW_MS + 1)
    assert (len(cache), cache.size_bytes) == (1, 6)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.binary(max_size=9), st.integers(0, 5)), max_size=40
    )
)
def test_the_cache_stays_within_its_bounds_and_returns_nothing_expired(
    answers: list[tuple[str, bytes, int]],
) -> None:
    cache = ResponseCache(max_responses=3, max_bytes=20)
    last: dict[str, tuple[bytes, int]] = {}
    for now_ms, (name, answer, time_ms) in enumerate(answers):
        cache.put(key(name), answer, now_ms, now_ms + time_ms)
        last[name] = (answer, now_ms + time_ms)
        assert len(cache) <= 3
        assert cache.size_bytes <= 20
        for each, (reported, until_ms) in last.items():
            found = cache.get(key(each), now_ms)
            assert found in {None, reported}
            assert found is None or now_ms < until_ms


def test_an_error_is_cached_as_a_value() -> None:
    refusal = CachedError.of(RequestError(-1121, "Invalid symbol.", 400))
    assert refusal.error is not refusal.error, "each who asks gets one of his own"
    assert (refusal.error.code, refusal.error.status) == (-1121, 400)
