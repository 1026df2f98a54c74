from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.errors import ConfigError
from tickerplant.faults.catalogue import FAULTS
from tickerplant.faults.connection_faults import Refuse
from tickerplant.faults.rule import Rule
from tickerplant.scenarios.parse import MOST_CHANGES, MOST_CHARACTERS, parse_scenario
from tickerplant.simulation.levers import LEVER_ROWS, Lever

HEAD = 'title = "A bad day"\nduration = "2m"\n'
SHOCK = '[[change]]\nat = "30s"\nmarket = "shock"\nmove = -0.1\n'
RESET = '[[change]]\nat = "10s"\nfault = "reset"\nconnections = 0.5\n'


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_scenario(text, "day.toml")
    return str(caught.value)


def test_a_scenario_has_its_changes_in_the_order_of_their_times() -> None:
    scenario = parse_scenario(HEAD + SHOCK + RESET, "day.toml", "day")
    assert (scenario.name, scenario.title, scenario.duration_ms) == ("day", "A bad day", 120_000)
    assert [change.at_ms for change in scenario.changes] == [10_000, 30_000]
    assert [type(change.action) for change in scenario.changes] == [Rule, Lever]
    assert [change.text for change in scenario.changes] == [
        "fault reset connections=0.5",
        "market shock move=-0.1",
    ]
    assert [change.is_market for change in scenario.changes] == [False, True]


def test_a_scenario_takes_symbols_of_any_script() -> None:
    listing = "market = 'list'\nsymbols = ['币安人生usdt', '4USDC']"
    (change,) = parse_scenario(f"{HEAD}[[change]]\n{AT}{listing}", "day.toml").changes
    assert isinstance(change.action, Lever)
    assert change.action.symbols == ("币安人生USDT", "4USDC")


def test_texts_are_paragraphs_without_line_breaks() -> None:
    text = f'happened = """\nIn 2010\nit fell.\n\nIt rose.\n"""\n{HEAD}{SHOCK}'
    assert parse_scenario(text, "day.toml").happened == "In 2010 it fell.\n\nIt rose."


def change(lines: str) -> str:
    return f"{HEAD}{RESET}[[change]]\n{lines}\n"


AT = 'at = "30s"\n'
HERE = "change 2 (at 30s) of day.toml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", ["day.toml", "TOML", "at end of document"]),
        (HEAD + "title = 'again'\n", ["day.toml", "TOML", "line 3"]),
        ("a = " + "[" * 3_000, ["day.toml", "TOML"]),
        ("duration = '1m'\n" + SHOCK, ["title in day.toml is missing"]),
        ("title = 'x'\n" + SHOCK, ["duration in day.toml is missing", "such as 100ms, 90s"]),
        ("title = 'x'\nduration = 60\n" + SHOCK, ["60 for duration in day.toml", "90s"]),
        ("title = 'x'\nduration = '0s'\n" + SHOCK, ["'0s' for duration", "of more than 0"]),
        ("title = 7\nduration = '1m'\n" + SHOCK, ["7 for title in day.toml", "characters"]),
        ("titel = 'x'\n" + HEAD + SHOCK, ["'titel'", "a key in day.toml", "did you mean title?"]),
        (HEAD, ["change in day.toml is missing", "[[change]]"]),
        (HEAD + "[change]\nat = '1s'\n", ["for change in day.toml", "[[change]]"]),
        (HEAD + "change = []\n", ["invalid value 0 for the number of changes", "[[change]]"]),
        (HEAD + SHOCK * (MOST_CHANGES + 1), [str(MOST_CHANGES + 1), f"1 to {MOST_CHANGES}"]),
        ("# " + "x" * MOST_CHARACTERS, [f"at most {MOST_CHARACTERS} characters"]),
        (change("market = 'halt'"), ["at in change 2 of day.toml is missing", "a duration"]),
        (change("at = 30\nmarket = 'halt'"), ["30 for at in change 2 of day.toml", "90s"]),
        (change("at = 'soon'\nmarket = 'halt'"), ["'soon' for at in change 2 (at soon)"]),
        (change("at = '-1s'\nmarket = 'halt'"), ["'-1s' for at"]),
        (change("at = '2m'\nmarket = 'halt'"), ["at in change 2 (at 2m)", "duration of 120s"]),
        (change(AT), [f"market or fault in {HERE} is missing", 'market = "shock"']),
        (change(AT + "maket = 'halt'"), [f"in {HERE} is missing", "did you mean market?"]),
        (change(AT + "market = 'hault'"), [f"'hault' for market in {HERE}", "did you mean halt?"]),
        (change(AT + "market = 3"), [f"3 for market in {HERE}", "one of shock"]),
        (change(AT + "fault = 'rest'"), [f"'rest' for fault in {HERE}", "did you mean reset"]),
        (change(AT + "market = 'reset'"), [f"market in {HERE}", "expected fault = 'reset'"]),
        (change(AT + "fault = 'shock'"), [f"fault in {HERE}", "expected market = 'shock'"]),
        (change(AT + "market = 'halt'\nfault = 'reset'"), [f"market and fault in {HERE}", "only"]),
        (change(AT + "market = 'shock'\nmov = 1"), ["'mov'", HERE, "did you mean move?"]),
        (change(AT + "market = 'shock'"), [f"move in {HERE} is missing", "a number from"]),
        (change(AT + "market = 'shock'\nmove = '1'"), [f"'1' for move in {HERE}", "a number"]),
        (change(AT + "market = 'shock'\nmove = 99"), [f"99 for move in {HERE}", "a number from"]),
        (change(AT + "market = 'shock'\nmove = nan"), [f"'nan' for move in {HERE}"]),
        (change(AT + f"market = 'shock'\nmove = {'9' * 400}"), [f"move in {HERE}", "a number"]),
        (change(AT + f"market = 'shock'\nmove = {'9' * 5000}"), ["day.toml", "TOML"]),
        (change(AT + "market = 'shock'\nmove = 10:00:00"), [f"'10:00:00' for move in {HERE}"]),
        (change(AT + "market = 'one_sided'\nside = 'bid'"), ["'bid' for side", "mean bids?"]),
        (change(AT + "market = 'shock'\nmove = 1\nfor = '1s'"), ["'for'", HERE, "one of at"]),
        (change(AT + "market = 'halt'\nfor = '91s'"), [f"'91s' for for in {HERE}", "most 90s"]),
        (change(AT + "market = 'halt'\nvenue = 'usd'"), [f"'usd' for venue in {HERE}", "usdm"]),
        (change(AT + "market = 'halt'\nsymbols = [1]"), [f"1 for symbols in {HERE}", "BTCUSDT"]),
        (change(AT + "market = 'delist'"), [f"symbols in {HERE} is missing"]),
        (change(AT + "fault = 'refuse'\nshare = 2"), [f"2 for share in {HERE}", "from 0 to 1"]),
        (change(AT + "fault = 'refuse'\nshar = 1"), ["'shar'", HERE, "did you mean share?"]),
        (change(AT + "fault = 'close'\ncode = 5"), [f"5 for code in {HERE}", "a close code"]),
        (change(AT + "fault = 'refuse'\nfor = 7"), [f"7 for for in {HERE}"]),
        (
            change(AT + "market = 'halt'") + f"[[change]]\n{AT}market = 'halt'",
            ["'halt' for market in", "by change 2 (at 30s)"],
        ),
    ],
)
def test_an_error_says_where_it_is_what_is_there_and_what_was_expected(
    text: str, words: list[str]
) -> None:
    found = problem(text)
    assert not [each for each in words if each not in found], found


def test_a_lever_may_be_pulled_again_when_it_has_ended_or_elsewhere() -> None:
    first = '[[change]]\nat = "10s"\nmarket = "halt"\nfor = "20s"\nsymbols = "BTCUSDT"\n'
    later = first.replace("10s", "30s")
    elsewhere = first.replace("BTC", "ETH")
    assert len(parse_scenario(HEAD + first + later + elsewhere, "day.toml").changes) == 3


ROWS = [(row.name, [param.name for param in row.params]) for row in LEVER_ROWS]
ROWS += [(kind, [each.name for each in fault.params()]) for kind, fault in FAULTS.items()]
names = st.sampled_from([*(name for name, _ in ROWS), "nothing"])
keys = st.sampled_from(
    ["at", "for", "market", "fault", "symbols", "venue", "stream", "connections", "once", "after"]
    + [param for _, params in ROWS for param in params]
)
values = st.one_of(
    names.map(repr),
    st.sampled_from(["'10s'", "'1m'", "true", "[]", "['BTCUSDT']", "{}", "1979-05-27", "inf"]),
    st.floats(allow_nan=True).map(str),
    st.integers().map(str),
    st.text(max_size=8).map(lambda text: f"'''{text}'''"),
)
tables = st.dictionaries(keys, values, max_size=6)


@given(st.lists(tables, max_size=4), st.text(max_size=20))
def test_whatever_is_in_a_file_it_is_a_scenario_or_an_error_with_its_name(
    changes: list[dict[str, str]], tail: str
) -> None:
    text = HEAD
    for each in changes:
        text += "[[change]]\n" + "".join(f"{key} = {value}\n" for key, value in each.items())
    for content in (text, text + tail, tail):
        try:
            scenario = parse_scenario(content, "day.toml")
        except ConfigError:
            assert "day.toml" in problem(content)
        else:
            assert len(scenario.changes) == len(tomllib.loads(content)["change"])


@given(st.floats(0, 1), st.integers(0, 119_999))
def test_what_was_written_is_what_is_read(share: float, at_ms: int) -> None:
    text = HEAD + f'[[change]]\nat = "{at_ms}ms"\nfault = "refuse"\nshare = {share}\n'
    (found,) = parse_scenario(text, "day.toml").changes
    assert isinstance(found.action, Rule)
    assert (found.at_ms, found.action.fault) == (at_ms, Refuse(share=share))


@pytest.mark.parametrize("text", ["{} = 1", "[{}]", "[[change]]\n{} = 1", "change = [{{{} = 1}}]"])
def test_a_key_of_thousands_of_parts_is_refused_at_once(text: str) -> None:
    deep = ".".join("a" * 32_000)
    with pytest.raises(ConfigError, match="a key has more than 16 parts"):
        parse_scenario(text.format(deep), "the text")
