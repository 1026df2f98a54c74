"""What commands print and how they end, where they need no server: each is a golden."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from goldens import GOLDENS, Ended, play

from tickerplant.cli import main

FILES = {
    "notes.txt": "these are notes\n" * 10,
    "settings.toml": 'profile = "current"\n[explain]\nrouting = "strict"\n[simulate]\nspeed = 0\n',
    "streams.txt": "btcusdt@trade\nethusdt@trade\n",
    "trade.txt": (
        '1767225600002000000 {"stream":"btcusdt@trade","data":{"e":"trade","E":1767225600001,'
        '"T":1767225600000,"s":"BTCUSDT","t":1,"p":"65280.10","q":"0.001","X":"MARKET","m":true}}\n'
    ),
}
"""What is in the folder in which the commands are run."""


@pytest.mark.heavy
@pytest.mark.parametrize("name", [path.name for path in sorted((GOLDENS / "commands").iterdir())])
def test_commands_print_and_end_as_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, content in FILES.items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for variable in [each for each in os.environ if each.startswith("TICKERPLANT_")]:
        monkeypatch.delenv(variable)

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    play(f"commands/{name}", run)


def test_every_usage_error_is_one_line_with_status_2_and_quotes_no_secret() -> None:
    text = (GOLDENS / "commands" / "usage.txt").read_text(encoding="utf-8")
    for block in text.split("\n$ ")[1:]:
        line, *said = [each for each in block.splitlines() if each and not each.startswith("#")]
        assert line.startswith("printf ") or said.pop() == "[2]"
        assert all(each.startswith("! tickerplant: ") for each in said)
        assert len([each for each in said if "in the environment" not in each]) == bool(said)
        assert "secret" not in " ".join(said).lower()
