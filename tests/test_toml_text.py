from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.toml_text import MOST_PARTS, parse_toml

LONG = 64_000
DEEP = ".".join("a" * (LONG // 2))


@pytest.mark.parametrize(
    "text",
    [
        f"{DEEP} = 1",
        f"[{DEEP}]",
        f"[[{DEEP}]]",
        f"a = {{{DEEP} = 1}}",
        DEEP.replace("a", '"a"') + " = 1",
        DEEP.replace("a", "'.'") + " = 1",
        DEEP.replace(".", " . ") + " = 1",
        f'x = """a"""""\n{DEEP} = 1',
        f"x = ['''a''''', {{{DEEP} = 1}}, '']",
        f'# a comment with a "\n{DEEP} = 1 # "',
        f'x = "\\\\" # "\n{DEEP} = 1 # "',
    ],
)
def test_a_key_of_many_parts_is_refused_before_it_is_parsed(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tomllib, "loads")  # it takes seconds
    with pytest.raises(ValueError, match=f"a key has more than {MOST_PARTS} parts"):
        parse_toml(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = {" * 2_000, "it nests too deeply"),
        ("a = " + "[" * LONG, "it nests too deeply"),
        ("a = " + "1" * 5_000, "a number has thousands of digits"),
        ("a = 0x" + "f" * 5_000, "a number has thousands of digits"),
        ("a = [0b" + "1_0" * 10_000 + "]", "a number has thousands of digits"),
        ("a = ", "Invalid value"),
        ("a = \x1b", "Invalid value"),
    ],
)
def test_what_is_no_toml_is_refused_with_a_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_toml(text)


@pytest.mark.parametrize("begin", ['"', '"""', "'", "'''"])
@pytest.mark.parametrize("piece", ['\\"', "\\'", "\\", "' ", "'' ", 'a"' + "'"])
def test_a_text_that_does_not_end_is_refused_at_once(begin: str, piece: str) -> None:
    # With each quote taken for the beginning of a text it takes longer than a test may.
    with pytest.raises(ValueError, match="at "):
        parse_toml(f"a = {begin}{piece * (2 * LONG // len(piece))}")


def test_dots_in_texts_and_comments_and_numbers_separate_nothing() -> None:
    dots = "." * 100 + "a.b." * 100
    text = f'a = "{dots}" # {dots}\nb = [{", ".join(["0.5"] * 100)}]\nc = """\n{dots}\n"""\n'
    text += f"d = '{dots}'\ne.f.g = 1\n"
    assert parse_toml(text) == tomllib.loads(text)


@given(st.text(alphabet="ab.=[]{},\"'#\\ \n1", max_size=60))
def test_a_text_is_read_as_the_parser_of_python_reads_it(text: str) -> None:
    try:
        expected = tomllib.loads(text)
    except ValueError:
        expected = None
    try:
        found = parse_toml(text)
    except ValueError as error:
        found = None
        if "parts" in str(error):
            return
    assert found == expected
