"""Numbers that fit into no table are damage: what an export leaves out, a verification names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recordings import START_MS

import tickerplant
from tickerplant.config.settings import VerifySettings
from tickerplant.verifying.findings import RecordingFinding
from tickerplant.verifying.verify import verify
from tickerplant.verifying.walk import Walk

START_NS = START_MS * 1_000_000
WRONG = ("1e-999999999", "1e5", "inf", "0x10", "1_000", "+1", "", ".5", "1.", "1.2.3", "\u0661")
SNAPSHOT = {"lastUpdateId": 2, "E": 1, "T": 1, "bids": [["1", "1"]], "asks": []}


def trade(number: int, **changed: object) -> bytes:
    data = {"e": "trade", "E": START_MS, "T": START_MS, "s": "A", "t": number} | {
        "p": "1.5",
        "q": "2",
        "X": "MARKET",
        "m": True,
    }
    envelope = {"stream": "a@trade", "data": data | changed}
    return json.dumps(envelope, separators=(",", ":")).encode()


def written(path: Path, raws: list[bytes]) -> str:
    lines = (b"%d %b\n" % (START_NS + at, raw) for at, raw in enumerate(raws))
    path.write_bytes(b"".join(lines))
    return str(path)


def found_in(path: str, **options: object) -> RecordingFinding:
    return Walk([path], **options).go()  # type: ignore[arg-type]


@pytest.mark.parametrize("text", WRONG)
def test_a_number_that_no_table_can_hold_is_damage(tmp_path: Path, text: str) -> None:
    raws = [trade(number) for number in range(6)]
    raws[3] = trade(3, p=text)
    path = written(tmp_path / "tape", raws)
    found = found_in(path)
    (stream,) = found.streams
    assert (stream.messages, stream.unreadable, stream.gaps) == (6, 1, 0)
    (damage,) = found.first_unreadable
    assert (damage.path, damage.line) == (path, 4)
    assert damage.offset_bytes == sum(len(b"%d %b\n" % (START_NS, raw)) for raw in raws[:3])
    assert damage.reason.startswith(
        f"a message of a@trade does not fit into trades: price is {text!r}"
    )
    printed: list[str | bytes] = []
    assert verify(VerifySettings(), [path], printed.append) == 1
    assert any("NOT complete" in str(each) for each in printed)
    opened = tickerplant.open_recording(path)
    assert opened.arrow("trades").num_rows == 5
    assert opened.unreadable == stream.unreadable


@pytest.mark.parametrize("wrong", [{"t": 1 << 63}, {"T": 1 << 62}], ids=str)
def test_so_is_an_id_or_a_time_beyond_64_bits(tmp_path: Path, wrong: dict[str, int]) -> None:
    found = found_in(written(tmp_path / "tape", [trade(1), trade(2, **wrong)]))
    assert found.streams[0].unreadable == 1
    assert "expected a whole number of 64 bits" in found.first_unreadable[0].reason


@pytest.mark.parametrize(
    "address", [b"", b"https://x/fapi/v1/depth?symbol=A "], ids=["bare", "asked"]
)
def test_a_snapshot_with_such_a_number_is_damage(tmp_path: Path, address: bytes) -> None:
    good = json.dumps(SNAPSHOT).encode()
    bad = good.replace(b'["1", "1"]', b'["1e-999999999", "1"]')
    path = written(tmp_path / "tape", [trade(1), address + good, address + bad, address + bad])
    found = found_in(path)
    (damage,) = found.first_damage
    assert damage.line == 3
    assert "a snapshot of a book does not fit into depth_updates: price of a bid" in damage.reason
    assert not found.is_complete


def test_streams_that_are_not_looked_at_have_no_such_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "tape", [trade(1, p="inf"), trade(1).replace(b"a@", b"b@")])
    assert found_in(path, streams=["b@trade"]).is_complete
    assert not found_in(path).is_complete


def test_few_places_are_looked_for_and_all_is_counted(tmp_path: Path) -> None:
    raws = [
        trade(number, p="nan").replace(b"a@trade", b"s%d@trade" % stream)
        for number in range(3)
        for stream in range(4)
    ]
    found = Walk([written(tmp_path / "tape", raws)], max_places=2).go()
    assert [stream.unreadable for stream in found.streams] == [3, 3, 3, 3]
    assert [damage.line for damage in found.first_unreadable] == [1, 2, 0, 0]
