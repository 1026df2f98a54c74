"""What was asked for and is not in a recording is said, with the name that was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from archived import START_NS, line_file, line_of, recording

import tickerplant
from tickerplant.archive.selection import MAX_SHOWN, missing_streams, missing_symbols
from tickerplant.errors import ConfigError

TRADE = {"e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "m": True}
LINES = [line_of("btcusdt@trade", TRADE, START_NS + at) for at in range(3)]


def test_names_missing_from_a_manifest_are_warned_of_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = recording(tmp_path / "tape", LINES)
    opened = tickerplant.open_recording(path)
    wrong = opened.select(streams=["btcusdt@trades"]), opened.select(symbols=["btcusd"])
    said = [
        f"{path}: no message of the stream btcusdt@trades; did you mean btcusdt@trade?",
        f"{path}: no message of the symbol BTCUSD; did you mean BTCUSDT?",
    ]
    assert caplog.messages == said
    assert [list(each) for each in wrong] == [[], []]
    assert len(list(opened.select(streams=["btcusdt@trade"], symbols=["BTCUSDT"]))) == 3
    assert caplog.messages == said, "once"


@pytest.mark.parametrize("as_table", [False, True])
def test_without_a_manifest_missing_names_are_warned_of_after_the_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, as_table: bool
) -> None:
    path = line_file(tmp_path / "tape", LINES)
    opened = tickerplant.open_recording(path)

    def read(**wanted: str) -> int:
        chosen = opened.select(**wanted)
        return chosen.arrow("trades").num_rows if as_table else len(list(chosen))

    assert read(streams="btcusdt@trade", symbols="btcusdt") == 3
    assert caplog.messages == []
    assert read(streams="btcusdt@trades") == 0
    assert read(symbols="BTCUSD") == 0
    assert caplog.messages == [
        f"{path}: no message of the stream btcusdt@trades; did you mean btcusdt@trade?",
        f"{path}: no message of the symbol BTCUSD; did you mean BTCUSDT?",
    ]


def test_an_end_that_is_not_after_the_start_is_refused(tmp_path: Path) -> None:
    opened = tickerplant.open_recording(line_file(tmp_path / "tape", LINES))
    with pytest.raises(ConfigError, match="expected after 2024-01-02"):
        opened.select(start="2024-01-02", end="2024-01-02")


def test_only_names_known_to_be_missing_are_listed() -> None:
    assert missing_symbols(["ETHUSDT"], ["!bookTicker", "btcusdt@trade"]) == ""
    assert missing_symbols(["BTCUSD_PERP"], ["btcusd@markPrice"]) == "", "a pair tells of it"
    assert missing_symbols(["BTCUSD_PERP"], ["ethusd_perp@trade"]).startswith("BTCUSD_PERP")
    assert missing_streams(["a@trade"], ["a@trade"]) == ""
    names = [f"x{at}@y" for at in range(MAX_SHOWN + 2)]
    assert missing_streams(names, []) == "x0@y, x1@y, x2@y and 2 more"
