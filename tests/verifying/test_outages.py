"""What only the manifest knows, weighed against what the ids prove: each case has a golden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import goldens
import pytest
from blocks import stream_of
from msgspec import structs
from recordings import folder, tape

from tickerplant.config.settings import VerifySettings
from tickerplant.recording.line import Line
from tickerplant.recording.manifest_entries import (
    Connected,
    Disconnected,
    Dropped,
    Entry,
    Missing,
    Refused,
    Renewed,
    RunEnded,
    RunOutage,
    RunStarted,
    Silent,
    Unreadable,
)
from tickerplant.venue import USDM
from tickerplant.verifying.formatting import lines_of
from tickerplant.verifying.verify import found_in

TRADE, DEPTH, TICKER, MARK, FORCED = STREAMS = (
    "btcusdt@trade",
    "btcusdt@depth@100ms",
    "btcusdt@bookTicker",
    "btcusdt@markPrice@1s",
    "btcusdt@forceOrder",
)
OTHER = "ethusdt@trade"
OUTAGE = 400, 500
"""The lines before which an outage starts and ends."""
MARKET = tape(USDM, 8, STREAMS)
FIRST, SECOND, LATER = MARKET[:600], MARKET[600:], MARKET[700:]


class Case(NamedTuple):
    """A recording, and how many outages may have lost messages, by stream; else None are left."""

    segments: Sequence[list[Line]]
    entries: Sequence[Entry]
    lossy: Sequence[str] = ()
    gaps: Sequence[str] = ()
    is_complete: bool = False


def run(lines: list[Line], number: int = 1, streams: tuple[str, ...] = STREAMS) -> RunStarted:
    return RunStarted(
        time_ns=lines[0][0] - 1, run=number, url="ws://127.0.0.1:9001", profile="",
        streams=streams, software="a test",
    )  # fmt: skip


def connected(lines: list[Line], streams: tuple[str, ...] = STREAMS) -> Connected:
    return Connected(time_ns=lines[0][0] - 1, streams=streams, connection=1)


def begun(
    lines: list[Line], number: int = 1, streams: tuple[str, ...] = STREAMS
) -> tuple[Entry, ...]:
    return run(lines, number, streams), connected(lines, streams)


def ended(lines: list[Line]) -> RunEnded:
    return RunEnded(time_ns=lines[-1][0] + 1, reason="interrupted")


def again(
    first: list[Line], second: list[Line], streams: tuple[str, ...] = STREAMS
) -> tuple[Entry, ...]:
    """The entries of a second run, after an outage."""
    off = RunOutage(time_ns=second[0][0], from_ns=first[-1][0], reason="the recorder was off")
    return run(second, 2, streams), off, connected(second, streams), ended(second)


def lost(
    *streams: str, after: int = OUTAGE[0], before: int = OUTAGE[1], lines: list[Line] = MARKET
) -> tuple[Disconnected, Connected]:
    return (
        Disconnected(time_ns=lines[after][0] + 1, streams=streams, reason="reset"),
        Connected(time_ns=lines[before][0] - 1, streams=streams, connection=2, blind_ms=5),
    )


def without(
    *streams: str, after: int = OUTAGE[0], before: int = OUTAGE[1], lines: list[Line] = MARKET
) -> list[Line]:
    """The lines without the messages of an outage."""
    return [
        line
        for number, line in enumerate(lines)
        if not after < number < before or stream_of(line[1]) not in streams
    ]


def case(*entries: Entry, lines: list[Line] = MARKET, **expected: object) -> Case:
    """One run of the usual streams, with more in its manifest."""
    return Case([lines], [*begun(lines), *entries, ended(lines)], **expected)  # type: ignore[arg-type]


def an_end_that_says_when_it_began() -> Case:
    gone, back = lost(MARK)
    since_ns = MARKET[OUTAGE[0]][0] - 10**9
    back = structs.replace(back, blind_ms=(back.time_ns - since_ns) // 10**6)
    return case(gone, back, lossy=[MARK])


def one_message_before_a_rounded_outage() -> Case:
    before = [each for each in MARKET[: OUTAGE[0]] if stream_of(each[1]) == TRADE]
    gone, back = lost(TRADE)
    back = structs.replace(back, blind_ms=(back.time_ns - before[-1][0]) // 10**6 + 40)
    lines = [each for each in MARKET if each not in before[:-1]]
    return Case([lines], [*begun(MARKET), gone, back, ended(MARKET)], is_complete=True)


def two_runs(*, is_lossy: bool, is_killed: bool) -> Case:
    second = LATER if is_lossy else SECOND
    entries = [*begun(FIRST), *(() if is_killed else [ended(FIRST)]), *again(FIRST, second)]
    gaps = [TRADE, DEPTH] if is_lossy else []
    return Case([FIRST, second], entries, [TICKER, MARK, FORCED], gaps)


def streams_of_one_run_each() -> Case:
    half = len(MARKET) // 2
    first = [line for line in MARKET[:half] if stream_of(line[1]) == TRADE]
    second = [line for line in MARKET[half:] if stream_of(line[1]) == TICKER]
    runs = (*begun(first, 1, (TRADE,)), ended(first), *begun(second, 2, (TICKER,)), ended(second))
    return Case([first, second], runs, is_complete=True)


def restarted_ids() -> Case:
    first = tape(USDM, 5, (TRADE,))
    second = [
        (time_ns + 3_600 * 10**9, raw.replace(b'"E":17723', b'"E":17729')) for time_ns, raw in first
    ]
    entries = [*begun(first, 1, (TRADE,)), ended(first), *again(first, second, (TRADE,))]
    return Case([first, second], entries, [TRADE])


def candles() -> Case:
    stream = "btcusdt@kline_1m"
    lines = tape(USDM, 8, (stream,))
    third = len(lines) // 3
    cut = {"after": third, "before": 2 * third}
    entries = [*begun(lines, 1, (stream,)), *lost(stream, lines=lines, **cut), ended(lines)]
    return Case([without(stream, lines=lines, **cut)], entries, [stream])


def a_gap_that_the_recorder_knew() -> Case:
    kept = without(TRADE)
    ids = [int(raw.partition(b'"t":')[2].partition(b",")[0]) for _, raw in kept if b"@trade" in raw]
    after = next(n for n, each in enumerate(ids[1:]) if each > ids[n] + 1)
    time_ns = next(at for at, raw in kept if b'"t":%d,' % ids[after + 1] in raw)
    missing = Missing(
        time_ns=time_ns, stream=TRADE, symbol="BTCUSDT", after_id=ids[after],
        before_id=ids[after + 1], missing=1, reason="not answered in time",
    )  # fmt: skip
    return case(missing, lines=kept, gaps=[TRADE])


def rejected_in_both_runs() -> Case:
    streams = (*STREAMS, OTHER)
    no = Refused(time_ns=FIRST[0][0], streams=(OTHER,), code=2, reason="Invalid request")
    begins, off, _, ends = again(FIRST, SECOND)
    first = (run(FIRST, 1, streams), connected(FIRST), no, ended(FIRST))
    second = (structs.replace(begins, streams=streams), off, connected(SECOND), no, ends)
    return Case([FIRST, SECOND], [*first, *second], [TICKER, MARK, FORCED])


def a_run_that_recorded_nothing() -> Case:
    empty = [(MARKET[0][0] - 5_000_000_000, b""), (MARKET[0][0] - 2_000_000_000, b"")]
    off = RunOutage(time_ns=MARKET[0][0] - 1, from_ns=0, reason="the recorder was off")
    second = (run(MARKET, 2), off, connected(MARKET), ended(MARKET))
    return Case([MARKET], [*begun(empty), ended(empty), *second], STREAMS)


def a_run_that_received_nothing() -> Case:
    begins, off, _, ends = again(FIRST, LATER, (*STREAMS, OTHER))
    return Case([FIRST], [*begun(FIRST), ended(FIRST), begins, off, ends], (*STREAMS, OTHER))


def a_disconnect_into_the_next_run(*, is_killed: bool) -> Case:
    streams = (TICKER, TRADE)
    kept = without(*streams, before=len(FIRST), lines=FIRST)
    gone = lost(*streams)[0]
    ends = () if is_killed else (ended(FIRST),)
    entries = [*begun(FIRST), gone, *ends, *again(FIRST, LATER)]
    return Case([kept, LATER], entries, [TICKER, MARK, FORCED], [TRADE, DEPTH])


ODD = MARKET[300][0] + 1, b'{"stream":"btcusdt@bookTicker","data":{}}'
AT_300 = MARKET[300][0] + 1
CASES: dict[str, Callable[[], Case]] = {
    "nothing lost where ids prove it": lambda: case(*lost(TRADE, DEPTH), is_complete=True),
    "the gap that a disconnect made counts once": lambda: case(
        *lost(TRADE, DEPTH), lines=without(TRADE, DEPTH), gaps=[TRADE, DEPTH]
    ),
    "no ids prove otherwise": lambda: case(
        *lost(TICKER, MARK, FORCED), lossy=[TICKER, MARK, FORCED]
    ),
    "an end that says when it began": an_end_that_says_when_it_began,
    "one message before a rounded outage": one_message_before_a_rounded_outage,
    "a stream that never comes back": lambda: Case(
        [without(TRADE, before=len(MARKET))],
        [*begun(MARKET), lost(TRADE)[0], ended(MARKET)],
        [TRADE],
    ),
    "a renewal and a quiet stream": lambda: case(
        Renewed(time_ns=MARKET[300][0], streams=STREAMS, connection=2), is_complete=True
    ),
    "rejected and unknown streams": lambda: Case(
        [MARKET],
        [
            run(MARKET, 1, (*STREAMS, "btcusdt@depht", OTHER)),
            connected(MARKET, (*STREAMS, "btcusdt@depht")),
            Refused(time_ns=MARKET[0][0], streams=(OTHER,), code=2, reason="Invalid request"),
            ended(MARKET),
        ],
        is_complete=True,
    ),
    "never connected": lambda: Case(
        [MARKET], [run(MARKET, 1, (*STREAMS, OTHER)), connected(MARKET), ended(MARKET)], [OTHER]
    ),
    "two runs": lambda: two_runs(is_lossy=False, is_killed=False),
    "two runs, the first killed": lambda: two_runs(is_lossy=False, is_killed=True),
    "two runs and a loss": lambda: two_runs(is_lossy=True, is_killed=False),
    "two runs and a loss, the first killed": lambda: two_runs(is_lossy=True, is_killed=True),
    "streams of one run each": streams_of_one_run_each,
    "restarted ids prove nothing": restarted_ids,
    "dropped by the recorder": lambda: case(
        Dropped(time_ns=MARKET[9][0], count=12, reason="the disk is too slow")
    ),
    "left out as unreadable": lambda: case(
        Unreadable(time_ns=AT_300, streams=(TRADE, TICKER), reason="no JSON"), lossy=[TICKER]
    ),
    "unreadable and recorded counts once": lambda: case(
        Unreadable(time_ns=AT_300, streams=(TICKER,), reason="no ids"),
        lines=[*MARKET[:301], ODD, *MARKET[301:]],
    ),
    "candles prove no update": candles,
    "silence counts of periodic streams only": lambda: case(
        Silent(time_ns=MARKET[500][0], streams=(MARK, TICKER), silent_ms=2_000),
        Connected(time_ns=MARKET[510][0], streams=(MARK, TICKER), connection=1),
        lossy=[MARK],
    ),
    "a gap that the recorder knew": a_gap_that_the_recorder_knew,
    "received without an entry": lambda: Case([MARKET], [run(MARKET), ended(MARKET)], [FORCED]),
    "rejected in both runs": rejected_in_both_runs,
    "a run that recorded nothing": a_run_that_recorded_nothing,
    "a run that received nothing": a_run_that_received_nothing,
    "a disconnect into the next run": lambda: a_disconnect_into_the_next_run(is_killed=False),
    "a disconnect into the next run, killed": lambda: a_disconnect_into_the_next_run(
        is_killed=True
    ),
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", CASES)
def test_outages_are_weighed_against_ids(name: str, tmp_path: Path) -> None:
    recorded = CASES[name]()
    findings = found_in(
        VerifySettings(), [folder(tmp_path / "r", recorded.segments, recorded.entries)]
    )
    [found] = findings.recordings
    assert findings.complete == recorded.is_complete
    assert {each.stream: each.lossy_outages for each in found.streams if each.lossy_outages} == (
        dict.fromkeys(recorded.lossy, 1)
    )
    assert {each.stream: each.gaps for each in found.streams if each.gaps} == (
        dict.fromkeys(recorded.gaps, 1)
    )
    text = "\n".join([*map(str, lines_of(findings, 10)), str(findings.summary)])
    goldens.compare(f"verify/outages/{name}.txt", text.replace(str(tmp_path / "r"), "r") + "\n")
