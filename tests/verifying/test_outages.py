"""What only the manifest knows, weighed against what the ids prove."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from recordings import folder, stream_of, tape

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
from tickerplant.verifying.findings import RecordingFinding, StreamFinding
from tickerplant.verifying.formatting import lines_of
from tickerplant.verifying.verify import found_in
from tickerplant.verifying.walk import Walk

STREAMS = (
    "btcusdt@trade",
    "btcusdt@depth@100ms",
    "btcusdt@bookTicker",
    "btcusdt@markPrice@1s",
    "btcusdt@forceOrder",
)
OUTAGE = 400, 500
"""The lines before which an outage starts and ends."""


@pytest.fixture(scope="module")
def market() -> list[Line]:
    return tape(USDM, 8, STREAMS)


def begun(lines: list[Line], run: int = 1, streams: tuple[str, ...] = STREAMS) -> list[Entry]:
    first_ns = lines[0][0] - 1
    return [
        RunStarted(
            time_ns=first_ns, run=run, url="ws://127.0.0.1:9001", profile="", streams=streams,
            software="a test",
        ),
        Connected(time_ns=first_ns, streams=streams, connection=1),
    ]  # fmt: skip


def ended(lines: list[Line]) -> RunEnded:
    return RunEnded(time_ns=lines[-1][0] + 1, reason="interrupted")


def off(first: list[Line], second: list[Line]) -> RunOutage:
    """The time between two runs."""
    return RunOutage(time_ns=second[0][0], from_ns=first[-1][0], reason="the recorder was off")


def again(first: list[Line], second: list[Line], streams: tuple[str, ...] = STREAMS) -> list[Entry]:
    """The entries of a second run, after an outage."""
    run, connected = begun(second, 2, streams)
    return [run, off(first, second), connected, ended(second)]


def lost(lines: list[Line], streams: tuple[str, ...], after: int, before: int) -> list[Entry]:
    return [
        Disconnected(time_ns=lines[after][0] + 1, streams=streams, reason="reset"),
        Connected(time_ns=lines[before][0] - 1, streams=streams, connection=2, blind_ms=5),
    ]


def walked(path: str) -> tuple[RecordingFinding, dict[str, StreamFinding]]:
    found = Walk([path]).go()
    return found, {each.stream: each for each in found.streams}


def without(lines: list[Line], streams: tuple[str, ...], after: int, before: int) -> list[Line]:
    """The lines without the messages of an outage."""
    return [
        line
        for number, line in enumerate(lines)
        if not after < number < before or stream_of(line[1]) not in streams
    ]


def said(path: str) -> str:
    findings = found_in(VerifySettings(), [path])
    return "\n".join([*lines_of(findings, 10), findings.summary])


@pytest.mark.heavy
def test_a_disconnect_that_lost_nothing_does_not_count_where_ids_prove_it(
    market: list[Line], tmp_path: Path
) -> None:
    streams = ("btcusdt@trade", "btcusdt@depth@100ms")
    entries = [*begun(market), *lost(market, streams, *OUTAGE), ended(market)]
    path = folder(tmp_path / "r", [market], entries)
    found, by_name = walked(path)
    assert found.is_complete
    for name in streams:
        [outage] = by_name[name].first_outages
        assert (outage.verdict, outage.cause) == ("nothing lost", "disconnected: reset")
        assert by_name[name].outage_ns == market[OUTAGE[1]][0] - market[OUTAGE[0]][0] - 2
    assert "nothing lost: btcusdt@depth@100ms, btcusdt@trade" in said(path)
    assert "complete: " in said(path).splitlines()[-1]


def test_a_disconnect_is_the_cause_of_the_gap_that_it_made(
    market: list[Line], tmp_path: Path
) -> None:
    streams = ("btcusdt@trade", "btcusdt@depth@100ms")
    kept = without(market, streams, *OUTAGE)
    entries = [*begun(market), *lost(market, streams, *OUTAGE), ended(market)]
    found, by_name = walked(folder(tmp_path / "r", [kept], entries))
    assert not found.is_complete
    for name in streams:
        each = by_name[name]
        assert (each.gaps, each.lossy_outages) == (1, 0), "the gap counts, and only once"
        assert each.first_gaps[0].cause == "disconnected: reset"
        assert each.first_outages[0].verdict == "lost"


def test_a_disconnect_counts_where_no_ids_prove_otherwise(
    market: list[Line], tmp_path: Path
) -> None:
    streams = ("btcusdt@bookTicker", "btcusdt@markPrice@1s", "btcusdt@forceOrder")
    entries = [*begun(market), *lost(market, streams, *OUTAGE), ended(market)]
    path = folder(tmp_path / "r", [market], entries)
    found, by_name = walked(path)
    assert not found.is_complete
    assert {name: by_name[name].lossy_outages for name in streams} == dict.fromkeys(streams, 1)
    assert by_name["btcusdt@forceOrder"].messages == 0
    assert said(path).endswith("NOT complete: 3 outages that may have lost messages")


def test_an_outage_begins_when_its_end_says_although_the_connection_was_lost_later(
    market: list[Line], tmp_path: Path
) -> None:
    since, stream = market[OUTAGE[0]][0] - 10**9, "btcusdt@markPrice@1s"
    gone, back = lost(market, (stream,), *OUTAGE)
    assert isinstance(back, Connected)
    back = structs.replace(back, blind_ms=(back.time_ns - since) // 10**6)
    entries = [*begun(market), gone, back, ended(market)]
    _, by_name = walked(folder(tmp_path / "r", [market], entries))
    [outage] = by_name[stream].first_outages
    assert 0 <= outage.from_ns - since < 10**6
    assert (outage.to_ns, outage.verdict) == (back.time_ns, "may have lost")


def test_one_message_before_an_outage_is_before_it_although_the_outage_is_rounded(
    market: list[Line], tmp_path: Path
) -> None:
    before = [each for each in market[: OUTAGE[0]] if stream_of(each[1]) == "btcusdt@trade"]
    lines = [each for each in market if each not in before[:-1]]
    gone, back = lost(market, ("btcusdt@trade",), *OUTAGE)
    assert isinstance(back, Connected)
    back = structs.replace(back, blind_ms=(back.time_ns - before[-1][0]) // 10**6 + 40)
    entries = [*begun(market), gone, back, ended(market)]
    _, by_name = walked(folder(tmp_path / "r", [lines], entries))
    assert by_name["btcusdt@trade"].first_outages[0].verdict == "nothing lost"


def test_a_stream_that_never_comes_back_is_incomplete_whatever_its_ids(
    market: list[Line], tmp_path: Path
) -> None:
    streams = ("btcusdt@trade",)
    kept = without(market, streams, 400, len(market))
    entries = [*begun(market), lost(market, streams, 400, 500)[0], ended(market)]
    _, by_name = walked(folder(tmp_path / "r", [kept], entries))
    each = by_name["btcusdt@trade"]
    assert (each.gaps, each.lossy_outages) == (0, 1), "no id shows what came after"
    assert each.first_outages[0].to_ns == ended(market).time_ns


def test_a_renewal_and_a_quiet_stream_do_not_count(market: list[Line], tmp_path: Path) -> None:
    renewed = Renewed(time_ns=market[300][0], streams=STREAMS, connection=2)
    path = folder(tmp_path / "r", [market], [*begun(market), renewed, ended(market)])
    found, by_name = walked(path)
    assert found.is_complete
    assert by_name["btcusdt@forceOrder"].messages == 0
    assert "= no message of btcusdt@forceOrder" in said(path)


def test_rejected_and_unknown_streams_are_remarked(market: list[Line], tmp_path: Path) -> None:
    streams = (*STREAMS, "btcusdt@depht", "ethusdt@trade")
    run, _ = begun(market, streams=streams)
    connected = Connected(time_ns=market[0][0], streams=(*STREAMS, "btcusdt@depht"), connection=1)
    no = Refused(time_ns=market[0][0], streams=("ethusdt@trade",), code=2, reason="Invalid request")
    path = folder(tmp_path / "r", [market], [run, connected, no, ended(market)])
    found, by_name = walked(path)
    assert found.is_complete
    assert by_name["ethusdt@trade"].remark == "the server rejected it: 2 Invalid request"
    assert "depth" in by_name["btcusdt@depht"].remark, "what was probably meant"


def test_a_stream_that_was_never_connected_is_incomplete(
    market: list[Line], tmp_path: Path
) -> None:
    run, _ = begun(market, streams=(*STREAMS, "ethusdt@trade"))
    connected = Connected(time_ns=market[0][0], streams=STREAMS, connection=1)
    found, by_name = walked(folder(tmp_path / "r", [market], [run, connected, ended(market)]))
    assert not found.is_complete
    assert by_name["ethusdt@trade"].lossy_outages == 1


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("is_lossy", [False, True])
def test_between_two_runs_only_ids_prove_that_nothing_is_missing(
    market: list[Line], tmp_path: Path, is_killed: bool, is_lossy: bool
) -> None:
    first, second = market[:600], market[700 if is_lossy else 600 :]
    entries = [
        *begun(first),
        *([] if is_killed else [ended(first)]),
        *again(first, second),
    ]
    found, by_name = walked(folder(tmp_path / "r", [first, second], entries))
    assert not found.is_complete
    assert found.runs == 2
    for name in ("btcusdt@bookTicker", "btcusdt@markPrice@1s", "btcusdt@forceOrder"):
        assert by_name[name].lossy_outages == 1, f"{name}: unknown"
        assert by_name[name].first_outages[0].cause == "the recorder was off"
    for name in ("btcusdt@trade", "btcusdt@depth@100ms"):
        assert by_name[name].lossy_outages == 0, f"{name}: the ids know"
        assert by_name[name].gaps == is_lossy
        if is_lossy:
            assert by_name[name].first_gaps[0].cause == "the recorder was off"


def test_a_stream_of_another_run_alone_is_not_missed_in_this_one(
    market: list[Line], tmp_path: Path
) -> None:
    one, other = ("btcusdt@trade",), ("btcusdt@bookTicker",)
    lines = [line for line in market if stream_of(line[1]) in {*one, *other}]
    cut = len(lines) // 2
    first = [line for line in lines[:cut] if stream_of(line[1]) in one]
    second = [line for line in lines[cut:] if stream_of(line[1]) in other]
    entries = [*begun(first, 1, one), ended(first), *begun(second, 2, other), ended(second)]
    found, _ = walked(folder(tmp_path / "r", [first, second], entries))
    assert found.is_complete


def test_restarted_ids_prove_nothing_about_the_time_between(tmp_path: Path) -> None:
    streams = ("btcusdt@trade",)
    first = tape(USDM, 5, streams)
    hour_ns = 3_600 * 10**9
    later = [raw.replace(b'"E":17723', b'"E":17729') for _, raw in first]
    second = [(time_ns + hour_ns, raw) for (time_ns, _), raw in zip(first, later, strict=True)]
    entries = [*begun(first, 1, streams), ended(first), *again(first, second, streams)]
    found, by_name = walked(folder(tmp_path / "r", [first, second], entries))
    each = by_name["btcusdt@trade"]
    assert (each.restarts, each.gaps, each.lossy_outages) == (1, 0, 1)
    assert not found.is_complete


def test_dropped_messages_make_a_recording_incomplete(market: list[Line], tmp_path: Path) -> None:
    dropped = Dropped(time_ns=market[9][0], count=12, reason="the disk is too slow")
    path = folder(tmp_path / "r", [market], [*begun(market), dropped, ended(market)])
    text = said(path)
    assert "! 12 messages dropped by the recorder: the disk is too slow" in text
    assert text.endswith("NOT complete: 12 messages dropped by the recorder")


def test_an_unreadable_message_counts_unless_ids_prove_otherwise(
    market: list[Line], tmp_path: Path
) -> None:
    streams = ("btcusdt@trade", "btcusdt@bookTicker")
    left_out = Unreadable(time_ns=market[300][0] + 1, streams=streams, reason="no JSON")
    path = folder(tmp_path / "r", [market], [*begun(market), left_out, ended(market)])
    found, by_name = walked(path)
    assert not found.is_complete
    assert [by_name[name].lossy_outages for name in streams] == [0, 1]
    assert by_name["btcusdt@bookTicker"].first_outages[0].cause == (
        "a message that cannot be read was left out: no JSON"
    )


def test_a_message_that_cannot_be_read_and_was_recorded_counts_once(
    market: list[Line], tmp_path: Path
) -> None:
    stream = "btcusdt@bookTicker"
    odd = market[300][0] + 1, b'{"stream":"btcusdt@bookTicker","data":{}}'
    unreadable = Unreadable(time_ns=odd[0], streams=(stream,), reason="no ids")
    lines = [*market[:301], odd, *market[301:]]
    path = folder(tmp_path / "r", [lines], [*begun(market), unreadable, ended(market)])
    _, by_name = walked(path)
    assert (by_name[stream].unreadable, by_name[stream].lossy_outages) == (1, 0)


def test_candles_do_not_prove_that_no_update_of_them_was_lost(tmp_path: Path) -> None:
    stream = "btcusdt@kline_1m"
    lines = tape(USDM, 8, (stream,))
    assert len(lines) > 10, "a candle is sent often"
    third = len(lines) // 3
    entries = [
        *begun(lines, streams=(stream,)),
        *lost(lines, (stream,), third, 2 * third),
        ended(lines),
    ]
    kept = without(lines, (stream,), third, 2 * third)
    path = folder(tmp_path / "r", [kept], entries)
    found, by_name = walked(path)
    assert by_name[stream].gaps == 0, "every candle that ended was closed"
    assert not found.is_complete, "updates between were lost all the same"
    assert f"may have lost: {stream}" in said(path)


def test_silence_is_an_outage_only_of_a_periodic_stream(market: list[Line], tmp_path: Path) -> None:
    streams = ("btcusdt@markPrice@1s", "btcusdt@bookTicker")
    silent = Silent(time_ns=market[500][0], streams=streams, silent_ms=2_000)
    connected = Connected(time_ns=market[510][0], streams=streams, connection=1)
    path = folder(tmp_path / "r", [market], [*begun(market), silent, connected, ended(market)])
    _, by_name = walked(path)
    assert by_name["btcusdt@markPrice@1s"].lossy_outages == 1
    assert by_name["btcusdt@bookTicker"].lossy_outages == 0, (
        "nothing changed, for all anybody knows"
    )


def test_what_the_recorder_knew_of_a_gap_is_its_cause(market: list[Line], tmp_path: Path) -> None:
    streams = ("btcusdt@trade",)
    kept = without(market, streams, *OUTAGE)
    found, by_name = walked(folder(tmp_path / "a", [kept], [*begun(kept), ended(kept)]))
    [gap] = by_name["btcusdt@trade"].first_gaps
    assert gap.cause == ""
    missing = Missing(
        time_ns=gap.to_ns,
        stream="btcusdt@trade",
        symbol="BTCUSDT",
        after_id=gap.after_id,
        before_id=gap.before_id,
        missing=gap.missing,
        reason="not answered in time",
    )
    found, by_name = walked(folder(tmp_path / "b", [kept], [*begun(kept), missing, ended(kept)]))
    assert not found.is_complete
    assert by_name["btcusdt@trade"].first_gaps[0].cause == "not answered in time"


def test_what_was_received_was_connected_even_without_an_entry(
    market: list[Line], tmp_path: Path
) -> None:
    entries = [begun(market)[0], ended(market)]
    _, by_name = walked(folder(tmp_path / "r", [market], entries))
    lossy_outages = {name for name, each in by_name.items() if each.lossy_outages}
    assert lossy_outages == {"btcusdt@forceOrder"}, "of this one nothing is known"


def test_a_stream_rejected_in_every_run_does_not_count(market: list[Line], tmp_path: Path) -> None:
    streams = (*STREAMS, "ethusdt@trade")
    first, second = market[:600], market[600:]
    no = Refused(time_ns=first[0][0], streams=("ethusdt@trade",), code=2, reason="Invalid request")
    entries = [
        begun(first, 1, streams)[0],
        begun(first)[1],
        no,
        ended(first),
        begun(second, 2, streams)[0],
        off(first, second),
        begun(second)[1],
        no,
        ended(second),
    ]
    _, by_name = walked(folder(tmp_path / "r", [first, second], entries))
    assert by_name["ethusdt@trade"].outages == 0
    assert by_name["ethusdt@trade"].remark.startswith("the server rejected it")


def test_a_run_that_recorded_nothing_lasts_no_longer_than_it_did(
    market: list[Line], tmp_path: Path
) -> None:
    empty = [(market[0][0] - 5_000_000_000, b""), (market[0][0] - 2_000_000_000, b"")]
    outage_entry = RunOutage(time_ns=market[0][0] - 1, from_ns=0, reason="the recorder was off")
    run, connected = begun(market, 2)
    entries = [*begun(empty), ended(empty), run, outage_entry, connected, ended(market)]
    _, by_name = walked(folder(tmp_path / "r", [market], entries))
    [outage] = by_name["btcusdt@bookTicker"].first_outages
    assert outage.from_ns == empty[-1][0] + 1, "when the first run ended, not 1970"


def test_a_run_that_received_nothing_makes_it_incomplete(
    market: list[Line], tmp_path: Path
) -> None:
    first = market[:600]
    run, _ = begun(market[700:], run=2, streams=(*STREAMS, "ethusdt@trade"))
    end = RunEnded(time_ns=market[-1][0], reason="interrupted")
    entries = [*begun(first), ended(first), run, off(first, market[700:]), end]
    _, by_name = walked(folder(tmp_path / "r", [first], entries))
    assert {
        name: by_name[name].lossy_outages for name in (*STREAMS, "ethusdt@trade")
    } == dict.fromkeys((*STREAMS, "ethusdt@trade"), 1)
    assert by_name["btcusdt@trade"].first_outages[0].to_ns == end.time_ns


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_disconnect_that_lasts_into_the_next_run_is_one_outage(
    market: list[Line], tmp_path: Path, is_killed: bool
) -> None:
    streams = ("btcusdt@bookTicker", "btcusdt@trade")
    first, second = market[:600], market[700:]
    kept = without(first, streams, 400, len(first))
    entries = [
        *begun(first),
        lost(market, streams, 400, 500)[0],
        *([] if is_killed else [ended(first)]),
        *again(first, second),
    ]
    _, by_name = walked(folder(tmp_path / "r", [kept, second], entries))
    for name in streams:
        [outage] = by_name[name].first_outages
        assert outage.cause == "disconnected: reset; the recorder was off"
        assert (outage.from_ns, outage.to_ns) == (market[400][0] + 1, second[0][0] - 1)
    assert by_name["btcusdt@trade"].first_gaps[0].cause == outage.cause
    assert by_name["btcusdt@forceOrder"].first_outages[0].cause == "the recorder was off"
