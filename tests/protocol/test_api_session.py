import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from conversation import little_exchange
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import RequestError
from tickerplant.protocol.actions import Action, Forward, Send
from tickerplant.protocol.api_session import (
    LOGON_PARAMS,
    MAX_FORWARDED,
    SESSION_METHODS,
    ApiSession,
)
from tickerplant.protocol.client_requests import disconnected
from tickerplant.protocol.keepalive import SessionCounters
from tickerplant.protocol.limits import LIMITS
from tickerplant.protocol.rate_limiter import RateLimiter
from tickerplant.protocol.target import ApiTarget
from tickerplant.queries import QUERIES
from tickerplant.queries.query import Query
from tickerplant.server.query_service import Forwarder
from tickerplant.venue import USDM

OPEN_MS = 1_772_000_000_000
ADDRESS = "192.0.2.1"
TEXT = st.text(st.characters(), max_size=5)
"""With surrogates, which JSON can escape and UTF-8 cannot hold."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ASKED = [query for query in QUERIES if query.has_method(USDM)]
METHODS = st.sampled_from([*(str(each.method) for each in ASKED), *SESSION_METHODS, "v1/ping"])
NAMES = {param.name for query in ASKED for param in query.params} | {*LOGON_PARAMS}
VALUES = st.sampled_from(["BTCUSDT", "k", "1m", 5, "5"]) | JSON
PARAMS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(sorted(NAMES), VALUES) | {"returnRateLimits": st.booleans() | JSON}
)
REQUESTS = st.fixed_dictionaries(
    {}, optional={"id": st.integers(0, 9) | JSON, "method": METHODS | JSON, "params": PARAMS | JSON}
)


def _session(
    rate_limiter: RateLimiter,
    counters: SessionCounters | None = None,
    forwarder: Forwarder | None = None,
) -> ApiSession:
    return ApiSession(
        ApiTarget(return_rate_limits=True),
        little_exchange(USDM, forwarder),
        rate_limiter,
        ADDRESS,
        LIMITS,
        OPEN_MS,
        counters,
    )


def _replies(actions: list[Action]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(action.text) for action in actions if isinstance(action, Send)]


@pytest.mark.parametrize("method", sorted(SESSION_METHODS))
@given(params=PARAMS)
def test_a_session_method_is_answered_whatever_its_parameters_are(
    method: str, params: dict[str, object]
) -> None:
    text = json.dumps({"id": 1, "method": method, "params": params})
    (reply,) = _replies(_session(RateLimiter(LIMITS)).receive_text(text, OPEN_MS))
    assert reply["status"] in {200, 400, 401}, "an answer, or what is wrong with the question"


@pytest.mark.heavy
@settings(max_examples=150)
@given(st.lists(REQUESTS.map(json.dumps) | JSON.map(json.dumps) | st.text() | st.binary()))
def test_whatever_a_client_says_is_answered_in_the_documented_order(
    texts: list[str | bytes],
) -> None:
    session = _session(RateLimiter(LIMITS))
    session.open()
    for text in texts:
        was_closed = session.keepalive.closed
        replies = _replies(session.receive_text(text, OPEN_MS))
        assert len(replies) == (not was_closed), "one reply to each message, none after the end"
        for reply in replies:
            assert reply["status"] in {200, 400, 401, 503}, "no fault of the server"
            outcome = "result" if reply["status"] == 200 else "error"
            shown = ["rateLimits"] if "rateLimits" in reply else []
            assert list(reply) == ["id", "status", outcome, *shown], "the order of the keys"


@given(request_id=st.none() | st.integers(-(2**63), 2**63 - 1) | st.from_regex(r"\A[\w-]{1,36}\Z"))
def test_an_id_comes_back_with_its_type_or_is_refused(request_id: int | str | None) -> None:
    session = _session(RateLimiter(LIMITS))
    text = json.dumps({"id": request_id, "method": "ping"})
    (reply,) = _replies(session.receive_text(text, OPEN_MS))
    accepted = not isinstance(request_id, str) or request_id.isascii()
    assert reply["id"] == (request_id if accepted else None), "the same id"
    assert session.keepalive.closed != accepted, "a bad id is the end"


def test_what_happened_is_counted() -> None:
    counters = SessionCounters()
    session = _session(RateLimiter(LIMITS), counters)
    for method in ("ping", "v1/ping", "nothing", "session.status", "session.logon"):
        session.receive_text(json.dumps({"id": 1, "method": method}), OPEN_MS)
    assert counters.methods == {"ping": 2, "session.status": 1, "session.logon": 1}, "by method"
    assert counters.errors == {-1020: 1, -1102: 1}, "by code"


# Forwarded requests


class _Upstream:
    """The little exchange does not list ETHUSDT; its upstream does."""

    counts: Mapping[str, int] = {}

    def forwards(self, _query: Query, params: Mapping[str, object]) -> bool:
        return params.get("symbol") == "ETHUSDT"

    async def answer(self, _query: Query, _params: Mapping[str, object]) -> bytes:
        raise NotImplementedError


def _price_of(symbol: str, request_id: int = 1) -> str:
    return json.dumps({"id": request_id, "method": "ticker.price", "params": {"symbol": symbol}})


def test_a_forwarded_request_is_answered_when_the_response_is_there() -> None:
    session = _session(RateLimiter(LIMITS), forwarder=_Upstream())
    (forwarded,) = session.receive_text(_price_of("ETHUSDT", 7), OPEN_MS)
    assert isinstance(forwarded, Forward), "no reply yet"
    assert (forwarded.query.method, forwarded.params) == ("ticker.price", {"symbol": "ETHUSDT"})
    (meanwhile,) = _replies(session.receive_text(_price_of("BTCUSDT", 8), OPEN_MS))
    assert (meanwhile["id"], meanwhile["result"]["symbol"]) == (8, "BTCUSDT"), "nobody waits"
    (sent,) = session.answered(forwarded, b'{"symbol":"ETHUSDT", "price":"1.0"}')
    assert sent == Send(
        b'{"id":7,"status":200,"result":{"symbol":"ETHUSDT", "price":"1.0"},'
        b'"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE",'
        b'"intervalNum":1,"limit":2400,"count":1}]}'
    ), "byte for byte, and it costs what it does here"


def test_an_error_of_a_forwarded_request_is_reported_and_counted() -> None:
    counters = SessionCounters()
    session = _session(RateLimiter(LIMITS), counters, _Upstream())
    (forwarded,) = session.receive_text(_price_of("ETHUSDT"), OPEN_MS)
    assert isinstance(forwarded, Forward), "no reply yet"
    (reply,) = _replies(session.answered(forwarded, RequestError(-1121, "Invalid symbol.")))
    assert (reply["status"], reply["error"]) == (400, {"code": -1121, "msg": "Invalid symbol."})
    (forwarded,) = session.receive_text(_price_of("ETHUSDT"), OPEN_MS)
    assert isinstance(forwarded, Forward), "it may be asked again"
    (reply,) = _replies(session.answered(forwarded, disconnected()))
    assert (reply["status"], reply["error"]["code"]) == (503, -1001)
    assert counters.errors == {-1121: 1, -1001: 1}
    assert counters.methods == {"ticker.price": 2}


def test_the_number_of_forwarded_requests_that_wait_is_bounded() -> None:
    session = _session(RateLimiter(LIMITS), forwarder=_Upstream())
    asks = [session.receive_text(_price_of("ETHUSDT"), OPEN_MS)[0] for _ in range(MAX_FORWARDED)]
    (reply,) = _replies(session.receive_text(_price_of("ETHUSDT", 99), OPEN_MS))
    assert (reply["id"], reply["status"], reply["error"]["code"]) == (99, 503, -1008)
    assert reply["rateLimits"][0]["count"] == MAX_FORWARDED + 1, "it costs its weight all the same"
    (reply,) = _replies(session.receive_text(_price_of("BTCUSDT"), OPEN_MS))
    assert reply["status"] == 200, "what is known here is still answered"
    assert isinstance(asks[0], Forward), "no reply yet"
    assert len(session.answered(asks[0], b"{}")) == 1
    (forwarded,) = session.receive_text(_price_of("ETHUSDT"), OPEN_MS)
    assert isinstance(forwarded, Forward), "there is room again"


def test_a_request_over_the_limit_is_not_forwarded() -> None:
    limits = msgspec.structs.replace(LIMITS, request_weight_per_minute=1)
    session = _session(RateLimiter(limits), forwarder=_Upstream())
    session.receive_text(_price_of("ETHUSDT"), OPEN_MS)
    (reply,) = _replies(session.receive_text(_price_of("ETHUSDT"), OPEN_MS))
    assert reply["status"] == 429


def test_a_response_after_the_close_is_dropped() -> None:
    session = _session(RateLimiter(LIMITS), forwarder=_Upstream())
    (forwarded,) = session.receive_text(_price_of("ETHUSDT"), OPEN_MS)
    assert isinstance(forwarded, Forward), "no reply yet"
    session.receive_text('{"id":[],"method":"ping"}', OPEN_MS)
    assert session.keepalive.closed, "a bad id is the end"
    assert session.answered(forwarded, b"{}") == []
