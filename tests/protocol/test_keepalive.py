import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tickerplant.protocol.actions import Close, Ping
from tickerplant.protocol.close_reasons import EXPIRED, PONG_TIMEOUT
from tickerplant.protocol.keepalive import MAX_UNANSWERED, NEVER_MS, Keepalive
from tickerplant.protocol.limits import LIMITS

SMALL = msgspec.structs.replace(LIMITS, ping_interval_ms=10, pong_timeout_ms=35, lifetime_ms=500)


@given(answers=st.lists(st.booleans(), min_size=60, max_size=60), paired=st.booleans())
def test_a_connection_ends_by_its_age_or_by_an_old_unanswered_ping(
    answers: list[bool], paired: bool
) -> None:
    keepalive = Keepalive(SMALL, 0, paired=paired)
    oldest: int | None = None
    for now_ms in range(501):
        due = min(keepalive.next_deadline_ms, keepalive.pong_deadline_ms) <= now_ms
        done = keepalive.tick(now_ms, now_ms)
        assert due == (bool(done)), f"the deadline is when something happens, at {now_ms}"
        if now_ms == 500:
            assert done == [Close(EXPIRED)], "age comes first"
        elif oldest is not None and now_ms - oldest == 35:
            assert done == [Close(PONG_TIMEOUT)], f"the ping of {oldest} is too old"
            return
        elif now_ms and now_ms % 10 == 0:
            assert done == [Ping(b"%d" % now_ms)], "pings keep to their interval"
            oldest = now_ms if oldest is None else oldest
            if answers[now_ms // 10]:
                keepalive.pong(b"%d" % now_ms if paired else b"any", now_ms)
                oldest = None
        else:
            assert done == [], f"nothing is due at {now_ms}"


def test_pings_that_nobody_answers_take_a_bounded_place_and_still_end_the_connection() -> None:
    limits = msgspec.structs.replace(LIMITS, ping_interval_ms=1, pong_timeout_ms=1_000)
    keepalive = Keepalive(limits, 0)
    for now_ms in range(1, 500):
        keepalive.tick(now_ms, now_ms)
        keepalive.pong(b"%d" % -now_ms, now_ms)
    assert len(keepalive._unanswered) == MAX_UNANSWERED
    assert keepalive.pong_deadline_ms == 1_001, "that of the first"
    keepalive.pong(b"499", 500)
    assert keepalive.pong_deadline_ms == NEVER_MS, "the latest answers all"


def test_a_late_tick_pings_once_and_returns_to_the_grid() -> None:
    keepalive = Keepalive(SMALL, 0)
    assert keepalive.tick(34, 34) == [Ping(b"34")], "three pings are due, one is sent"
    assert keepalive.next_deadline_ms == 40, "the next is at the next multiple"


def test_an_answer_may_take_its_time_on_the_machine_however_fast_the_market_goes() -> None:
    keepalive = Keepalive(SMALL, 0)
    assert keepalive.tick(10, 1_000) == [Ping(b"10")]
    assert keepalive.tick(499, 1_034) == [Ping(b"499")], "market time has passed, and 34 ms"
    assert keepalive.tick(499, 1_035) == [Close(PONG_TIMEOUT)]
