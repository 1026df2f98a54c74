from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from set_clock import START_MS, SetClock

from tickerplant.faults.answer_faults import MAX_FIRST_ANSWERS, AnswerFaults
from tickerplant.faults.board import FaultBoard
from tickerplant.faults.rule import parse_rule
from tickerplant.faults.snapshot_faults import EarlierBook

PATH = "/fapi/v1/depth"
BTC = {"symbol": "btcusdt", "limit": "5"}


def snapshot(update_id: int = 100, shift: int = 0) -> dict[str, Any]:
    return {
        "lastUpdateId": update_id,
        "E": START_MS + shift,
        "T": START_MS + shift - 7,
        "bids": [["10.00", "1.000"], ["9.90", "2.000"]],
        "asks": [["10.10", "3.000"], ["10.20", "4.000"]],
    }


class Stage:
    """The rules of a server, and what its clients are answered."""

    def __init__(self, *rules: object, earlier: EarlierBook | None = None) -> None:
        self.clock = SetClock()
        self.board = FaultBoard(self.clock)
        self.answers = AnswerFaults(self.board, lambda *_: earlier)
        self.on = [self.board.add(parse_rule(rule)) for rule in rules]

    def ask(
        self,
        answer: Any,
        name: str = PATH,
        params: Mapping[str, object] | None = None,
        venue: str = "usdm",
    ) -> Any:
        body = json.dumps(answer, separators=(",", ":")).encode()
        return json.loads(
            self.answers.revised(venue, name, BTC if params is None else params, body)
        )

    @property
    def hits(self) -> list[int]:
        return [on.hits for on in self.on]


def test_nothing_is_touched_without_a_rule() -> None:
    assert Stage().ask(snapshot()) == snapshot()
    assert Stage("empty_book at=+5s").ask(snapshot()) == snapshot()
    assert Stage("clock=2s at=+5s").ask(snapshot()) == snapshot()


def test_a_crossed_book_has_the_best_prices_the_other_way_round() -> None:
    stage = Stage("crossed_book")
    answer = stage.ask(snapshot())
    assert answer["bids"] == [["10.10", "1.000"], ["9.90", "2.000"]]
    assert answer["asks"] == [["10.00", "3.000"], ["10.20", "4.000"]]
    assert answer["lastUpdateId"] == 100
    assert list(answer) == list(snapshot())
    one_sided = {**snapshot(), "asks": []}
    assert stage.ask(one_sided) == one_sided
    assert stage.hits == [1]


@pytest.mark.parametrize(
    ("side", "empty"), [("both", "bids asks"), ("bids", "bids"), ("asks", "asks")]
)
def test_an_empty_book_has_no_levels_on_a_side(side: str, empty: str) -> None:
    stage = Stage({"kind": "empty_book", "side": side})
    answer = stage.ask(snapshot())
    assert answer == {**snapshot(), **{each: [] for each in empty.split()}}
    assert stage.ask(answer) == answer
    assert stage.hits == [1], "what was empty before is no occasion"


def test_the_book_in_a_reply_of_the_api_is_changed_and_nothing_else() -> None:
    reply = {"id": "a", "status": 200, "result": snapshot(), "rateLimits": [{"count": 5}]}
    stage = Stage("empty_book")
    answer = stage.ask(reply, "depth")
    assert answer == {**reply, "result": {**snapshot(), "bids": [], "asks": []}}
    error = {"id": "a", "status": 400, "error": {"code": -1121, "msg": "Invalid symbol."}}
    assert stage.ask(error, "depth") == error
    assert stage.hits == [1]


@pytest.mark.parametrize(
    ("rule", "name", "params", "venue", "is_hit"),
    [
        ("empty_book", "/fapi/v1/trades", BTC, "usdm", False),
        ("empty_book", "/fapi/v1/rpiDepth", BTC, "usdm", True),
        ("empty_book venue=coinm", PATH, BTC, "usdm", False),
        ("empty_book venue=coinm", "/dapi/v1/depth", BTC, "coinm", True),
        ("empty_book symbol=BTCUSDT", PATH, BTC, "usdm", True),
        ("empty_book symbol=BTC*", PATH, BTC, "usdm", True),
        ("empty_book symbol=ETHUSDT", PATH, BTC, "usdm", False),
        ("empty_book path=/fapi/v1/depth", PATH, BTC, "usdm", True),
        ("empty_book path=/fapi/v1/depth", "depth", BTC, "usdm", False),
        ("empty_book method=depth", "depth", BTC, "usdm", True),
        ("empty_book method=depth", PATH, BTC, "usdm", False),
        ("empty_book", PATH, {}, "usdm", True),
    ],
)
def test_rules_hit_what_they_are_aimed_at(
    rule: str, name: str, params: Mapping[str, object], venue: str, is_hit: bool
) -> None:
    stage = Stage(rule)
    answer = stage.ask(snapshot(), name, params, venue)
    assert (answer["bids"] == []) is is_hit
    assert stage.hits == [int(is_hit)]


def test_the_occasions_of_a_window_are_counted_over_all_requests() -> None:
    stage = Stage("empty_book after=1 times=2")
    seen = [stage.ask(snapshot())["bids"] == [] for _ in range(5)]
    assert seen == [False, True, True, False, False]
    assert stage.on[0].state == "over"
    stage = Stage("crossed_book for=10s")
    stage.clock.go_on(10_000)
    assert stage.ask(snapshot()) == snapshot()


def test_a_stale_snapshot_is_the_earlier_book_down_to_the_limit() -> None:
    earlier = EarlierBook(
        last_update_id=60,
        event_time_ms=START_MS - 10_000,
        transaction_time_ms=START_MS - 10_003,
        bids=[("9.80", "1.000")] * 7,
        asks=[("9.85", "1.000")] * 3,
    )
    stage = Stage("stale_snapshot", earlier=earlier)
    assert stage.ask(snapshot()) == {
        "lastUpdateId": 60,
        "E": START_MS - 10_000,
        "T": START_MS - 10_003,
        "bids": [["9.80", "1.000"]] * 5,
        "asks": [["9.85", "1.000"]] * 3,
    }
    assert len(stage.ask(snapshot(), params={"symbol": "BTCUSDT"})["bids"]) == 7
    spot_like = {key: value for key, value in snapshot().items() if key not in "ET"}
    assert list(stage.ask(spot_like)) == list(spot_like), "no times are added"
    assert stage.hits == [3]
    assert stage.ask(snapshot(60)) == snapshot(60), "nothing has happened since"
    assert stage.hits == [3]
    stage.board.clear()


@pytest.mark.parametrize("name", [PATH, "/fapi/v1/rpiDepth"])
def test_where_no_earlier_book_is_known_the_first_answer_is_repeated(name: str) -> None:
    stage = Stage("stale_snapshot once=true")
    assert stage.ask(snapshot(), name) == snapshot(), "the first has nothing before it"
    other = {"symbol": "ETHUSDT", "limit": "5"}
    assert stage.ask(snapshot(7), name, other) == snapshot(7)
    assert stage.ask(snapshot(109, 900), name) == snapshot()
    assert stage.hits == [1]
    assert stage.ask(snapshot(111), name) == snapshot(111)
    assert stage.answers._first == {}, "nothing is kept for a rule that is over"


def test_first_answers_are_bounded() -> None:
    stage = Stage("stale_snapshot")
    for number in range(MAX_FIRST_ANSWERS + 1):
        stage.ask(snapshot(), params={"symbol": f"A{number}"})
    assert len(stage.answers._first) == MAX_FIRST_ANSWERS
    assert stage.ask(snapshot(101), params={"symbol": "A0"})["lastUpdateId"] == 101
    assert stage.ask(snapshot(101), params={"symbol": "A50"})["lastUpdateId"] == 100


def test_a_clock_that_is_off_is_off_in_answers() -> None:
    stage = Stage("clock=-5s")
    assert stage.ask({"serverTime": START_MS}, "/fapi/v1/time") == {"serverTime": START_MS - 5_000}
    rows = [{"id": 1, "price": "1.0", "time": START_MS}]
    assert stage.ask(rows, "/fapi/v1/trades") == [{**rows[0], "time": START_MS - 5_000}]
    reply = {"id": 1, "status": 200, "result": snapshot()}
    assert stage.ask(reply, "depth")["result"]["T"] == START_MS - 5_007
    assert stage.hits == [3]
    assert stage.ask([], "/fapi/v1/trades") == []
    assert stage.hits == [3]


def test_a_clock_that_is_off_on_streams_or_at_times_leaves_other_answers_alone() -> None:
    answer = {"serverTime": START_MS}
    for aim in ("stream=btcusdt@trade", "connections=0.5", "path=/fapi/v1/depth"):
        stage = Stage(f"clock=2s {aim}")
        assert stage.ask(answer, "/fapi/v1/time") == answer
    stage = Stage("clock=2s path=/fapi/v1/time once=true")
    seen = [stage.ask(answer, "/fapi/v1/time")["serverTime"] - START_MS for _ in range(3)]
    assert seen == [2_000, 0, 0]


def test_what_is_no_book_stays_as_it_is() -> None:
    stage = Stage("empty_book", "crossed_book", "stale_snapshot")
    for body in (b"not JSON", b"[]", b'{"code":1}', b"null"):
        assert stage.answers.revised("usdm", PATH, BTC, body) == body
