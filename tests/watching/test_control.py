from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from loopback import Loopback, looped_on_sockets
from simulated_house import simulated_house

from tickerplant import cli, logs
from tickerplant.errors import ConfigError
from tickerplant.watching.control import ACTIONS, fields_of, page_lines


def test_every_action_is_done_and_in_the_help() -> None:
    text = CliRunner().invoke(cli.commands, ["control", "--help"]).output
    for each in ACTIONS.values():
        assert f"\n  {each.text}" in text


def test_fields_are_numbers_flags_and_text() -> None:
    given = ("move=-0.12", "over=40s", "for=60s", "deep=true", "symbols=BTCUSDT")
    assert fields_of(given) == {
        "move": -0.12,
        "over": "40s",
        "for": "60s",
        "deep": True,
        "symbols": "BTCUSDT",
    }
    for wrong in (("move",), ("=1",), ("a=1", "a=2")):
        with pytest.raises(ConfigError):
            fields_of(wrong)


def test_an_answer_is_printed_as_values_and_tables() -> None:
    page = {"total": 2, "paused": True, "rows": [{"id": "c1", "n": None}], "closed": []}
    assert list(page_lines(page, None)) == [
        "total   2",
        "paused  yes",
        "",
        "rows: 1",
        "id  n",
        "c1  -",
        "",
        "closed: none",
    ]


async def done(house: Loopback, *words: str) -> tuple[int, str, str]:
    """Run the command in this process, in a thread; return its exit status and what it printed."""
    logs.configure(level="error")  # what the server logs is not an answer
    url = f"http://{house.server.urls['coinm']}"
    written = io.BytesIO(), io.BytesIO()
    out, error = (io.TextIOWrapper(each, write_through=True) for each in written)

    def run() -> int:
        with redirect_stdout(out), redirect_stderr(error), pytest.raises(SystemExit) as end:
            cli.main(["control", *words, "--url", url])
        return int(end.value.code or 0)

    status = await asyncio.to_thread(run)
    return status, written[0].getvalue().decode(), written[1].getvalue().decode()


async def shown(house: Loopback, *words: str) -> Any:
    status, out, error = await done(house, *words, "--json")
    assert (status, error) == (0, "")
    return json.loads(out)


@pytest.mark.heavy
@looped_on_sockets
async def test_a_market_is_stepped_broken_and_mended_from_the_command_line(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scenario = Path(tmp_path_factory.mktemp("scenario")) / "mine.toml"
    scenario.write_text('title = "T"\nduration = "9s"\n[[change]]\nat = "1s"\nfault = "reset"\n')
    async with simulated_house() as house:
        before_ms = house.plant.now_ms
        assert (await shown(house, "step", "10s"))["time_ms"] == before_ms + 10_000
        assert await shown(house, "settle", "5s") == {"settled": True, "unsettled": []}
        status, out, error = await done(house, "seek", "-10s")
        assert (status, out) == (1, "")
        assert "forward" in error
        status, out, error = await done(house, "fault", "drop=0.1", "stream=btcusdt@depth*")
        assert (status, error) == (0, "")
        assert "drop=0.1 stream=btcusdt@depth*" in out
        assert (await shown(house, "clear", "f1"))["rules"] == []
        pulled = await shown(house, "lever", "shock", "move=-0.1", "symbols=BTCUSDT,BTCUSDT")
        assert pulled["parameters"]["move"] == -0.1
        assert (await shown(house, "scenario", str(scenario)))["name"] == "mine"
        assert (await shown(house, "stop"))["scenarios"][0]["stopped"]
        scenario.write_text('title = "T"')
        _, _, error = await done(house, "scenario", str(scenario))
        assert "duration in mine.toml is missing" in error
        _, out, _ = await done(house, "release")
        assert "l1" in out
        assert "releasing" in out
        assert "kinds" not in out
        status, out, error = await done(house, "clear", "f9")
        assert (status, out, error) == (1, "", "tickerplant: there is no fault f9: there is none\n")
        status, out, error = await done(house, "fault", "dorp")
        assert (status, out) == (1, "")
        assert "did you mean drop?" in error


@pytest.mark.parametrize(
    ("words", "offset"),
    [
        (["seek", "-10s"], "-10s"),
        (["--json", "seek", "-1h", "--url", "ws://x"], "-1h"),
        (["seek", "--", "-5"], "-5"),
        (["seek", "+5s"], "+5s"),
    ],
)
def test_an_offset_to_seek_back_by_is_no_option(words: list[str], offset: str) -> None:
    with cli.commands.commands["control"].make_context("control", [*words]) as context:
        assert (context.params["action"], context.params["given"]) == ("seek", (offset,))
    result = CliRunner().invoke(cli.commands, ["control", "seek", "-x"])
    assert "No such option" in result.output
