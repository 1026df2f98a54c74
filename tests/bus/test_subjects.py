from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from tickerplant.bus.subjects import LONGEST_TOKEN, Subjects, key_of, token_of

names = st.text(st.characters(), max_size=200)
"""Also with surrogates, which a JSON string may contain."""


@given(names)
@example("")
@example("btcusdt@depth20@100ms")
@example("a b.c>*\r\n")
@example("\ud800")
def test_every_name_is_one_token_that_a_bus_accepts(name: str) -> None:
    token = token_of(name)
    assert re.fullmatch(r"[A-Za-z0-9_@!%-]+", token)
    assert len(token) <= LONGEST_TOKEN


@given(names, names)
@example("", "%")
@example("%h", "%68")
@example("a%41", "aA")
def test_different_names_have_different_tokens(one: str, other: str) -> None:
    assert (token_of(one) == token_of(other)) == (one == other)


def test_names_of_streams_can_be_read_in_their_subjects() -> None:
    subjects = Subjects("acme.ticks", "main")
    assert subjects.stream("usdm", "btcusdt@trade") == "acme.ticks.main.s.usdm.btcusdt@trade"
    assert subjects.stream("usdm", "!ticker@arr") == "acme.ticks.main.s.usdm.!ticker@arr"
    assert subjects.edge("host.7") == "acme.ticks.main.e.host%2E7"


def test_the_memories_of_plants_have_names_of_their_own() -> None:
    assert Subjects("a", "b_c").memory != Subjects("a_b", "c").memory
    assert "." not in Subjects("a.b", "c").memory


def test_keys_are_the_same_in_every_process() -> None:
    assert key_of("tickerplant.main.ctl") == 8_523_113_772_489_494
    assert key_of("a") != key_of("b")
