"""The clock of a replay over sockets, while a client stays connected."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, loopback, looped, serving, until
from programs import PATIENCE_S

import tickerplant
from tickerplant.control.clock_state import ReplayState
from tickerplant.plant import Plant
from tickerplant.recording.timestamps import TimeSpec
from tickerplant.replaying.plan import Plan
from tickerplant.replaying.scan import scan
from tickerplant.replaying.source import RecordingSource
from tickerplant.server.guard import Guard, joined
from tickerplant.server.proxies import TrustedProxies
from tickerplant.venue import COINM, USDM, Venue

CLOCK_PATH = "/plant/v1/clock"
COVERAGE_PATH = "/plant/v1/coverage"
FAULTS_PATH = "/plant/v1/faults"
LIMITS_PATH = "/plant/v1/limits"
START_MS = 1_795_285_140_000
COUNT = 300
EVERY_MS = 100
PATIENTLY = f"{CLOCK_PATH}?wait={PATIENCE_S}s"


def trade(n: int) -> str:
    time_ms = START_MS + n * EVERY_MS
    return (
        f'{{"e":"trade","E":{time_ms},"T":{time_ms},"s":"BTCUSDT","t":{n},"p":"{100 + n % 5}.00",'
        f'"q":"1.000","X":"MARKET","m":false}}'
    )


def change(n: int) -> str:
    time_ms = START_MS + n * EVERY_MS
    return (
        f'{{"e":"depthUpdate","E":{time_ms},"T":{time_ms},"s":"BTCUSDT","U":{2 * n - 1},'
        f'"u":{2 * n},"pu":{2 * n - 2},"b":[["{90 + n % 9}.00","{n}.000"]],"a":[["{110 + n % 9}.00","1.000"]]}}'
    )


def recording(folder: Path, count: int = COUNT) -> str:
    """Write a trade and a change of the book every tenth of a second, after a snapshot."""
    snapshot = f'{{"lastUpdateId":0,"E":{START_MS},"T":{START_MS},"bids":[],"asks":[]}}'
    lines = [(START_MS, snapshot)]
    for n in range(1, count + 1):
        at_ms = START_MS + n * EVERY_MS
        lines.append((at_ms, f'{{"stream":"btcusdt@trade","data":{trade(n)}}}'))
        lines.append((at_ms, f'{{"stream":"btcusdt@depth@100ms","data":{change(n)}}}'))
    path = folder / "market.txt"
    path.write_text("".join(f"{at_ms}000000 {raw}\n" for at_ms, raw in lines))
    return str(path)


class House(Loopback):
    """A server with a replay."""

    def __init__(self, house: Loopback, source: RecordingSource) -> None:
        super().__init__(house.plant, house.server, house.clock)
        self.source = source
        self.headers = {"Content-Type": "application/json"}

    async def ask(
        self, method: str, path: str, body: bytes | None = None, venue: Venue = USDM
    ) -> tuple[int, Any]:
        answer = await self.get(path, venue, method, self.headers, body)
        is_json = answer.body.startswith(b"{")
        return answer.status, answer.json if is_json else answer.body

    async def steer(self, **given: object) -> Any:
        status, state = await self.ask("POST", PATIENTLY, json.dumps(given).encode())
        assert status == 200, state
        return state


@asynccontextmanager
async def replaying(path: str, plan: Plan) -> AsyncIterator[House]:
    found = scan([path])
    plant = Plant(found.instruments, start_ms=found.start_ms)
    source = RecordingSource(found, plant, plan, wait_for=0, keeps_running=True)
    async with serving(plant, source, steering=source, coverage=source.coverage) as house:
        yield House(house, source)


@looped
async def test_clients_stay_connected_while_the_clock_is_set(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = recording(tmp_path_factory.mktemp("clock"))
    async with replaying(path, Plan(begin=TimeSpec(10**9, "+"), speed=0.001)) as house:
        async with house.connect("/ws/btcusdt@trade") as client:
            state = await house.steer(paused=True)
            assert (state["state"], state["paused"]) == ("paused", True)
            for target in (250, 20, 120):
                at_ms = START_MS + target * EVERY_MS
                state = await house.steer(seek=at_ms)
                assert state["received_ns"] == at_ms * 10**6
                state = await house.steer(step=1)
                while (message := await client.recv()) != trade(target):
                    assert json.loads(message)["t"] == 10, "what was heard before the pause"
            state = await house.steer(speed=0, paused=False)
            for n in range(121, COUNT + 1):
                assert await client.recv() == trade(n)
            await until(lambda: house.source.state().state == "over")
        status, state = await house.ask("GET", CLOCK_PATH, venue=COINM)
        assert (status, state["state"]) == (200, "over"), "both ports tell"
        assert set(state) == set(ReplayState.__struct_fields__)


@looped
async def test_the_clock_can_be_set_in_the_query_and_on_either_port(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = recording(tmp_path_factory.mktemp("clock"))
    async with replaying(path, Plan(speed=0.001)) as house:
        status, state = await house.ask("POST", f"{CLOCK_PATH}?paused=true&speed=7.5", venue=COINM)
        assert (status, state["speed"], state["paused"]) == (200, 7.5, True)
        status, state = await house.ask("POST", f"{PATIENTLY}&seek=%2B15s")
        assert (status, state["received_ns"] // 10**6) == (200, START_MS + 15_000)
        assert state["from_ns"] == START_MS * 10**6


@looped
async def test_what_cannot_be_done_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = recording(tmp_path_factory.mktemp("clock"))
    async with replaying(path, Plan(speed=0.001)) as house:
        answers = [
            await house.ask("POST", CLOCK_PATH, body)
            for body in (
                b'{"speed": "fast"}',
                b'{"speed"',
                b"[1]",
                b"\xff\xfe",
                b"",
                b'{"step": 1}',
                b'{"seek": 1000000000000}',
                b" " * 5_000,
            )
        ]
        status, text = await house.ask("DELETE", CLOCK_PATH)
    assert [status for status, _ in answers] == [400, 400, 400, 400, 400, 409, 409, 413]
    assert answers[0][1]["field"] == "speed"
    assert "invalid value 'fast' for speed: expected a number from 0.001" in answers[0][1]["error"]
    assert answers[1][1]["field"] == answers[2][1]["field"] == "body"
    assert answers[5][1] == {"error": "step: the replay is not paused: pause it first"}
    assert status == 405
    assert text == {"error": "DELETE is not possible at /plant/v1/clock, only GET, HEAD, POST"}


@looped
async def test_a_local_book_joins_a_replay_in_the_middle_and_again_after_seeks(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = recording(tmp_path_factory.mktemp("clock"), 3 * COUNT)
    async with replaying(path, Plan(begin=TimeSpec(10**10, "+"))) as house:
        url = f"ws://{house.server.urls[USDM.name]}"
        async with (
            tickerplant.connect("usdm", base_url=url) as market,
            market.books("BTCUSDT", speed="100ms") as books,
        ):
            await books.wait_until_live()
            book = books._by_symbol["BTCUSDT"]
            assert book.counters.resyncs == 0
            for number, seek_ms in enumerate((20_000, 5_000), 1):
                await house.steer(seek=START_MS + seek_ms, paused=False)
                await until(lambda number=number: book.counters.resyncs == number)  # type: ignore[misc]
                await books.wait_until_live()
                applied = book.counters.applied
                await until(lambda applied=applied: book.counters.applied > applied)  # type: ignore[misc]
                await house.steer(paused=True)
                audit = await books.audit("BTCUSDT")
                assert audit.score == 1, audit


@looped
async def test_there_is_no_clock_to_set_but_that_of_a_replay() -> None:
    async with loopback() as house:
        answers = [await house.get(CLOCK_PATH, method=method) for method in ("GET", "POST")]
    assert [answer.status for answer in answers] == [404, 404]
    assert all("tickerplant replay RECORDING" in answer.json["error"] for answer in answers)


FOREIGN = "http://evil.example"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "has_body", "status", "said"),
    [
        ({**JSON, "Origin": FOREIGN}, True, 403, FOREIGN),
        ({**JSON, "Origin": "null"}, True, 403, "null"),
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, True, 403, "another origin"),
        ({**JSON, "Sec-Fetch-Site": "same-site"}, True, 403, "another origin"),
        ({"Origin": FOREIGN}, False, 403, FOREIGN),
        ({**JSON, "Host": "evil.example:9001"}, True, 403, "evil.example:9001"),
        ({**JSON, "Host": "evil.example", "Origin": FOREIGN}, True, 403, "not a name of this"),
        ({"Content-Type": "text/plain"}, True, 415, "text/plain"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, False, 415, "urlencoded"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, True, 415, "multipart"),
        ({}, True, 415, "missing"),
        (JSON, True, 200, ""),
        ({"Content-Type": "Application/JSON; charset=utf-8"}, True, 200, ""),
        ({**JSON, "Host": "LOCALHOST:1"}, True, 200, ""),
        ({**JSON, "Host": "[::1]:9001"}, True, 200, ""),
        ({**JSON, "Host": "127.0.0.2:1", "Origin": "http://127.0.0.2:1"}, True, 200, ""),
        ({"Sec-Fetch-Site": "same-origin"}, False, 200, ""),
    ],
)
def test_no_web_page_can_set_the_clock(
    headers: dict[str, str], has_body: bool, status: int, said: str
) -> None:
    given = {"Host": "127.0.0.1:9001", "Content-Length": "9" if has_body else "0", **headers}
    fields = {name.lower().encode(): value.encode() for name, value in given.items()}
    refusal = Guard("127.0.0.1", "127.0.0.1").refusal("POST", fields)
    assert (200 if refusal is None else refusal.status) == status
    assert refusal is None or said in refusal.error


HOST, ORIGIN, KIND = b"host", b"origin", b"content-type"


@pytest.mark.parametrize(
    "fields",
    [
        [(HOST, b"localhost:9001@evil.example")],
        [(HOST, b"127.0.0.1:9001, evil.example")],
        [(HOST, b"[::1")],
        [(HOST, b"localhost:port")],
        [(HOST, b"evil.example"), (HOST, b"127.0.0.1")],
        [(HOST, b"127.0.0.1"), (ORIGIN, FOREIGN.encode()), (ORIGIN, b"http://127.0.0.1")],
        [(HOST, b"127.0.0.1"), (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-site", b"none")],
        [(HOST, b"127.0.0.1"), (KIND, b"text/plain"), (KIND, b"application/json")],
    ],
)
def test_a_header_that_is_right_does_not_hide_one_that_is_wrong(
    fields: list[tuple[bytes, bytes]],
) -> None:
    guard = Guard("127.0.0.1", "127.0.0.1")
    assert guard.refusal("POST", joined(fields)) is not None
    own = {HOST: b"localhost.:9001", KIND: b"application/json"}
    assert guard.refusal("POST", own) is None


@pytest.mark.parametrize("path", [CLOCK_PATH, LIMITS_PATH, FAULTS_PATH, "/plant/v1/anything"])
@looped
async def test_the_pages_of_the_plant_answer_to_its_names_only(path: str) -> None:
    async with loopback() as house:
        foreign = {"Host": "evil.example:9001"}
        assert (await house.get(path, headers=foreign)).status == 403
        preflight = await house.get(path, method="OPTIONS", headers={"Origin": FOREIGN})
        assert preflight.status == 403
        assert not [name for name in preflight.headers if name.startswith("access-control")]
        assert (await house.get(path, headers={"Host": "localhost"})).status in {200, 404}
        for open_path in ("/fapi/v1/time", "/healthz", "/"):
            answer = await house.get(open_path, headers={**foreign, "Origin": FOREIGN})
            assert answer.status == 200, "market data is for all"
        async with house.connect("/ws", origin=FOREIGN):
            pass


def test_on_other_addresses_programs_may_use_any_name_and_browsers_those_of_the_machine() -> None:
    guard = Guard("0.0.0.0", "0.0.0.0")  # noqa: S104  # nobody listens
    own = socket.gethostname().encode()
    json_type = b"application/json"
    for host in (b"plant.example:9001", b"192.0.2.1:9001", own, b"localhost"):
        headers = {b"host": host, b"content-type": json_type}
        assert guard.refusal("POST", headers) is None
        refusal = guard.refusal("POST", {**headers, b"origin": b"http://" + host})
        assert (refusal is None) == (host != b"plant.example:9001")
    named = Guard("plant.example", "192.0.2.1")
    assert (
        named.refusal("POST", {b"host": b"plant.example:9001", b"content-type": json_type}) is None
    )


def append(path: str, line: str) -> None:
    with Path(path).open("a") as file:
        file.write(line)


def remove(path: str) -> None:
    Path(path).unlink()


@looped
async def test_what_a_replay_covers_is_told_on_both_ports_in_the_times_of_its_clock(
    tmp_path: Path,
) -> None:
    path = recording(tmp_path)
    async with replaying(path, Plan(rebased=True, is_paused=True, loops=True)) as house:
        status, found = await house.ask("GET", COVERAGE_PATH, venue=COINM)
        state = await house.steer(seek=START_MS + 20 * EVERY_MS)
        assert state["shift_ms"] != 0
        assert (state["received_ns"], state["next_ns"]) == ((START_MS + 20 * EVERY_MS) * 10**6,) * 2
        assert (status, found["complete"]) == (200, True)
        assert found["from_ns"] == state["from_ns"] == START_MS * 10**6
        assert found["spans"] == [[found["from_ns"], found["to_ns"] - 1]]
        assert state["to_ns"] is None, "the clock never read the file of lines to its end"
        later = START_MS + 1_000_000
        append(path, f'{later}000000 {{"stream":"btcusdt@trade","data":{trade(1)}}}\n')
        _, found = await house.ask("GET", COVERAGE_PATH)
        assert found["spans"][-1] == [later * 10**6] * 2, "the file is read again when it changed"
        assert found["holes"][0]["reason"] == "nothing was recorded"
        remove(path)
        status, problem = await house.ask("GET", COVERAGE_PATH)
        assert (status, path in problem["error"]) == (503, True)


def test_an_origin_is_ours_only_with_the_scheme_of_the_port() -> None:
    plain, secure = Guard("::", "::"), Guard("::", "::", scheme="https")
    for host in (b"127.0.0.1:9001", b"localhost", b"192.0.2.1:9001"):
        for guard, own in ((plain, b"http"), (secure, b"https")):
            for scheme in (b"http", b"https", b"ws", b"null", b""):
                headers = {HOST: host, ORIGIN: scheme + b"://" + host, KIND: b"application/json"}
                refusal = guard.refusal("POST", headers)
                assert (refusal is None) is (scheme == own), (host, scheme, own)


def test_a_proxy_that_is_trusted_says_how_its_client_came_and_nobody_else_does() -> None:
    guard = Guard("::", "::", TrustedProxies(["10.0.0.0/8"]))
    headers = {
        HOST: b"192.0.2.1",
        ORIGIN: b"https://192.0.2.1",
        KIND: b"application/json",
        b"x-forwarded-proto": b"https",
    }
    assert guard.refusal("POST", headers, "10.1.2.3") is None
    for peer in ("", "unknown", "127.0.0.1", "192.0.2.7"):
        assert guard.refusal("POST", headers, peer) is not None, peer
    for said in (b"ws", b"http", b"https, http", b""):
        forged = {**headers, b"x-forwarded-proto": said}
        assert guard.refusal("POST", forged, "10.1.2.3") is not None, said
