"""Books of a hosted replay are lost and found again where those of the recording are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from one_loop import in_one_loop

import tickerplant
from tickerplant.notices import BookResyncing, BookSynced, Gap

BEGINS_MS = 1_772_000_000_000
STEP_MS = 100
SHOWN_LEVELS = 5
TRADES, UPDATES = "btcusdt@trade", "btcusdt@depth@100ms"
URL = f"https://127.0.0.1/fapi/v1/depth?symbol=BTCUSDT&limit={SHOWN_LEVELS}"


class Recorder:
    """Writes a market that falls by one tick with each update, each followed by a trade.

    A snapshot has five levels, so after five updates the price is below them.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.best = 5_000
        self.update_id = 100
        self.trade_id = 0

    @property
    def now_ms(self) -> int:
        return BEGINS_MS + STEP_MS * len(self.lines)

    def add(self, text: str) -> None:
        self.lines.append(f"{self.now_ms * 10**6} {text}")

    def trade(self) -> None:
        self.trade_id += 1
        fields = f'"s":"BTCUSDT","t":{self.trade_id},"p":"100.0","q":"1.000","X":"MARKET"'
        data = f'{{"e":"trade","E":{self.now_ms},"T":{self.now_ms},{fields},"m":true}}'
        self.add(f'{{"stream":"{TRADES}","data":{data}}}')

    def update(self, *, falls: bool = True, is_recorded: bool = True) -> None:
        before, self.update_id = self.update_id, self.update_id + 10
        bids, asks = f'["{self.best}.0","{self.update_id}.000"]', ""
        if falls:
            bids, asks = f'["{self.best}.0","0"]', f'["{self.best}.0","1.000"]'
            self.best -= 1
        if is_recorded:
            ids = f'"U":{before + 1},"u":{self.update_id},"pu":{before}'
            data = (
                f'{{"e":"depthUpdate","E":{self.now_ms},"T":{self.now_ms},"s":"BTCUSDT",'
                f'{ids},"b":[{bids}],"a":[{asks}]}}'
            )
            self.add(f'{{"stream":"{UPDATES}","data":{data}}}')
        self.trade()

    def write(self, folder: Path) -> Path:
        path = folder / "lines.txt"
        path.write_text("\n".join(self.lines) + "\n")
        return path

    def snapshot(self) -> str:
        bids = ",".join(f'["{self.best - n}.0","2.000"]' for n in range(SHOWN_LEVELS))
        asks = ",".join(f'["{self.best + 1 + n}.0","2.000"]' for n in range(SHOWN_LEVELS))
        levels = f'"bids":[{bids}],"asks":[{asks}]'
        time = f'"E":{self.now_ms},"T":{self.now_ms}'
        return f'{URL} {{"lastUpdateId":{self.update_id},{time},{levels}}}'


def rest(recorder: Recorder, updates: int) -> None:
    for _ in range(updates):
        recorder.update(falls=False)


def with_gaps(recorder: Recorder) -> None:
    """Two updates are missing; snapshots come after eight and three seconds, and one never."""
    for rests in (40, 15):
        rest(recorder, 20)
        recorder.update(is_recorded=False)
        rest(recorder, rests)
        late = recorder.snapshot()
        rest(recorder, 3)
        recorder.add(late)
    rest(recorder, 20)
    recorder.update(is_recorded=False)
    rest(recorder, 10)


def with_a_crash(recorder: Recorder) -> None:
    """The price leaves the levels of snapshots, which come every one and a half seconds."""
    rest(recorder, 10)
    for falls in (2, 9, 12, 7, 3, 8, 15):
        for _ in range(falls):
            recorder.update()
        recorder.add(recorder.snapshot())
    rest(recorder, 10)


def without_a_snapshot_at_first(recorder: Recorder) -> None:
    """The first snapshot comes after sixteen seconds."""
    rest(recorder, 80)
    recorder.add(recorder.snapshot())
    rest(recorder, 10)


KINDS = (with_gaps, with_a_crash, without_a_snapshot_at_first)


@pytest.fixture(params=KINDS, ids=lambda it: it.__name__)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    recorder = Recorder()
    if request.param is not without_a_snapshot_at_first:
        recorder.add(recorder.snapshot())
    request.param(recorder)
    return recorder.write(tmp_path)


def seen(trade: Any, books: Any) -> tuple[int, str, str, str]:
    book = books["BTCUSDT"]
    if not book.is_live:
        return trade.trade_id, "", "", "not known"
    return trade.trade_id, str(book.best_bid), str(book.best_ask), str(book.update_id)


def recorded_line(path: Path, **part: Any) -> list[tuple[int, str, str, str]]:
    reading: Iterable[Any] = tickerplant.open_recording(path, **part).with_books()
    return [seen(each, books) for each, books in reading if each.stream == TRADES]


def recorded(path: Path) -> list[tuple[int, str, str, str]]:
    found = recorded_line(path)
    known = [each for each in found if each[-1] != "not known"]
    assert 10 <= len(known) <= len(found) - 10, "the book is lost for a while"
    return found


@pytest.mark.parametrize("speed", [0, 10])
@in_one_loop
async def test_a_book_is_known_at_the_same_trades_as_in_the_recording(
    path: Path, speed: float
) -> None:
    async with tickerplant.replay(path, speed=speed, pace="event") as market:
        books = market.books("BTCUSDT")
        found = [seen(each, books) async for each in market.stream(TRADES)]
    assert found == recorded(path)


@in_one_loop
async def test_changes_and_notices_are_the_same_in_every_run(path: Path) -> None:
    async def run() -> tuple[list[Any], list[Any]]:
        notices: list[Any] = []

        def note(_: Any, item: Any) -> None:
            if isinstance(item, BookSynced | BookResyncing):
                notices.append((type(item), getattr(item, "update_id", None)))

        async with tickerplant.replay(path, speed=0) as market:
            books = market.books("BTCUSDT", on_update=note)
            changes = [(each.update_id, each.is_live) async for each in books.changes()]
        return changes, notices

    first = await run()
    assert await run() == first
    assert first[1]


@pytest.mark.parametrize("path", [with_gaps, without_a_snapshot_at_first], indirect=True)
@in_one_loop
async def test_a_replay_of_a_part_shows_the_book_of_that_part(path: Path) -> None:
    whole = recorded(path)
    expected = recorded_line(path, start="+5s")
    assert expected == whole[-len(expected) :]
    async with tickerplant.replay(path, start="+5s", speed=0) as market:
        books = market.books("BTCUSDT")
        assert [seen(each, books) async for each in market.stream(TRADES)] == expected


@in_one_loop
async def test_a_book_is_known_again_after_a_seek_without_a_snapshot_behind_it(
    tmp_path: Path,
) -> None:
    recorder = Recorder()
    recorder.add(recorder.snapshot())
    rest(recorder, 100)
    path = recorder.write(tmp_path)
    whole = {each[-1]: each[1:] for each in recorded_line(path)}
    loop = asyncio.get_running_loop()
    async with tickerplant.replay(path, paused=True) as market:
        books, trades = market.books("BTCUSDT"), market.stream(TRADES)
        await market.clock.step(50)
        for where in ("+5s", "-9s", "+12s"):
            await market.clock.seek(where)
            began_s = loop.time()
            await market.clock.step(6)
            await books.wait_until_live()
            assert loop.time() - began_s < 3, "its pauses between snapshots do not grow with seeks"
            await market.clock.step(6)
            for latest in await trades.read_batch():
                if not isinstance(latest, Gap):
                    shown = seen(latest, books)
            assert shown[1:] == whole[shown[-1]], where


@in_one_loop
async def test_a_replay_that_starts_over_finds_its_books_again(path: Path) -> None:
    whole = recorded(path)
    async with tickerplant.replay(path, speed=0, loop=True) as market:
        books, found = market.books("BTCUSDT"), []
        async for each in market.stream(TRADES):
            if not isinstance(each, Gap):
                found.append(seen(each, books))
            if len(found) == 3 * len(whole):
                break
    known = {each[-1] for each in whole}
    assert found[: len(whole)] == whole
    assert {each[-1] for each in found[len(whole) : 2 * len(whole)]} == known
