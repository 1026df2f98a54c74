from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tickerplant.errors import ConfigError
from tickerplant.testing import exchange
from tickerplant.testing.exchanges import ExchangeSettings, GivenScenario


def test_the_request_has_only_what_was_given() -> None:
    assert exchange().settings == ExchangeSettings(
        market={}, scenario=None, speed="step", faults=()
    )
    assert exchange(scenario="flash-crash", speed=2, faults="reset=1s").settings == (
        ExchangeSettings(
            market={}, scenario=GivenScenario("flash-crash"), speed=2, faults=("reset=1s",)
        )
    )
    given = exchange(
        seed=0, symbols="BTCUSDT", start="2026-02-01", limits={"max_streams": 7}
    ).settings
    assert given.request.settings == {
        "seed": 0,
        "symbols": ("BTCUSDT",),
        "start_ms": 1_769_904_000_000,
        "limit_numbers": {"max_streams": 7},
    }


def test_a_scenario_is_a_name_a_file_or_its_text(tmp_path: Path) -> None:
    text = 'title = "x"\n'
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    for each in (path, str(path), text):
        file_name = "" if each is text else "x.toml"
        assert exchange(scenario=each).settings.scenario == (text, file_name)
    assert exchange(scenario="flash-crash").settings.scenario == ("flash-crash", "")
    with pytest.raises(ConfigError, match=r"nosuch.toml.* for scenario: .*No such file.*folder is"):
        exchange(scenario="nosuch.toml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": "7"}, "'7' for seed: expected a whole number"),
        ({"seed": True}, "True for seed"),
        ({"symbols": [7]}, "7 for symbols"),
        ({"speed": "stop"}, "'stop' for speed: expected step, or"),
        ({"speed": -1}, "-1 for speed"),
        ({"start": "yesterday"}, "'yesterday' for start"),
        ({"scenario": 5}, "5 for scenario: expected a name of the library, a file"),
        ({"limits": "on"}, "'on' for limits: expected exchange, off, or"),
        ({"intensity": 0}, "0 for intensity"),
        ({"usdm_port": 65536}, "65536 for usdm_port"),
        ({"usdm_port": "9001"}, "'9001' for usdm_port"),
        ({"usdm_port": 9001, "coinm_port": 9001}, "9001 for coinm_port: expected another port"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_expected(
    arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        exchange(**arguments)
    assert said in str(caught.value)


def test_an_exchange_that_is_not_open_says_so() -> None:
    closed = exchange()
    assert not closed.is_open
    assert closed.report() == "the exchange is closed"
    assert repr(closed) == "<Exchange closed>"
    for ask in (lambda: closed.usdm_url, lambda: closed.now, closed.pause, closed.limits):
        with pytest.raises(RuntimeError, match="not open: use it with `with`"):
            ask()
    closed.close()
