from __future__ import annotations

from pathlib import Path

import pytest
from blocks import line_file

from tickerplant.verifying.walk import Walk

START_MS = 1_723_161_256_000


TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"T":%d,"s":"BTCUSDT",'
    b'"t":%d,"p":"1.0","q":"1.0","X":"MARKET","m":false}}'
)


def recorded(folder: Path, times_ms: dict[int, int], skew_ms: int = 0) -> str:
    """Trades a millisecond apart; those of some numbers have the event times that are given."""
    times = {n: START_MS + n for n in range(1, 101)} | times_ms
    lines = [
        ((START_MS + n + skew_ms) * 10**6, TRADE % (at_ms, at_ms, n)) for n, at_ms in times.items()
    ]
    return line_file(folder / "r", lines)


@pytest.mark.parametrize("number", [1, 40, 100])
@pytest.mark.parametrize("time_ms", [4_923_161_256_000, 253_402_300_799_000, 5, START_MS + 10**10])
def test_an_event_time_far_from_its_receive_time_is_a_flaw_with_its_place(
    tmp_path: Path, number: int, time_ms: int
) -> None:
    path = recorded(tmp_path, {number: time_ms})
    found = Walk([path]).go()
    assert not found.is_complete
    [damage] = found.first_damage
    before = Path(path).read_bytes().splitlines(keepends=True)[: number - 1]
    assert (damage.path, damage.line) == (path, number)
    assert damage.offset_bytes == sum(map(len, before))
    assert f"its event time {time_ms}" in damage.reason


def test_several_are_counted_and_the_first_is_shown(tmp_path: Path) -> None:
    path = recorded(tmp_path, {40: 5, 50: 4_923_161_256_000})
    found = Walk([path]).go()
    assert found.damage == 1
    assert "2 messages with an event time that cannot be true" in found.remarks


@pytest.mark.parametrize("skew_ms", [0, 10**11, -(10**11)])
def test_a_collector_whose_clock_is_wrong_by_years_has_no_flaw(
    tmp_path: Path, skew_ms: int
) -> None:
    path = recorded(tmp_path, {}, skew_ms)
    assert Walk([path]).go().is_complete
