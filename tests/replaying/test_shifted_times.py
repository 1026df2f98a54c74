from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tickerplant.replaying.message_times import shift_times, shift_to_ms
from tickerplant.units import MINUTE_MS

GOLDENS = Path(__file__).parent.parent / "goldens"
SHIFT_MS = 123_456_789
LEFT_ALONE = {"dt", "ot", "f", "L"}
"""Times of a contract's life, and ids that candles of prices have, which are about as large."""


def messages() -> list[bytes]:
    return [path.read_bytes() for path in sorted(GOLDENS.glob("streams/*/*/*")) if path.is_file()]


def changed(before: Any, after: Any, name: str = "") -> dict[str, list[int]]:
    """By how much the numbers differ, by key; anything else has to be the same."""
    found: dict[str, list[int]] = {}
    if isinstance(before, dict):
        assert list(before) == list(after)
        parts = [changed(before[key], after[key], key) for key in before]
    elif isinstance(before, list):
        assert len(before) == len(after)
        parts = [changed(*pair, name) for pair in zip(before, after, strict=True)]
    else:
        if before != after:
            found[name] = [after - before]
        parts = []
    for part in parts:
        for key, differences in part.items():
            found.setdefault(key, []).extend(differences)
    return found


def looks_like_time(value: Any, near_ms: int) -> bool:
    return isinstance(value, int) and abs(value - near_ms) < 400 * 86_400_000


def times(value: Any, near_ms: int, name: str = "") -> set[str]:
    """The keys whose numbers are about as large as the time of the event."""
    if isinstance(value, dict):
        return {key for each in value for key in times(value[each], near_ms, each)}
    if isinstance(value, list):
        return {key for each in value for key in times(each, near_ms, name)}
    return {name} if looks_like_time(value, near_ms) else set()


@pytest.mark.parametrize("raw", messages())
def test_of_every_message_the_times_are_shifted_and_nothing_else(raw: bytes) -> None:
    before = json.loads(raw)
    after = json.loads(shift_times(raw, SHIFT_MS))
    differences = changed(before, after)
    assert {each for found in differences.values() for each in found} <= {SHIFT_MS}
    near_ms = int(re.findall(rb'"E":\s?(\d+)', raw)[0])
    assert set(differences) == times(before, near_ms) - LEFT_ALONE


def test_ids_stay_though_they_look_like_times() -> None:
    raw = (
        b'{"stream":"x@trade","data":{"e":"trade","E":1795285140000,"T":1795285140001,'
        b'"s":"\\"T\\":1795285140002","t":1795285140003,"X":"MARKET"}}'
    )
    expected = raw.replace(b'"E":1795285140000', b'"E":1795285140010').replace(
        b'"T":1795285140001', b'"T":1795285140011'
    )
    assert shift_times(raw, 10) == expected


def test_a_zero_time_is_not_shifted() -> None:
    raw = b'{"e":"markPriceUpdate","E":1795285140000,"r":"","T":0}'
    assert shift_times(raw, 5) == b'{"e":"markPriceUpdate","E":1795285140005,"r":"","T":0}'


def test_a_depth_response_is_shifted_and_its_address_is_not() -> None:
    raw = b'https://h/fapi/v1/depth?symbol=A {"lastUpdateId":1795285140000,"E":1795285140000,"T":1795285140001,"bids":[]}'
    shifted = shift_times(raw, -7)
    assert shifted == (
        raw.replace(b'"E":1795285140000', b'"E":1795285139993').replace(b"0001,", b"9994,")
    ).replace(b'"T":1795285149994', b'"T":1795285139994')


def test_an_unknown_message_is_shifted_by_its_event_time_alone() -> None:
    raw = b'{"e":"newThing","E":1795285140000,"T":1795285140001,"t":1795285140002}'
    assert shift_times(raw, 1) == raw.replace(b'"E":1795285140000', b'"E":1795285140001')


@pytest.mark.parametrize("late", [False, True])
def test_a_shift_is_exact_or_a_number_of_full_minutes(late: bool) -> None:
    assert shift_to_ms(1_000_123, 9_000_456, on_the_minute=False, late=late) == 8_000_333
    shift_ms = shift_to_ms(1_000_123, 9_000_456, on_the_minute=True, late=late)
    assert shift_ms % MINUTE_MS == 0
    off_ms = 1_000_123 + shift_ms - 9_000_456
    assert 0 <= (off_ms if late else -off_ms) < MINUTE_MS
