from pathlib import Path

import pytest
from conversation import BarePlayer, hold

SCRIPTS = sorted((Path(__file__).parent.parent / "conversations").glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_conversation_goes_as_written(script: Path) -> None:
    hold(script, BarePlayer())


def test_a_conversation_that_goes_otherwise_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "otherwise.txt"
    script.write_text('? /ws\n> {"method":"LIST_SUBSCRIPTIONS","id":1}\n< {"result":[],"id":2}\n')
    with pytest.raises(AssertionError, match=r"otherwise.txt:3: expected < .*\"id\":2"):
        hold(script, BarePlayer())


def test_a_reply_the_script_does_not_mention_is_reported(tmp_path: Path) -> None:
    script = tmp_path / "unmentioned.txt"
    script.write_text('? /ws\n> {"method":"LIST_SUBSCRIPTIONS","id":1}\n')
    with pytest.raises(AssertionError, match="nothing more was expected"):
        hold(script, BarePlayer())
