from __future__ import annotations

import asyncio
from pathlib import Path

import memory_loop
import msgspec
import pytest
from played import SNAPSHOT, START_MS, Replay, depth, recorded, replayed, trade

from tickerplant.errors import RequestError
from tickerplant.frames import text_frame
from tickerplant.protocol.limits import LIMITS
from tickerplant.queries import find_path
from tickerplant.replaying.scan import scan
from tickerplant.server.congestion import Congestion
from tickerplant.venue import USDM


def test_recorded_messages_are_sent_byte_for_byte_in_order(tmp_path: Path) -> None:
    payloads = [trade(n).replace(b'"m"', b' "new":[1, 2],"m"') for n in range(1, 6_000)]
    path = recorded(tmp_path / "r", [(n, "btcusdt@trade", each) for n, each in enumerate(payloads)])
    replay = Replay([path], {"usdm": ["btcusdt@trade"]})
    replay.run()
    assert replay.listeners["usdm"].data == b"".join(map(text_frame, payloads))
    assert replay.source.messages == len(payloads)
    assert replay.plant.markets["BTCUSDT"].last_price == 10000
    assert replay.plant.now_ms == START_MS + len(payloads), "market time is E of the messages"


def test_files_are_joined_in_time_and_venues_kept_apart(tmp_path: Path) -> None:
    usdm = [trade(n) for n in (1, 3)]
    coinm = [trade(n, "100.0", "BTCUSD_PERP").replace(b"1.000", b"7") for n in (2, 4)]
    paths = [
        recorded(tmp_path / "a", [(1, "btcusdt@trade", usdm[0]), (3, "btcusdt@trade", usdm[1])]),
        recorded(
            tmp_path / "b",
            [(2, "btcusd_perp@trade", coinm[0]), (4, "btcusd_perp@trade", coinm[1])],
        ),
    ]
    names = {"usdm": ["btcusdt@trade"], "coinm": ["btcusd_perp@trade"]}
    replay = Replay(paths, names)
    replay.run()
    assert replay.listeners["usdm"].data == b"".join(map(text_frame, usdm))
    assert replay.listeners["coinm"].data == b"".join(map(text_frame, coinm))


def test_what_was_not_recorded_is_derived(tmp_path: Path) -> None:
    lines = [
        (0, "btcusdt@trade", trade(1)),
        (10, "btcusdt@depth", depth(10, 5)),
        (20, "", SNAPSHOT),
        (25, "btcusdt@depth", depth(20, 10)),
        (2_100, "btcusdt@trade", trade(2, "100.50", at_ms=2_100)),
        (4_100, "btcusdt@trade", trade(3, "100.75", at_ms=4_100)),
    ]
    replay = replayed(tmp_path, lines, "btcusdt@bookTicker", "btcusdt@miniTicker")
    data = replay.listeners["usdm"].data
    assert b'"e":"bookTicker","u":20' in data
    assert b'"b":"99.00","B":"2.000","a":"101.00","A":"3.000"' in data
    assert b'"e":"24hrMiniTicker"' in data
    assert b'"c":"100.50"' in data
    assert replay.readiness.warnings == [], "nothing is missing here"


def test_without_a_snapshot_book_streams_are_silent_with_a_warning(tmp_path: Path) -> None:
    lines = [(n, "btcusdt@depth", depth(n, n - 1)) for n in range(1, 50)]
    replay = replayed(tmp_path, lines, "btcusdt@bookTicker")
    assert replay.listeners["usdm"].data == b""
    problem = "BTCUSDT: book-derived streams are silent: no snapshot yet"
    assert replay.readiness.warnings == [problem]


def test_a_book_opens_with_the_first_snapshot_before_it_is_reached(tmp_path: Path) -> None:
    lines = [
        (1, "btcusdt@depth@0ms", depth(10, 5)),
        (2, "btcusdt@depth@0ms", depth(20, 10, quantity="5.000")),
        (3, "", SNAPSHOT),
    ]
    replay = Replay([recorded(tmp_path / "r", lines)], {"usdm": ["btcusdt@depth"]})
    market = replay.plant.markets["BTCUSDT"]
    received: list[tuple[int, bool]] = []
    replay.plant.hubs["usdm"].wake = lambda: None

    async def ask_before_it_plays() -> None:
        running = asyncio.create_task(
            replay.source.run(Congestion(LIMITS, lambda: 0), replay.readiness)
        )
        await asyncio.sleep(0.1)
        received.append((market.snapshot_id, market.book_live))
        running.cancel()

    memory_loop.run(ask_before_it_plays())
    assert received == [(15, True)], "a snapshot is available from the beginning"

    replay = replayed(tmp_path, lines, "btcusdt@depth")
    market = replay.plant.markets["BTCUSDT"]
    assert market.book.last_update_id == 20
    assert market.book.best_bid == (9900, 5000), "the update that spans the snapshot is applied"
    assert market.book_sync.stale == 1, "the one before it is passed over"


def test_a_snapshot_much_later_opens_no_book_early(tmp_path: Path) -> None:
    lines = [(1, "btcusdt@depth@0ms", depth(10, 5)), (20_000, "", SNAPSHOT)]
    assert scan([str(recorded(tmp_path / "r", lines))]).files[0].snapshots == ()


def test_the_warning_about_a_book_ends_when_it_is_in_sync_again(tmp_path: Path) -> None:
    fresh = SNAPSHOT.replace(b'"lastUpdateId":15', b'"lastUpdateId":45')
    lines = [
        (10, "btcusdt@depth", depth(10, 5)),
        (20, "", SNAPSHOT),
        (25, "btcusdt@depth", depth(20, 10)),
        (30, "btcusdt@depth", depth(40, 30)),
        (60_000, "btcusdt@trade", trade(1)),
        (60_001, "", fresh),
        (60_002, "btcusdt@depth", depth(50, 40)),
        (120_000, "btcusdt@trade", trade(2)),
    ]
    replay = Replay([recorded(tmp_path / "r", lines)], {}, speed=1)
    market = replay.plant.markets["BTCUSDT"]
    states: list[tuple[bool, list[str]]] = []

    async def run() -> None:
        running = asyncio.create_task(
            replay.source.run(Congestion(LIMITS, lambda: 1), replay.readiness)
        )
        for _ in range(2):
            await asyncio.sleep(58)
            replay.source.report_state()
            states.append((market.book_live, replay.readiness.warnings))
        await running

    memory_loop.run(run())
    reason = "a gap after u=20: the next update has U=31 pu=30"
    warning = f"BTCUSDT: book-derived streams are silent: {reason}"
    assert states == [(False, [warning]), (True, [])]
    assert market.book_sync.gaps == 1
    assert replay.readiness.warnings == [], "the end finds nothing missing either"


def test_a_book_whose_price_left_its_snapshot_is_refused_with_a_warning(tmp_path: Path) -> None:
    """The snapshot has as many bids as were requested; below them only one more is heard of."""
    bids = ",".join(f'["{price}.00","1.000"]' for price in (98, 97, 96, 95, 94))
    opened = SNAPSHOT.replace(b'["98.00","1.000"]', bids.encode())
    prices = (99, 98, 97, 96, 95, 94)
    removed = depth(30, 20).replace(
        b'["99.00","2.000"]', b",".join(b'["%d.00","0"]' % price for price in prices)
    )
    lines = [
        (10, "btcusdt@depth", depth(10, 5)),
        (11, "", opened),
        (20, "btcusdt@depth", depth(20, 10)),
        (30, "btcusdt@depth", removed.replace(b',["94.00"', b',["90.00","7.000"],["94.00"')),
    ]
    replay = replayed(tmp_path, lines, "btcusdt@bookTicker", "btcusdt@depth5")
    market = replay.plant.markets["BTCUSDT"]
    assert market.book.best_bid == (9000, 7000), "the best that is left, and not the best there is"
    reason = "out of depth: no level from the snapshot is left on one side"
    assert replay.readiness.warnings == [f"BTCUSDT: book-derived streams are silent: {reason}"]
    for path in ("/fapi/v1/depth", "/fapi/v1/ticker/bookTicker"):
        query = find_path(USDM, path)
        assert query is not None
        with pytest.raises(RequestError, match=f"is not known: {reason}") as refused:
            query.respond(replay.plant.venues["usdm"], {"symbol": "BTCUSDT"})
        assert refused.value.status == 503
    data = replay.listeners["usdm"].data
    assert b'"b":"99.00"' in data, "the best price while it was known"
    assert b"90.00" not in data


def test_a_second_snapshot_does_not_undo_a_live_book(tmp_path: Path) -> None:
    lines = [
        (10, "btcusdt@depth", depth(10, 5)),
        (20, "", SNAPSHOT),
        (25, "btcusdt@depth", depth(20, 10)),
        (26, "", SNAPSHOT),
        (30, "btcusdt@depth", depth(30, 20, bid="99.50")),
    ]
    replay = replayed(tmp_path, lines)
    market = replay.plant.markets["BTCUSDT"]
    assert market.book_live
    assert market.book.best_bid == (9950, 2000)


def test_of_several_depth_speeds_only_the_fastest_is_applied(tmp_path: Path) -> None:
    lines = [
        (10, "btcusdt@depth@500ms", depth(10, 3)),
        (11, "btcusdt@depth@100ms", depth(10, 8)),
        (20, "", SNAPSHOT),
        (21, "btcusdt@depth@100ms", depth(20, 10, bid="99.50")),
        (22, "btcusdt@depth@500ms", depth(20, 10, quantity="9.000")),
    ]
    replay = replayed(tmp_path, lines, "btcusdt@depth@500ms")
    sent = b"".join(text_frame(lines[n][2]) for n in (0, 4))
    assert replay.listeners["usdm"].data == sent, "every speed is sent as it was recorded"
    market = replay.plant.markets["BTCUSDT"]
    assert market.book_live
    assert market.book.best_bid == (9950, 2000)


@pytest.mark.heavy
def test_a_stream_that_begins_late_is_still_sent_as_recorded(tmp_path: Path) -> None:
    late = trade(30_000).replace(b'"m"', b' "m"')
    lines = [(n, "btcusdt@depth", depth(n, n - 1)) for n in range(1, 20_002)]
    lines.append((30_000, "btcusdt@trade", late))
    replay = replayed(tmp_path, lines, "btcusdt@forceOrder", "btcusdt@trade")
    assert "btcusdt@trade" in replay.plant.hubs["usdm"].publishers.passthrough
    assert text_frame(late) in replay.listeners["usdm"].data


def test_bad_lines_are_skipped_and_the_first_is_reported(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "r", [(1, "btcusdt@trade", trade(1)), (3, "btcusdt@trade", trade(2))]
    )
    good = path.read_bytes().splitlines(keepends=True)
    noise = b'1723161256002000000 {"half":\nnot a line\n'
    path.write_bytes(good[0] + noise + noise + good[1])
    replay = Replay([path], {"usdm": ["btcusdt@trade"]})
    replay.run()
    assert replay.listeners["usdm"].data == text_frame(trade(1)) + text_frame(trade(2))
    depth, line, message = replay.readiness.warnings
    assert depth == "BTCUSDT: book-derived streams are silent: no depth was recorded"
    assert "line 3, byte" in line
    assert ": skipped " in message
    assert replay.readiness.skipped() == {"not a recording line": 2, "no message": 2}


def test_messages_that_cannot_be_applied_are_reported_once(tmp_path: Path) -> None:
    payloads = [trade(1), *(trade(n, symbol="NEWUSDT") for n in (20_000, 20_001))]
    first = [(1, "btcusdt@trade", payloads[0])] * 20_000
    late = [(n, "newusdt@trade", payload) for n, payload in enumerate(payloads[1:], 2)]
    replay = replayed(tmp_path, first + late)
    warnings = [text for text in replay.readiness.warnings if "not applied" in text]
    assert len(warnings) == 1, "one kind, one line"
    assert warnings[0].endswith("sent but not applied: unknown symbol")
    assert replay.source.messages == 20_002


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 4.0), (10.0, 0.4)])
def test_the_pace_is_that_of_the_receive_times(
    speed: float, seconds: float, tmp_path: Path
) -> None:
    lines = [(at, "btcusdt@trade", trade(at + 1)) for at in (0, 1_000, 1_500, 4_000)]
    replay = replayed(tmp_path, lines, "btcusdt@trade", speed=speed)
    times_s = replay.listeners["usdm"].times_s
    expected = [share * seconds for share in (0, 0.25, 0.375, 1.0)]
    assert [each - times_s[0] for each in times_s] == pytest.approx(expected, abs=0.005)


def test_every_speed_sends_the_same_bytes(tmp_path: Path) -> None:
    lines = [
        (n * 37, "btcusdt@trade", trade(n, f"{100 + n % 7}.00", at_ms=n * 37))
        for n in range(1, 300)
    ]
    path = recorded(tmp_path / "r", lines)
    names = {
        "usdm": ["btcusdt@trade", "btcusdt@miniTicker", "btcusdt@kline_1m", "btcusdt@aggTrade"]
    }
    data = []
    for speed in (0.0, 1.0, 7.0):
        replay = Replay([path], names, speed=speed)
        replay.run()
        data.append(replay.listeners["usdm"].data)
    assert data[0] == data[1] == data[2]
    assert b"24hrMiniTicker" in data[0]


def test_the_clock_waits_for_its_subscribers(tmp_path: Path) -> None:
    path = recorded(tmp_path / "r", [(1, "btcusdt@trade", trade(1))])
    replay = Replay([path], {}, wait_for=2)

    async def run() -> None:
        present = [1]
        congestion = Congestion(LIMITS, lambda: present[0])
        running = asyncio.create_task(replay.source.run(congestion, replay.readiness))
        await asyncio.sleep(5)
        assert replay.source.messages == 0, "one subscriber is not enough"
        assert replay.readiness.is_ready, "clients that wait to subscribe must see that they can"
        assert "2 subscribers" in replay.readiness.reason
        present[0] = 2
        await running

    memory_loop.run(run())
    assert replay.source.messages == 1
    assert not replay.readiness.is_ready
    assert replay.readiness.reason == "the recording is over"


def test_a_replay_without_pace_waits_for_a_subscriber_that_cannot_follow(tmp_path: Path) -> None:
    lines = [(n, "btcusdt@trade", trade(n)) for n in range(1, 9_001)]
    replay = Replay([recorded(tmp_path / "r", lines)], {})

    class Slow:
        unsent_bytes = 1

        def close(self, reason: object) -> None:
            raise AssertionError(f"closed: {reason}")

    async def run() -> None:
        congestion = Congestion(LIMITS, lambda: 1)
        slow = Slow()
        congestion.pause(slow)
        running = asyncio.create_task(replay.source.run(congestion, replay.readiness))
        await asyncio.sleep(5)
        assert 0 < replay.source.messages < 9_000, "one slice, then the source waits"
        congestion.resume(slow)
        await running

    memory_loop.run(run())
    assert replay.source.messages == 9_000


def test_the_scan_finds_instruments_streams_and_the_start(tmp_path: Path) -> None:
    path = recorded(
        tmp_path / "r",
        [
            (5, "btcusdt@trade", trade(7)),
            (6, "!forceOrder@arr", b'{"e":"forceOrder","E":1}'),
            (7, "", SNAPSHOT),
        ],
    )
    found = scan([str(path)])
    assert [instrument.symbol for instrument in found.instruments] == ["BTCUSDT"]
    assert found.streams("usdm") == {"btcusdt@trade", "!forceOrder@arr"}
    assert found.streams("coinm") == frozenset()
    assert found.start_ms == START_MS + 7
    assert found.files[0].only_symbol == "BTCUSDT"
    assert found.files[0].first_ms == found.start_ms
    assert msgspec.json.decode(SNAPSHOT)["lastUpdateId"] == 15
