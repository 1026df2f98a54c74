"""In a stepped exchange, connections live, and limits and bans last, in market time."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from email.message import Message
from typing import Any, NamedTuple

import pytest
from connecting import connect_blocking as connect
from programs import PATIENCE_S
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tickerplant import testing
from tickerplant.testing import Exchange

pytestmark = [pytest.mark.sockets, pytest.mark.heavy]

START_MS = 1_767_225_600_000
"""2026-01-01."""
MINUTE_MS = 60_000
TIME = "/fapi/v1/time"


class Answered(NamedTuple):
    status: int
    headers: Message
    body: bytes


def rest(exchange: Exchange, path: str = TIME) -> Answered:
    try:
        with urllib.request.urlopen(exchange.usdm_url + path) as answer:  # noqa: S310  # our own
            return Answered(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answered(refused.code, refused.headers, refused.read())


def opened(**arguments: Any) -> Exchange:
    small = {"intensity": 0.02, "quoting": 0.02} | arguments
    return testing.exchange(seed=7, symbols=["BTCUSDT"], **small)


def sent(exchange: Exchange, kind: str) -> list[int]:
    """Return the market times, since the start, of what was sent to the first connection."""
    return [
        each["time_ms"] - START_MS for each in exchange.truth.sent("c1") if each["kind"] == kind
    ]


def test_a_connection_ends_when_its_lifetime_of_market_time_is_over() -> None:
    with (
        opened(limits={"lifetime_ms": 30_000}) as exchange,
        connect(f"{exchange.usdm_ws_url}/ws/btcusdt@bookTicker") as socket,
    ):
        exchange.step("29999ms")
        (connection,) = exchange.connections()
        assert connection["limits"]["age_ms"] == {"used": 29_999, "limit": 30_000}
        exchange.step("10s")
        assert all(json.loads(text)["E"] <= START_MS + 30_000 for text in socket)
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(PATIENCE_S)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "Connection expired")
        assert sent(exchange, "close") == [30_000], "between the events of that millisecond"
        assert max(sent(exchange, "text")) <= 30_000


def test_pings_come_every_three_minutes_of_market_time_until_the_close() -> None:
    with (
        opened(limits={"lifetime_ms": 7 * MINUTE_MS}) as exchange,
        connect(f"{exchange.usdm_ws_url}/ws") as socket,
    ):
        exchange.step("10m")
        with pytest.raises(ConnectionClosed, match="Connection expired"):
            socket.recv(PATIENCE_S)
        assert sent(exchange, "ping") == [minute * MINUTE_MS for minute in (3, 6)]
        assert sent(exchange, "close") == [7 * MINUTE_MS]


def test_weight_is_counted_by_market_minute_and_a_ban_lasts_market_time() -> None:
    limits = {"request_weight_per_minute": 3, "refusals_before_ban": 1}
    with opened(limits=limits) as exchange:
        exchange.step("10s")
        used = [rest(exchange).headers["x-mbx-used-weight-1m"] for _ in range(3)]
        assert used == ["1", "2", "3"]
        refused = rest(exchange)
        assert (refused.status, refused.headers["retry-after"]) == (429, "50")
        exchange.step("50s")
        again = rest(exchange)
        assert (again.status, again.headers["x-mbx-used-weight-1m"]) == (200, "1")
        assert again.headers["date"] == "Thu, 01 Jan 2026 00:01:00 GMT"
        for _ in range(3):
            rest(exchange)
        banned = rest(exchange)
        until_ms = START_MS + 3 * MINUTE_MS
        assert (banned.status, banned.headers["retry-after"]) == (418, "120")
        assert f"IP banned until {until_ms}.".encode() in banned.body
        page = exchange.limits()
        assert page["serverTime"] == START_MS + MINUTE_MS
        assert page["addresses"]["127.0.0.1"]["bannedUntil"] == until_ms
        exchange.step("119999ms")
        assert rest(exchange).status == 418
        exchange.step("1ms")
        assert rest(exchange).status == 200


def test_the_message_rate_is_one_of_market_time() -> None:
    with opened() as exchange, connect(f"{exchange.usdm_ws_url}/ws") as socket:

        def ask(times: int) -> None:
            for number in range(times):
                socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
                assert json.loads(socket.recv(PATIENCE_S))["id"] == number

        ask(15)
        exchange.step("1s")
        ask(10)
        with pytest.raises(ConnectionClosed, match="Too many requests"):
            ask(1)


def test_attempts_to_connect_are_counted_by_market_time() -> None:
    def attempt(exchange: Exchange) -> None:
        with connect(f"{exchange.usdm_ws_url}/ws"):
            pass

    with opened(limits={"connection_attempts": 2}) as exchange:
        for _ in range(2):
            attempt(exchange)
        with pytest.raises(InvalidStatus, match="429"):
            attempt(exchange)
        exchange.step("5m")
        attempt(exchange)


def test_a_client_that_reads_nothing_while_the_market_steps_is_not_late_with_its_pongs() -> None:
    with (
        opened(limits={"ping_interval_ms": 1_000, "pong_timeout_ms": 2_000}) as exchange,
        connect(f"{exchange.usdm_ws_url}/ws") as socket,
    ):
        exchange.step("1m")
        assert len(sent(exchange, "ping")) == 60
        assert exchange.connections(), "a minute is over on the market, a moment on the machine"
        socket.ping().wait(PATIENCE_S)


def test_two_runs_are_refused_the_same() -> None:
    def run() -> list[object]:
        seen: list[object] = []
        limits = {"request_weight_per_minute": 4, "refusals_before_ban": 2}
        with opened(limits=limits) as exchange:
            for _ in range(8):
                answers = [rest(exchange) for _ in range(3)]
                seen += [(each.status, each.headers.items(), each.body) for each in answers]
                exchange.step("20s")
            page = exchange.limits()
        return [*seen, page["serverTime"], page["addresses"]]

    first = run()
    assert first == run()
    statuses = {each[0] for each in first[:-2]}  # type: ignore[index]
    assert statuses == {200, 429, 418}


def test_market_time_counts_also_while_it_runs() -> None:
    with opened(limits={"lifetime_ms": 60_000}, speed=600) as exchange:
        with connect(f"{exchange.usdm_ws_url}/ws") as socket, pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE_S)
        opened_ms, *_, closed_ms = (
            each["time_ms"]
            for each in exchange.truth.sent("c1")
            if each["kind"] in {"handshake", "close"}
        )
        assert closed_ms - opened_ms == 60_000
