from __future__ import annotations

from pathlib import Path

import pytest
from loopback import looped_on_sockets
from played import NS, START_MS, recorded, trade

from tickerplant.errors import RequestError
from tickerplant.recording.opening import recorded_files
from tickerplant.replaying.coverage_reader import CoverageReader
from tickerplant.replaying.plan import Plan, span_of
from tickerplant.replaying.scan import scan

LINES = 40_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [(ms, "btcusdt@trade", trade(ms + 1)) for ms in range(LINES)]
    return recorded(tmp_path_factory.mktemp("long") / "market.txt", lines)


def reader(path: Path, answer_s: float) -> CoverageReader:
    plan, paths = Plan(), [str(path)]
    return CoverageReader(
        scan(paths), plan, span_of(plan, recorded_files(paths)), answer_s=answer_s
    )


@pytest.mark.heavy
@looped_on_sockets
async def test_what_is_known_is_answered_until_all_is_read(path: Path) -> None:
    reading = reader(path, answer_s=0)
    first = await reading.coverage()
    assert (first.complete, first.from_ns, first.to_ns) == (False, START_MS * NS, None)
    last = first
    while not (found := await reading.coverage()).complete:
        assert not last.spans or found.spans[0][1] >= last.spans[0][1], "more and more"
        last = found
    assert found.spans == ((START_MS * NS, (START_MS + LINES - 1) * NS),)
    assert found.to_ns == found.spans[0][1] + 1


@looped_on_sockets
async def test_a_closed_reader_reads_nothing_more(path: Path) -> None:
    reading = reader(path, answer_s=10)
    reading.close()
    assert not (await reading.coverage()).complete


@looped_on_sockets
async def test_a_recording_that_is_gone_is_an_error_and_one_that_came_back_is_read(
    tmp_path: Path,
) -> None:
    path = recorded(tmp_path / "market.txt", [(0, "btcusdt@trade", trade(1))])
    reading = reader(path, answer_s=10)
    assert (await reading.coverage()).complete
    text = path.read_bytes()
    path.unlink()
    with pytest.raises(RequestError, match=r"market\.txt"):
        await reading.coverage()
    path.write_bytes(text)
    assert (await reading.coverage()).complete
