"""The page of the format is enough to write a reader: the one in it reads what we write."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from blocks import packed_lines
from programs import ended

from tickerplant.recording.block import HEAD_BYTES
from tickerplant.recording.segments import segment_name

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "recording-format.md"
pytestmark = pytest.mark.sockets

START_NS = 1_795_236_514_000_000_000
LINES = [
    (START_NS + n, b'{"stream":"btcusdt@trade","data":{"e":"trade","t":%d}}' % n) for n in range(50)
]


def run_reader(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program of the page in the folder that `market` is in."""
    found = re.search(r"^```python.*?\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, "expected a program in the page"
    assert len(found[1].splitlines()) <= 30, "expected a reader in 30 lines"
    return ended("-c", found[1], cwd=folder)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """A recording of two segments."""
    folder = tmp_path / "market"
    folder.mkdir()
    for number, lines in enumerate((LINES[:30], LINES[30:]), 1):
        blocks = packed_lines(lines[:10]) + packed_lines(lines[10:])
        (folder / segment_name(number, "20261121T181900Z")).write_bytes(blocks)
    return folder


def test_the_reader_of_the_page_reads_what_was_written(market: Path) -> None:
    done = run_reader(market.parent)
    assert done.stderr == ""
    expected = [f"{time} {raw.decode()}" for time, raw in LINES]
    assert done.stdout.splitlines() == expected


def test_the_reader_of_the_page_names_the_place_of_damage(market: Path) -> None:
    [first, _] = sorted(market.iterdir())
    complete = first.read_bytes()
    second_at = len(packed_lines(LINES[:10]))
    first.write_bytes(complete[: second_at + HEAD_BYTES + 3])
    done = run_reader(market.parent)
    assert len(done.stdout.splitlines()) == 10
    assert f"{first.name}, byte {second_at}: damaged, or cut off" in done.stderr
