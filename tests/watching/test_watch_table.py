from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.messages.message import Message, UnknownMessage
from tickerplant.messages.ticker import MiniTicker
from tickerplant.notices import (
    DecodeFailed,
    Disconnected,
    Dropped,
    Gap,
    Notice,
    Recovered,
    Stale,
    SubscriptionRejected,
)
from tickerplant.watching.table import DROPPED_AT_ONCE, MAX_ROWS, RowView, Table, share_out

NOW_NS = 1_767_225_600_000_000_000
SECOND_NS = 1_000_000_000
TRADES, ALL = "btcusdt@miniTicker", "!miniTicker@arr"


def ticker(
    stream: str = TRADES, symbol: str = "BTCUSDT", at_ns: int = NOW_NS, sent_ms: int = 0
) -> MiniTicker:
    return MiniTicker(
        stream=stream,
        received_ns=at_ns,
        event_time_ms=sent_ms,
        symbol=symbol,
        close_price="110",
        open_price="100",
        high_price="120",
        low_price="90",
        volume="5",
        turnover="500",
    )


def lost(*streams: str) -> Notice:
    return Disconnected(streams=streams, time_ms=0, reason="reset", retry_ms=10)


def recovered(*streams: str) -> Notice:
    return Recovered(streams=streams, time_ms=0, outage_ms=10)


def gap(stream: str, symbol: str, missing: int | None, backfilled: int = 0) -> Notice:
    return Gap(
        streams=(stream,),
        time_ms=0,
        symbol=symbol,
        after_id=1,
        before_id=5,
        missing=missing,
        backfilled=backfilled,
    )


def table_of(*items: Message | Notice, names: Sequence[str] = (TRADES,)) -> Table:
    table = Table(names)
    for item in items:
        table.take(item)
    return table


def only(table: Table, now_ns: int = NOW_NS) -> RowView:
    (row,) = table.view(now_ns, 10).rows
    return row


def test_before_its_first_message_a_stream_waits_and_shows_its_hint() -> None:
    row = only(Table([TRADES], {TRADES: "a hint"}))
    assert (row.stream, row.symbol, row.latest, row.state) == (TRADES, "", "a hint", "waiting")
    assert (row.messages, row.rate, row.age_ms, row.delay_ms) == (0, None, None, None)


def test_a_message_creates_the_row_of_its_symbol() -> None:
    row = only(table_of(ticker(), ticker()))
    assert (row.symbol, row.messages, row.state) == ("BTCUSDT", 2, "live")
    assert row.latest == "110  +10.00 %  volume 5"


def test_the_age_is_relative_to_the_time_of_the_view() -> None:
    table = table_of(ticker(at_ns=NOW_NS))
    ages = [only(table, NOW_NS + later).age_ms for later in (-SECOND_NS, 0, 3 * SECOND_NS)]
    assert ages == [0, 0, 3_000]


def test_the_delay_is_receive_time_minus_event_time_and_may_be_negative() -> None:
    sent_ms = NOW_NS // 1_000_000
    assert only(table_of(ticker(sent_ms=sent_ms - 7))).delay_ms == pytest.approx(7, abs=0.01)
    assert only(table_of(ticker(sent_ms=sent_ms + 7))).delay_ms == pytest.approx(-7, abs=0.01)
    assert only(table_of(ticker(sent_ms=0))).delay_ms is None


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    table = Table([TRADES])
    assert only(table).rate is None
    for number in range(200):
        now_ns = NOW_NS + number * SECOND_NS // 10
        table.take(ticker(at_ns=now_ns))
        rate = only(table, now_ns).rate
        assert rate is None if number < 10 else rate == pytest.approx(10, rel=0.15)
    for second in range(1, 13):
        rate = only(table, NOW_NS + (20 + second) * SECOND_NS).rate
    assert rate == 0


@pytest.mark.parametrize(
    ("notices", "state"),
    [
        ((lost(TRADES),), "disconnected"),
        ((lost(TRADES), recovered(TRADES)), "live"),
        ((Stale(streams=(TRADES,), time_ms=0, silent_ms=9, expected_ms=1),), "stale"),
        ((SubscriptionRejected(streams=(TRADES,), time_ms=0, code=2, reason="no"),), "rejected"),
        ((Dropped(streams=(TRADES,), time_ms=0, count=2),), "live"),
        ((DecodeFailed(streams=(TRADES,), time_ms=0, payload=b"x", reason="no"),), "live"),
        ((lost("another@trade"),), "live"),
        ((ticker("another@trade"),), "live"),
    ],
)
def test_notices_change_the_state(notices: tuple[Message | Notice, ...], state: str) -> None:
    table = table_of(ticker(), *notices)
    assert only(table).state == state
    assert table.view(NOW_NS, 10).notices == [it for it in notices if isinstance(it, Notice)]
    assert only(table_of(lost(TRADES), recovered(TRADES))).state == "waiting"


def test_gaps_and_missing_messages_are_counted_in_the_row_of_their_symbol() -> None:
    other = "ethusdt@trade"
    table = table_of(
        ticker(),
        gap(TRADES, "BTCUSDT", 3),
        gap(TRADES, "BTCUSDT", None),
        gap(TRADES, "BTCUSDT", 4, backfilled=3),
        gap(other, "ETHUSDT", 1),
        names=(TRADES, other),
    )
    found = {row.symbol: (row.gaps, row.missing) for row in table.view(NOW_NS, 10).rows}
    assert found == {"BTCUSDT": (3, 4), "ETHUSDT": (1, 1)}


def test_streams_of_one_symbol_come_first_then_the_latest_messages() -> None:
    items = [
        ticker(ALL, "AUSDT", NOW_NS + 1),
        ticker(ALL, "CUSDT", NOW_NS + 2),
        ticker(ALL, "BUSDT", NOW_NS + 2),
        ticker(),
    ]
    view = table_of(*items, names=(ALL, TRADES)).view(NOW_NS, 10)
    assert [row.symbol for row in view.rows] == ["BTCUSDT", "BUSDT", "CUSDT", "AUSDT"]
    assert (view.hidden, view.hidden_not_live) == (0, 0)


def test_rows_that_do_not_fit_are_hidden_and_counted() -> None:
    items = [ticker(ALL, f"S{number}USDT", NOW_NS + number) for number in range(600)]
    table = table_of(*items, ticker(), lost(ALL), names=(TRADES, ALL))
    view = table.view(NOW_NS, 8)
    assert [row.symbol for row in view.rows] == [
        "BTCUSDT",
        *(f"S{number}USDT" for number in range(599, 592, -1)),
    ]
    assert (view.hidden, view.hidden_not_live) == (593, 593)
    assert table.view(NOW_NS, 0).rows == []
    assert table.view(NOW_NS, 10_000).hidden == 0


def test_only_the_latest_notices_are_kept() -> None:
    table = table_of(*(gap(TRADES, "BTCUSDT", 1) for _ in range(1_000)))
    assert len(table.view(NOW_NS, 10).notices) == table.notice_count == 20
    assert only(table).gaps == 1_000


def test_a_message_without_a_symbol_has_a_row_too() -> None:
    payload = b'{"e":"new","x":"\x1b[2J"}'
    name = "btcusdt@brandNew"
    table = table_of(
        UnknownMessage(stream=name, received_ns=NOW_NS, payload=payload), names=(name,)
    )
    row = only(table)
    assert (row.symbol, row.messages, row.latest) == ("", 1, '{"e":"new","x":"·[2J"}')


@given(st.integers(0, 60), st.lists(st.integers(0, 40), max_size=6))
def test_room_is_shared_completely_and_fairly(room: int, sizes: list[int]) -> None:
    shares = share_out(room, sizes)
    assert sum(shares) == min(room, sum(sizes))
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    short = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert all(share <= least + 1 for least in short for share in shares), "one has more"


def test_an_outage_lasts_since_its_first_notice() -> None:
    later = Disconnected(streams=(TRADES,), time_ms=9_000, reason="refused: HTTP 503")
    first = Disconnected(streams=(TRADES,), time_ms=2_000, reason="closed 1001", retry_ms=10)
    view = table_of(ticker(), first, later).view(12 * SECOND_NS, 10)
    assert (view.disconnected, view.outage_ms) == (1, 10_000)
    view = table_of(ticker(), first, later, recovered(TRADES)).view(12 * SECOND_NS, 10)
    assert (view.disconnected, view.outage_ms) == (0, None)


def test_rows_stay_bounded_whatever_symbols_a_server_makes_up_and_the_oldest_go() -> None:
    table = table_of(ticker(ALL, "FIRST"), names=(ALL,))
    for number in range(1, MAX_ROWS):
        table.take(ticker(ALL, f"S{number}", NOW_NS + number))
    table.take(ticker(ALL, "FIRST", NOW_NS + MAX_ROWS))
    assert table.view(NOW_NS, MAX_ROWS).dropped == 0
    table.take(ticker(ALL, "NEW", NOW_NS + MAX_ROWS + 1))
    view = table.view(NOW_NS, 10)
    gone = DROPPED_AT_ONCE
    assert (len(view.rows), view.hidden, view.dropped) == (10, MAX_ROWS - gone + 1 - 10, gone)
    symbols = {row.symbol for row in table.view(NOW_NS, MAX_ROWS).rows}
    assert symbols == {"FIRST", "NEW", *(f"S{it}" for it in range(gone + 1, MAX_ROWS))}
    for number in range(2 * MAX_ROWS):
        table.take(gap(ALL, f"G{number}", 1))
    assert len(table.view(NOW_NS, 10 * MAX_ROWS).rows) <= MAX_ROWS
