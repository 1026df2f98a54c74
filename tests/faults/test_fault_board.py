from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from set_clock import SetClock

from tickerplant.errors import ConfigError
from tickerplant.faults.board import (
    MAX_OVER,
    MAX_RULES,
    Chances,
    FaultBoard,
    FaultOn,
    passed_on,
    received,
)
from tickerplant.faults.rule import parse_rule


def board_of(*texts: str, seed: int = 1) -> tuple[FaultBoard, SetClock, list[FaultOn]]:
    clock = SetClock()
    board = FaultBoard(clock, seed)
    return board, clock, [board.add(parse_rule(text)) for text in texts]


def test_a_window_opens_and_ends_by_the_clock() -> None:
    board, clock, (on,) = board_of("stall at=+10s for=5s")
    told: list[tuple[str, str]] = []
    board.subscribe(lambda each: told.append((each.id, each.state)))
    assert (on.id, on.state, len(board)) == ("f1", "waiting", 1)
    clock.go_on(9_999)
    assert not board.on("connection")
    clock.go_on(1)
    assert board.on("connection") == (on,)
    clock.go_on(5_000)
    assert (on.state, len(board), list(board)) == ("over", 0, [on])
    assert told == [("f1", "on"), ("f1", "over")]


def test_what_happens_at_a_moment_is_over_at_once() -> None:
    board, _, (moment, lasting, window, random, counted) = board_of(
        "reset", "stall", "reset for=1s", "reset=1s", "reset after=3"
    )
    assert moment.state == "over"
    assert board.on("connection") == (lasting, window, random, counted)


def test_rules_are_removed_once_and_ids_are_never_used_again() -> None:
    board, clock, (first, second) = board_of("stall for=1s", "refuse")
    assert board.remove("f1") is first
    with pytest.raises(KeyError):
        board.remove("f1")
    clock.go_on(1_000)
    assert first.state == "over"
    assert board["f2"] is second
    assert board.clear() == 1
    assert board.add(parse_rule("refuse")).id == "f3"


@pytest.mark.heavy
def test_only_some_rules_that_are_over_stay_on_the_list() -> None:
    board, _, rules = board_of(*["reset"] * (MAX_OVER + 5))
    assert list(board) == rules[5:]
    for _ in range(MAX_RULES):
        board.add(parse_rule("refuse"))
    with pytest.raises(ConfigError, match="expected at most"):
        board.add(parse_rule("refuse"))


def test_a_rule_for_requests_is_over_when_it_has_happened_often_enough() -> None:
    board, _, (on,) = board_of("http_503 after=2 times=3")
    chances = on.all_requests
    assert chances is not None
    assert [chances.occurs() for _ in range(7)] == [False, False, True, True, True, False, False]
    assert (on.state, on.hits, board.counts["http_503"]) == ("over", 3, 3)


def draws(seed: int, ordinal: int, *texts: str) -> tuple[int, ...]:
    """The random times of the last rule for a connection."""
    board, _, rules = board_of(*texts, seed=seed)
    chances = board.chances(rules[-1], ordinal)
    return tuple(chances.wait_ms() for _ in range(5))


def test_chance_follows_from_the_seed_the_connection_and_the_rule_alone() -> None:
    first = draws(1, 2, "reset=30s")
    assert first == draws(1, 2, "reset=30s") == draws(1, 2, "fields=0.5", "reset=30s")
    others = {draws(2, 2, "reset=30s"), draws(1, 3, "reset=30s"), draws(1, 2, *["reset=30s"] * 2)}
    assert len({first, *others}) == 4


def test_random_times_have_the_mean_and_shares_are_shares() -> None:
    board, _, (reset, fields, stall) = board_of(
        "reset=30s", "fields=0.25", "stall connections=0.25"
    )
    ordinals = range(2_000)
    waits = [board.chances(reset, each).wait_ms() for each in ordinals]
    assert 28_000 < sum(waits) / len(waits) < 32_000
    assert 430 < sum(board.chances(fields, each).occurs() for each in ordinals) < 570
    assert 430 < sum(board.takes(stall, each) for each in ordinals) < 570


def test_edges_get_the_rules_that_are_on_without_their_windows() -> None:
    board, clock, _ = board_of("stall for=1s", "refuse at=+1s", "http_503", "close=1001@1m after=2")
    edge = FaultBoard(SetClock())
    edge.replace_all(received(passed_on(board)))
    assert [(on.id, on.rule.text, on.state) for on in edge] == [
        ("f1", "stall for=1s", "on"),
        ("f4", "close=1001@1m after=2", "on"),
    ]
    kept = edge["f4"]
    clock.go_on(1_000)
    edge.replace_all(received(passed_on(board)))
    assert [on.id for on in edge] == ["f4", "f2"]
    assert edge["f4"] is kept


def test_an_edge_has_the_rules_of_a_plant_that_was_started_again() -> None:
    edge = FaultBoard(SetClock())
    before, _, _ = board_of("drop=0.1", "stall", "drop=0.5")
    edge.replace_all(received(passed_on(before)))
    kept = edge["f2"]
    after, _, _ = board_of("latency=1s", "stall", "garbage", "drop=0.5")
    edge.replace_all(received(passed_on(after)))
    shown = {on.id: (on.rule.text, on.number) for on in edge}
    assert shown == {on.id: (on.rule.text, on.number) for on in after if on.is_on}
    assert edge["f2"] is kept


def test_an_edge_that_joins_late_draws_as_the_plant_does() -> None:
    board, _, _ = board_of("fields=0.5", "fields=0.5")
    board.remove("f1")
    edge = FaultBoard(SetClock(), board.seed)
    edge.replace_all(received(passed_on(board)))
    for ordinal in range(50):
        draws = [
            [chances.occurs() for _ in range(10)]
            for chances in (each.chances(each["f2"], ordinal) for each in (board, edge))
        ]
        assert draws[0] == draws[1]


@pytest.mark.parametrize("number", [None, 0, "1"])
def test_a_rule_that_is_passed_on_has_its_number(number: object) -> None:
    with pytest.raises(ConfigError, match="which of its kind the rule is"):
        received({"f1": {"kind": "close", "mean": "5s", "number": number}})


class Written(NamedTuple):
    """A rule of the model: when it is open, and what passes and hits on each connection."""

    delay_ms: int
    for_ms: int | None
    after: int
    times: int | None


RULES = st.builds(
    Written,
    st.sampled_from([0, 5, 20]),
    st.sampled_from([None, 1, 10, 40]),
    st.integers(0, 3),
    st.sampled_from([None, 1, 2]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), RULES),
        st.tuples(st.just("remove"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(0, 15)),
        st.tuples(st.just("message"), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(STEPS)
def test_messages_are_hit_as_a_naive_model_says(steps: list[tuple[str, object]]) -> None:
    board, clock = FaultBoard(SetClock()), SetClock()
    board.clock = clock
    model: list[tuple[Written, int, FaultOn]] = []
    removed: set[str] = set()
    seen: dict[tuple[str, int], int] = {}
    chances: dict[tuple[str, int], Chances] = {}
    hits = 0
    for step, value in steps:
        if step == "add" and isinstance(value, Written):
            words = [f"at=+{value.delay_ms}ms"] if value.delay_ms else []
            words += [f"for={value.for_ms}ms"] if value.for_ms else []
            words += [f"after={value.after}"]
            words += [f"times={value.times}"] if value.times else []
            on = board.add(parse_rule(" ".join(["drop", *words])))
            model.append((value, clock.now_ms + value.delay_ms, on))
        elif step == "remove" and isinstance(value, int) and value < len(model):
            on = model[value][2]
            if on.id not in removed:
                removed.add(on.id)
                board.remove(on.id)
        elif step == "wait" and isinstance(value, int):
            clock.go_on(value)
        elif step == "message" and isinstance(value, int):
            for rule, opens_ms, on in model:
                is_open = clock.now_ms >= opens_ms and (
                    rule.for_ms is None or clock.now_ms < opens_ms + rule.for_ms
                )
                expected = False
                if is_open and on.id not in removed:
                    count = seen[on.id, value] = seen.get((on.id, value), 0) + 1
                    most = rule.after + (rule.times or 1_000)
                    expected = rule.after < count <= most
                assert on.is_on == (is_open and on.id not in removed)
                if (on.id, value) not in chances:
                    chances[on.id, value] = board.chances(on, value)
                assert chances[on.id, value].occurs() == expected
                hits += expected
    assert board.counts["drop"] == hits == sum(on.hits for _, _, on in model)
