"""What was asked for and is not in a recording is said, with the name that was probably meant."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from archived import START_NS, line_of, recording
from blocks import line_file

import tickerplant
from tickerplant.archive.selection import MAX_SHOWN, Selection, missing_names
from tickerplant.errors import ConfigError
from tickerplant.recording.manifest_entries import MANIFEST

TRADE = {"e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "m": True}
LINES = [line_of("btcusdt@trade", TRADE, START_NS + at) for at in range(3)]


def test_names_missing_from_a_manifest_are_refused(tmp_path: Path) -> None:
    path = recording(tmp_path / "tape", LINES)
    opened = tickerplant.open_recording(path)
    in_it = f"in {path}, which has 1 stream; did you mean"
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"streams": ["btcusdt@trade", "btcusdt@trades"]}, f"stream {in_it} btcusdt@trade?"),
        ({"symbols": ["btcusd"]}, f"symbol {in_it} BTCUSDT?"),
    )
    for names, words in cases:
        for select in (opened.select, partial(tickerplant.open_recording, path)):
            with pytest.raises(ConfigError) as caught:
                select(**names)
            ((kind, given),) = names.items()
            wrong = given[-1].upper() if kind == "symbols" else given[-1]
            assert str(caught.value) == f"invalid value {wrong!r} for {kind}: expected a {words}"
    assert len(list(opened.select(streams=["btcusdt@trade"], symbols=["BTCUSDT"]))) == 3


def test_a_damaged_manifest_refuses_no_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = recording(tmp_path / "tape", LINES)
    with Path(path, MANIFEST).open("ab") as file:
        file.write(b"{damaged\n")
    opened = tickerplant.open_recording(path, symbols="ETHUSDT")
    assert list(opened) == []
    assert opened.damage
    assert caplog.messages == [f"{path}: no message of the symbol ETHUSDT; did you mean BTCUSDT?"]


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


def missing(recorded: list[str], **wanted: Any) -> list[str]:
    return [str(each) for each in missing_names(Selection(**wanted), recorded)]


def test_only_names_known_to_be_missing_are_listed() -> None:
    eth = frozenset({"ETHUSDT"})
    assert missing(["!bookTicker", "btcusdt@trade"], symbols=eth) == []
    of_pair = frozenset({"BTCUSD_PERP"})
    assert missing(["btcusd@markPrice"], symbols=of_pair) == [], "a pair tells of it"
    (shown,) = missing(["ethusd_perp@trade"], symbols=of_pair)
    assert shown.startswith("BTCUSD_PERP")
    assert missing(["a@trade"], streams=frozenset({"a@trade"})) == []
    (maybe,) = missing_names(Selection(symbols=eth), ["!bookTicker", "btcusdt@trade"], ["BTCUSDT"])
    assert (maybe.names, maybe.is_certain) == (("ETHUSDT",), False), "expected a warning only"
    listed = missing_names(Selection(symbols=eth), ["!bookTicker"], ["ETHUSDT"])
    assert not list(listed), "a stream of all symbols may have it"
    names = frozenset(f"x{at}@y" for at in range(MAX_SHOWN + 2))
    assert missing(["a@y"], streams=names) == ["x0@y, x1@y, x2@y and 2 more"]
