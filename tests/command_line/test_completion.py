from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from tickerplant.cli import SHELLS, commands, main
from tickerplant.config.settings import COMMANDS


def completions(*words: str) -> list[str]:
    """What the last of the words can become, as a word or as a kind of path."""
    shell = ShellComplete(commands, {}, "tickerplant", "_TICKERPLANT_COMPLETE")
    found = shell.get_completions([*words[:-1]], words[-1])
    return [each.value if each.type == "plain" else each.type for each in found]


def test_commands_options_choices_and_files_are_completed() -> None:
    assert set(COMMANDS) < set(completions(""))
    assert completions("wat") == ["watch"]
    assert completions("simulate", "--symb") == ["--symbols", "--symbol-count"]
    assert completions("simulate", "--limits", "") == ["exchange", "off"]
    assert completions("export", "tape", "--numbers", "f") == ["float"]
    assert completions("completions", "z") == ["zsh"]
    assert completions("replay", "") == completions("simulate", "--config", "") == ["file"]
    assert completions("simulate", "--record", "") == ["dir"]


@pytest.mark.sockets
@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["completions", shell])
    assert not end.value.code
    assert f"_TICKERPLANT_COMPLETE={shell}_complete" in capsys.readouterr().out
