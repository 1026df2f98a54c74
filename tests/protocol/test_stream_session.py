import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tickerplant.protocol.actions import Close, Send, Subscribe, Unsubscribe
from tickerplant.protocol.client_requests import METHODS
from tickerplant.protocol.keepalive import SessionCounters
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.protocol.stream_session import StreamSession
from tickerplant.protocol.target import StreamTarget

OPEN_MS = 1_772_000_000_000
EMPTY = StreamTarget("", combined=False, names=())
PATIENT = msgspec.structs.replace(LIMITS, message_burst=10_000, max_streams=4)
NAMES = st.lists(st.sampled_from("abcdefg"), max_size=4)
TEXT = st.text(st.characters(), max_size=5)
"""With surrogates, which JSON can escape and UTF-8 cannot hold."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def _nearly_requests() -> SearchStrategy[str]:
    """Messages that look like requests and are wrong in one place or another."""
    methods = st.sampled_from(METHODS) | JSON
    params = st.lists(st.sampled_from(["combined", "a", True]) | JSON, max_size=3) | JSON
    fields = {"method": methods, "params": params, "id": st.integers(-1, 3) | JSON}
    return st.fixed_dictionaries({}, optional=fields).map(json.dumps)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), NAMES), max_size=20))
def test_subscriptions_are_an_ordered_set_and_actions_are_its_changes(
    steps: list[tuple[bool, list[str]]],
) -> None:
    limits = msgspec.structs.replace(PATIENT, max_streams=7)
    session = StreamSession(EMPTY, limits, OPEN_MS)
    delivered: list[str] = []
    model: list[str] = []
    for subscribes, names in steps:
        method = "SUBSCRIBE" if subscribes else "UNSUBSCRIBE"
        text = json.dumps({"method": method, "params": names, "id": 1})
        for action in session.receive_text(text, OPEN_MS):
            match action:
                case Subscribe(new):
                    assert not set(new) & set(delivered), "only what is new is subscribed"
                    delivered += new
                case Unsubscribe(gone):
                    assert set(gone) <= set(delivered), "only what is there is unsubscribed"
                    delivered = [name for name in delivered if name not in gone]
                case other:
                    assert other == Send(b'{"result":null,"id":1}'), "every one is acknowledged"
        if subscribes:
            model += dict.fromkeys(name for name in names if name not in model)
        else:
            model = [name for name in model if name not in names]
        assert list(session.names) == model == delivered, "names, model and deliveries agree"


@pytest.mark.heavy
@settings(max_examples=150)
@given(st.lists(_nearly_requests() | JSON.map(json.dumps) | st.text() | st.binary(), max_size=6))
def test_whatever_a_client_says_is_answered_in_the_documented_shape(
    texts: list[str | bytes],
) -> None:
    session = StreamSession(EMPTY, PATIENT, OPEN_MS)
    for text in texts:
        was_closed = session.keepalive.closed
        actions = session.receive_text(text, OPEN_MS)
        sent = [msgspec.json.decode(action.text) for action in actions if isinstance(action, Send)]
        assert len(sent) == (not was_closed), "one reply to each message, none after the end"
        for reply in sent:
            keys = [key for key in reply if key != "id"]
            assert keys in [["result"], ["error"]], "a result or an error"
            assert next(iter(reply)) != "id", "the id comes last"
        closes = any(isinstance(action, Close) for action in actions)
        assert closes == (session.keepalive.closed and not was_closed), "it closes once"
        if closes:
            assert isinstance(actions[-1], Close), "and nothing follows"
            assert sent[0]["error"]["code"] in {2, 3, 4}, "only these codes end a connection"


def test_what_happened_is_counted_for_all_sessions_together() -> None:
    counters = SessionCounters()
    sessions = [StreamSession(EMPTY, LIMITS, OPEN_MS, counters) for _ in range(2)]
    for session in sessions:
        session.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', OPEN_MS)
        session.receive_text('{"method":"GET_PROPERTY","params":["x"],"id":1}', OPEN_MS)
        session.keepalive.tick(session.keepalive.next_deadline_ms, OPEN_MS)
        session.keepalive.pong(b"", OPEN_MS)
    sessions[0].receive_text("nonsense", OPEN_MS)
    assert counters.methods == {"LIST_SUBSCRIPTIONS": 2}, "understood requests by method"
    assert counters.errors == {0: 2, 3: 1}, "error replies by code"
    assert (counters.pings_sent, counters.pongs_received) == (2, 2), "pings and pongs"


def test_a_closed_session_is_silent_about_everything() -> None:
    session = StreamSession(EMPTY, LIMITS, OPEN_MS)
    session.receive_text("nonsense", OPEN_MS)
    late_ms = OPEN_MS + LIMITS.lifetime_ms
    said = (
        session.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":1}', late_ms)
        + session.receive_binary(late_ms)
        + session.keepalive.ping(late_ms)
        + session.keepalive.pong(b"", late_ms)
        + session.keepalive.tick(late_ms, late_ms)
    )
    assert said == [], "nothing comes after a close"


def test_limits_that_are_off_count_and_close_nothing() -> None:
    limits = msgspec.structs.replace(LIMITS, max_streams=2, message_burst=1, enforced=False)
    rate_limiter = RateLimiter(limits)
    session = StreamSession(
        EMPTY, limits, OPEN_MS, usage=rate_limiter.connection_opened("192.0.2.1")
    )
    for name in "abcd":
        text = json.dumps({"method": "SUBSCRIBE", "params": [name], "id": 1})
        assert Send(b'{"result":null,"id":1}') in session.receive_text(text, OPEN_MS), "accepted"
    assert not session.keepalive.closed, "nothing ends it"
    assert rate_limiter.exceeded == {"messages": 3, "streams": 2}, (
        "but what was too much is counted"
    )


def test_a_connection_is_bounded_even_when_limits_are_off() -> None:
    limits = msgspec.structs.replace(
        LIMITS, max_streams=2, unenforced_streams=3, max_name_bytes=9, enforced=False
    )
    session = StreamSession(EMPTY, limits, OPEN_MS)
    text = json.dumps({"method": "SUBSCRIBE", "params": list("abcd"), "id": 1})
    refused = session.receive_text(text, OPEN_MS)
    assert refused[0] == Send(b'{"error":{"code":4,"msg":"Too many subscriptions"},"id":1}', 4)
    assert session.keepalive.closed, "it ends as it would with limits"
