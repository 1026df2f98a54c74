"""How levers are written, and what is wrong with those that are not valid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import ConfigError
from tickerplant.simulation.levers import LEVER_ROWS, LeverRow, parse_lever


def test_a_lever_has_its_parameters_with_their_defaults_in_milliseconds() -> None:
    lever = parse_lever({"market": "shock", "symbols": ["btcusdt"], "move": -0.12, "over": "40s"})
    assert lever.row.name == "shock"
    assert lever.symbols == ("BTCUSDT",)
    assert lever.values["move"] == -0.12
    assert lever.values["over"] == 40_000
    assert lever.values["recover_over"] == 60_000
    assert lever.for_ms is None


def test_a_single_symbol_needs_no_list_and_a_duration_is_read() -> None:
    lever = parse_lever({"market": "halt", "symbols": "BTCUSDT", "venue": "usdm", "for": "90s"})
    assert (lever.symbols, lever.venue, lever.for_ms) == (("BTCUSDT",), "usdm", 90_000)


@pytest.mark.parametrize(
    ("written", "setting", "sentence"),
    [
        ({}, "market", "market is missing: expected one of shock"),
        ({"market": "shok", "move": 1}, "market", "did you mean shock?"),
        ({"market": "shock"}, "move", "move is missing: expected a number from -0.9 to 9"),
        ({"market": "shock", "move": -1.5}, "move", "-1.5"),
        ({"market": "shock", "move": True}, "move", "True"),
        ({"market": "shock", "move": float("nan")}, "move", "nan"),
        ({"market": "shock", "move": 0.1, "ovr": "1s"}, "a key of shock", "did you mean over?"),
        ({"market": "shock", "move": 0.1, "for": "1s"}, "a key of shock", "'for'"),
        ({"market": "shock", "move": 0.1, "over": 40}, "over", "a duration such as"),
        ({"market": "shock", "move": 0.1, "over": "40"}, "over", "a duration such as"),
        ({"market": "shock", "move": 0.1, "beta": "yes"}, "beta", "true or false"),
        ({"market": "makers", "presence": 2}, "presence", "a number from 0 to 1"),
        ({"market": "halt", "for": "0s"}, "for", "of more than 0"),
        ({"market": "halt", "venue": "spot"}, "venue", "one of usdm, coinm"),
        ({"market": "one_sided", "side": "bid"}, "side", "did you mean bids?"),
        ({"market": "halt", "symbols": []}, "symbols", "a symbol, or a list of symbols"),
        ({"market": "halt", "symbols": [7]}, "symbols", "7"),
        ({"market": "halt", "symbols": ["A BUSDT"]}, "symbols", "A BUSDT"),
        ({"market": "halt", "symbols": ["\u017fOLUSDT"]}, "symbols", "\u017fOLUSDT"),
        ({"market": "delist"}, "symbols", "symbols is missing"),
    ],
)
def test_bad_input_names_the_key_the_value_and_what_was_expected(
    written: dict[str, object], setting: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_lever(written)
    assert caught.value.setting == setting
    assert sentence in str(caught.value)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.text(max_size=8), max_size=2),
)
KEYS = st.sampled_from(
    sorted(
        {"market", "symbols", "venue", "for"}
        | {param.name for row in LEVER_ROWS for param in row.params}
    )
)


@given(st.sampled_from(LEVER_ROWS), st.dictionaries(KEYS, VALUES, max_size=4))
def test_whatever_is_written_is_a_lever_or_a_config_error(
    row: LeverRow, given_keys: dict[str, object]
) -> None:
    try:
        lever = parse_lever({"market": row.name, **given_keys})
    except ConfigError:
        return
    assert set(lever.values) == {param.name for param in lever.row.params}


def test_every_row_and_parameter_says_what_it_does() -> None:
    assert len({row.name for row in LEVER_ROWS}) == len(LEVER_ROWS)
    for row in LEVER_ROWS:
        assert row.doc.endswith(".")
        for param in row.params:
            assert param.doc.endswith("."), f"{row.name}.{param.name}"
            if param.default is not None:
                param.read(param.default)
