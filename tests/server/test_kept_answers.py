from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import RequestError
from tickerplant.queries import QUERIES, find_method, find_path
from tickerplant.queries.query import Query
from tickerplant.server.kept_answers import (
    KEEPINGS,
    KeptAnswers,
    Question,
    Refusal,
    kept_ms,
    name_of,
    question_of,
)
from tickerplant.venue import USDM

NOW_MS = 1_772_000_000_000


def query_of(path: str) -> Query:
    query = find_path(USDM, path)
    assert query is not None, f"no {path}"
    return query


DEPTH = query_of("/fapi/v1/depth")


def question(name: str) -> Question:
    return Question(name, ())


def test_it_is_said_once_of_every_question_how_long_its_answer_is_kept() -> None:
    said = [name for row in KEEPINGS for name in row.names]
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
def test_the_longer_an_answer_stays_true_the_longer_it_is_kept(path: str, expected_ms: int) -> None:
    assert kept_ms(query_of(f"/fapi/v1/{path}")) == expected_ms


@pytest.mark.parametrize(
    "params",
    [
        {"symbol": "BTCUSDT", "limit": "5"},
        {"limit": 5, "symbol": "btcusdt"},
        {"symbol": "BTCUSDT", "limit": 5, "apiKey": "k", "timestamp": 1, "signature": "s"},
    ],
)
def test_questions_that_mean_the_same_are_equal_and_carry_no_key(params: dict[str, Any]) -> None:
    assert question_of(DEPTH, params).params == (("limit", "5"), ("symbol", "BTCUSDT"))


def test_both_interfaces_ask_the_same_question() -> None:
    method = find_method(USDM, "depth")
    assert method is not None
    assert question_of(method, {"symbol": "X"}) == question_of(DEPTH, {"symbol": "X"})


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), ("", ""), (True, "true"), (["A"], '["A"]'), (1.5, "1.5")]
)
def test_values_of_other_types_are_asked_as_they_are(value: object, text: str | None) -> None:
    asked = dict(question_of(DEPTH, {"limit": value}).params)
    assert asked.get("limit") == text


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"]])
def test_what_cannot_be_written_is_refused(value: object) -> None:
    with pytest.raises(RequestError) as refused:
        question_of(DEPTH, {"symbol": value})
    assert refused.value.code == -1130


def test_an_answer_is_kept_until_its_time_is_over() -> None:
    kept = KeptAnswers()
    kept.put(question("a"), b"[]", NOW_MS, NOW_MS + 250)
    assert kept.get(question("a"), NOW_MS + 249) == b"[]"
    assert kept.get(question("b"), NOW_MS) is None
    assert kept.get(question("a"), NOW_MS + 250) is None
    assert (len(kept), kept.size) == (0, 0), "what is over is forgotten"
    kept.put(question("a"), b"[]", NOW_MS, NOW_MS)
    assert len(kept) == 0, "no time, no room"


def test_what_was_asked_for_least_lately_makes_room() -> None:
    kept = KeptAnswers(max_answers=2)
    for name in ("a", "b"):
        kept.put(question(name), b"[]", NOW_MS, NOW_MS + 250)
    assert kept.get(question("a"), NOW_MS)
    kept.put(question("c"), b"[]", NOW_MS, NOW_MS + 250)
    assert kept.get(question("b"), NOW_MS) is None
    assert kept.get(question("a"), NOW_MS)
    assert kept.displaced == 1
    kept.put(question("d"), b"[]", NOW_MS + 250, NOW_MS + 500)
    assert kept.displaced == 1, "the time of the one that went was over"


def test_an_answer_that_would_take_all_the_room_is_not_kept() -> None:
    kept = KeptAnswers(max_bytes=10)
    kept.put(question("a"), b"12345", NOW_MS, NOW_MS + 1)
    kept.put(question("b"), b"1234567890", NOW_MS, NOW_MS + 1)
    assert kept.get(question("a"), NOW_MS) == b"12345"
    assert kept.get(question("b"), NOW_MS) is None
    kept.put(question("c"), b"12345", NOW_MS, NOW_MS + 1)
    assert (len(kept), kept.size) == (1, 6)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.binary(max_size=9), st.integers(0, 5)), max_size=40
    )
)
def test_no_more_is_kept_than_there_is_room_for_and_nothing_for_too_long(
    answers: list[tuple[str, bytes, int]],
) -> None:
    kept = KeptAnswers(max_answers=3, max_bytes=20)
    last: dict[str, tuple[bytes, int]] = {}
    for now_ms, (name, answer, time_ms) in enumerate(answers):
        kept.put(question(name), answer, now_ms, now_ms + time_ms)
        last[name] = (answer, now_ms + time_ms)
        assert len(kept) <= 3
        assert kept.size <= 20
        for each, (told, until_ms) in last.items():
            found = kept.get(question(each), now_ms)
            assert found in {None, told}
            assert found is None or now_ms < until_ms


def test_an_error_is_kept_as_a_value() -> None:
    refusal = Refusal.of(RequestError(-1121, "Invalid symbol.", 400))
    assert refusal.error is not refusal.error, "each who asks gets one of his own"
    assert (refusal.error.code, refusal.error.status) == (-1121, 400)
