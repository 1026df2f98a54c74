"""What the program says when it is used wrongly, as a script."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tickerplant.cli import main

SCRIPT = Path(__file__).with_name("usage.txt")
PROMPT = "$ "


def said(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command line of the script prints, and its status."""
    words = shlex.split(line)
    if words[0] == "printf":
        Path(words[-1]).write_text(words[1].replace("\\n", "\n"), encoding="utf-8")
        return ""
    with pytest.MonkeyPatch.context() as patch:
        while "=" in words[0]:
            patch.setenv(*words.pop(0).split("=", 1))
        with pytest.raises(SystemExit) as end:
            main(words[1:])
    output = capsys.readouterr()
    return f"{output.out}{output.err}[{end.value.code or 0}]\n"


@pytest.mark.heavy
def test_the_program_says_what_is_wrong_as_the_script_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = SCRIPT.read_text(encoding="utf-8")
    played = ""
    for line in expected.splitlines():
        if not line or line.startswith("#"):
            played += f"{line}\n"
        elif line.startswith(PROMPT):
            played += f"{line}\n{said(line.removeprefix(PROMPT), capsys)}"
    if os.environ.get("WRITE_GOLDENS"):
        SCRIPT.write_text(played, encoding="utf-8")
    assert played == expected


def test_every_error_of_the_script_is_one_line_and_quotes_no_secret() -> None:
    blocks = [f"\n{PROMPT}{each}" for each in f"\n{SCRIPT.read_text()}".split(f"\n{PROMPT}")[1:]]
    for block in blocks:
        said = [line for line in block.splitlines()[2:] if line and not line.startswith("#")]
        if said:
            assert said[-1] == "[2]"
            assert all(line.startswith("tickerplant: ") for line in said[:-1])
            assert "secret" not in "".join(said).lower().replace("in the environment", "")
